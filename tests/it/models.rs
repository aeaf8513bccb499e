//! The three models: the same contract whatever serves, and what happens to a worker that is not well.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::Signal;

use crate::harness::{
    Builder, Client, Daemon, PATIENCE, Process, alone, lacks, lacks_root, talk, talk_unix, text,
    until,
};

const MODELS: [&str; 3] = ["process", "event", "thread"];
const WORKERS: [&str; 2] = ["event", "thread"];

fn service(name: &str, builtin: &str, keys: &str) -> String {
    format!("[service.{name}]\nlisten = \"127.0.0.1:0\"\nbuiltin = {builtin}\n{keys}\n")
}

/// An echo service of this model, and one of another that must never notice anything.
fn echo(model: &str, keys: &str) -> Builder {
    Builder::new()
        .table(&service(
            "echo",
            "\"echo\"",
            &format!("model = \"{model}\"\n{keys}"),
        ))
        .table(&service("other", "\"echo\"", "model = \"process\""))
}

/// The worker of the only service that has one.
fn worker(daemon: &Daemon) -> Process {
    let mut found = None;
    until("a worker", PATIENCE, || {
        let children = daemon.process().children();
        found = children
            .into_iter()
            .find(|child| child.is_worker() && child.lives());
        found.is_some()
    });
    found.unwrap()
}

fn connect(daemon: &Daemon, count: usize) -> Vec<Client> {
    let address = daemon.tcp("echo");
    (0..count).map(|_| Client::connect(address)).collect()
}

#[test]
fn every_built_in_is_served_in_every_model() {
    for model in MODELS {
        let builder = Builder::new();
        let quotes = builder.file("quotes", "one\n%\ntwo\nlines\n");
        let unix = builder.path().join("unix").display().to_string();
        let mut builder = builder.defaults(&format!("model = \"{model}\""));
        for name in ["echo", "discard", "chargen", "daytime", "time"] {
            builder = builder.table(&service(name, &format!("\"{name}\""), ""));
        }
        let qotd = format!("{{ name = \"qotd\", file = \"{quotes}\" }}");
        let daemon = builder
            .table(&service("qotd", &qotd, ""))
            .table(&service(
                "health",
                "{ name = \"health\", body = \"fine\" }",
                "",
            ))
            .table(&format!(
                "[service.unix]\nlisten = \"{unix}\"\nbuiltin = \"echo\""
            ))
            .table("[service.cat]\nlisten = \"127.0.0.1:0\"\ncommand = \"/bin/cat\"")
            .start();
        assert_eq!(talk(daemon.tcp("echo"), b"hello"), "hello");
        assert_eq!(talk_unix(&unix, b"hello"), "hello");
        assert_eq!(talk(daemon.tcp("discard"), b"hello"), "");
        assert_eq!(talk(daemon.tcp("daytime"), b"").len(), 26);
        assert_eq!(talk(daemon.tcp("cat"), b"a program"), "a program");
        let mut time = Client::connect(daemon.tcp("time"));
        assert_eq!(time.rest().len(), 4);
        let mut chargen = Client::connect(daemon.tcp("chargen"));
        let mut lines = vec![0; 300_000];
        chargen.0.read_exact(&mut lines).unwrap();
        assert!(lines.starts_with(b" !\"#"));
        assert!(lines[..lines.len() - 95 * 74] == lines[95 * 74..]);
        let said: BTreeSet<String> = (0..40).map(|_| talk(daemon.tcp("qotd"), b"")).collect();
        let all = BTreeSet::from(["one\r\n".to_owned(), "two\r\nlines\r\n".to_owned()]);
        assert_eq!(said, all);
        let answer = talk(daemon.tcp("health"), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nfine"), "{answer}");
        let healthy = answer.len();
        // With input that nobody reads: the answer arrives all the same.
        let junk = vec![b'x'; 50_000];
        let answer = talk(daemon.tcp("health"), &junk);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert_eq!(talk(daemon.tcp("daytime"), &junk).len(), 26);
        drop(chargen);
        daemon.expect(&["EXIT: echo status=0 ", " in=5 out=5 "]);
        let account = format!(" in=27 out={healthy} ");
        daemon.expect(&["EXIT: health status=0 ", &account]);
        daemon.expect(&["EXIT: chargen status=0 "]);
    }
}

#[test]
fn workers_serve_all_from_one_process() {
    for (model, threads) in [("event", 1), ("thread", 31)] {
        let daemon = echo(model, "").start();
        let mut clients = connect(&daemon, 30);
        for client in &mut clients {
            client.echo(b"here");
        }
        let worker = worker(&daemon);
        assert_eq!(daemon.process().children(), [worker]);
        assert_eq!(worker.threads(), threads, "{model}");
        let starts = daemon.count(&["START: echo ", &format!("pid={} ", worker.0)]);
        assert_eq!(starts, 30);
        clients.truncate(10);
        until("the ends", PATIENCE, || {
            daemon.count(&["EXIT: echo "]) == 20
        });
        if model == "thread" {
            until("the end of threads", PATIENCE, || worker.threads() == 11);
        }
        for client in &mut clients {
            client.echo(b"still");
        }
        if crate::harness::root() {
            assert_eq!(worker.number("Uid"), 65534, "dropped privileges");
        }
    }
}

#[test]
fn deadlines_end_connections_in_every_model() {
    for model in MODELS {
        for (keys, reason, talks) in [
            ("timeout = \"700ms\"", "timeout", true),
            ("idle_timeout = \"700ms\"", "idle", true),
            ("first_byte_timeout = \"700ms\"", "first_byte", false),
        ] {
            let daemon = echo(model, keys).start();
            let mut client = Client::connect(daemon.tcp("echo"));
            if talks {
                client.echo(b"x");
            }
            assert_eq!(client.rest(), b"");
            daemon.expect(&["EXIT: echo ", &format!("reason={reason} ")]);
            // Over a unix socket only the whole time is known.
        }
        let unix = Builder::new();
        let path = unix.path().join("s").display().to_string();
        let daemon = unix
            .table(&format!(
                "[service.echo]\nlisten = \"{path}\"\nbuiltin = \"echo\"\nmodel = \"{model}\"\ntimeout = \"700ms\""
            ))
            .start();
        let mut client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.write_all(b"x").unwrap();
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"x");
        daemon.expect(&["EXIT: echo ", "reason=timeout "]);
    }
}

