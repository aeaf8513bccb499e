//! Limits are exact, and a limit that was reached is left again.

use std::time::Duration;

use crate::harness::{Builder, Client, Daemon, PATIENCE, alone, talk, until};

fn start(keys: &str, daemon_keys: &str) -> Daemon {
    Builder::new()
        .table(&format!(
            "[service.x]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\n{keys}"
        ))
        .table("[service.y]\nlisten = \"127.0.0.1:0\"\ncommand = \"/bin/cat\"")
        .daemon(daemon_keys)
        .trouble("connections")
        .start()
}

/// Connects as many as the service takes; all of them are served.
fn fill(daemon: &Daemon, service: &str, count: usize) -> Vec<Client> {
    let connect = |_| {
        let mut client = Client::connect(daemon.tcp(service));
        client.echo(b"mine");
        client
    };
    (0..count).map(connect).collect()
}

#[test]
fn queue_leaves_the_next_client_waiting_and_serves_it_in_turn() {
    for limit in [1, 5] {
        let daemon = start(&format!("max_connections = {limit}"), "");
        let mut clients = fill(&daemon, "x", limit);
        for _ in 0..20 {
            let mut next = Client::connect(daemon.tcp("x"));
            next.send(b"waiting");
            clients[0].echo(b"still mine");
            assert!(next.is_silent(), "the limit is {limit}");
            assert_eq!(daemon.process().children().len(), limit);
            clients.remove(0);
            let mut back = [0; 7];
            std::io::Read::read_exact(&mut next.0, &mut back).unwrap();
            clients.push(next);
        }
        assert_eq!(talk(daemon.tcp("y"), b"other"), "other");
    }
}

#[test]
fn full_listener_is_not_polled() {
    let _alone = alone();
    let daemon = start("max_connections = 2", "");
    let held = fill(&daemon, "x", 2);
    let queued: Vec<_> = (0..50).map(|_| Client::connect(daemon.tcp("x"))).collect();
    let before = daemon.process().cpu();
    std::thread::sleep(Duration::from_secs(1));
    let spent = daemon.process().cpu().saturating_sub(before);
    assert!(spent < Duration::from_millis(200), "spent {spent:?} of 1 s");
    drop(held);
    for mut client in queued {
        client.echo(b"my turn");
    }
}

#[test]
fn refuse_closes_the_next_client_and_tells_it() {
    let daemon = start("max_connections = 3\nover_limit = \"refuse\"", "");
    let mut clients = fill(&daemon, "x", 3);
    for _ in 0..10 {
        assert_eq!(talk(daemon.tcp("x"), b"refused"), "");
    }
    daemon.expect(&["FAIL: x connections from=127.0.0.1"]);
    clients[0].echo(b"still mine");
    clients.clear();
    until("three places", PATIENCE, || {
        daemon.process().children().is_empty()
    });
    let again = fill(&daemon, "x", 3);
    assert_eq!(talk(daemon.tcp("x"), b"refused"), "", "exact again");
    drop(again);
}

#[test]
fn daemon_wide_limit_counts_all_services() {
    let daemon = start("", "max_connections = 3");
    let mut x = fill(&daemon, "x", 2);
    let mut y = fill(&daemon, "y", 1);
    let mut next = Client::connect(daemon.tcp("y"));
    next.send(b"waiting");
    let mut other = Client::connect(daemon.tcp("x"));
    x[0].echo(b"mine");
    y[0].echo(b"mine");
    assert!(next.is_silent() && other.is_silent());
    assert_eq!(daemon.process().children().len(), 3);
    drop(y);
    drop(x);
    let mut back = [0; 7];
    std::io::Read::read_exact(&mut next.0, &mut back).unwrap();
    other.echo(b"served");
}

#[test]
fn limit_holds_under_a_storm() {
    let _alone = alone();
    // The program fails when more of it run than the limit allows: each holds one of four lock directories.
    let builder = Builder::new();
    let locks = builder.path().join("locks");
    std::fs::create_dir(&locks).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&locks, mode).unwrap();
    let script = builder.file(
        "counted",
        "#!/bin/sh\ncd \"$1\" || exit 9\nfor place in 1 2 3 4; do\n  if mkdir $place 2>/dev/null; then read x; echo served; rmdir $place; exit 0; fi\ndone\necho too many\n",
    );
    let daemon = builder
        .table(&format!(
            "[service.x]\nlisten = \"127.0.0.1:0\"\ncommand = ['{script}', '{}']\nmax_connections = 4",
            locks.display()
        ))
        .trouble("connections")
        .start();
    let address = daemon.tcp("x");
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(move || {
                for _ in 0..15 {
                    assert_eq!(talk(address, b"\n"), "served\n");
                }
            });
        }
    });
    daemon.quiet();
    assert_eq!(daemon.count(&["EXIT: x", "status=0"]), 180);
}

/// Forty services share two places; a third of the clients have left before their turn.
#[test]
fn room_of_the_daemon_goes_round_all_who_wait_for_it() {
    let table = |number: u32| {
        format!("[service.s{number}]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\nlog = []\n")
    };
    let daemon = Builder::new()
        .table(&(0..40).map(table).collect::<String>())
        .daemon("max_connections = 2")
        .trouble("connections")
        .start();
    let held: Vec<_> = (0..2).flat_map(|_| fill(&daemon, "s0", 1)).collect();
    let waiting: Vec<_> = (0..40)
        .map(|number| (number, Client::connect(daemon.tcp(&format!("s{number}")))))
        .filter(|(number, _)| number % 3 > 0)
        .collect();
    drop(held);
    std::thread::scope(|scope| {
        for (_, mut client) in waiting {
            scope.spawn(move || client.echo(b"my turn"));
        }
    });
}

/// The same within one service that has many sockets.
#[test]
fn room_of_a_service_goes_round_its_sockets() {
    let listen = vec!["\"127.0.0.1:0\""; 40].join(", ");
    let daemon = Builder::new()
        .table(&format!(
            "[service.x]\nlisten = [{listen}]\nbuiltin = \"echo\"\nlog = []\nmax_connections = 2"
        ))
        .trouble("connections")
        .start();
    let addresses: Vec<std::net::SocketAddr> = daemon
        .addresses("x")
        .iter()
        .map(|address| address.trim_start_matches("tcp ").parse().unwrap())
        .collect();
    assert_eq!(addresses.len(), 40);
    let hold = |address: &std::net::SocketAddr| {
        let mut client = Client::connect(*address);
        client.echo(b"mine");
        client
    };
    let held: Vec<_> = addresses[..2].iter().map(hold).collect();
    let waiting: Vec<_> = addresses
        .iter()
        .map(|address| Client::connect(*address))
        .enumerate()
        .filter(|(number, _)| number % 3 > 0)
        .collect();
    drop(held);
    std::thread::scope(|scope| {
        for (_, mut client) in waiting {
            scope.spawn(move || client.echo(b"my turn"));
        }
    });
}
