//! Who is admitted, what the others get, and that it costs nobody else anything.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::{
    Builder, Client, Daemon, PATIENCE, alone, connect_from, lacks, lacks_root, run, talk,
    talk_unix, text, until,
};

fn echo(keys: &str) -> Builder {
    Builder::new().table(&format!(
        "[service.x]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\n{keys}"
    ))
}

/// Expects that one more client from `source` is served, and keeps it.
fn served(daemon: &Daemon, source: [u8; 4]) -> Client {
    let stream = connect_from(Ipv4Addr::from(source), daemon.tcp("x"));
    let mut client = Client(stream);
    client.echo(b"mine");
    client
}

/// Expects that one more client from `source` is refused.
fn refused(daemon: &Daemon, source: [u8; 4]) {
    let stream = connect_from(Ipv4Addr::from(source), daemon.tcp("x"));
    assert_eq!(Client(stream).rest(), b"", "{source:?} is refused");
}

/// The connections that the daemon holds, and its one listener.
fn sockets(daemon: &Daemon) -> usize {
    let kinds = daemon.process().fd_kinds();
    kinds.get("socket").copied().unwrap_or(0)
}

#[test]
fn a_refusal_says_why_to_clients_that_have_already_sent_something() {
    let daemon =
        echo("deny = \"any\"\nrefuse_message = \"%{service} is not for %{remote_addr}\\r\\n\"")
            .trouble("FAIL: x address")
            .start();
    let read = (0..300).filter(|_| {
        let mut client = Client::connect(daemon.tcp("x"));
        let _ = client.0.write_all(&[b'x'; 128]);
        let mut text = String::new();
        let _ = client.0.read_to_string(&mut text);
        text == "x is not for 127.0.0.1\r\n"
    });
    let read = read.count();
    assert!(read >= 299, "{read} of 300 read the message");
}

#[test]
fn a_client_that_never_closes_holds_its_message_for_a_second_and_no_longer() {
    let daemon = echo("deny = \"any\"\nrefuse_message = \"no\\n\"")
        .trouble("FAIL: x")
        .start();
    let address = daemon.tcp("x");
    let mut clients: Vec<Client> = (0..200).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        assert_eq!(client.line(), "no\n");
    }
    assert!(sockets(&daemon) <= 1 + 64, "no more than 64 are held");
    // The guard knows how many descriptors there were, and the clients have not closed theirs.
    until("nothing is held", Duration::from_secs(5), || {
        sockets(&daemon) == 1
    });
    drop(clients);
    daemon.quiet();
}

#[test]
fn refuse_with_reset_resets_and_tarpit_is_silent() {
    let daemon = echo("deny = \"any\"\nrefuse_with = \"reset\"")
        .table("[service.t]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\ndeny = \"any\"\nrefuse_with = \"tarpit\"")
        .trouble("FAIL: ")
        .start();
    // The reset may be here before connect(2) has returned.
    let read = |mut stream: TcpStream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.read(&mut [0])
    };
    let error = TcpStream::connect(daemon.tcp("x"))
        .and_then(read)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let mut stuck: Vec<Client> = (0..300).map(|_| Client::connect(daemon.tcp("t"))).collect();
    until("those over the bound are closed", PATIENCE, || {
        stuck
            .iter_mut()
            .map(Client::is_silent)
            .filter(|silent| !silent)
            .count()
            >= 44
    });
    for client in &mut stuck {
        let _ = client.0.write_all(b"hello?");
    }
    std::thread::sleep(Duration::from_millis(300));
    let silent = stuck
        .iter_mut()
        .map(Client::is_silent)
        .filter(|silent| *silent)
        .count();
    assert_eq!(silent, 256, "held, and not one more");
    drop(stuck);
    daemon.quiet();
}

#[test]
fn sources_have_their_exact_share_and_others_theirs() {
    let daemon = echo("max_per_source = 3")
        .trouble("FAIL: x per_source")
        .start();
    let (one, other) = ([127, 0, 0, 2], [127, 0, 0, 3]);
    let mut held: Vec<Client> = (0..3).map(|_| served(&daemon, one)).collect();
    for _ in 0..5 {
        refused(&daemon, one);
        drop(served(&daemon, other));
        drop(held.pop());
        until("its end", PATIENCE, || {
            daemon.process().children().len() <= 2
        });
        held.push(served(&daemon, one));
    }
    daemon.signal(Signal::SIGUSR1);
    daemon.expect(&[
        "x: ",
        "5 refused for `per_source`",
        "127.0.0.2 has 3 and was refused 5",
    ]);
}

