//! TERM, INT, HUP, USR1, and deaths that nobody could be told of in time.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::{Builder, Client, Daemon, PATIENCE, Process, alone, probe, talk, until};

fn service(name: &str, rest: &str) -> String {
    format!("[service.{name}]\nlisten = \"127.0.0.1:0\"\n{rest}\n")
}

/// The same on another address of the loopback: a reload tells sockets apart by what the table says.
fn echo_at(name: &str, host: &str) -> String {
    echo(name).replace("127.0.0.1", host)
}

fn echo(name: &str) -> String {
    service(name, "builtin = \"echo\"")
}

/// A daemon with one client of the probe in this mode; also the pid of its program.
fn with_child(mode: &str, keys: &str) -> Option<(Daemon, Client, Process)> {
    let builder = Builder::new();
    let probe = probe(&builder)?;
    let daemon = builder
        .table(&service("x", &format!("command = ['{probe}', '{mode}']")))
        .daemon(keys)
        .trouble("kill")
        .trouble("shutdown")
        .start();
    let mut client = Client::connect(daemon.tcp("x"));
    let pid = client.line().trim().parse().unwrap();
    Some((daemon, client, Process(pid)))
}

fn assert_refused(address: SocketAddr) {
    until("the listener is closed", PATIENCE, || {
        TcpStream::connect(address).is_err()
    });
}

#[test]
fn term_and_int_end_the_children_by_term_and_the_daemon_with_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let Some((mut daemon, mut client, child)) = with_child("patient", "") else {
            return;
        };
        let start = Instant::now();
        daemon.signal(signal);
        assert_eq!(daemon.wait(PATIENCE).code(), Some(0));
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "not after shutdown_timeout"
        );
        assert!(!child.lives());
        assert_eq!(client.rest(), b"");
        daemon.expect(&["EXIT: x", "signal="]);
    }
}

#[test]
fn term_closes_listeners_waits_shutdown_timeout_and_kills() {
    let Some((mut daemon, _client, child)) = with_child("stubborn", "shutdown_timeout = \"2s\"")
    else {
        return;
    };
    let address = daemon.tcp("x");
    let start = Instant::now();
    daemon.signal(Signal::SIGTERM);
    assert_refused(address);
    assert!(child.lives(), "it has its time");
    assert_eq!(daemon.wait(PATIENCE).code(), Some(0));
    let waited = start.elapsed();
    assert!((1900..8000).contains(&waited.as_millis()), "{waited:?}");
    assert!(!child.lives());
}

#[test]
fn child_that_finishes_in_the_drain_ends_it() {
    let builder = Builder::new();
    let script = builder.file(
        "polite",
        "#!/bin/sh\ntrap 'echo bye; exit 0' TERM\necho ready\nwhile :; do read line; done\n",
    );
    let mut daemon = builder
        .table(&service("x", &format!("command = \"{script}\"")))
        .start();
    let mut client = Client::connect(daemon.tcp("x"));
    assert_eq!(client.line(), "ready\n");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(client.rest(), b"bye\n", "the drain lets it say so");
    assert_eq!(daemon.wait(PATIENCE).code(), Some(0));
}

#[test]
fn second_term_is_immediate() {
    let Some((mut daemon, _client, child)) = with_child("stubborn", "shutdown_timeout = \"5min\"")
    else {
        return;
    };
    let address = daemon.tcp("x");
    daemon.signal(Signal::SIGTERM);
    assert_refused(address);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait(PATIENCE).code(), Some(0));
    until("the end of the child", PATIENCE, || !child.lives());
}

