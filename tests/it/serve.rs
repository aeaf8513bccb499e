//! `oxinetd serve`: a service in one line, without a file.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::harness::{Builder, OXINETD, oxinetd, talk, talk_unix, text};

#[test]
fn echo_in_one_line() {
    let daemon = Builder::new()
        .arguments(&["serve", "--listen", "127.0.0.1:0", "--builtin", "echo"])
        .trouble("user")
        .start();
    let name = name_of(&daemon.lines());
    assert_eq!(talk(daemon.tcp(&name), b"hello"), "hello");
}

#[test]
fn echo_in_one_line_in_every_model() {
    for model in ["process", "event", "thread"] {
        let words = ["serve", "--listen", "127.0.0.1:0", "--builtin", "echo"];
        let daemon = Builder::new()
            .arguments(&[&words[..], &["--model", model]].concat())
            .trouble("user")
            .start();
        let name = name_of(&daemon.lines());
        assert_eq!(talk(daemon.tcp(&name), b"hello"), "hello");
        daemon.expect(&["EXIT: ", " in=5 out=5 "]);
        let workers = daemon.process().children().len();
        assert_eq!(workers, usize::from(model != "process"));
    }
}

#[test]
fn program_in_one_line_with_keys_as_flags() {
    let daemon = Builder::new()
        .arguments(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--user",
            "nobody",
            "--nice",
            "4",
            "--umask",
            "0077",
            "--max-connections",
            "3",
            "--",
            "/bin/sh",
            "-c",
            "nice; umask; echo \"$REMOTE_ADDR\"",
        ])
        .trouble("user")
        .start();
    let name = name_of(&daemon.lines());
    assert_eq!(talk(daemon.tcp(&name), b""), "4\n0077\n127.0.0.1\n");
}

#[test]
fn several_addresses() {
    let builder = Builder::new();
    let path = builder.path().join("s");
    let unix = format!("unix:{}", path.display());
    let daemon = builder
        .arguments(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--listen",
            &unix,
            "--builtin",
            "discard",
        ])
        .trouble("user")
        .start();
    daemon.expect(&["LISTEN: ", &unix.replace("unix:", "unix ")]);
    let name = name_of(&daemon.lines());
    assert_eq!(talk(daemon.tcp(&name), b"x"), "");
    assert_eq!(talk_unix(&path, b"x"), "");
}

#[test]
fn mistakes_on_the_command_line_are_named() {
    for (words, code, said) in [
        (&["serve", "--listen", "127.0.0.1:0"][..], 64, "--builtin"),
        (&["serve", "--builtin", "echo"], 64, "--listen"),
        (
            &["serve", "--listen", "127.0.0.1:0", "--bultin", "echo"],
            64,
            "--builtin",
        ),
        (
            &["serve", "--listen", "127.0.0.1:70000", "--builtin", "echo"],
            78,
            "70000",
        ),
        (
            &["serve", "--listen", "127.0.0.1:0", "--builtin", "ehco"],
            78,
            "echo",
        ),
    ] {
        let output = oxinetd(words);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{words:?}: {}",
            text(&output)
        );
        assert!(text(&output).contains(said), "{words:?}: {}", text(&output));
    }
}

/// The name that the service got, from its LISTEN line.
fn name_of(lines: &[String]) -> String {
    let line = lines.iter().find_map(|line| line.split_once("LISTEN: "));
    line.unwrap().1.split(' ').next().unwrap().to_owned()
}

#[test]
fn environment_of_a_container_sets_the_log_and_the_control_socket() {
    let control = format!("@oxinetd-it-{}", std::process::id());
    let mut daemon = Command::new(OXINETD)
        .args(["serve", "--listen", "127.0.0.1:0", "--builtin", "echo"])
        .env("OXINETD_LOG_FORMAT", "json")
        .env("OXINETD_CONTROL", &control)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(daemon.stderr.take().unwrap()).lines();
    let ready = lines
        .map(Result::unwrap)
        .filter(|line| line.starts_with('{'))
        .find(|line| line.contains("ready: "));
    assert!(ready.is_some());
    let status = oxinetd(&["status", "-q", "--control", &control]);
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(daemon.id()).unwrap()),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
    assert_eq!(status.status.code(), Some(0), "{}", text(&status));
}