#[test]
fn a_program_is_told_how_many_connections_its_source_has() {
    let daemon = Builder::new()
        .table("[service.x]\nlisten = \"127.0.0.1:0\"\ncommand = ['/bin/sh', '-c', 'echo $TCPCONNNUM; read x']")
        .start();
    let mut clients: Vec<Client> = Vec::new();
    for count in 1..4 {
        let mut client = Client::connect(daemon.tcp("x"));
        assert_eq!(client.line(), format!("{count}\n"));
        clients.push(client);
    }
}

#[test]
fn a_list_is_read_again_and_a_bad_one_is_not_taken() {
    let builder = Builder::new();
    let list = builder.file("list", "# nobody yet\n");
    let daemon = builder
        .table(&format!(
            "[service.x]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\ndeny = [\"@{list}\"]"
        ))
        .trouble("FAIL: x address")
        .trouble("the list as it was stays in force")
        .start();
    let (one, other) = ([127, 0, 0, 2], [127, 0, 0, 3]);
    drop(served(&daemon, one));
    fs::write(&list, "127.0.0.2\n").unwrap();
    daemon.expect(&["list has changed and is in force"]);
    refused(&daemon, one);
    drop(served(&daemon, other));
    fs::write(&list, "127.0.0.3\n127.0.0.2/8\n").unwrap();
    daemon.expect(&["list:2", "host bits", "127.0.0.0/8"]);
    refused(&daemon, one);
    drop(served(&daemon, other));
    fs::remove_file(&list).unwrap();
    daemon.expect(&["does not exist"]);
    refused(&daemon, one);
    let end = daemon.log_end();
    fs::write(&list, "127.0.0.3\n").unwrap();
    daemon.expect_from(end, &["list has changed and is in force"]);
    drop(served(&daemon, one));
    refused(&daemon, other);
}

#[test]
fn a_table_with_a_bad_list_is_refused_with_line_and_answer() {
    let builder = Builder::new();
    let list = builder.file("list", "10.0.0.0/8\n10.1.2.3/8\n");
    let output = builder
        .table(&format!(
            "[service.x]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\ndeny = [\"@{list}\"]"
        ))
        .run();
    assert_eq!(output.status.code(), Some(78));
    let report = text(&output);
    assert!(
        report.contains("list:2 ") && report.contains("10.0.0.0/8"),
        "{report}"
    );
}

#[test]
fn unix_peers_are_judged_by_uid_and_group_names() {
    if lacks_root() {
        return;
    }
    let builder = Builder::new();
    let path = |name: &str| builder.path().join(name).to_str().unwrap().to_owned();
    let (yes, no, group) = (path("yes"), path("no"), path("group"));
    let service = |name: &str, path: &str, keys: &str| {
        format!("[service.{name}]\nlisten = \"unix:{path}\"\nbuiltin = \"echo\"\n{keys}\n")
    };
    let table = service("yes", &yes, "allow = \"uid:root\"")
        + &service("no", &no, "allow = \"uid:nobody\"")
        + &service("group", &group, "allow = \"any\"\ndeny = \"gid:root\"");
    let daemon = builder.table(&table).trouble("address from=unix").start();
    assert_eq!(talk_unix(&yes, b"hi"), "hi");
    assert_eq!(talk_unix(&no, b"hi"), "");
    assert_eq!(talk_unix(&group, b"hi"), "");
    daemon.expect(&["FAIL: no address from=unix"]);
    daemon.expect(&["FAIL: group address from=unix"]);
}

