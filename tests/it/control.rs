//! The control socket: who may come, what it answers, and clients that mean it no good.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::{
    Builder, Client, Daemon, OXINETD, PATIENCE, lacks, lacks_root, oxinetd, probe, read_all, run,
    talk, text, until,
};

const ECHO: &str = "[service.echo]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\n";

fn start() -> Daemon {
    Builder::new().controlled().table(ECHO).start()
}

fn connect(daemon: &Daemon) -> UnixStream {
    let stream = UnixStream::connect(daemon.path().join("control")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What the daemon answers to these bytes.
fn answer(daemon: &Daemon, bytes: &[u8]) -> String {
    let mut stream = connect(daemon);
    // It may have been answered and closed before the last of them.
    let _ = stream.write_all(bytes);
    String::from_utf8(read_all(&mut stream)).unwrap()
}

fn serves(daemon: &Daemon) {
    let output = daemon.ask(&["status", "-q"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

#[test]
fn nonsense_is_answered_by_one_line() {
    let daemon = start();
    let long = vec![b'x'; 65_536];
    let cases: [&[u8]; 16] = [
        b"\n",
        b" \t \n",
        b"STATUS\n",
        b"frobnicate\n",
        b"status a b\n",
        b"pause\n",
        b"pause ../../x\n",
        b"pause nobody\n",
        b"kill\n",
        b"kill 12\n",
        b"unban nowhere\n",
        b"log-level loud\n",
        b"reload now\n",
        b"st\0atus\n",
        b"\xff\xfe\n",
        &long,
    ];
    for bytes in cases {
        let answer = answer(&daemon, bytes);
        assert!(answer.starts_with("{\"error\":\""), "{bytes:?}: {answer}");
        assert_eq!(answer.matches('\n').count(), 1, "{answer}");
    }
    serves(&daemon);
    assert_eq!(talk(daemon.tcp("echo"), b"too"), "too");
}

#[test]
fn first_of_many_requests_is_answered_once() {
    let daemon = start();
    let answer = answer(&daemon, "log-level info\n".repeat(10_000).as_bytes());
    assert_eq!(answer, "{\"done\":\"changed until the next reload\"}\n");
    serves(&daemon);
}

#[test]
fn who_waits_for_a_reload_can_ask_for_nothing_more() {
    let daemon = start();
    let mut stream = connect(&daemon);
    stream.write_all(b"reload\n").unwrap();
    for _ in 0..100 {
        if stream.write_all(&b"reload\n".repeat(100)).is_err() {
            break;
        }
    }
    let answer = String::from_utf8(read_all(&mut stream)).unwrap();
    assert!(
        answer.is_empty() || answer.starts_with("{\"reloaded\":"),
        "{answer}"
    );
    serves(&daemon);
    assert_eq!(daemon.count(&["RELOAD:"]), 1);
}

#[test]
fn who_goes_early_or_ends_his_direction_does_no_harm() {
    let daemon = start();
    for bytes in [&b""[..], b"sta", b"status", b"status\n", b"reload\n"] {
        let mut stream = connect(&daemon);
        stream.write_all(bytes).unwrap();
    }
    let mut stream = connect(&daemon);
    stream.write_all(b"status\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(read_all(&mut stream).starts_with(b"{\"status\":"));
    serves(&daemon);
}

#[test]
fn who_says_half_a_word_is_closed_at_the_deadline() {
    let daemon = start();
    let mut stream = connect(&daemon);
    stream.write_all(b"stat").unwrap();
    let mut byte = [0];
    assert_eq!(stream.read(&mut byte).unwrap(), 0);
    serves(&daemon);
}

#[test]
fn thousand_idle_clients_do_not_keep_root_out() {
    let daemon = start();
    let before = daemon.process().fds().len();
    let mut idle = Vec::new();
    for _ in 0..1000 {
        let mut stream = connect(&daemon);
        // The daemon makes room: earlier ones are closed, which is nobody's trouble.
        let _ = stream.write_all(b"s");
        idle.push(stream);
        if idle.len() % 100 == 0 {
            serves(&daemon);
        }
    }
    let names = text(&daemon.ask(&["status"]));
    assert!(names.contains("* echo"), "{names}");
    assert!(
        daemon.process().fds().len() <= before + 40,
        "a few at a time"
    );
    drop(idle);
    daemon.quiet();
}

#[test]
fn noise_does_no_harm() {
    let daemon = start();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..64 {
        let noise: Vec<u8> = (0..16_384)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            })
            .collect();
        let said = answer(&daemon, &noise);
        assert!(said.is_empty() || said.starts_with("{\"error\":"), "{said}");
    }
    serves(&daemon);
}

#[test]
fn mode_is_right_whenever_the_socket_is_there() {
    let builder = Builder::new().controlled();
    let daemon = builder.table(ECHO).start();
    let [one, other] = ["control", "other"].map(|name| daemon.path().join(name));
    let file = daemon.path().join("oxinetd.toml");
    let first = fs::read_to_string(&file).unwrap();
    let second = first.replace(one.to_str().unwrap(), other.to_str().unwrap());
    let done = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let looker = scope.spawn(|| {
            let mut seen = 0;
            while !done.load(Ordering::Relaxed) {
                for entry in fs::read_dir(daemon.path()).unwrap().flatten() {
                    let Ok(meta) = fs::symlink_metadata(entry.path()) else {
                        continue;
                    };
                    if meta.file_type().is_socket() {
                        seen += 1;
                        assert_eq!(meta.mode() & 0o7777, 0o660, "{entry:?}");
                    }
                }
            }
            seen
        });
        for turn in 0..30 {
            let (table, path) = if turn % 2 == 0 {
                (&second, &one)
            } else {
                (&first, &other)
            };
            daemon.rewrite(table);
            let output = oxinetd(&["reload", "--control", path.to_str().unwrap()]);
            assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        }
        done.store(true, Ordering::Relaxed);
        looker.join().unwrap()
    });
    assert!(seen > 100, "{seen} looks");
}

/// A command as another user, with this group.
fn as_user(daemon: &Daemon, gid: u32, words: &[&str]) -> Output {
    let own = daemon.path().join("oxinetd");
    if !own.exists() {
        fs::copy(OXINETD, &own).unwrap();
        fs::set_permissions(&own, Permissions::from_mode(0o755)).unwrap();
    }
    let group = format!("--regid={gid}");
    run(Command::new("setpriv")
        .args(["--reuid=65534", &group, "--clear-groups"])
        .arg(own)
        .args(words)
        .args(["--control", daemon.path().join("control").to_str().unwrap()]))
}

#[test]
fn rights_go_by_the_kernels_word_whatever_the_mode() {
    if lacks_root() || lacks(&["setpriv"]) {
        return;
    }
    let builder = Builder::new()
        .controlled()
        .daemon("control_group = \"4242\"");
    let daemon = builder.table(ECHO).start();
    let path = daemon.path().join("control");
    assert_eq!(fs::metadata(&path).unwrap().gid(), 4242);
    let said = |gid: u32, words: &[&str], code: i32| {
        let output = as_user(&daemon, gid, words);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{words:?}: {}",
            text(&output)
        );
        text(&output)
    };
    assert!(said(65534, &["status"], 1).contains("permission denied: ask as root"));
    assert!(said(4242, &["status"], 0).contains("* echo"));
    let denied = "permission denied: root and the daemon's own user may change things";
    for words in [
        &["pause", "echo"][..],
        &["reload"],
        &["kill", "--service", "echo"],
        &["log-level", "debug"],
        &["upgrade"],
    ] {
        assert!(said(4242, words, 1).contains(denied), "{words:?}");
    }
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    for words in [&["status"][..], &["pause", "echo"]] {
        assert!(said(65534, words, 1).contains(denied), "{words:?}");
    }
    assert_eq!(talk(daemon.tcp("echo"), b"not paused"), "not paused");
}

