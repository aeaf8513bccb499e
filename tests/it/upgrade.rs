//! Another binary takes the place of the running one: nobody is cut off, nothing is forgotten, and a binary that cannot
//! leaves the old one serving.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{
    Builder, Client, Daemon, Injection, OXINETD, PATIENCE, Process, alone, connect_from, lacks,
    lacks_root, probe, talk, talk_unix, text, until,
};

fn service(name: &str, rest: &str) -> String {
    format!("[service.{name}]\nlisten = \"127.0.0.1:0\"\n{rest}\n")
}

fn echo() -> String {
    service("echo", "builtin = \"echo\"")
}

/// Where the binary of this test is installed.
fn installed(builder: &Builder) -> String {
    let path = builder.path().join("oxinetd");
    if fs::hard_link(OXINETD, &path).is_err() {
        fs::copy(OXINETD, &path).unwrap();
    }
    path.to_str().unwrap().to_owned()
}

/// A daemon from a binary of its own, which the test may replace.
fn start(tables: &[String]) -> Daemon {
    let builder = Builder::new().controlled();
    let program = installed(&builder);
    let tables = tables.concat();
    builder.program(&program).table(&tables).start()
}

/// Installs a file as package managers do: under another name, then renamed over the old one.
fn install(daemon: &Daemon, bytes: &[u8], mode: u32) {
    let (new, path) = (daemon.path().join("new"), daemon.path().join("oxinetd"));
    fs::write(&new, bytes).unwrap();
    fs::set_permissions(&new, Permissions::from_mode(mode)).unwrap();
    fs::rename(new, path).unwrap();
}

fn upgrade(daemon: &Daemon) -> Output {
    daemon.ask(&["upgrade"])
}

/// Upgrades, and sees to it that it was done.
fn upgraded(daemon: &Daemon) {
    let end = daemon.log_end();
    let output = upgrade(daemon);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    daemon.expect_from(end, &["UPGRADE: from=0.1.0 to=0.1.0 away=", "connections="]);
}

/// Upgrades in vain; what the command says.
fn refused(daemon: &mut Daemon) -> String {
    daemon.trouble("no upgrade");
    let output = upgrade(daemon);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("no upgrade, version 0.1.0 serves on: "),
        "{said}"
    );
    daemon.expect(&["ERROR: no upgrade, version 0.1.0 serves on: "]);
    said
}

/// What `status` tells, without what time alone changes.
fn state(daemon: &Daemon, service: &str) -> Value {
    let output = daemon.ask(&["status", service, "--format", "json"]);
    let mut status: Value = serde_json::from_slice(&output.stdout).unwrap();
    for name in ["up", "image_up", "longest_turn"] {
        status["daemon"][name] = Value::Null;
    }
    let Some(services) = status["services"].as_array_mut() else {
        panic!("no services in {status}");
    };
    for service in services {
        if service["last"].is_array() {
            service["last"][1] = Value::Null;
        }
        service["left"] = Value::Null;
        for connection in service["connections"].as_array_mut().unwrap() {
            for name in ["age", "cpu", "memory"] {
                connection[name] = Value::Null;
            }
        }
        for source in service["sources"].as_array_mut().unwrap() {
            if source["banned"].is_number() {
                source["banned"] = "for a while".into();
            }
        }
    }
    status
}

#[test]
fn connections_live_on_and_end_with_true_lines() {
    let daemon = start(&[echo(), service("cat", "command = \"/bin/cat\"")]);
    let mut echo = Client::connect(daemon.tcp("echo"));
    let mut cat = Client::connect(daemon.tcp("cat"));
    let pid = daemon.process().0;
    echo.echo(b"before");
    cat.echo(b"before");
    for _ in 0..3 {
        upgraded(&daemon);
        echo.echo(b"after");
        cat.echo(b"after");
    }
    assert_eq!(talk(daemon.tcp("cat"), b"new"), "new");
    assert_eq!(daemon.process().0, pid);
    assert_eq!(daemon.process().file("comm"), "oxinetd\n");
    assert_eq!(daemon.process().threads(), 1);
    cat.half_close();
    assert_eq!(cat.rest(), b"");
    drop(echo);
    for name in ["EXIT: cat", "EXIT: echo"] {
        daemon.expect(&[name, "status=0", "in=21 out=21"]);
    }
    assert_eq!(daemon.count(&["LISTEN: "]), 2, "told once");
}