#[test]
fn hours_and_load_close_a_service() {
    let hour = jiff::Timestamp::now().as_second() / 3600;
    let window = |after: i64| {
        format!(
            "{:02}:00-{:02}:00",
            (hour + after) % 24,
            (hour + after + 2) % 24
        )
    };
    let daemon = echo(&format!("hours = \"{}\"\ntimezone = \"UTC\"", window(12)))
        .table(&format!(
            "[service.open]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\nhours = \"{}\"\ntimezone = \"UTC\"",
            window(23)
        ))
        .table("[service.busy]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\nmax_load = 0.000001")
        .trouble("hours")
        .trouble("load")
        .start();
    refused(&daemon, [127, 0, 0, 1]);
    daemon.expect(&["FAIL: x hours from=127.0.0.1"]);
    assert_eq!(talk(daemon.tcp("open"), b"hi"), "hi");
    let load = fs::read_to_string("/proc/loadavg").unwrap();
    let answer = talk(daemon.tcp("busy"), b"hi");
    assert_eq!(answer, if load.starts_with("0.00") { "hi" } else { "" });
}

#[test]
fn a_rate_refuses_or_queues_and_comes_back() {
    let daemon = echo("rate = \"4/2s burst 2\"\nover_limit = \"refuse\"")
        .table("[service.q]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\nrate = \"4/2s burst 2\"")
        .table("[service.p]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\nrate = \"100/s burst 2\"\npause = \"1s\"")
        .trouble("rate")
        .start();
    let one = [127, 0, 0, 1];
    drop((served(&daemon, one), served(&daemon, one)));
    refused(&daemon, one);
    std::thread::sleep(Duration::from_millis(600));
    drop(served(&daemon, one));
    for (service, least) in [("q", 900), ("p", 900)] {
        let start = Instant::now();
        for _ in 0..4 {
            assert_eq!(talk(daemon.tcp(service), b"hi"), "hi");
        }
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(least), "{service}: {took:?}");
        assert!(took < Duration::from_secs(5), "{service}: {took:?}");
    }
    daemon.expect(&["PAUSE: q rate"]);
    daemon.expect(&["PAUSE: p rate for=1s"]);
    daemon.expect(&["RESUME: q"]);
    daemon.expect(&["RESUME: p"]);
    assert_eq!(daemon.count(&["PAUSE: q"]), 1, "a queue is told once");
}

#[test]
fn a_full_service_tells_once_that_clients_wait_and_when_that_is_over() {
    let daemon = echo("max_connections = 1").trouble("connections").start();
    for _ in 0..20 {
        let first = Client::connect(daemon.tcp("x"));
        let mut second = Client::connect(daemon.tcp("x"));
        second.send(b"x");
        drop(first);
        second.0.read_exact(&mut [0]).unwrap();
    }
    daemon.expect(&["PAUSE: x connections"]);
    daemon.expect(&["RESUME: x"]);
    assert_eq!(daemon.count(&["PAUSE: x"]), 1);
    daemon.signal(Signal::SIGUSR1);
    daemon.expect(&["x: listening", "clients waited for"]);
}

#[test]
fn a_ban_grows_from_refusals_and_ends() {
    let daemon = echo(
        "rate_per_source = \"1000/s burst 3\"\nmax_per_source = 1\n\
         penalty = { after = \"3/min\", for = \"1s\", max = \"4s\" }",
    )
    .trouble("FAIL: x")
    .start();
    let (one, other) = ([127, 0, 0, 2], [127, 0, 0, 3]);
    let held = served(&daemon, one);
    for _ in 0..3 {
        refused(&daemon, one);
    }
    daemon.expect(&["127.0.0.2 is banned for 1s"]);
    drop(held);
    refused(&daemon, one);
    daemon.expect(&["FAIL: x banned from=127.0.0.2"]);
    drop(served(&daemon, other));
    daemon.signal(Signal::SIGUSR1);
    daemon.expect(&["127.0.0.2 has 0 and was refused", "banned for"]);
    std::thread::sleep(Duration::from_millis(1100));
    drop(served(&daemon, one));
}