#[test]
fn group_of_the_socket_follows_the_table() {
    if lacks_root() {
        return;
    }
    let builder = Builder::new()
        .controlled()
        .daemon("control_group = \"4242\"");
    let daemon = builder.table(ECHO).start();
    let table = fs::read_to_string(daemon.path().join("oxinetd.toml")).unwrap();
    daemon.rewrite(&table.replace("4242", "4343"));
    assert_eq!(daemon.ask(&["reload"]).status.code(), Some(0));
    assert_eq!(
        fs::metadata(daemon.path().join("control")).unwrap().gid(),
        4343
    );
}

#[test]
fn services_are_paused_resumed_drained_and_killed() {
    let builder = Builder::new().controlled();
    let Some(probe) = probe(&builder) else { return };
    let table =
        format!("[service.x]\nlisten = \"127.0.0.1:0\"\ncommand = ['{probe}', 'patient']\n");
    let daemon = builder.table(&table).start();
    let says = |words: &[&str], code: i32, wanted: &str| {
        let output = daemon.ask(words);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{words:?}: {}",
            text(&output)
        );
        assert_eq!(text(&output), format!("{wanted}\n"), "{words:?}");
    };
    let open = || {
        let mut client = Client::connect(daemon.tcp("x"));
        assert!(client.line().ends_with('\n'));
        client
    };
    says(&["pause", "x"], 0, "x is paused until `oxinetd resume x`");
    let mut waiting = Client::connect(daemon.tcp("x"));
    let status = text(&daemon.ask(&["status"]));
    assert!(status.contains("paused, by command"), "{status}");
    assert!(waiting.is_silent());
    says(&["resume", "x"], 0, "x accepts again");
    assert!(waiting.line().ends_with('\n'));
    let line = daemon.expect(&["START: x"]);
    let id = line.rsplit_once("id=").unwrap().1;
    says(&["kill", id], 0, &format!("connection {id} is told to end"));
    assert_eq!(waiting.rest(), b"");
    daemon.expect(&["EXIT: x", "reason=killed", id]);
    says(
        &["kill", id],
        1,
        &format!("oxinetd: no live connection has the id {id}; `oxinetd status NAME` lists them"),
    );
    let mut clients = [open(), open()];
    says(
        &["kill", "--service", "x"],
        0,
        "of x, 2 connections are told to end",
    );
    for client in &mut clients {
        assert_eq!(client.rest(), b"");
    }
    let mut last = open();
    says(
        &["drain", "x"],
        0,
        "x accepts no more, 1 connection is told to end",
    );
    assert_eq!(last.rest(), b"");
    daemon.expect(&["EXIT: x", "reason=drained"]);
    let status = text(&daemon.ask(&["status"]));
    assert!(status.contains("draining"), "{status}");
    says(&["resume", "x"], 0, "x accepts again");
    let mut again = open();
    says(
        &["kill", "--service", "x"],
        0,
        "of x, 1 connection is told to end",
    );
    assert_eq!(again.rest(), b"");
    let unknown = "oxinetd: no service is called y; `oxinetd status` lists them";
    for verb in ["pause", "resume", "drain"] {
        says(&[verb, "y"], 1, unknown);
    }
    says(&["kill", "--service", "y"], 1, unknown);
    says(
        &["unban", "192.0.2.7"],
        1,
        "oxinetd: 192.0.2.7 is not banned",
    );
    says(&["log-level", "debug"], 0, "changed until the next reload");
}

