//! Out of descriptors, processes or memory: the daemon idles, does not spin, loses nobody, and recovers by itself.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use crate::harness::{
    Builder, Client, Daemon, Injection, PATIENCE, alone, lacks, lacks_root, talk, until,
};

const ECHO: &str = "[service.echo]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"";
const CAT: &str = "[service.cat]\nlisten = \"127.0.0.1:0\"\ncommand = \"/bin/cat\"";

/// A loop that spins takes a whole core: a fifth of one is far above an idle daemon and far below a spinning one.
fn assert_idle(daemon: &Daemon) {
    let before = daemon.process().cpu();
    std::thread::sleep(Duration::from_secs(1));
    let spent = daemon.process().cpu().saturating_sub(before);
    assert!(spent < Duration::from_millis(200), "spent {spent:?} of 1 s");
}

fn prlimit(daemon: &Daemon, limit: &str) {
    let pid = daemon.process().0.to_string();
    let done = Command::new("prlimit")
        .args(["--pid", &pid, limit])
        .status()
        .unwrap();
    assert!(done.success());
}

#[test]
fn few_descriptors_and_many_clients() {
    if lacks(&["prlimit"]) {
        return;
    }
    let _alone = alone();
    let daemon = Builder::new()
        .table(ECHO)
        .through(&["prlimit", "--nofile=160:160"])
        .trouble("PAUSE")
        .trouble("descriptors")
        .start();
    let mut clients: Vec<_> = (0..400)
        .map(|_| Client::connect(daemon.tcp("echo")))
        .collect();
    clients[0].echo(b"first");
    assert_idle(&daemon);
    let served = daemon.process().children().len();
    assert!((10..160).contains(&served), "{served} are served");
    // As clients leave, all that waited are served; none is reset.
    for mut client in clients.drain(..) {
        client.echo(b"my turn");
    }
    assert_eq!(talk(daemon.tcp("echo"), b"free again"), "free again");
}

#[test]
fn descriptors_taken_away_and_given_back() {
    if lacks_root() || lacks(&["prlimit"]) {
        return;
    }
    let _alone = alone();
    let daemon = Builder::new()
        .table(ECHO)
        .table(CAT)
        .trouble("PAUSE")
        .trouble("descriptor")
        .trouble("Too many open files")
        .start();
    let mut held = Client::connect(daemon.tcp("echo"));
    held.echo(b"before");
    let soft = daemon.process().file("limits");
    let soft = soft.lines().find(|line| line.starts_with("Max open files"));
    let soft = soft.unwrap().split_whitespace().nth(3).unwrap().to_owned();
    prlimit(&daemon, "--nofile=8:");
    let mut waiting: Vec<_> = ["echo", "cat"]
        .repeat(10)
        .into_iter()
        .map(|service| Client::connect(daemon.tcp(service)))
        .collect();
    assert_idle(&daemon);
    held.echo(b"unaffected");
    assert!(daemon.lines().len() < 30, "told once, not for each client");
    prlimit(&daemon, &format!("--nofile={soft}:"));
    for client in &mut waiting {
        client.echo(b"served at last");
    }
}

#[test]
fn every_error_of_accept_is_survived() {
    if lacks_root() || lacks(&["strace"]) {
        return;
    }
    let daemon = Builder::new()
        .table(ECHO)
        .trouble("accept")
        .trouble("PAUSE")
        .trouble("echo")
        .start();
    // A listener that is made anew on port 0 has another port.
    let address = || -> SocketAddr {
        let all = daemon.addresses("echo");
        all.last().unwrap()["tcp ".len()..].parse().unwrap()
    };
    for error in [
        "ENOBUFS",
        "ENOMEM",
        "ECONNABORTED",
        "EPROTO",
        "EPERM",
        "ENETDOWN",
        "ENOPROTOOPT",
        "EHOSTDOWN",
        "ENONET",
        "EHOSTUNREACH",
        "EOPNOTSUPP",
        "ENETUNREACH",
        "EINTR",
        "EMFILE",
        "ENFILE",
        "EINVAL",
        "EBADF",
    ] {
        let expression = format!("accept4:error={error}:when=1..3");
        let injection = Injection::attach(daemon.process(), &[&expression], false);
        if ["EINVAL", "EBADF"].contains(&error) {
            // The listener itself is taken for broken and made anew: those in its queue are lost, no others.
            until("the listener is back", PATIENCE, || {
                TcpStream::connect(address()).is_ok_and(|stream| {
                    let mut client = Client(stream);
                    client.0.set_read_timeout(Some(PATIENCE)).unwrap();
                    client.half_close();
                    client.0.read(&mut [0]).is_ok()
                })
            });
        }
        for number in 0..4 {
            let word = format!("{error} {number}");
            assert_eq!(talk(address(), word.as_bytes()), word);
        }
        let trace = injection.detach();
        assert!(trace.contains("(INJECTED)"), "{error}: {trace}");
    }
}