#[test]
fn limits_are_exact_in_every_model() {
    for model in MODELS {
        let keys = "max_connections = 3\nmax_per_source = \"unlimited\"";
        let daemon = echo(model, keys).trouble("PAUSE").start();
        let mut clients = connect(&daemon, 3);
        for client in &mut clients {
            client.echo(b"in");
        }
        let mut fourth = Client::connect(daemon.tcp("echo"));
        fourth.send(b"me too");
        daemon.expect(&["PAUSE: echo connections"]);
        assert!(fourth.is_silent());
        drop(clients.pop());
        let mut answer = [0; 6];
        fourth.0.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"me too");
    }
}

#[test]
fn slow_reader_delays_nobody_and_gets_every_byte() {
    for model in WORKERS {
        let daemon = echo(model, "").start();
        let sent: Vec<u8> = (0..40_000_000_u32).map(|i| (i * 7 % 251) as u8).collect();
        let stuck = TcpStream::connect(daemon.tcp("echo")).unwrap();
        let (bytes, mut writer) = (sent.clone(), stuck.try_clone().unwrap());
        let sending = std::thread::spawn(move || {
            writer.write_all(&bytes).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        // Until the sender has to wait as well: the worker reads no more than it can write.
        let told = || daemon.process().children().len();
        until("a worker", PATIENCE, || told() == 1);
        std::thread::sleep(Duration::from_millis(500));
        assert!(!sending.is_finished());
        assert_eq!(talk(daemon.tcp("echo"), b"others"), "others");
        let mut back = Vec::new();
        (&stuck).read_to_end(&mut back).unwrap();
        sending.join().unwrap();
        assert!(back == sent);
    }
}

#[test]
fn status_kill_and_drain_know_connections_of_workers() {
    for model in WORKERS {
        let daemon = echo(model, "").controlled().start();
        let mut clients = connect(&daemon, 3);
        for client in &mut clients {
            client.echo(b"seen");
        }
        let status = text(&daemon.ask(&["status", "echo", "--format", "json"]));
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let service = &status["services"][0];
        assert_eq!(service["live"], 3);
        assert_eq!(service["served"], 3);
        let connections = service["connections"].as_array().unwrap();
        assert_eq!(connections.len(), 3);
        let port = clients[1].0.local_addr().unwrap().port();
        let second = connections.iter().find(|one| one["port"] == port).unwrap();
        assert_eq!(second["bytes"], serde_json::json!([4, 4]));
        assert_eq!(second["pid"], worker(&daemon).0);
        let id = second["id"].as_str().unwrap();
        assert!(text(&daemon.ask(&["kill", id])).contains("told to end"));
        assert_eq!(clients[1].rest(), b"");
        daemon.expect(&["EXIT: echo ", "reason=killed ", id]);
        clients[0].echo(b"untouched");
        assert!(text(&daemon.ask(&["drain", "echo"])).contains("2 connections"));
        assert_eq!(clients[0].rest(), b"");
        assert_eq!(clients[2].rest(), b"");
        until("the ends", PATIENCE, || {
            daemon.count(&["EXIT: echo ", "reason=drained"]) == 2
        });
        text(&daemon.ask(&["resume", "echo"]));
        assert_eq!(talk(daemon.tcp("echo"), b"again"), "again");
    }
}

#[test]
fn reload_starts_a_new_worker_and_the_old_one_drains() {
    for model in WORKERS {
        let builder = echo(model, "");
        let toml = builder.toml();
        let daemon = builder.start();
        let mut old = Client::connect(daemon.tcp("echo"));
        old.echo(b"old");
        let first = worker(&daemon);
        daemon.rewrite(&toml.replace(&format!("\"{model}\""), &format!("\"{model}\"\nnice = 1")));
        daemon.signal(Signal::SIGHUP);
        daemon.expect(&["RELOAD: "]);
        let mut new = Client::connect(daemon.tcp("echo"));
        new.echo(b"new");
        old.echo(b"still there");
        let line = daemon.expect_from(
            0,
            &[
                "START: echo ",
                &format!("port={} ", new.0.local_addr().unwrap().port()),
            ],
        );
        assert!(!line.contains(&format!("pid={} ", first.0)), "{line}");
        assert!(first.lives());
        drop(old);
        until("the end of the old worker", PATIENCE, || !first.lives());
        new.echo(b"unharmed");
        // To another model, and away.
        daemon.rewrite(&toml.replace(&format!("\"{model}\""), "\"process\""));
        daemon.signal(Signal::SIGHUP);
        until("two reloads", PATIENCE, || daemon.count(&["RELOAD: "]) == 2);
        assert_eq!(talk(daemon.tcp("echo"), b"process"), "process");
        new.echo(b"unharmed");
    }
}

#[test]
fn upgrade_keeps_workers_serving_and_draining() {
    for model in WORKERS {
        let builder = echo(model, "").controlled();
        let toml = builder.toml();
        let daemon = builder.start();
        let mut old = Client::connect(daemon.tcp("echo"));
        old.echo(b"old");
        let draining = worker(&daemon);
        daemon.rewrite(&toml);
        assert_eq!(daemon.ask(&["reload"]).status.code(), Some(0));
        let mut clients = connect(&daemon, 3);
        for client in &mut clients {
            client.echo(b"new");
        }
        let all = daemon.process().children();
        assert_eq!(all.len(), 2, "{all:?}");
        let serving = all.into_iter().find(|one| *one != draining).unwrap();
        for _ in 0..2 {
            let upgrade = daemon.ask(&["upgrade"]);
            assert_eq!(upgrade.status.code(), Some(0), "{}", text(&upgrade));
            for client in clients.iter_mut().chain([&mut old]) {
                client.echo(b"still here");
            }
        }
        drop(old);
        until("the end of the old worker", PATIENCE, || !draining.lives());
        daemon.expect(&["EXIT: echo status=0 ", &format!("pid={} ", draining.0)]);
        let mut later = Client::connect(daemon.tcp("echo"));
        later.echo(b"later");
        let words = ["START: echo ", &format!("pid={} ", serving.0)];
        until("a fourth", PATIENCE, || daemon.count(&words) == 4);
        drop((clients, later));
        let words = ["EXIT: echo status=0 ", &format!("pid={} ", serving.0)];
        until("all ends", PATIENCE, || daemon.count(&words) == 4);
        assert!(serving.lives());
    }
}

#[test]
fn stop_ends_clients_and_workers() {
    for model in WORKERS {
        let mut daemon = echo(model, "").start();
        let mut clients = connect(&daemon, 5);
        for client in &mut clients {
            client.echo(b"here");
        }
        assert_eq!(daemon.stop().code(), Some(0));
        for client in &mut clients {
            assert_eq!(client.rest(), b"");
        }
        let words = ["EXIT: echo status=0 reason=shutdown "];
        until("true ends", PATIENCE, || daemon.count(&words) == 5);
    }
}

#[test]
fn killed_worker_takes_its_clients_along_and_is_replaced() {
    for model in WORKERS {
        let daemon = echo(model, "")
            .trouble("the worker")
            .trouble("PAUSE")
            .trouble("RESUME")
            .start();
        let mut other = Client::connect(daemon.tcp("other"));
        for round in 1..=6 {
            let mut clients = connect(&daemon, 4);
            for client in &mut clients {
                client.echo(b"here");
            }
            let killed = worker(&daemon);
            killed.signal(Signal::SIGKILL);
            for client in &mut clients {
                assert_eq!(client.rest(), b"");
            }
            let words = ["EXIT: echo signal=9 ", &format!("pid={} ", killed.0)];
            until("true ends", PATIENCE, || daemon.count(&words) == 4);
            other.echo(b"nothing noticed");
            daemon.expect(&["WARNING: echo", "signal 9, and 4 connections with it"]);
            // From the fifth on.
            let pauses = usize::saturating_sub(round, 4);
            let told = || daemon.count(&["PAUSE: echo start failures"]);
            until("the pauses", PATIENCE, || told() == pauses);
        }
        assert_eq!(talk(daemon.tcp("echo"), b"back"), "back");
    }
}

#[test]
fn stopped_worker_holds_its_own_clients_only() {
    let _alone = alone();
    for model in WORKERS {
        let keys = "max_connections = \"unlimited\"\nmax_per_source = \"unlimited\"";
        let daemon = echo(model, keys).start();
        talk(daemon.tcp("echo"), b"first");
        let worker = worker(&daemon);
        worker.signal(Signal::SIGSTOP);
        // More than the pair takes.
        let mut clients = Vec::new();
        for number in 0..2500 {
            let mut client = Client::connect(daemon.tcp("echo"));
            client.send(format!("{number:04}").as_bytes());
            clients.push(client);
        }
        assert_eq!(talk(daemon.tcp("other"), b"served"), "served");
        let before = daemon.process().cpu();
        std::thread::sleep(Duration::from_secs(1));
        let spent = daemon.process().cpu().saturating_sub(before);
        assert!(spent < Duration::from_millis(200), "spent {spent:?} of 1 s");
        let started = daemon.count(&["START: echo "]);
        assert!(
            (100..2500).contains(&started),
            "{started} were taken out of the queue"
        );
        worker.signal(Signal::SIGCONT);
        for (number, client) in clients.iter_mut().enumerate() {
            let mut answer = [0; 4];
            client.0.read_exact(&mut answer).unwrap();
            assert_eq!(answer, format!("{number:04}").as_bytes());
        }
    }
}

#[test]
fn worker_that_does_not_end_a_connection_is_killed() {
    for model in WORKERS {
        let keys = "timeout = \"300ms\"\nstop_timeout = \"300ms\"";
        let daemon = echo(model, keys).trouble("the worker").start();
        let mut client = Client::connect(daemon.tcp("echo"));
        client.echo(b"x");
        worker(&daemon).signal(Signal::SIGSTOP);
        daemon.expect(&["WARNING: echo", "did not end connection"]);
        assert_eq!(client.rest(), b"");
        daemon.expect(&["EXIT: echo signal=9 reason=timeout "]);
        assert_eq!(talk(daemon.tcp("echo"), b"again"), "again");
    }
}

/// The worker's end of its pair.
#[expect(unsafe_code, reason = "pidfd_getfd(2) has no wrapper")]
fn pair_of(worker: Process) -> OwnedFd {
    // SAFETY: plain values; each descriptor is owned at once.
    unsafe {
        let pidfd = libc::syscall(libc::SYS_pidfd_open, worker.0, 0);
        assert!(pidfd >= 0);
        let pidfd = OwnedFd::from_raw_fd(pidfd as i32);
        let fd = libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), 0, 0);
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        OwnedFd::from_raw_fd(fd as i32)
    }
}

