//! A program that cannot be started: the client learns it at once, the log says why, nobody else notices.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::harness::{Builder, Client, Injection, lacks, lacks_root, probe, talk};

const ECHO: &str = "[service.echo]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"";

#[test]
fn program_that_cannot_be_executed_is_eof_at_once_and_a_line_with_the_reason() {
    let builder = Builder::new();
    let make = |name: &str, text: &[u8], mode: u32| {
        let path = builder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let cases = [
        (
            "missing",
            "/nonexistent/program".to_owned(),
            "No such file or directory",
        ),
        (
            "format",
            make("format", b"neither elf nor script", 0o755),
            "Exec format error",
        ),
        (
            "access",
            make("access", b"#!/bin/sh\n", 0o644),
            "Permission denied",
        ),
        (
            "interpreter",
            make("interpreter", b"#!/nonexistent/sh\n", 0o755),
            "No such file or directory",
        ),
        (
            "directory",
            builder.path().to_str().unwrap().to_owned(),
            "Permission denied",
        ),
    ];
    let mut builder = builder.table(ECHO);
    for (name, path, _) in &cases {
        builder = builder
            .table(&format!(
                "[service.{name}]\nlisten = \"127.0.0.1:0\"\ncommand = ['{path}']"
            ))
            .trouble(name);
    }
    let daemon = builder.start();
    let mut bystander = Client::connect(daemon.tcp("echo"));
    for (name, path, reason) in &cases {
        let end = daemon.log_end();
        let start = Instant::now();
        assert_eq!(talk(daemon.tcp(name), b""), "", "{name}");
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "{name}: EOF at once"
        );
        daemon.expect_from(end, &[name, "exec", path, reason]);
        bystander.echo(name.as_bytes());
    }
}

#[test]
fn service_that_keeps_failing_is_backed_off_and_comes_back() {
    let builder = Builder::new();
    let path = builder.path().join("late");
    let daemon = builder
        .table(ECHO)
        .table(&format!(
            "[service.x]\nlisten = \"127.0.0.1:0\"\ncommand = ['{}']",
            path.display()
        ))
        .trouble("x")
        .start();
    for _ in 0..5 {
        assert_eq!(talk(daemon.tcp("x"), b""), "");
    }
    daemon.expect(&["PAUSE: x"]);
    assert_eq!(talk(daemon.tcp("echo"), b"unaffected"), "unaffected");
    fs::write(&path, "#!/bin/sh\necho at last\n").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    // This client waits in the kernel's queue until the back-off of one second is over.
    assert_eq!(talk(daemon.tcp("x"), b""), "at last\n");
    daemon.expect(&["RESUME: x"]);
    assert_eq!(daemon.count(&["PAUSE: x"]), 1);
    for _ in 0..3 {
        assert_eq!(
            talk(daemon.tcp("x"), b""),
            "at last\n",
            "the first success clears it"
        );
    }
}

#[test]
fn back_off_grows_while_the_failures_go_on() {
    let daemon = Builder::new()
        .table("[service.x]\nlisten = \"127.0.0.1:0\"\ncommand = \"/nonexistent/program\"")
        .trouble("x")
        .start();
    let start = Instant::now();
    for _ in 0..7 {
        assert_eq!(talk(daemon.tcp("x"), b""), "");
    }
    // The sixth waited one second, the seventh two.
    assert!(
        start.elapsed() >= Duration::from_millis(2900),
        "{:?}",
        start.elapsed()
    );
    assert!(daemon.count(&["PAUSE: x"]) >= 2, "{:?}", daemon.lines());
}

#[test]
fn program_that_starts_and_fails_is_no_launch_failure() {
    let daemon = Builder::new()
        .table("[service.x]\nlisten = \"127.0.0.1:0\"\ncommand = \"/bin/false\"")
        .start();
    for _ in 0..20 {
        assert_eq!(talk(daemon.tcp("x"), b""), "");
    }
    assert_eq!(daemon.count(&["PAUSE"]), 0);
}

#[test]
fn missing_working_directory_is_final() {
    let daemon = Builder::new()
        .table("[service.x]\nlisten = \"127.0.0.1:0\"\ncommand = \"/bin/echo ran\"\nworking_directory = \"/nonexistent/directory\"")
        .trouble("x")
        .start();
    assert_eq!(talk(daemon.tcp("x"), b""), "");
    daemon.expect(&["x", "chdir", "No such file or directory"]);
}

/// Every system call of a child's set-up, failing in every way: no exec, and the client reads EOF.
#[test]
fn failed_step_of_the_set_up_never_execs() {
    if lacks_root() || lacks(&["strace"]) {
        return;
    }
    let builder = Builder::new();
    let Some(probe) = probe(&builder) else { return };
    let keys = format!(
        "[service.x]\nlisten = \"127.0.0.1:0\"\ncommand = ['{probe}', 'hello']\nnice = 1\nlimits = {{ open_files = 64 }}"
    );
    let jail = builder.path().to_str().unwrap().to_owned();
    let chroot = format!(
        "[service.j]\nlisten = \"127.0.0.1:0\"\ncommand = ['/probe', 'hello']\nroot_directory = \"{jail}\""
    );
    let daemon = builder
        .table(&keys)
        .table(&chroot)
        .trouble("x")
        .trouble("j")
        .start();
    let steps = [
        ("x", "setsid"),
        ("x", "setgroups"),
        ("x", "setresgid"),
        ("x", "setresuid"),
        ("x", "capset"),
        ("x", "prctl"),
        ("x", "prlimit64"),
        ("x", "setpriority"),
        ("x", "chdir"),
        ("x", "dup3"),
        ("x", "close_range"),
        ("j", "chroot"),
        ("j", "chdir"),
    ];
    for (service, call) in steps {
        for error in ["EPERM", "EAGAIN", "ENOMEM"] {
            // The daemon itself uses dup3, and holds a connection as long as that fails for want of something.
            if call == "dup3" && error != "EPERM" {
                continue;
            }
            let end = daemon.log_end();
            let expression = format!("{call}:error={error}");
            let injection = Injection::attach(daemon.process(), &[&expression], true);
            let answer = talk(daemon.tcp(service), b"");
            let trace = injection.detach();
            assert_eq!(answer, "", "{call} {error}: {trace}");
            assert!(trace.contains("(INJECTED)"), "{call} is no step: {trace}");
            assert!(!trace.contains("probe\""), "{call} {error}: {trace}");
            daemon.expect_from(end, &[&format!("ERROR: {service} ")]);
            assert_eq!(
                talk(daemon.tcp(service), b""),
                "hello\n",
                "after {call} {error}"
            );
        }
    }
}

/// The path that costs the same at any number of descriptors begins with this call: there is no slower one.
#[test]
fn kernel_without_close_range_is_told_at_the_start() {
    if lacks(&["strace"]) {
        return;
    }
    let mut command = std::process::Command::new("strace");
    command
        .args(["-f", "-o", "/dev/null", "-e", "trace=close_range"])
        .args(["-e", "inject=close_range:error=ENOSYS"])
        .args([env!("CARGO_BIN_EXE_oxinetd"), "serve"])
        .args(["--listen", "127.0.0.1:0", "--builtin", "echo"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(71));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("close_range: Linux 5.9"), "{told}");
}