#[test]
fn signal_does_it_and_both_starts_are_shown() {
    let daemon = start(&[echo()]);
    daemon.signal(Signal::SIGUSR2);
    daemon.expect(&["UPGRADE: "]);
    until("a second in the life of the new image", PATIENCE, || {
        let shown = text(&daemon.ask(&["status"]));
        shown.contains("running") && shown.contains("(this version for ")
    });
}

#[test]
fn every_limit_ban_and_counter_is_what_it_was() {
    let keys = "builtin = \"echo\"\nmax_connections = 3\nmax_per_source = 2\nover_limit = \"refuse\"\n\
                deny = \"127.0.0.66\"\nrate = \"1/h burst 6\"\n\
                penalty = { after = \"2/min\", for = \"1h\", max = \"1h\" }";
    let builder = Builder::new().controlled();
    let program = installed(&builder);
    let daemon = builder
        .program(&program)
        .table(&service("x", keys))
        .table(&service("stopped", "builtin = \"echo\""))
        .trouble("FAIL: x")
        .start();
    let address = daemon.tcp("x");
    let from = |last: u8| connect_from([127, 0, 0, last].into(), address);
    let served = |last: u8| {
        let mut stream = from(last);
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        stream
    };
    let turned_away = |last: u8| {
        let mut byte = [0];
        assert!(
            matches!(from(last).read(&mut byte), Ok(0) | Err(_)),
            "{last}"
        );
    };
    let held = [served(1), served(1), served(2)];
    turned_away(1);
    turned_away(3);
    for _ in 0..3 {
        turned_away(66);
    }
    daemon.ask(&["pause", "stopped"]);
    let before = [state(&daemon, "x"), state(&daemon, "stopped")];
    assert_eq!(before[0]["services"][0]["live"], 3);
    assert!(
        before[0].to_string().contains("for a while"),
        "{}",
        before[0]
    );
    for _ in 0..3 {
        upgraded(&daemon);
        assert_eq!([state(&daemon, "x"), state(&daemon, "stopped")], before);
    }
    turned_away(1); // per source
    turned_away(3); // connections
    turned_away(66); // banned
    daemon.expect(&["FAIL: x banned from=127.0.0.66"]);
    drop(held);
    daemon.quiet();
    // Of the six that the rate allows three are left.
    for last in 4..7 {
        drop(served(last));
    }
    daemon.quiet();
    turned_away(8);
    daemon.expect(&["FAIL: x rate from=127.0.0.8"]);
    daemon.ask(&["resume", "stopped"]);
    assert_eq!(talk(daemon.tcp("stopped"), b"again"), "again");
}

#[test]
fn unix_sockets_pipes_and_half_a_line_go_over() {
    let builder = Builder::new().controlled();
    let program = installed(&builder);
    let script = builder.file(
        "halves",
        "#!/bin/sh\nprintf 'one ' >&2\necho ready\nread go\necho two >&2\n",
    );
    let path = builder.path().join("sock");
    let tables = ["log", "log-each"].map(|stderr| {
        service(
            stderr,
            &format!("command = \"{script}\"\nstderr = \"{stderr}\""),
        )
    });
    let unix = format!(
        "[service.unix]\nlisten = \"{}\"\nbuiltin = \"echo\"\n",
        path.display()
    );
    let daemon = builder
        .program(&program)
        .table(&(tables.concat() + &unix))
        .start();
    let mut clients = ["log", "log-each"].map(|name| Client::connect(daemon.tcp(name)));
    for client in &mut clients {
        assert_eq!(client.line(), "ready\n");
    }
    upgraded(&daemon);
    for client in &mut clients {
        client.send(b"go\n");
        assert_eq!(client.rest(), b"");
    }
    daemon.expect(&["log: one two"]);
    daemon.expect(&["log-each[", "]: one two"]);
    assert_eq!(talk_unix(&path, b"same path"), "same path");
    let mut lock = path.clone().into_os_string();
    lock.push(".lock");
    assert!(fs::exists(&lock).unwrap());
}