#[test]
fn lying_worker_hurts_its_own_service_only() {
    if lacks_root() {
        return;
    }
    let end = |number: u64, status: u64| [number.to_ne_bytes(), status.to_ne_bytes()].concat();
    // One connection is live: number 1, as 0 has ended.
    let lies = [
        end(7, 0),
        end(0, 0),
        end(u64::MAX, 0),
        [end(1, 0), end(1, 0)].concat(),
        end(1, 256),
        vec![0; 15],
        vec![0; 8],
        vec![0; 4096],
    ];
    let daemon = echo("event", "")
        .trouble("the worker")
        .trouble("PAUSE")
        .trouble("RESUME")
        .start();
    let mut other = Client::connect(daemon.tcp("other"));
    for lie in &lies {
        assert_eq!(talk(daemon.tcp("echo"), b"one"), "one");
        let mut client = Client::connect(daemon.tcp("echo"));
        client.echo(b"two");
        let (liar, from) = (worker(&daemon), daemon.log_end());
        let pair = pair_of(liar);
        let sent =
            nix::sys::socket::send(pair.as_raw_fd(), lie, nix::sys::socket::MsgFlags::empty());
        assert_eq!(sent.unwrap(), lie.len());
        daemon.expect_from(from, &["WARNING: echo", "the worker", "it is killed"]);
        assert_eq!(client.rest(), b"");
        until("the end of the liar", PATIENCE, || !liar.lives());
        other.echo(b"nothing noticed");
    }
    // Each connection has ended once.
    let all = 2 * lies.len();
    until("all ends", PATIENCE, || {
        daemon.count(&["EXIT: echo "]) == all
    });
}

