//! `oxinetd reload`: all or nothing, what is kept, and what it says.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};

use nix::sys::signal::Signal;

use crate::harness::{Builder, Client, Daemon, PATIENCE, oxinetd, probe, talk, text, until};

fn at(name: &str, address: &str, rest: &str) -> String {
    format!("[service.{name}]\nlisten = \"{address}\"\n{rest}\n")
}

fn echo(name: &str, address: &str) -> String {
    at(name, address, "builtin = \"echo\"")
}

fn says(name: &str, address: &str, word: &str) -> String {
    at(name, address, &format!("command = \"/bin/echo {word}\""))
}

/// The table of the daemon with these services instead of its own.
fn with(daemon: &Daemon, services: &[String]) -> String {
    let old = fs::read_to_string(daemon.path().join("oxinetd.toml")).unwrap();
    let head = old.split("[service.").next().unwrap();
    head.to_owned() + &services.concat()
}

fn start(services: &[String]) -> Daemon {
    Builder::new()
        .controlled()
        .table(&services.concat())
        .start()
}

/// Reloads these services and gives what was said, after a look at the exit code.
fn reload(daemon: &Daemon, services: &[String], code: i32) -> String {
    daemon.rewrite(&with(daemon, services));
    let output = daemon.ask(&["reload"]);
    assert_eq!(output.status.code(), Some(code), "{}", text(&output));
    text(&output)
}