#[test]
fn deadlines_and_a_killed_tree_end_as_they_would_have() {
    let builder = Builder::new().controlled();
    let program = installed(&builder);
    let Some(probe) = probe(&builder) else { return };
    let tables = [
        service(
            "late",
            &format!("command = ['{probe}', 'hold']\ntimeout = \"3s\""),
        ),
        service(
            "stubborn",
            &format!("command = ['{probe}', 'stubborn']\nstop_timeout = \"3s\""),
        ),
    ];
    let daemon = builder
        .program(&program)
        .table(&tables.concat())
        .trouble("killed")
        .start();
    let start = Instant::now();
    let mut late = Client::connect(daemon.tcp("late"));
    let mut stubborn = Client::connect(daemon.tcp("stubborn"));
    late.line();
    let child = Process(stubborn.line().trim().parse().unwrap());
    daemon.ask(&["kill", "--service", "stubborn"]);
    upgraded(&daemon);
    assert!(child.lives(), "KILL comes after stop_timeout");
    assert_eq!(late.rest(), b"");
    assert_eq!(stubborn.rest(), b"");
    let lasted = start.elapsed();
    assert!(lasted >= Duration::from_secs(3), "{lasted:?}");
    daemon.expect(&["EXIT: late", "reason=timeout"]);
    daemon.expect(&["EXIT: stubborn signal=9 reason=killed"]);
}

#[test]
fn binaries_that_cannot_leave_the_old_one_serving() {
    let mut daemon = start(&[echo()]);
    let mut held = Client::connect(daemon.tcp("echo"));
    let binary = fs::read(OXINETD).unwrap();
    let program = |name: &str| fs::read(name).unwrap();
    let cases: [(&[u8], u32, &str); 7] = [
        (
            b"not a program\n",
            0o755,
            "it is no program for this machine",
        ),
        (b"", 0o755, "it is no program for this machine"),
        (b"#!/bin/sh\nexit 0\n", 0o755, "it is a script"),
        (&binary, 0o644, "it may not be executed"),
        (
            &program("/bin/true"),
            0o755,
            "did not answer, it ended with status 0",
        ),
        (&program("/bin/ls"), 0o755, "unrecognized option"),
        // What a full disk leaves.
        (&binary[..100_000], 0o755, "the new program"),
    ];
    for (bytes, mode, words) in cases {
        install(&daemon, bytes, mode);
        let said = refused(&mut daemon);
        assert!(said.contains(words), "{words}: {said}");
        held.echo(b"still here");
        assert_eq!(talk(daemon.tcp("echo"), b"served"), "served", "{words}");
    }
    fs::remove_file(daemon.path().join("oxinetd")).unwrap();
    assert!(refused(&mut daemon).contains("No such file"));
    fs::create_dir(daemon.path().join("oxinetd")).unwrap();
    assert!(refused(&mut daemon).contains("not a regular file"));
    fs::remove_dir(daemon.path().join("oxinetd")).unwrap();
    install(&daemon, &binary, 0o755);
    upgraded(&daemon);
    held.echo(b"after all of it");
}