#[test]
fn worker_without_descriptors_leaves_clients_waiting() {
    if lacks(&["prlimit"]) {
        return;
    }
    for model in WORKERS {
        let keys = "limits = { open_files = 70 }\nmax_per_source = \"unlimited\"";
        let daemon = echo(model, keys).start();
        let mut clients = connect(&daemon, 150);
        clients[0].echo(b"first");
        assert_eq!(talk(daemon.tcp("other"), b"served"), "served");
        // As clients leave, all that waited are served; none is reset.
        for mut client in clients.drain(..) {
            client.echo(b"my turn");
        }
        assert_eq!(talk(daemon.tcp("echo"), b"free again"), "free again");
    }
}

#[test]
fn worker_without_threads_leaves_clients_waiting() {
    if lacks_root() {
        return;
    }
    // An account that nobody else uses: the limit counts all threads of the uid.
    let keys = "user = \"64322\"\ngroup = \"64322\"\nlimits = { processes = 10 }\nmax_per_source = \"unlimited\"";
    let daemon = echo("thread", keys).start();
    let mut clients = connect(&daemon, 40);
    clients[0].echo(b"first");
    assert!(worker(&daemon).threads() <= 10);
    assert_eq!(talk(daemon.tcp("other"), b"served"), "served");
    for mut client in clients.drain(..) {
        client.echo(b"my turn");
    }
    assert_eq!(talk(daemon.tcp("echo"), b"free again"), "free again");
}