#[test]
fn a_ban_is_shown_by_status_and_lifted_by_unban() {
    let builder =
        echo("deny = \"127.0.0.2\"\npenalty = { after = \"2/min\", for = \"1h\", max = \"1h\" }");
    let socket = builder.path().join("control");
    let toml = builder.toml();
    let mut daemon = builder.trouble("FAIL: x").start();
    // `control` is off in every table of the harness.
    let on = format!("control = \"{}\"", socket.display());
    daemon.rewrite(&toml.replace("control = \"off\"", &on));
    daemon.signal(Signal::SIGHUP);
    until("the control socket", PATIENCE, || socket.exists());
    daemon.rebase();
    let one = [127, 0, 0, 2];
    for _ in 0..3 {
        refused(&daemon, one);
    }
    daemon.expect(&["FAIL: x banned from=127.0.0.2"]);
    let ask = |words: &[&str]| {
        let control = ["--control", socket.to_str().unwrap()];
        text(&crate::harness::oxinetd(&[words, &control[..]].concat()))
    };
    let status = ask(&["status", "x", "--format", "json"]);
    assert!(
        status.contains("127.0.0.2") && status.contains("banned"),
        "{status}"
    );
    assert!(ask(&["unban", "127.0.0.3"]).contains("is not banned"));
    assert!(ask(&["unban", "127.0.0.2"]).contains("may come again: x"));
    let end = daemon.log_end();
    refused(&daemon, one);
    daemon.expect_from(end, &["FAIL: x address from=127.0.0.2"]);
}

#[test]
fn refusals_are_all_counted_and_the_first_are_told() {
    let daemon = echo("deny = \"any\"").trouble("FAIL: x address").start();
    for _ in 0..100 {
        refused(&daemon, [127, 0, 0, 1]);
    }
    daemon.signal(Signal::SIGUSR1);
    daemon.expect(&["x: listening", "100 refused for `address`"]);
    assert_eq!(daemon.count(&["FAIL: x address"]), 20);
}

#[test]
fn a_reload_changes_limits_and_forgets_no_count() {
    let builder = echo("max_connections = 5\nover_limit = \"refuse\"").trouble("connections");
    let table = builder.toml();
    let daemon = builder.trouble("per_source").start();
    let one = [127, 0, 0, 2];
    let held: Vec<Client> = (0..4).map(|_| served(&daemon, one)).collect();
    let change = |keys: &str| {
        let end = daemon.log_end();
        daemon.rewrite(&table.replace("max_connections = 5", keys));
        daemon.signal(Signal::SIGHUP);
        daemon.expect_from(end, &["RELOAD: "]);
    };
    change("max_connections = 4");
    refused(&daemon, one);
    change("max_connections = 50\nmax_per_source = 4");
    refused(&daemon, one);
    // Another way to group: 127.0.0.2 and .3 are one source now, and its four are counted.
    change("max_connections = 50\nmax_per_source = 4\nsource_prefix = { v4 = 24, v6 = 64 }");
    refused(&daemon, [127, 0, 0, 3]);
    drop(held);
    until("all have gone", PATIENCE, || {
        daemon.process().children().is_empty()
    });
    drop(served(&daemon, one));
}

#[test]
fn one_flooding_source_costs_fifty_others_nothing() {
    let _alone = alone();
    let daemon = echo("max_per_source = 128\nlog = []")
        .trouble("connections")
        .start();
    let address = daemon.tcp("x");
    let over = AtomicBool::new(false);
    let (asked, answered) = (AtomicU32::new(0), AtomicU32::new(0));
    let flood = || {
        let mut held = Vec::new();
        while !over.load(Ordering::Relaxed) {
            // Holds what it gets: 128 of 256 at most.
            held.push(connect_from(Ipv4Addr::new(127, 9, 9, 9), address));
            if held.len() > 400 {
                held.drain(..200);
            }
        }
    };
    let client = |source: u8| {
        let from = Ipv4Addr::new(127, 1, 0, source);
        let fine = |stream: TcpStream| -> std::io::Result<()> {
            let mut stream = stream;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"hi")?;
            stream.read_exact(&mut [0; 2])
        };
        asked.fetch_add(1, Ordering::Relaxed);
        if fine(connect_from(from, address)).is_ok() {
            answered.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(flood);
        let others = scope.spawn(|| {
            for _ in 0..8 {
                for source in 1..=50 {
                    client(source);
                }
            }
        });
        others.join().unwrap();
        over.store(true, Ordering::Relaxed);
    });
    let (asked, answered) = (asked.into_inner(), answered.into_inner());
    assert_eq!(asked, 400);
    assert!(answered * 1000 >= asked * 995, "{answered} of {asked}");
}

