//! `[daemon] inetd_conf`: an inetd.conf beside the table, served as it stands.

use std::fs;

use crate::harness::{Builder, Client, oxinetd, talk, text};

/// A port that is free now; inetd.conf has no "any".
fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

#[test]
fn its_services_are_served_and_shown_with_their_line() {
    let (echo, hello) = (free_port(), free_port());
    let builder = Builder::new()
        .controlled()
        .daemon("inetd_conf = \"inetd.conf\"")
        .table("[service.own]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\n");
    let inetd = builder.file(
        "inetd.conf",
        &format!("# made by hand\n127.0.0.1:{echo} stream tcp nowait root internal\n127.0.0.1:{hello} stream tcp nowait nobody /bin/echo echo hello world\n"),
    );
    let text_of = fs::read_to_string(&inetd)
        .unwrap()
        .replace(" internal", " /bin/cat cat");
    fs::write(&inetd, text_of).unwrap();
    crate::harness::run(std::process::Command::new("chmod").args(["644", &inetd]));
    let daemon = builder.start();
    let at = |port: u16| ([127, 0, 0, 1], port).into();
    Client::connect(at(echo)).echo(b"over inetd.conf\n");
    assert_eq!(talk(at(hello), b""), "hello world\n");
    Client::connect(daemon.tcp("own")).echo(b"and beside it\n");
    let control = daemon.path().join("control");
    let status = oxinetd(&[
        "status",
        "--format",
        "json",
        "--control",
        control.to_str().unwrap(),
    ]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let origins: Vec<&str> = status["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|service| service["origin"].as_str().unwrap())
        .collect();
    assert!(
        origins.iter().any(|origin| *origin == format!("{inetd}:2"))
            && origins.iter().any(|origin| *origin == format!("{inetd}:3")),
        "{origins:?}"
    );
    let files = status["daemon"]["files"].to_string();
    assert!(files.contains("inetd.conf"), "{files}");
}

#[test]
fn its_problems_are_told_at_its_lines() {
    let builder = Builder::new()
        .daemon("inetd_conf = \"inetd.conf\"")
        .table("[service.own]\nlisten = \"127.0.0.1:7007\"\nbuiltin = \"echo\"\n");
    let path = builder.write();
    let config = path.to_str().unwrap();
    // Packages make the file when they need it.
    let output = oxinetd(&["check", "-W", config]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(
        text(&output).contains("there is no such file"),
        "{}",
        text(&output)
    );
    let inetd = builder.file("inetd.conf", "#\n127.0.0.1:7007 stream tcp nowait root /bin/cat cat\n127.0.0.1:7008 stream tcp nowait no-such-user /bin/cat cat\n");
    let output = oxinetd(&["check", "--format", "short", config]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    for words in [
        "inetd.conf:2:1: error: two services want tcp 127.0.0.1:7007",
        "inetd.conf:3:1: error: ",
    ] {
        assert!(
            text(&output).contains(words),
            "{words} in: {}",
            text(&output)
        );
    }
    let shown = oxinetd(&["check", config]);
    assert!(
        text(&shown).contains("127.0.0.1:7007 stream tcp nowait root"),
        "the line itself: {}",
        text(&shown)
    );
    fs::write(&inetd, b"\0\0junk").unwrap();
    let output = oxinetd(&["check", config]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("NUL"), "{}", text(&output));
}