/// The inode of the listening socket of a port.
fn inode(address: SocketAddr) -> String {
    let port = format!(":{:04X}", address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let row = table.lines().find(|row| {
        let fields: Vec<_> = row.split_whitespace().collect();
        fields[1].ends_with(&port) && fields[3] == "0A"
    });
    let row = row.expect("the port listens");
    row.split_whitespace().nth(9).unwrap().to_owned()
}

#[test]
fn hup_swaps_the_table_and_keeps_unchanged_sockets_and_live_children() {
    let builder = Builder::new();
    let changed = |word: &str| {
        service("changed", &format!("command = \"/bin/echo {word}\""))
            .replace("127.0.0.1", "127.0.0.4")
    };
    let with = |services: &[String]| Builder::new().table(&services.concat()).toml();
    let first = [
        echo("kept"),
        echo_at("removed", "127.0.0.2"),
        changed("old"),
    ];
    let second = [echo("kept"), echo_at("added", "127.0.0.3"), changed("new")];
    let mut daemon = builder.table(&first.concat()).start();
    let before = inode(daemon.tcp("kept"));
    assert_eq!(talk(daemon.tcp("changed"), b""), "old\n");
    let mut live = Client::connect(daemon.tcp("removed"));
    live.echo(b"before");
    daemon.rewrite(&with(&second));
    daemon.signal(Signal::SIGHUP);
    daemon.expect(&["RELOAD:", "added=1", "changed=1", "removed=1", "kept=1"]);
    daemon.expect(&["LISTEN: added"]);
    assert_refused(daemon.tcp("removed"));
    assert_eq!(talk(daemon.tcp("added"), b"x"), "x");
    assert_eq!(talk(daemon.tcp("changed"), b""), "new\n");
    assert_eq!(
        inode(daemon.tcp("kept")),
        before,
        "an unchanged socket is kept"
    );
    assert_eq!(talk(daemon.tcp("kept"), b"x"), "x");
    live.echo(b"the removed service's children live on");
    drop(live);
    daemon.rebase();
}

#[test]
fn reload_of_a_bad_table_changes_nothing() {
    let mut daemon = Builder::new().table(&echo("old")).start();
    let file = daemon.path().join("oxinetd.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    let before = inode(daemon.tcp("old"));
    for (bad, word) in [
        ("garbage".to_owned(), "oxinetd.toml"),
        (
            format!("{good}[service.new]\nlisten = \"127.0.0.1:0\"\nbultin = \"echo\"\n"),
            "bultin",
        ),
        (
            good.replace("[service.old]", "[service.other]")
                .replace("\"echo\"", "\"ehco\""),
            "ehco",
        ),
    ] {
        daemon.trouble(word);
        daemon.trouble("reload");
        let end = daemon.log_end();
        daemon.rewrite(&bad);
        daemon.signal(Signal::SIGHUP);
        daemon.expect_from(end, &[word]);
        assert_eq!(talk(daemon.tcp("old"), b"serves"), "serves", "{bad}");
        assert_eq!(inode(daemon.tcp("old")), before);
        assert_eq!(daemon.count(&["LISTEN: new"]), 0);
    }
}

#[test]
fn reload_without_the_file_changes_nothing() {
    let mut daemon = Builder::new().table(&echo("old")).start();
    let file = daemon.path().join("oxinetd.toml");
    daemon.trouble("oxinetd.toml");
    daemon.trouble("reload");
    let end = daemon.log_end();
    std::fs::remove_file(&file).unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.expect_from(end, &["oxinetd.toml"]);
    assert_eq!(talk(daemon.tcp("old"), b"serves"), "serves");
}

#[test]
fn reloads_lose_no_client_and_leak_nothing() {
    let _alone = alone();
    let daemon = Builder::new().table(&echo("x")).start();
    let address = daemon.tcp("x");
    let done = AtomicBool::new(false);
    let before = inode(address);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(talk(address, b"served"), "served");
                }
            });
        }
        for _ in 0..50 {
            let end = daemon.log_end();
            daemon.signal(Signal::SIGHUP);
            daemon.expect_from(end, &["RELOAD:", "kept=1"]);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(inode(address), before);
    daemon.quiet();
    assert_eq!(daemon.count(&["START: x"]), daemon.count(&["EXIT: x"]));
}

#[test]
fn usr1_logs_a_summary() {
    let daemon = Builder::new()
        .table(&echo("x"))
        .table(&echo("other"))
        .start();
    let mut client = Client::connect(daemon.tcp("x"));
    client.echo(b"one is served");
    let end = daemon.log_end();
    daemon.signal(Signal::SIGUSR1);
    daemon.expect_from(end, &["x", "1"]);
    daemon.expect_from(end, &["other"]);
    client.echo(b"and goes on");
}

#[test]
fn thousand_deaths_while_the_daemon_sleeps_are_all_reaped_and_told() {
    let _alone = alone();
    let builder = Builder::new();
    let Some(probe) = probe(&builder) else { return };
    let keys = format!("command = ['{probe}', 'hold']\nmax_connections = 1000");
    let daemon = builder.table(&service("x", &keys)).start();
    let mut clients: Vec<_> = (0..1000)
        .map(|_| Client::connect(daemon.tcp("x")))
        .collect();
    for client in &mut clients {
        assert!(client.line().ends_with('\n'));
    }
    assert_eq!(daemon.process().children().len(), 1000);
    daemon.signal(Signal::SIGSTOP);
    drop(clients);
    until("1,000 zombies", PATIENCE, || {
        let children = daemon.process().children();
        children.iter().filter(|c| c.state() == Some('Z')).count() == 1000
    });
    daemon.signal(Signal::SIGCONT);
    daemon.quiet();
    until("1,000 ends told", PATIENCE, || {
        daemon.count(&["EXIT: x"]) == 1000
    });
}
