//! `show` and `try`: what is in force, and what would happen to a client.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{Builder, Client, lacks_root, oxinetd, root, text};

const TABLE: &str = "\
[service.open]
listen = \"127.0.0.1:0\"
command = [\"/bin/echo\", \"hello %{remote_addr}\"]
env = { COLOR = \"blue\" }
timeout = \"10s\"

[service.closed]
listen = \"127.0.0.1:0\"
builtin = \"echo\"
hours = \"Mon-Fri 08:00-18:00\"
timezone = \"UTC\"
allow = [\"loopback\", \"any\"]
deny = [\"192.0.2.0/24\", \"@bad.txt\"]
";

/// A command about a table in a file.
fn about(path: &Path, words: &[&str]) -> (i32, String) {
    let config = [
        "--config",
        path.to_str().unwrap(),
        "--control",
        "@nobody-listens-here",
    ];
    let config = if words.first() == Some(&"try") {
        &config[..]
    } else {
        &config[..2]
    };
    let output = oxinetd(&[words, config].concat());
    (output.status.code().unwrap(), text(&output))
}

#[test]
fn shown_table_is_a_table_and_means_the_same() {
    let builder = Builder::new().table(TABLE).drop_in(
        "more",
        "[defaults]\nnice = 3\n[service.more]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"discard\"\n",
    );
    builder.file("bad.txt", "203.0.113.7\n");
    let path = builder.write();
    let (code, shown) = about(&path, &["show"]);
    assert_eq!(code, 0, "{shown}");
    for (line, origin) in [
        ("timeout = \"10s\"", "oxinetd.toml:"),
        ("nice = 3", "more.d.toml:2 [defaults]"),
        ("#max_connections = 256", "built in"),
        ("include = []", "stands below"),
    ] {
        let found = shown.lines().find(|shown| shown.starts_with(line));
        assert!(
            found.is_some_and(|found| found.contains(origin)),
            "{line} {origin}: {shown}"
        );
    }
    let again = builder.path().join("again.toml");
    fs::write(&again, &shown).unwrap();
    let output = oxinetd(&["check", "-W", again.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(
        text(&output).contains(": 3 services, 0 errors, 0 warnings"),
        "{}",
        text(&output)
    );
    let (_, twice) = about(&again, &["show"]);
    let values = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .filter(|line| !line.starts_with('#') || line.contains("built in"));
        lines
            .map(|line| line.split(" # ").next().unwrap().trim_end().to_owned())
            .filter(|line| line != "include = []")
            .collect()
    };
    assert_eq!(values(&twice), values(&shown));
}

#[test]
fn one_service_is_shown_and_unknown_names_are_answered() {
    let builder = Builder::new().table(TABLE);
    builder.file("bad.txt", "203.0.113.7\n");
    let path = builder.write();
    let (code, shown) = about(&path, &["show", "open"]);
    assert_eq!(code, 0);
    assert!(
        shown.starts_with("[service.open]\n") && !shown.contains("closed"),
        "{shown}"
    );
    let (code, said) = about(&path, &["show", "opne"]);
    assert_eq!(code, 1);
    assert!(said.contains("did you mean open?"), "{said}");
    fs::write(&path, "[service.x]\n").unwrap();
    let (code, said) = about(&path, &["show"]);
    assert_eq!(code, 1);
    assert!(said.contains("listens nowhere"), "{said}");
}

#[test]
fn a_client_is_told_which_rule_decides() {
    let builder = Builder::new().table(TABLE);
    builder.file("bad.txt", "# scanners\n203.0.113.7\n");
    let path = builder.write();
    let monday = "2026-11-23T12:00:00Z";
    for (client, service, at, code, words) in [
        (
            "127.0.0.1",
            "closed",
            monday,
            0,
            &[
                "would START for 127.0.0.1",
                "allow",
                "loopback",
                "oxinetd.toml:",
                "counters are unknown",
            ][..],
        ),
        (
            "127.0.0.1",
            "closed",
            "2026-11-22T12:00:00Z",
            1,
            &[
                "would REFUSE",
                "hours            HIT",
                "Mon-Fri 08:00-18:00",
                "not reached: penalty, ",
            ],
        ),
        (
            "127.0.0.1",
            "open",
            monday,
            0,
            &[
                "argv  /bin/echo 'hello 127.0.0.1'",
                "COLOR=blue",
                "REMOTE_ADDR=127.0.0.1",
                "REMOTE_PORT=?",
                "fds   0,1 = connection",
                "timeout = \"10s\"",
            ],
        ),
        ("192.0.2.1", "open", monday, 1, &["cannot come"]),
    ] {
        let (exit, said) = about(&path, &["try", client, service, "--at", at]);
        assert_eq!(exit, code, "{client} {service}: {said}");
        for word in words {
            assert!(said.contains(word), "{word} in: {said}");
        }
    }
    let everywhere = fs::read_to_string(&path)
        .unwrap()
        .replace("127.0.0.1:0", "0.0.0.0:0");
    fs::write(&path, everywhere).unwrap();
    let (code, said) = about(&path, &["try", "203.0.113.7", "closed", "--at", monday]);
    assert_eq!(code, 1);
    assert!(
        said.contains("deny             HIT    203.0.113.7/32")
            && said.contains("bad.txt:2   (longest match)"),
        "{said}"
    );
    let (code, said) = about(&path, &["try", "192.0.2.1", "--at", monday]);
    assert_eq!(code, 0, "one of them serves it: {said}");
    assert!(
        said.contains("open    tcp 0.0.0.0:0  START") && said.contains("REFUSE  deny 192.0.2.0/24"),
        "{said}"
    );
    for words in [
        &["try", "example"][..],
        &["try", "::1", "--at", "noon"],
        &["try", "::1", "--run"],
    ] {
        assert_eq!(about(&path, words).0, 64, "{words:?}");
    }
}

#[test]
fn counters_of_the_daemon_are_asked() {
    let daemon = Builder::new()
        .controlled()
        .table("[service.echo]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\nmax_connections = 2\nmax_per_source = 1\nover_limit = \"refuse\"\n")
        .start();
    let control = daemon.path().join("control");
    let config = daemon.path().join("oxinetd.toml");
    let ask = |client: &str| {
        let words = [
            "try",
            client,
            "echo",
            "--config",
            config.to_str().unwrap(),
            "--control",
            control.to_str().unwrap(),
        ];
        let output = oxinetd(&words);
        (output.status.code().unwrap(), text(&output))
    };
    let (code, said) = ask("127.0.0.1");
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("0 of 1 used by 127.0.0.1") && !said.contains("unknown"),
        "{said}"
    );
    let mut held = Client::connect(daemon.tcp("echo"));
    held.echo(b"hello");
    let (code, said) = ask("127.0.0.1");
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("max_per_source   HIT    1 of 1 used by 127.0.0.1"),
        "{said}"
    );
    assert!(said.contains("max_connections (1 of 2 used)"), "{said}");
    let (code, said) = ask("127.0.0.2");
    assert_eq!(code, 0, "{said}");
    drop(held);
}

/// `try --run` with this input.
fn tried(path: &Path, words: &[&str], input: &[u8]) -> (i32, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_oxinetd"))
        .arg("try")
        .args(words)
        .args([
            "--run",
            "--control",
            "@nobody-listens-here",
            "--config",
            path.to_str().unwrap(),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap(), text(&output))
}

#[test]
fn program_runs_on_the_terminal_as_for_a_connection() {
    let builder = Builder::new().table(
        "[service.cat]\nlisten = \"127.0.0.1:0\"\ncommand = \"/bin/cat\"\n\
         [service.who]\nlisten = \"127.0.0.1:0\"\ncommand = ['/bin/sh', '-c', 'echo $REMOTE_ADDR $OXINETD_SERVICE; id -u; echo trouble >&2; exit 3']\n\
         [service.echo]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\n\
         [service.gone]\nlisten = \"127.0.0.1:0\"\ncommand = \"/nonexistent/program\"\n\
         [service.closed]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\ndeny = \"any\"\n",
    );
    let path = builder.write();
    let (code, said) = tried(&path, &["127.0.0.1", "cat"], b"hello\n");
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("\nhello\n") && said.contains("ended, status 0"),
        "{said}"
    );
    let (code, said) = tried(&path, &["127.0.0.1", "who"], b"");
    assert_eq!(code, 0, "{said}");
    let uid = if root() { "65534" } else { "" };
    for words in ["127.0.0.1 who\n", uid, "trouble\n", "ended, status 3"] {
        assert!(said.contains(words), "{words} in: {said}");
    }
    let (code, said) = tried(&path, &["127.0.0.1", "echo"], b"built in\n");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("\nbuilt in\n"), "{said}");
    let (code, said) = tried(&path, &["127.0.0.1", "gone"], b"");
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("exec /nonexistent/program: No such file"),
        "{said}"
    );
    let (code, said) = tried(&path, &["127.0.0.1", "closed"], b"x\n");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("REFUSE"), "{said}");
}

/// A table that belongs to root is shown by nobody else than who may read it.
#[test]
fn unreadable_tables_are_refused() {
    if lacks_root() {
        return;
    }
    let builder = Builder::new().table(TABLE);
    let path = builder.write();
    Command::new("chmod")
        .arg("600")
        .arg(&path)
        .status()
        .unwrap();
    let mut show = Command::new("setpriv");
    show.args([
        "--reuid",
        "65534",
        "--clear-groups",
        env!("CARGO_BIN_EXE_oxinetd"),
        "show",
        "--config",
    ])
    .arg(&path);
    let output = crate::harness::run(&mut show);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("permission denied"),
        "{}",
        text(&output)
    );
}