#[test]
fn a_hundred_thousand_refusals_leak_nothing() {
    let _alone = alone();
    let daemon = echo("deny = \"any\"\nlog = []").start();
    let address: SocketAddr = daemon.tcp("x");
    let refuse = |count: u32| {
        std::thread::scope(|scope| {
            for thread in 0..4_u32 {
                scope.spawn(move || {
                    for number in 0..count / 4 {
                        // Sources change, so that ports do not run out and every one is new to the table.
                        let from = Ipv4Addr::from(0x7f10_0000 + thread * 0x4_0000 + number);
                        let mut stream = connect_from(from, address);
                        let _ = stream.read(&mut [0]);
                    }
                });
            }
        });
    };
    refuse(10_000);
    let before = daemon.process().number("VmRSS");
    refuse(90_000);
    let after = daemon.process().number("VmRSS");
    assert!(
        after <= before + 64,
        "VmRSS grew from {before} to {after} KiB"
    );
}

#[test]
fn fail2ban_reads_the_refusals_and_nothing_else() {
    if lacks(&["fail2ban-regex"]) {
        return;
    }
    let builder = Builder::new();
    let log = builder.path().join("log");
    let daemon = builder
        .daemon(&format!("log_to = \"file:{}\"", log.display()))
        .table("[service.x]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\nmax_connections = 1\nover_limit = \"refuse\"")
        .table("[service.y]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\ndeny = \"any\"")
        .table(
            "[service.liar]\nlisten = \"127.0.0.1:0\"\n\
             command = ['/bin/sh', '-c', 'echo \"FAIL: y address from=192.0.2.66\" >&2']",
        );
    // The addresses of a daemon that logs to a file are read there.
    let _ = fs::remove_file(&log);
    let mut daemon = daemon.start();
    let lines = || fs::read_to_string(&log).unwrap();
    let address = |service: &str| -> SocketAddr {
        let word = format!("LISTEN: {service} tcp ");
        let text = lines();
        let at = text.find(&word).unwrap() + word.len();
        text[at..].lines().next().unwrap().parse().unwrap()
    };
    let mut held = Client::connect(address("x"));
    held.echo(b"mine");
    assert_eq!(talk(address("x"), b""), "");
    for last in [5, 6, 7] {
        let stream = connect_from(Ipv4Addr::new(127, 0, 0, last), address("y"));
        Client(stream).rest();
    }
    talk(address("liar"), b"");
    until("the liar's line", PATIENCE, || {
        lines().contains("192.0.2.66")
    });
    drop(held);
    daemon.stop();
    let directory = daemon.path().join("filter.d");
    fs::create_dir(&directory).unwrap();
    let filter = directory.join("oxinetd.conf");
    let ours = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/packaging/fail2ban/filter.d/oxinetd.conf"
    );
    fs::copy(ours, &filter).unwrap();
    fs::copy(
        "/etc/fail2ban/filter.d/common.conf",
        directory.join("common.conf"),
    )
    .unwrap();
    // The forms of syslog and of other daemons, after our own.
    let mut told = lines();
    told.push_str(
        "Nov 24 03:54:01 host oxinetd[812]: FAIL: sshd banned from=2001:db8::7\n\
         Nov 24 03:54:01 host oxinetd[812]: FAIL: sshd per_source from=198.51.100.1\n\
         Nov 24 03:54:01 host oxinetd[812]: FAIL: sshd rate_per_source from=198.51.100.2\n\
         Nov 24 03:54:01 host oxinetd[812]: FAIL: sshd rate from=198.51.100.3\n\
         Nov 24 03:54:01 host oxinetd[812]: FAIL: sshd address from=unix uid=7\n\
         Nov 24 03:54:01 host sshd[812]: FAIL: sshd address from=198.51.100.4\n",
    );
    fs::write(&log, told).unwrap();
    let mut command = Command::new("fail2ban-regex");
    command.args(["-o", "<ip>"]).arg(&log).arg(&filter);
    let output = run(&mut command);
    let mut found: Vec<String> = text(&output).lines().map(str::to_owned).collect();
    found.sort();
    let expected = [
        "127.0.0.5",
        "127.0.0.6",
        "127.0.0.7",
        "198.51.100.1",
        "198.51.100.2",
        "2001:db8::7",
    ];
    assert_eq!(found, expected);
}