fn is_refused(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_err()
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// The state of every service, as `status` tells it, without what changes by itself.
fn services(daemon: &Daemon) -> String {
    let output = daemon.ask(&["status", "--format", "json"]);
    let all = String::from_utf8(output.stdout).unwrap();
    all[all.find("\"services\"").unwrap()..].to_owned()
}

#[test]
fn reload_says_what_changed_and_ends_with_0() {
    let mut daemon = start(&[
        echo("kept", "127.0.0.1:0"),
        says("changed", "127.0.0.2:0", "old"),
        echo("removed", "127.0.0.3:0"),
    ]);
    let gone = daemon.tcp("removed");
    let said = reload(
        &daemon,
        &[
            echo("kept", "127.0.0.1:0"),
            says("changed", "127.0.0.2:0", "new"),
            echo("added", "127.0.0.4:0"),
        ],
        0,
    );
    assert_eq!(
        said,
        "+ added\n~ changed\n- removed\nreloaded: 1 added, 1 changed, 1 removed, 1 kept\n"
    );
    // The answer comes when the new table is in force.
    assert!(is_refused(gone));
    assert_eq!(talk(daemon.tcp("changed"), b""), "new\n");
    assert_eq!(talk(daemon.tcp("added"), b"x"), "x");
    daemon.rebase();
}

#[test]
fn bad_table_is_told_in_full_and_changes_nothing() {
    let mut daemon = start(&[echo("a", "127.0.0.1:0"), echo("b", "127.0.0.2:0")]);
    assert_eq!(talk(daemon.tcp("a"), b"counted"), "counted");
    daemon.quiet();
    let before = services(&daemon);
    daemon.trouble("bultin");
    daemon.trouble("reload refused");
    let said = reload(
        &daemon,
        &[
            echo("a", "127.0.0.1:0"),
            echo("good", "127.0.0.5:0"),
            at("bad", "127.0.0.6:0", "bultin = \"echo\""),
        ],
        1,
    );
    for words in [
        "error[",
        "bultin = \"echo\"",
        "^^^^^^",
        "did you mean `builtin`",
        "oxinetd: the reload was refused, the old table stays in force",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
    let after = services(&daemon);
    let steady = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .map(str::trim)
            .filter(|line| line.parse::<u64>().is_err());
        lines.map(str::to_owned).collect()
    };
    assert_eq!(steady(&before), steady(&after));
    assert_eq!(daemon.count(&["LISTEN: good"]), 0);
}

#[test]
fn nobody_to_reload_is_3() {
    let builder = Builder::new();
    let nowhere = builder.path().join("nowhere");
    let output = oxinetd(&["reload", "--control", nowhere.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        text(&output).contains("is oxinetd running?"),
        "{}",
        text(&output)
    );
}

#[test]
fn port_of_somebody_else_refuses_the_whole_table() {
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = stranger.local_addr().unwrap().port();
    let own = free_port();
    let mut daemon = start(&[echo("own", &format!("127.0.0.1:{own}"))]);
    daemon.trouble("reload refused");
    let said = reload(
        &daemon,
        &[
            echo("first", "127.0.0.2:0"),
            // In the place of `own`, which is closed for it, and comes back.
            echo("wide", &format!("*:{own}")),
            echo("taken", &format!("127.0.0.1:{port}")),
        ],
        1,
    );
    let place = format!("service taken: tcp 127.0.0.1:{port}: ");
    assert!(said.contains(&place), "{said}");
    assert!(said.contains("another program listens on port"), "{said}");
    assert_eq!(talk(daemon.tcp("own"), b"serves"), "serves");
    let status = daemon.ask(&["status"]);
    assert_eq!(status.status.code(), Some(0), "{}", text(&status));
    assert!(!text(&status).contains("first"));
    daemon.rebase();
}

#[test]
fn narrow_address_gives_way_to_a_wide_one_of_the_same_port() {
    let port = free_port();
    let mut daemon = start(&[echo("x", &format!("127.0.0.1:{port}"))]);
    let said = reload(&daemon, &[echo("x", &format!("*:{port}"))], 0);
    assert!(said.starts_with("~ x\n"), "{said}");
    let elsewhere = format!("127.0.0.9:{port}").parse().unwrap();
    assert_eq!(talk(elsewhere, b"wide"), "wide");
    daemon.rebase();
}

#[test]
fn queue_of_a_changed_service_waits_for_the_new_program() {
    let builder = Builder::new();
    let Some(probe) = probe(&builder) else { return };
    let rules = "max_connections = 1\n";
    let old = at(
        "x",
        "127.0.0.1:0",
        &format!("{rules}command = ['{probe}', 'hold']"),
    );
    let mut daemon = builder.controlled().table(&old).trouble("PAUSE: x").start();
    let address = daemon.tcp("x");
    let mut first = Client::connect(address);
    assert!(first.line().ends_with('\n'));
    let mut queued = Client::connect(address);
    daemon.expect(&["PAUSE: x connections"]);
    let new = says("x", "127.0.0.1:0", "new").replace("command", &format!("{rules}command"));
    reload(&daemon, &[new], 0);
    assert!(queued.is_silent(), "the old child is still counted");
    drop(first);
    assert_eq!(queued.line(), "new\n");
    drop(queued);
    let status = text(&daemon.ask(&["status"]));
    let row = status
        .lines()
        .find(|line| line.contains("* x ") || line.contains("~ x "))
        .unwrap();
    assert!(row.contains("/1 "), "{row}");
    assert!(
        row.split_whitespace().any(|word| word == "2"),
        "both are counted: {row}"
    );
    daemon.rebase();
}

#[test]
fn renamed_service_keeps_the_socket_and_its_queue() {
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let mut daemon = start(&[says("old-name", &address, "old")]);
    daemon.signal(Signal::SIGSTOP);
    let mut waiting = Client::connect(daemon.tcp("old-name"));
    daemon.rewrite(&with(&daemon, &[says("new-name", &address, "new")]));
    daemon.signal(Signal::SIGHUP);
    daemon.signal(Signal::SIGCONT);
    assert!(["old\n", "new\n"].contains(&waiting.line().as_str()));
    daemon.expect(&["RELOAD: added=1 changed=0 removed=1 kept=0"]);
    assert_eq!(daemon.count(&["CLOSE:"]), 0, "no socket was closed");
    assert_eq!(talk(daemon.tcp("new-name"), b""), "new\n");
    daemon.rebase();
}

#[test]
fn file_that_an_editor_replaced_is_read() {
    let mut daemon = start(&[says("x", "127.0.0.1:0", "old")]);
    let file = daemon.path().join("oxinetd.toml");
    let new = daemon.path().join("oxinetd.toml~");
    fs::write(&new, with(&daemon, &[says("x", "127.0.0.1:0", "new")])).unwrap();
    fs::rename(&file, daemon.path().join("backup")).unwrap();
    fs::rename(&new, &file).unwrap();
    let note = format!("! {} changed since then: oxinetd reload", file.display());
    let status = text(&daemon.ask(&["status"]));
    assert!(status.contains(&note), "{status}");
    assert_eq!(daemon.ask(&["reload"]).status.code(), Some(0));
    assert_eq!(talk(daemon.tcp("x"), b""), "new\n");
    assert!(!text(&daemon.ask(&["status"])).contains("changed since"));
    daemon.rebase();
}

#[test]
fn on_remove_keeps_drains_or_kills() {
    let builder = Builder::new();
    let Some(probe) = probe(&builder) else { return };
    let service = |name: &str, host: u8, mode: &str| {
        let rest = format!("command = ['{probe}', 'hold']\non_remove = \"{mode}\"");
        at(name, &format!("127.0.0.{host}:0"), &rest)
    };
    let table = [
        service("keep", 2, "keep"),
        service("drain", 3, "drain"),
        service("kill", 4, "kill"),
    ];
    let mut daemon = builder.controlled().table(&table.concat()).start();
    let mut clients = ["keep", "drain", "kill"].map(|name| {
        let mut client = Client::connect(daemon.tcp(name));
        assert!(client.line().ends_with('\n'));
        client
    });
    reload(&daemon, &[echo("other", "127.0.0.1:0")], 0);
    daemon.expect(&["EXIT: drain signal=15", "reason=drained"]);
    daemon.expect(&["EXIT: kill signal=9", "reason=removed"]);
    assert!(clients[0].is_silent(), "it lives on");
    let status = text(&daemon.ask(&["status"]));
    assert!(status.contains("~ keep"), "{status}");
    assert!(status.contains("removed"), "{status}");
    let [keep, ..] = clients;
    drop(keep);
    daemon.rebase();
    until("the removed service is forgotten", PATIENCE, || {
        !text(&daemon.ask(&["status"])).contains("keep")
    });
}

#[test]
fn control_socket_that_cannot_be_opened_refuses_the_table() {
    let mut daemon = start(&[says("x", "127.0.0.1:0", "old")]);
    let old = format!("control = \"{}\"", daemon.path().join("control").display());
    let bad = format!("control = \"{}/no/such/where\"", daemon.path().display());
    let table = with(&daemon, &[says("x", "127.0.0.1:0", "new")]);
    daemon.trouble("reload refused");
    daemon.rewrite(&table.replace(&old, &bad));
    let output = daemon.ask(&["reload"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("the control socket: "),
        "{}",
        text(&output)
    );
    assert_eq!(talk(daemon.tcp("x"), b""), "old\n");
    let elsewhere = format!("control = \"{}/other\"", daemon.path().display());
    daemon.rewrite(&table.replace(&old, &elsewhere));
    assert_eq!(daemon.ask(&["reload"]).status.code(), Some(0));
    assert!(!daemon.path().join("control").exists());
    let other = daemon.path().join("other");
    let status = oxinetd(&["status", "-q", "--control", other.to_str().unwrap()]);
    assert_eq!(status.status.code(), Some(0));
    daemon.rebase();
}

#[test]
fn reloads_at_once_are_all_answered() {
    let daemon = start(&[echo("x", "127.0.0.1:0")]);
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| daemon.ask(&["reload"])))
            .collect();
        for one in all {
            let output = one.join().unwrap();
            assert_eq!(output.status.code(), Some(0), "{}", text(&output));
            assert_eq!(
                text(&output),
                "reloaded: 0 added, 0 changed, 0 removed, 1 kept\n"
            );
        }
    });
}

#[test]
fn reloads_leave_no_descriptor() {
    let daemon = start(&[echo("x", "127.0.0.1:0"), echo("y", "127.0.0.2:0")]);
    let before = daemon.process().fds().len();
    for _ in 0..40 {
        assert_eq!(daemon.ask(&["reload"]).status.code(), Some(0));
    }
    until("the descriptors of before", PATIENCE, || {
        daemon.process().fds().len() == before
    });
}