#[test]
fn idle_clients_cost_little_memory() {
    let _alone = alone();
    let keys = "max_connections = \"unlimited\"\nmax_per_source = \"unlimited\"\nlog = []";
    let daemon = echo("event", keys).start();
    let mut clients = connect(&daemon, 100);
    for client in &mut clients {
        client.echo(b"warm");
    }
    let worker = worker(&daemon);
    let resident = || [worker, daemon.process()].map(|process| process.number("RssAnon"));
    let before = resident();
    clients.extend(connect(&daemon, 2000));
    for client in &mut clients {
        client.echo(b"here");
    }
    let after = resident();
    let grown: u64 = after.iter().sum::<u64>() - before.iter().sum::<u64>();
    let each = grown * 1024 / 2000;
    assert!(
        each <= 2048,
        "{each} bytes each: {before:?} and {after:?} KiB"
    );
}

#[test]
fn missing_quotes_are_told_and_the_service_backs_off() {
    for model in MODELS {
        let qotd = "{ name = \"qotd\", file = \"/nowhere/quotes\" }";
        let daemon = Builder::new()
            .table(&service("qotd", qotd, &format!("model = \"{model}\"")))
            .trouble("the worker")
            .trouble("PAUSE")
            .start();
        assert_eq!(talk(daemon.tcp("qotd"), b""), "");
        daemon.expect(&[
            "qotd: the quotes of /nowhere/quotes cannot be read: ",
            "ENOENT",
        ]);
        daemon.expect(&["EXIT: qotd status=66 "]);
    }
}

#[test]
fn tarpit_talks_slowly() {
    let mut builder = Builder::new();
    for model in MODELS {
        let keys = format!("model = \"{model}\"");
        builder = builder.table(&service(model, "\"tarpit\"", &keys));
    }
    let daemon = builder.start();
    let start = Instant::now();
    let mut clients = MODELS.map(|model| Client::connect(daemon.tcp(model)));
    for client in &mut clients {
        client.send(b"SSH-2.0-Go\r\n");
        assert!(client.is_silent());
    }
    clients[0].half_close();
    for client in &mut clients {
        let line = client.line();
        assert!(
            line.ends_with("\r\n") && !line.starts_with("SSH-"),
            "{line:?}"
        );
        assert!(start.elapsed() >= Duration::from_secs(7));
    }
    // Who has gone is noticed when the next line is for him.
    drop(clients);
    for model in MODELS {
        daemon.expect(&[&format!("EXIT: {model} status=0 ")]);
    }
}
