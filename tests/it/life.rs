//! The life of a connection: no lost byte, no orphan, deadlines, the account in the EXIT line, stderr.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::{
    Builder, Client, Daemon, PATIENCE, Process, alone, find, in_own_network, lacks, lacks_root,
    reset, until,
};

fn shell(name: &str, script: &str, keys: &str) -> String {
    format!(
        "[service.{name}]\nlisten = \"127.0.0.1:0\"\ncommand = ['/bin/sh', '-c', '''{script}''']\n{keys}\n"
    )
}

fn one(script: &str, keys: &str) -> Daemon {
    Builder::new().table(&shell("x", script, keys)).start()
}

fn seconds(line: &str) -> f64 {
    let (_, rest) = line.split_once("duration=").unwrap();
    rest.split_once('s').unwrap().0.parse().unwrap()
}

/// Reads to the end, and says whether that was an orderly one.
fn whole(stream: &mut TcpStream, pause: Duration) -> (usize, bool) {
    let mut buffer = vec![0; 65536];
    let mut total = 0;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (total, true),
            Ok(count) => total += count,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return (total, false),
            Err(error) => panic!("{error}"),
        }
        std::thread::sleep(pause);
    }
}

#[test]
fn reply_of_a_program_that_ignores_its_input_arrives_whole() {
    let builder = Builder::new()
        .table(&shell("kept", "head -c 3000000 /dev/zero", ""))
        .table(&shell(
            "textbook",
            "head -c 3000000 /dev/zero",
            "linger = \"off\"",
        ));
    let daemon = builder.start();
    let exchange = |service| {
        let mut client = Client::connect(daemon.tcp(service));
        client.send(b"GET / HTTP/1.0\r\n\r\n");
        daemon.expect(&[&format!("EXIT: {service}")]);
        whole(&mut client.0, Duration::from_millis(2))
    };
    assert_eq!(exchange("kept"), (3_000_000, true));
    let (bytes, orderly) = exchange("textbook");
    assert!(
        bytes < 3_000_000 && !orderly,
        "the close without lingering truncates: {bytes}"
    );
    daemon.expect(&["EXIT: kept", "in=18 out=3000000"]);
}

#[test]
fn curl_gets_a_thousand_answers_from_a_script_that_reads_nothing() {
    let _alone = alone();
    if lacks(&["curl"]) {
        return;
    }
    let script = r"printf 'HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n'";
    let daemon = one(script, "");
    let url = format!("http://{}/[1-1000]", daemon.tcp("x"));
    let output = Command::new(find("curl").unwrap())
        .args(["-sS", "--no-keepalive", "--max-time", "100", &url])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.stdout, b"ok\n".repeat(1000));
}

#[test]
fn half_closing_clients_get_what_comes_later() {
    let builder = Builder::new()
        .table(&shell("echo", "cat; sleep 0.3; echo done", ""))
        .table(&shell("late", "cat >/dev/null; sleep 1.5; echo done", ""));
    let daemon = builder.start();
    let mut echo = Client::connect(daemon.tcp("echo"));
    let mut writer = echo.0.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        writer.write_all(&vec![b'x'; 4 << 20]).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    assert_eq!(echo.rest().len(), (4 << 20) + 5);
    sender.join().unwrap();
    let mut late = Client::connect(daemon.tcp("late"));
    late.send(b"hi");
    late.half_close();
    assert_eq!(late.rest(), b"done\n");
    daemon.expect(&["EXIT: echo", "in=4194304 out=4194309"]);
    daemon.expect(&["EXIT: late", "in=2 out=5"]);
}

#[test]
fn the_end_comes_at_exit_or_with_the_textbook_close_at_once() {
    let script = "echo hi; exec <&- >&-; sleep 4";
    let builder = Builder::new()
        .table(&shell("kept", script, ""))
        .table(&shell("textbook", script, "linger = \"off\""));
    let daemon = builder.start();
    let end = |service| {
        let mut client = Client::connect(daemon.tcp(service));
        assert_eq!(client.line(), "hi\n");
        let start = Instant::now();
        assert_eq!(client.rest(), b"");
        start.elapsed()
    };
    end("textbook");
    assert_eq!(daemon.count(&["EXIT: textbook"]), 0, "it runs on");
    assert!(end("kept") > Duration::from_secs(3), "price one");
}