#[test]
fn client_that_never_reads_is_dropped() {
    let mut table = ECHO.to_owned();
    for number in 0..1500 {
        let _ = write!(
            table,
            "[service.s{number}]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\nenabled = false\n"
        );
    }
    let daemon = Builder::new().controlled().table(&table).start();
    let mut deaf: Vec<_> = (0..8).map(|_| connect(&daemon)).collect();
    for stream in &mut deaf {
        stream.write_all(b"status\n").unwrap();
    }
    serves(&daemon);
    // Its answer is larger than the kernel's buffers, so the end comes before all of it has.
    daemon.quiet();
    for stream in &mut deaf {
        let mut bytes = Vec::new();
        match stream.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        assert!(!bytes.ends_with(b"}\n"), "it was not waited for");
    }
    until("it serves", PATIENCE, || {
        daemon.ask(&["status", "-q"]).status.success()
    });
}

#[test]
fn words_of_the_init_system_are_answered_with_its_line() {
    for word in ["start", "stop", "restart", "enable", "disable"] {
        let output = oxinetd(&[word]);
        assert_eq!(output.status.code(), Some(64), "{}", text(&output));
        let begin = format!("oxinetd: `{word}` is the init system's word: ");
        assert!(text(&output).starts_with(&begin), "{}", text(&output));
        assert_eq!(text(&output).lines().count(), 1);
    }
    let output = text(&oxinetd(&["stop", "echo"]));
    assert!(
        output.contains("oxinetd pause echo, or oxinetd drain echo"),
        "{output}"
    );
    let help = text(&oxinetd(&["--help"]));
    assert!(!help.contains("init system"), "{help}");
}