#[test]
fn accept_that_fails_for_good_neither_spins_nor_floods_the_log() {
    if lacks_root() || lacks(&["strace"]) {
        return;
    }
    for error in ["ENOMEM", "EMFILE", "EPERM"] {
        let daemon = Builder::new()
            .table(ECHO)
            .trouble("accept")
            .trouble("PAUSE")
            .trouble("echo")
            .start();
        let end = daemon.log_end();
        let expression = format!("accept4:error={error}");
        let injection = Injection::attach(daemon.process(), &[&expression], false);
        let mut client = Client::connect(daemon.tcp("echo"));
        client.send(b"patience");
        std::thread::sleep(Duration::from_secs(2));
        let trace = injection.detach();
        let failed = trace.matches("(INJECTED)").count();
        assert!(
            (1..=400).contains(&failed),
            "{error}: {failed} accepts in 2 s"
        );
        let lines = daemon.log_end() - end;
        assert!(lines <= 6, "{error}: {lines} log lines");
        client.half_close();
        assert_eq!(client.rest(), b"patience");
    }
}

#[test]
fn clone_that_fails_is_survived() {
    if lacks_root() || lacks(&["strace"]) {
        return;
    }
    for error in ["EAGAIN", "ENOMEM"] {
        for service in ["cat", "echo"] {
            let daemon = Builder::new()
                .table(ECHO)
                .table(CAT)
                .trouble("PAUSE")
                .trouble(service)
                .start();
            let clone = format!("clone:error={error}:when=1..2");
            let clone3 = format!("clone3:error={error}:when=1..2");
            let injection = Injection::attach(daemon.process(), &[&clone, &clone3], false);
            // Either the client is told (EOF) or it waits and is served: both are answers, silence is none.
            for _ in 0..2 {
                let answer = talk(daemon.tcp(service), b"x");
                assert!(answer.is_empty() || answer == "x", "{answer}");
            }
            for service in ["echo", "cat"] {
                assert_eq!(talk(daemon.tcp(service), b"after"), "after");
            }
            let trace = injection.detach();
            assert!(trace.contains("(INJECTED)"), "{service} {error}: {trace}");
            daemon.expect(&["PAUSE: "]);
        }
    }
}

#[test]
fn process_limit_reached_and_left() {
    if lacks_root() || lacks(&["prlimit", "setpriv"]) {
        return;
    }
    // Root is exempt from RLIMIT_NPROC, so the daemon is a plain user that nobody else uses.
    let daemon = Builder::new()
        .table(CAT)
        .through(&[
            "setpriv",
            "--reuid=64321",
            "--regid=64321",
            "--clear-groups",
            "prlimit",
            "--nproc=8:8",
        ])
        .trouble("user")
        .trouble("cat")
        .trouble("PAUSE")
        .start();
    let mut clients: Vec<_> = (0..20)
        .map(|_| Client::connect(daemon.tcp("cat")))
        .collect();
    clients[0].echo(b"first");
    assert_idle(&daemon);
    assert!(daemon.process().children().len() <= 8);
    drop(clients);
    assert_eq!(talk(daemon.tcp("cat"), b"free again"), "free again");
}