#[test]
fn rehearsal_that_hangs_is_ended_by_time_by_a_kill_and_by_term() {
    let builder = Builder::new();
    let Some(mute) = probe(&builder) else { return };
    let mut daemon = start(&[echo()]);
    install(&daemon, &fs::read(mute).unwrap(), 0o755);
    daemon.trouble("no upgrade");
    let one_child = |daemon: &Daemon| {
        until("the rehearsal", PATIENCE, || {
            daemon.process().children().len() == 1
        });
        daemon.process().children()[0]
    };
    let end = daemon.log_end();
    daemon.signal(Signal::SIGUSR2);
    one_child(&daemon).signal(Signal::SIGKILL);
    daemon.expect_from(end, &["no upgrade", "it was ended by signal 9"]);
    let end = daemon.log_end();
    daemon.signal(Signal::SIGUSR2);
    one_child(&daemon);
    assert_eq!(talk(daemon.tcp("echo"), b"meanwhile"), "meanwhile");
    daemon.expect_from(end, &["no upgrade", "did not answer within 10 s"]);
    daemon.signal(Signal::SIGUSR2);
    one_child(&daemon);
    assert_eq!(daemon.stop().code(), Some(0));
}

#[test]
fn image_that_fails_or_crashes_after_the_exec_gives_way_to_the_old_one() {
    if lacks_root() || lacks(&["strace"]) {
        return;
    }
    let mut daemon = start(&[echo(), service("cat", "command = \"/bin/cat\"")]);
    let mut held = Client::connect(daemon.tcp("cat"));
    held.echo(b"before");
    for (fault, words) in [
        ("epoll_create1:error=ENOMEM:when=1", "could not take over"),
        (
            "epoll_create1:signal=SIGSEGV:when=1",
            "the new program crashed",
        ),
        (
            "epoll_create1:signal=SIGABRT:when=1",
            "the new program crashed",
        ),
        // Late: when everything has been taken over but the first child.
        ("pidfd_open:error=EMFILE:when=2", "could not take over"),
    ] {
        let before = state(&daemon, "cat");
        let injection = Injection::attach(daemon.process(), &[fault], false);
        let said = refused(&mut daemon);
        injection.detach();
        assert!(said.contains(words), "{fault}: {said}");
        assert_eq!(state(&daemon, "cat"), before, "{fault}");
        held.echo(b"still here");
        assert_eq!(talk(daemon.tcp("echo"), b"served"), "served");
        assert_eq!(talk(daemon.tcp("cat"), b"served"), "served");
    }
    upgraded(&daemon);
    held.echo(b"after all of it");
}

/// The binary under test as its next version would be: it writes states that the one under test does not understand.
fn newer() -> Vec<u8> {
    let mut binary = fs::read(OXINETD).unwrap();
    let text = b"oxinetd handover 1";
    let places: Vec<usize> = binary
        .windows(text.len())
        .enumerate()
        .filter(|(_, window)| window == text)
        .map(|(place, _)| place)
        .collect();
    assert!(!places.is_empty());
    for place in places {
        binary[place + text.len() - 1] = b'2';
    }
    binary
}

#[test]
fn newer_version_takes_over_and_an_older_one_refuses_its_state() {
    let mut daemon = start(&[echo()]);
    let mut held = Client::connect(daemon.tcp("echo"));
    install(&daemon, &newer(), 0o755);
    upgraded(&daemon);
    held.echo(b"newer");
    install(&daemon, &fs::read(OXINETD).unwrap(), 0o755);
    let said = refused(&mut daemon);
    assert!(
        said.contains("it has version 2, and versions 1 to 1 are understood here"),
        "{said}"
    );
    held.echo(b"newer still");
    install(&daemon, &newer(), 0o755);
    upgraded(&daemon);
    held.echo(b"and again");
}

#[test]
fn reload_and_upgrade_at_once_both_happen() {
    let daemon = start(&[echo()]);
    let table = Builder::new()
        .table(&echo())
        .table(&service("added", "builtin = \"echo\"").replace("127.0.0.1", "127.0.0.3"));
    let on = format!("control = \"{}\"", daemon.path().join("control").display());
    daemon.rewrite(&table.toml().replace("control = \"off\"", &on));
    std::thread::scope(|scope| {
        let reloads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| daemon.ask(&["reload"])))
            .collect();
        let upgrades: Vec<_> = (0..2).map(|_| scope.spawn(|| upgrade(&daemon))).collect();
        for asked in reloads.into_iter().chain(upgrades) {
            let output = asked.join().unwrap();
            assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        }
    });
    daemon.expect(&["UPGRADE: "]);
    daemon.expect(&["RELOAD: added=1"]);
    assert_eq!(talk(daemon.tcp("added"), b"there"), "there");
    let mut daemon = daemon;
    daemon.rebase();
}

