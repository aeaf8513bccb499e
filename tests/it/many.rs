//! As many as descriptors allow: held connections and sockets.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::harness::{Builder, Client, alone, connect_from, in_own_network, skip, talk, until};

/// Raises this process's own limit, for the clients. False, after saying so: it is too low on this machine.
fn lacks_descriptors(wanted: u64) -> bool {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if hard < wanted {
        skip(&format!(
            "needs a hard limit of {wanted} descriptors, has {hard}"
        ));
        return true;
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    false
}

#[test]
fn nine_thousand_programs_are_held_within_twenty_thousand_descriptors() {
    let _alone = alone();
    if lacks_descriptors(20_000) {
        return;
    }
    let mut daemon = Builder::new()
        .through(&["prlimit", "--nofile=1024:20000"])
        .table(
            "[service.held]\nlisten = \"127.0.0.1:0\"\ncommand = \"/bin/cat\"\nlog = []\n\
             max_connections = \"unlimited\"\nmax_per_source = \"unlimited\"",
        )
        .daemon("shutdown_timeout = \"2min\"")
        .start();
    daemon.expect(&["at most", "connections within 20000 descriptors"]);
    let address = daemon.tcp("held");
    let mut held: Vec<Client> = Vec::new();
    for number in 0..9000_u32 {
        // 28,000 ports for each address of the client.
        let source = Ipv4Addr::from(0x7f02_0001 + number % 200 * 256);
        let mut client = Client(connect_from(source, address));
        client.echo(b"mine");
        held.push(client);
    }
    assert_eq!(daemon.process().children().len(), 9000);
    let descriptors = daemon.process().fds().len();
    assert!(descriptors < 18_000 + 200, "{descriptors}");
    // The limit that the daemon raised for itself is as it was in the programs.
    let program = daemon.process().children()[0];
    let limits = program.file("limits");
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let files: Vec<&str> = files.unwrap().split_whitespace().collect();
    assert_eq!(files[3..5], ["1024", "20000"]);
    held[0].echo(b"the first");
    held[8999].echo(b"the last");
    drop(held);
    until(
        "the end of 9,000 programs",
        Duration::from_secs(120),
        || daemon.process().children().is_empty(),
    );
    daemon.stop();
}

#[test]
fn ten_thousand_sockets_are_served() {
    in_own_network(|| {
        if lacks_descriptors(20_000) {
            return;
        }
        let builder = Builder::new();
        let log = builder.path().join("log");
        let _daemon = builder
            .daemon(&format!("log_to = \"file:{}\"", log.display()))
            .table(
                "[service.range]\nlisten = \"127.0.0.1:20000-29999\"\nbuiltin = \"echo\"\nlog = []",
            )
            .start();
        let told = std::fs::read_to_string(&log).unwrap();
        assert_eq!(
            told.matches("LISTEN: range tcp 127.0.0.1:2").count(),
            10_000
        );
        assert!(told.contains("ready: 1 services, 10000 sockets"));
        for port in (20_000..30_000).step_by(333).chain([29_999]) {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            assert_eq!(talk(address, b"hello"), "hello");
        }
    });
}
