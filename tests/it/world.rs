//! The looks of `check` at the real world; what a made-up one lacks is told in tests/data/config/world.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use crate::harness::{Builder, in_own_network, lacks_root, oxinetd, text};

/// What `check` says to a table.
fn check(builder: &Builder) -> String {
    let path = builder.write();
    let output = oxinetd(&["check", "--format", "short", path.to_str().unwrap()]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "warnings only: {}",
        text(&output)
    );
    text(&output)
}

#[test]
fn who_holds_a_port_is_named() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let builder = Builder::new();
    let socket = builder.path().join("held.sock");
    let _held_too = UnixListener::bind(&socket).unwrap();
    let builder = builder.table(&format!(
        "[service.x]\nlisten = [\"127.0.0.1:{port}\", \"{}\", \"127.0.0.1:0\"]\nbuiltin = \"echo\"\n",
        socket.display()
    ));
    let said = check(&builder);
    let taken: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("taken already"))
        .collect();
    assert_eq!(taken.len(), 2, "{said}");
    let output = oxinetd(&["check", builder.write().to_str().unwrap()]);
    let who = format!("is held by pid {} (", std::process::id());
    assert!(text(&output).contains(&who), "{}", text(&output));
}

/// The daemon that serves the table is not in its own way.
#[test]
fn ports_of_the_running_daemon_are_not_taken() {
    let daemon = Builder::new()
        .table("[service.x]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\n")
        .start();
    let address = daemon.tcp("x");
    let builder = Builder::new().table(&format!(
        "[service.x]\nlisten = \"{address}\"\nbuiltin = \"echo\"\n"
    ));
    assert!(!check(&builder).contains("taken"));
}

#[test]
fn program_is_looked_at_in_its_root_and_for_its_user() {
    if lacks_root() {
        return;
    }
    let builder = Builder::new();
    let root = builder.path().join("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::copy("/bin/cat", root.join("bin/cat")).unwrap();
    let closed = builder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::copy("/bin/cat", closed.join("cat")).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    let open = builder.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::copy("/bin/cat", open.join("cat")).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
    let text_file = builder.file("text", "echo hello\n");
    let script = builder.file("script", "#!/opt/no/such/interpreter\n");
    let service = |name: &str, port: u16, keys: &str| {
        format!("[service.{name}]\nlisten = \"127.0.0.1:{port}\"\n{keys}\n")
    };
    let in_root = root.display();
    let builder = builder
        .table(&service(
            "inside",
            7001,
            &format!("command = \"/bin/cat\"\nroot_directory = \"{in_root}\""),
        ))
        .table(&service(
            "outside",
            7002,
            &format!("command = \"/bin/true\"\nroot_directory = \"{in_root}\""),
        ))
        .table(&service(
            "closed",
            7003,
            &format!("command = \"{}/cat\"", closed.display()),
        ))
        .table(&service(
            "open",
            7004,
            &format!("command = \"{}/cat\"", open.display()),
        ))
        .table(&service(
            "text",
            7005,
            &format!("command = \"{text_file}\""),
        ))
        .table(&service("script", 7006, &format!("command = \"{script}\"")))
        .table(&service("good", 7007, "command = \"/bin/cat\""));
    let said = check(&builder);
    for words in [
        "`inside` cannot be started: /bin/cat needs its loader ",
        "`outside` names a program that is not there: /bin/true inside of ",
        "`closed` cannot be started by user `nobody`",
        "`open` runs what everybody may change",
        "`text` cannot be started: ",
        "`script` cannot be started: ",
    ] {
        assert!(said.contains(words), "{words} in: {said}");
    }
    assert!(!said.contains("`good`"), "{said}");
}

#[test]
fn low_ports_and_limits_are_told_to_those_who_lack_them() {
    if lacks_root() {
        return;
    }
    in_own_network(|| {
        let builder = Builder::new().table(
            "[service.x]\nlisten = \"127.0.0.1:79\"\nbuiltin = \"echo\"\nmax_connections = 5000\n",
        );
        let path = builder.write();
        let toml = fs::read_to_string(&path).unwrap();
        fs::write(&path, toml.replace("user = \"nobody\"\n", "")).unwrap();
        let mut check = std::process::Command::new("setpriv");
        check.args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "--bounding-set",
            "-all",
            "--inh-caps",
            "-all",
            "prlimit",
            "--nofile=256:256",
        ]);
        check
            .args([env!("CARGO_BIN_EXE_oxinetd"), "check"])
            .arg(&path);
        let output = crate::harness::run(&mut check);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains("port 79 is below 1024"), "{said}");
        assert!(
            said.contains("the services ask for 5000 connections together")
                && said.contains("this process may open 256"),
            "{said}"
        );
    });
}