/// Clients that come again and again; `during` gets the count of those that were served, and ends it all. Returns that
/// count, and the longest that one of them took.
fn storm(addresses: &[SocketAddr], during: impl FnOnce(&AtomicUsize)) -> (usize, Duration) {
    let (done, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let longest = std::thread::scope(|scope| {
        let clients: Vec<_> = addresses
            .iter()
            .enumerate()
            .map(|(number, address)| {
                let (done, served) = (&done, &served);
                scope.spawn(move || {
                    let mut longest = Duration::ZERO;
                    for count in (1..250_u8).cycle() {
                        if done.load(Ordering::Relaxed) {
                            break;
                        }
                        let begin = Instant::now();
                        let source = [127, 1, number as u8, count];
                        once(connect_from(source.into(), *address), count);
                        longest = longest.max(begin.elapsed());
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                    longest
                })
            })
            .collect();
        during(&served);
        done.store(true, Ordering::Relaxed);
        let longest = clients.into_iter().map(|client| client.join().unwrap());
        longest.max().unwrap_or_default()
    });
    (served.into_inner(), longest)
}

/// One exchange, to its orderly end.
fn once(mut stream: TcpStream, number: u8) {
    let line = format!("client {number}\n");
    stream.write_all(line.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut back = String::new();
    stream.read_to_string(&mut back).unwrap();
    assert_eq!(back, line);
}

#[test]
fn twenty_upgrades_under_load_lose_nobody() {
    let _alone = alone();
    let full = "command = \"/bin/cat\"\nmax_connections = 1";
    let behind = Builder::new().table(&echo()).start();
    let builder = Builder::new().controlled();
    let program = installed(&builder);
    let daemon = builder
        .program(&program)
        .table(&echo())
        .table(&service("cat", "command = \"/bin/cat\""))
        .table(&service("full", full))
        .table(&service("event", "builtin = \"echo\"\nmodel = \"event\""))
        .table(&service("thread", "builtin = \"echo\"\nmodel = \"thread\""))
        .table(&service(
            "redirect",
            &format!("redirect = \"{}\"", behind.tcp("echo")),
        ))
        .trouble("PAUSE: full connections")
        .trouble("clients have been waiting")
        .start();
    let held_by = ["echo", "cat", "event", "thread", "redirect"];
    let mut held: Vec<Client> = held_by
        .iter()
        .cycle()
        .take(20)
        .map(|name| Client::connect(daemon.tcp(name)))
        .collect();
    let names = [
        "echo", "cat", "cat", "event", "thread", "redirect", "full", "full",
    ];
    let addresses = names.map(|name| daemon.tcp(name));
    let (served, longest) = storm(&addresses, |served| {
        for round in 1..=20 {
            upgraded(&daemon);
            until("500 more are served", PATIENCE * 4, || {
                served.load(Ordering::Relaxed) >= 500 * round
            });
            for client in &mut held {
                client.echo(b"held");
            }
        }
    });
    assert!(served >= 10_000);
    assert!(longest < PATIENCE, "{longest:?}");
    drop(held);
    daemon.quiet();
    assert_eq!(daemon.count(&["UPGRADE: "]), 20);
    assert_eq!(daemon.count(&["START: "]), served + 20);
    assert_eq!(daemon.count(&["EXIT: ", "status=0"]), served + 20);
    // What the clients sent is what each program was told to have got: every line is true.
    assert_eq!(daemon.count(&["EXIT: ", "in=80 out=80"]), 20);
}
