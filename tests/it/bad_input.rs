//! What is no table at all: a clear answer, in bounded time and memory.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::harness::{Builder, PATIENCE, lacks_root, run, text, until};

const GOOD: &str = "[service.echo]\nlisten = \"127.0.0.1:7007\"\nbuiltin = \"echo\"\n";
/// Memory that a check may have: many times what a good table takes, a fraction of what the largest file has.
const MEMORY: &str = "--as=402653184";

/// `check` within its bounds: how it ends, and what it says.
fn check(path: &Path) -> (Option<i32>, String) {
    let mut child = Command::new("prlimit")
        .args([
            MEMORY,
            "--",
            env!("CARGO_BIN_EXE_oxinetd"),
            "check",
            "--format",
            "short",
        ])
        .arg(path)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Far longer than it takes: it must not hang.
    until(
        "the end of check",
        PATIENCE.max(Duration::from_secs(30)),
        || child.try_wait().unwrap().is_some(),
    );
    let output = child.wait_with_output().unwrap();
    (output.status.code(), text(&output))
}

#[test]
fn no_input_is_too_bad_for_an_answer() {
    let builder = Builder::new();
    let path = builder.path().join("table.toml");
    let good = Builder::new().table(GOOD).toml();
    let junk: Vec<u8> = (0..100_000_u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let printable: Vec<u8> = junk.iter().map(|byte| b' ' + byte % 95).collect();
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("binary junk", junk, "byte "),
        ("printable junk", printable, "not TOML"),
        ("100 MB", vec![b'#'; 100 << 20], "larger than 4 MiB"),
        ("just 4 MiB of brackets", vec![b'['; 4 << 20], "error"),
        (
            "4 MiB of one line",
            [b"x = \"".to_vec(), vec![b'y'; (4 << 20) - 10]].concat(),
            "error",
        ),
        (
            "Latin-1",
            b"[service.x]\ndescription = \"caf\xe9\"\n".to_vec(),
            "not UTF-8",
        ),
        ("UTF-16", b"\xff\xfe[\0s\0".to_vec(), "error"),
        (
            "NUL",
            b"[service.x]\nlisten = \"7\0\"\n".to_vec(),
            "table.toml:2: byte 23 is a NUL",
        ),
        (
            "unclosed braces",
            b"[service]\nx = { listen = \"7\", builtin = \"echo\"\n".to_vec(),
            "not TOML",
        ),
        (
            "unclosed string",
            b"[service.x]\nlisten = \"7\n".to_vec(),
            "not TOML",
        ),
        (
            "a lone carriage return",
            b"[service.x]\rlisten = 7\r".to_vec(),
            "not TOML",
        ),
    ];
    for (what, bytes, words) in cases {
        fs::write(&path, bytes).unwrap();
        let (code, said) = check(&path);
        assert_eq!(code, Some(1), "{what}: {said}");
        assert!(
            said.contains(words),
            "{what}: no {words} in {}",
            said.chars().take(2000).collect::<String>()
        );
        // Junk does not reach the terminal.
        assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "{what}");
    }
    for (what, bytes) in [
        ("BOM", format!("\u{feff}{good}")),
        ("CRLF", good.replace('\n', "\r\n")),
        ("no newline at the end", good.trim_end().to_owned()),
    ] {
        fs::write(&path, bytes).unwrap();
        let (code, said) = check(&path);
        assert_eq!(code, Some(0), "{what}: {said}");
    }
}

#[test]
fn what_is_no_file_is_told_and_never_waited_for() {
    let builder = Builder::new();
    let path = builder.path().join("table.toml");
    run(Command::new("mkfifo").arg(&path));
    let (code, said) = check(&path);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("not a regular file"), "{said}");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&path, &path).unwrap();
    let (code, said) = check(&path);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("too many levels of symbolic links"), "{said}");
    for (place, words) in [
        ("/dev/zero", "not a regular file"),
        ("/", "not a regular file"),
        ("/dev/null", "/dev/null"),
        ("/nonexistent", "no such file"),
    ] {
        let (code, said) = check(Path::new(place));
        assert_eq!(code, Some(1), "{place}: {said}");
        assert!(said.contains(words), "{place}: {said}");
    }
}

/// Only the main file includes; a drop-in that tries is told so, and a file that includes itself is two of the same.
#[test]
fn includes_do_not_loop() {
    let builder = Builder::new();
    let path = builder.path().join("table.toml");
    let table = Builder::new()
        .table(GOOD)
        .toml()
        .replace("include = []", "include = [\"table.toml\"]");
    fs::write(&path, &table).unwrap();
    let (code, said) = check(&path);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("[daemon] can stand in the main file only")
            && said.contains("`echo` is defined twice"),
        "{said}"
    );
    for (include, words) in [
        ("\"fifo\"", "not a regular file"),
        ("\"no-such.toml\"", "no such file"),
        ("\"d*/x.toml\"", "cannot be `d*/x.toml`"),
    ] {
        run(Command::new("mkfifo").arg(builder.path().join("fifo")));
        fs::write(&path, table.replace("\"table.toml\"", include)).unwrap();
        let (code, said) = check(&path);
        assert_eq!(code, Some(1), "{include}: {said}");
        assert!(said.contains(words), "{include}: {said}");
    }
}

#[test]
fn tables_that_others_may_write_or_that_cannot_be_read_are_refused() {
    if lacks_root() {
        return;
    }
    let builder = Builder::new().table(GOOD);
    let path = builder.write();
    for (mode, words) in [
        (0o666, "can be written by everybody"),
        (0o664, "can be written by group 0"),
    ] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let (code, said) = check(&path);
        assert_eq!(code, Some(1), "{mode:o}: {said}");
        assert!(
            said.contains(words) && said.contains("chmod "),
            "{mode:o}: {said}"
        );
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let mut check = Command::new("setpriv");
    check
        .args([
            "--reuid",
            "65534",
            "--clear-groups",
            env!("CARGO_BIN_EXE_oxinetd"),
            "check",
        ])
        .arg(&path);
    let output = run(&mut check);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("permission denied"),
        "{}",
        text(&output)
    );
}