#[test]
fn detached_descendant_keeps_the_connection_unless_input_was_left_unread() {
    let script = "(sleep 0.5; echo late) & exit 0";
    let read = format!("read line; {script}");
    let wait = format!("sleep 0.2; {script}");
    let builder = Builder::new()
        .table(&shell("read", &read, ""))
        .table(&shell("unread", &wait, ""))
        .table(&shell("textbook", &wait, "linger = \"off\""));
    let daemon = builder.start();
    for (service, answer) in [
        ("read", "late\n"),
        ("unread", ""), // price two
        ("textbook", "late\n"),
    ] {
        let mut client = Client::connect(daemon.tcp(service));
        client.send(b"request\n");
        assert_eq!(String::from_utf8_lossy(&client.rest()), answer, "{service}");
    }
}

#[test]
fn lingering_ends_with_the_client_its_bytes_or_its_time() {
    let script = "echo hi; sleep 0.2";
    let daemon = Builder::new()
        .table(&shell("short", script, "linger = \"2s\""))
        .table(&shell("long", script, "linger = \"1h\""))
        .start();
    let start = |service: &str, bytes: usize| {
        let end = daemon.log_end();
        let mut client = Client::connect(daemon.tcp(service));
        client.send(&vec![b'x'; bytes]);
        assert_eq!(client.line(), "hi\n");
        daemon.expect_from(end, &[&format!("EXIT: {service}")]);
        assert_eq!(client.0.read(&mut [0]).unwrap(), 0, "our direction ends");
        client
    };
    let resets = |client: &mut Client, bytes: usize, patience: Duration| {
        let begin = Instant::now();
        while begin.elapsed() < patience {
            if client.0.write_all(&vec![b'x'; bytes]).is_err() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    };
    let mut slow = start("short", 10);
    let early = Duration::from_millis(500);
    assert!(!resets(&mut slow, 100, early), "two seconds are not over");
    assert!(resets(&mut slow, 100, PATIENCE));
    let mut fast = start("long", 10);
    assert!(resets(&mut fast, 16384, PATIENCE), "64 KiB are over");
    let wide = one("echo hi; sleep 0.2", "linger = { max = \"10M\" }");
    let mut client = Client::connect(wide.tcp("x"));
    client.send(b"x");
    assert_eq!(client.line(), "hi\n");
    wide.expect(&["EXIT: x"]);
    client.send(&vec![b'x'; 4 << 20]);
    client.half_close();
    assert_eq!(client.rest(), b"");
    // The guard of the harness sees that nothing is kept.
    drop(start("long", 10));
}

#[test]
fn deadlines_end_connections_for_their_reason() {
    let builder = Builder::new()
        .table(&shell("whole", "exec cat", "timeout = \"2s\""))
        .table(&shell("idle", "exec cat", "idle_timeout = \"2s\""))
        .table(&shell("first", "exec cat", "first_byte_timeout = \"2s\""))
        .table(
            "[service.builtin]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\nidle_timeout = \"1s\"\n",
        );
    let daemon = builder.start();
    let mut first = Client::connect(daemon.tcp("first"));
    let mut spoke = Client::connect(daemon.tcp("first"));
    let mut whole = Client::connect(daemon.tcp("whole"));
    let mut idle = Client::connect(daemon.tcp("idle"));
    let mut builtin = Client::connect(daemon.tcp("builtin"));
    spoke.echo(b"x");
    for _ in 0..8 {
        idle.echo(b"x");
        let _ = whole.0.write_all(b"x");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(!whole.rest().is_empty());
    assert_eq!(idle.rest(), b"");
    assert_eq!(first.rest(), b"");
    assert_eq!(builtin.rest(), b"");
    for (service, reason, least) in [
        ("whole", "reason=timeout", 2.0),
        ("idle", "reason=idle", 3.4),
        ("first", "reason=first_byte", 2.0),
        ("builtin", "reason=idle", 1.0),
    ] {
        let line = daemon.expect(&[&format!("EXIT: {service}"), reason]);
        assert!(seconds(&line) >= least, "{line}");
    }
    spoke.echo(b"who spoke stays");
}

#[test]
fn silent_reader_is_idle_when_its_window_is_full() {
    let daemon = one("exec cat /dev/zero", "idle_timeout = \"1s\"");
    let _client = Client::connect(daemon.tcp("x"));
    let line = daemon.expect(&["EXIT: x", "reason=idle"]);
    assert!(seconds(&line) >= 1.0, "{line}");
}

#[test]
fn reset_is_noticed_and_a_half_close_is_none() {
    let script = "echo up; sleep 100";
    let builder = Builder::new()
        .table(&shell("term", script, "on_disconnect = \"term\""))
        .table(&shell("kill", script, "on_disconnect = \"kill\""))
        .table(&shell("ignore", "echo up; sleep 2", ""))
        .table(&shell(
            "ended",
            "echo up; exec >&- <&-; sleep 2",
            "on_disconnect = \"kill\"",
        ));
    let daemon = builder.start();
    let connect = |service| {
        let mut client = Client::connect(daemon.tcp(service));
        assert_eq!(client.line(), "up\n");
        client
    };
    for (service, end) in [("term", "signal=15"), ("kill", "signal=9")] {
        let mut client = connect(service);
        client.half_close();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(daemon.count(&[&format!("EXIT: {service}")]), 0);
        reset(client.0);
        daemon.expect(&[&format!("EXIT: {service} {end} reason=gone")]);
    }
    reset(connect("ignore").0);
    drop(connect("ended"));
    daemon.expect(&["EXIT: ended status=0 pid="]);
    daemon.expect(&["EXIT: ignore status=0 pid="]);
}

#[test]
fn client_behind_a_dropped_route_is_noticed() {
    if lacks_root() || lacks(&["ip"]) {
        return;
    }
    in_own_network(|| {
        let keys = "on_disconnect = \"kill\"\nkeepalive = \"1s\"";
        let quiet = shell("quiet", "echo up; sleep 100", keys);
        let talker = shell("talker", "echo up; sleep 1; exec cat /dev/zero", keys);
        let daemon = Builder::new().table(&quiet).table(&talker).start();
        let mut clients: Vec<Client> = ["quiet", "talker"]
            .into_iter()
            .map(|service| Client::connect(daemon.tcp(service)))
            .collect();
        for client in &mut clients {
            assert_eq!(client.line(), "up\n");
        }
        let ip = |words: &str| {
            let done = Command::new(find("ip").unwrap())
                .args(words.split(' '))
                .status()
                .unwrap();
            assert!(done.success());
        };
        ip("link set lo down");
        daemon.expect(&["EXIT: quiet signal=9 reason=gone"]);
        // Its program learns of it by a failed write, and may be faster than the daemon.
        daemon.expect(&["EXIT: talker"]);
        ip("link set lo up");
        drop(clients);
    });
}

/// `sleep` processes that sleep this long.
fn sleepers(time: &str) -> Vec<Process> {
    crate::harness::processes()
        .into_iter()
        .filter(|process| process.file("cmdline") == format!("sleep\0{time}\0"))
        .filter(|process| process.lives())
        .collect()
}

/// A program that leaves nothing out: job control, setsid, a double fork, and nobody minds TERM.
fn stubborn(time: &str) -> String {
    format!(
        "trap \"\" TERM; sleep {time} & setsid sleep {time} & (setsid sh -c \"sleep {time} & sleep {time}\" &); \
         (setsid sh -c \"setsid sleep {time} &\" &); sleep 0.3; echo up; sleep {time}"
    )
}

#[test]
fn whole_tree_dies_after_stop_timeout_with_and_without_a_control_group() {
    let keys = "stop_timeout = \"1s\"";
    for (time, keys, reason) in [
        ("8601", &format!("{keys}\ntimeout = \"3s\"")[..], "timeout"), // a control group where there may be one
        ("8602", keys, "shutdown"),                                    // process group and orphans
    ] {
        let mut daemon = one(&stubborn(time), keys);
        let mut client = Client::connect(daemon.tcp("x"));
        assert_eq!(client.line(), "up\n");
        until("all six", PATIENCE, || sleepers(time).len() == 6);
        if reason == "shutdown" {
            daemon.signal(Signal::SIGTERM);
            assert_eq!(daemon.wait(PATIENCE).code(), Some(0));
        }
        daemon.expect(&["EXIT: x", &format!("reason={reason}")]);
        until("the end of the tree", PATIENCE, || {
            sleepers(time).is_empty()
        });
        assert_eq!(client.rest(), b"");
    }
}

#[test]
fn leader_that_dies_of_term_leaves_its_tree_its_time() {
    let script = "sh -c 'trap \"sleep 0.5; echo bye; exit\" TERM; echo up; while :; do sleep 0.1; done' & wait";
    let daemon = Builder::new()
        .table(&format!(
            "[service.x]\nlisten = \"127.0.0.1:0\"\ncommand = ['/bin/sh', '-c', \"{}\"]\ntimeout = \"2s\"\nstop_timeout = \"10s\"\n",
            script.replace('"', "\\\"")
        ))
        .start();
    let mut client = Client::connect(daemon.tcp("x"));
    assert_eq!(client.line(), "up\n");
    assert_eq!(client.rest(), b"bye\n");
    daemon.expect(&["EXIT: x signal=15 reason=timeout"]);
}

#[test]
fn limit_holds_while_connections_are_ended() {
    let keys = "max_connections = 1\nmax_per_source = \"unlimited\"\ntimeout = \"3s\"";
    let daemon = Builder::new()
        .table(&shell("x", "echo $$; exec cat", keys))
        .trouble("PAUSE: x connections")
        .start();
    let address = daemon.tcp("x");
    let mut first = Client::connect(address);
    assert!(first.line().len() > 1);
    let mut second = Client::connect(address);
    assert!(second.is_silent());
    assert_eq!(first.rest(), b"");
    assert!(second.line().len() > 1, "served when the first has gone");
    assert_eq!(second.rest(), b"");
    daemon.quiet();
    assert_eq!(daemon.count(&["EXIT: x", "reason=timeout"]), 2);
}

#[test]
fn account_is_exact_whoever_closes_and_how() {
    let builder = Builder::new()
        .table(&shell("cat", "exec cat", ""))
        .table(&shell("say", "printf 12345", ""))
        .table(&shell("sleep", "echo up; sleep 0.5", ""));
    let daemon = builder.start();
    let mut client = Client::connect(daemon.tcp("cat"));
    client.echo(&[b'x'; 777]);
    client.half_close();
    assert_eq!(client.rest(), b"");
    daemon.expect(&["EXIT: cat", " in=777 out=777 "]);
    assert_eq!(Client::connect(daemon.tcp("say")).rest(), b"12345");
    daemon.expect(&["EXIT: say", " in=0 out=5 "]);
    let end = daemon.log_end();
    let mut client = Client::connect(daemon.tcp("sleep"));
    client.send(&[b'x'; 99]);
    assert_eq!(client.line(), "up\n");
    reset(client.0);
    daemon.expect_from(end, &["EXIT: sleep", " in=99 out=3 "]);
    let end = daemon.log_end();
    drop(Client::connect(daemon.tcp("sleep")));
    daemon.expect_from(end, &["EXIT: sleep", " in=0 out="]);
}

#[test]
fn stderr_goes_where_it_is_told() {
    let builder = Builder::new();
    let script = "echo out; echo err >&2; echo opened >/dev/stderr; printf open >&2";
    let directory = builder.path().join("spool");
    std::fs::create_dir(&directory).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&directory, mode).unwrap();
    let link = directory.join("link-127.0.0.1");
    std::os::unix::fs::symlink(directory.join("target"), &link).unwrap();
    let file = |name: &str| {
        format!(
            "stderr = \"file:{}/{name}-%{{remote_addr}}\"",
            directory.display()
        )
    };
    let plain = "echo out; echo err >&2";
    let daemon = builder
        .table(&shell("log", script, ""))
        .table(&shell("each", script, "stderr = \"log-each\""))
        .table(&shell("client", plain, "stderr = \"client\""))
        .table(&shell("null", plain, "stderr = \"null\""))
        .table(&shell("inherit", plain, "stderr = \"inherit\""))
        .table(&shell("file", plain, &file("file")))
        .table(&shell("link", plain, &file("link")))
        .trouble("stderr")
        .start();
    for (service, answer) in [
        ("log", "out\n"),
        ("each", "out\n"),
        ("client", "out\nerr\n"),
        ("null", "out\n"),
        ("inherit", "out\n"),
        ("file", "out\n"),
        ("link", ""),
    ] {
        let answered = Client::connect(daemon.tcp(service)).rest();
        assert_eq!(String::from_utf8_lossy(&answered), answer, "{service}");
    }
    for line in ["log: err", "log: opened", "log: open"] {
        daemon.expect(&[line]);
    }
    let exit = daemon.expect(&["EXIT: each"]);
    let (_, id) = exit.rsplit_once("id=").unwrap();
    for line in ["err", "opened", "open"] {
        daemon.expect(&[&format!("each[{id}]: {line}")]);
    }
    daemon.expect(&["ERROR: link", "ELOOP"]);
    assert!(!Path::new(&directory.join("target")).exists());
    let written = std::fs::read_to_string(directory.join("file-127.0.0.1")).unwrap();
    assert_eq!(written, "err\n");
    assert_eq!(daemon.count(&["null: "]), 0);
    let lines = daemon.lines();
    let at = |words: &str| lines.iter().position(|line| line.contains(words)).unwrap();
    assert!(at("log: open") < at("EXIT: log"), "last words come first");
}

#[test]
fn grandchild_that_holds_the_pipe_is_forgotten_after_a_second() {
    let daemon = one(
        "(sleep 0.3; echo soon >&2; sleep 2; echo late >&2) <&- >&- & exit 0",
        "stderr = \"log-each\"",
    );
    let pipes = || daemon.process().fd_kinds().get("pipe").copied();
    let before = pipes();
    assert_eq!(Client::connect(daemon.tcp("x")).rest(), b"");
    daemon.expect(&["]: soon"]);
    until("the pipe is closed", PATIENCE, || pipes() == before);
    daemon.quiet();
    assert_eq!(daemon.count(&["late"]), 0);
}

#[test]
fn flood_of_stderr_costs_its_writer_only() {
    let _alone = alone();
    // It floods until its client speaks, so that nothing here depends on the speed of the machine.
    let flood = "yes >&2 & read line; kill $!; wait; echo done";
    for keys in ["", "stderr = \"log-each\""] {
        let daemon = Builder::new()
            .table(&shell("flood", flood, keys))
            .table(&shell("calm", "echo calm", ""))
            .trouble("left out")
            .start();
        let process = daemon.process();
        let mut client = Client::connect(daemon.tcp("flood"));
        daemon.expect(&["left out"]);
        let memory = process.number("RssAnon");
        let (cpu, start) = (process.cpu(), Instant::now());
        for _ in 0..50 {
            assert_eq!(Client::connect(daemon.tcp("calm")).rest(), b"calm\n");
            std::thread::sleep(Duration::from_millis(20));
        }
        let used = process.cpu().saturating_sub(cpu);
        let elapsed = start.elapsed();
        assert!(used < elapsed * 3 / 4, "{used:?} of {elapsed:?}");
        assert!(process.number("RssAnon") < memory + 1024);
        let told = daemon.count(&["flood"]);
        client.send(b"enough\n");
        assert_eq!(client.rest(), b"done\n", "slowed, not killed");
        // From its start on: a second more than was measured, and one that has begun.
        let most = 60 * (elapsed.as_secs() + 3);
        assert!(told as u64 <= most, "{told} lines, {most} at most");
    }
}
