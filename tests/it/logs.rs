//! Log lines: where they go, what they look like, and that no sink can stop the service.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;

use crate::harness::{Builder, Daemon, PATIENCE, lacks, lacks_root, talk, talk_unix, until};

const ECHO: &str = "[service.echo]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"";

/// Echo on a unix socket in the test's directory: its address is known without a log.
fn on_path(builder: Builder, keys: &str) -> (Builder, PathBuf) {
    let path = builder.path().join("echo");
    let table = format!(
        "[service.echo]\nlisten = \"{}\"\nbuiltin = \"echo\"\n{keys}",
        path.display()
    );
    (builder.table(&table), path)
}

fn serve(path: &Path, count: usize) {
    for number in 0..count {
        let word = format!("served {number}");
        assert_eq!(talk_unix(path, word.as_bytes()), word);
    }
}

#[test]
fn stuck_standard_error_stops_nobody_and_the_loss_is_told() {
    let (builder, path) = on_path(Builder::new(), "");
    let fifo = builder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, Mode::from_bits_truncate(0o600)).unwrap();
    let reader = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&fifo)
        .unwrap();
    let redirect = format!("exec \"$@\" 2>{}", fifo.display());
    let daemon = builder.through(&["sh", "-c", &redirect, "sh"]).start();
    // A line of START and one of EXIT are some 150 bytes: the pipe and 256 KiB of patience are full before the end.
    serve(&path, 3000);
    let resident = daemon.process().number("VmRSS");
    assert!(resident < 32 * 1024, "VmRSS {resident} KiB");
    let (told, hear) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(reader).lines();
        while let Some(Ok(line)) = lines.next() {
            if line.contains("LOST:") {
                let _ = told.send(line);
            }
        }
    });
    let mut lost = None;
    until("LOST, once the pipe is read again", PATIENCE, || {
        serve(&path, 1);
        lost = hear.try_recv().ok();
        lost.is_some()
    });
    let lost = lost.unwrap();
    let count: u64 = lost.rsplit_once("lines=").unwrap().1.parse().unwrap();
    assert!(count > 0, "{lost}");
}

#[test]
fn full_disk_stops_nobody() {
    let (builder, path) = on_path(Builder::new().daemon("log_to = \"file:/dev/full\""), "");
    let daemon = builder.trouble("/dev/full").start();
    serve(&path, 300);
    drop(daemon);
}

#[test]
fn missing_log_directory_stops_nobody() {
    let (builder, path) = on_path(
        Builder::new().daemon("log_to = \"file:/nonexistent/log\""),
        "",
    );
    let daemon = builder.trouble("/nonexistent/log").start();
    serve(&path, 20);
    drop(daemon);
}

#[test]
fn file_is_written_and_reopened_at_hup() {
    let builder = Builder::new();
    let file = builder.path().join("log");
    let keys = format!("log_to = \"file:{}\"", file.display());
    let (builder, path) = on_path(builder.daemon(&keys), "");
    let daemon = builder.start();
    serve(&path, 1);
    let holds =
        |file: &Path, word: &str| fs::read_to_string(file).is_ok_and(|text| text.contains(word));
    until("EXIT in the file", PATIENCE, || holds(&file, "EXIT: echo"));
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("LISTEN: echo unix "), "{text}");
    for line in text.lines() {
        assert!(
            line.starts_with("20"),
            "a line in a file has its time: {line}"
        );
    }
    let old = daemon.path().join("log.1");
    fs::rename(&file, &old).unwrap();
    daemon.signal(Signal::SIGHUP);
    until("the new file", PATIENCE, || holds(&file, "RELOAD:"));
    let length = fs::metadata(&old).unwrap().len();
    serve(&path, 1);
    until("EXIT in the new file", PATIENCE, || {
        holds(&file, "EXIT: echo")
    });
    assert_eq!(
        fs::metadata(&old).unwrap().len(),
        length,
        "the old one rests"
    );
}

#[test]
fn nothing_that_a_program_writes_forges_a_line() {
    let builder = Builder::new();
    let script = builder.file(
        "evil",
        "#!/bin/sh\nprintf 'one\\n<30>fake: START: echo pid=1\\r\\033[31mred\\000nul\\177\\302\\205\\342\\200\\250\\342\\200\\256\\377 end\\n' >&2\nprintf 'no newline' >&2\n",
    );
    let daemon = builder
        .table(&format!(
            "[service.evil]\nlisten = \"127.0.0.1:0\"\ncommand = \"{script}\""
        ))
        .start();
    talk(daemon.tcp("evil"), b"");
    daemon.expect(&["evil: ", "one"]);
    daemon.expect(&["evil: ", "fake: START: echo"]);
    daemon.expect(&["evil: ", "no newline"]);
    for line in daemon.lines() {
        let raw = |c: char| {
            c.is_control()
                || matches!(
                    c,
                    '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{fffd}'
                )
        };
        assert!(!line.contains(raw), "{line:?}");
        let forged = line.contains("fake") && !line.contains("evil: ");
        assert!(!forged, "{line}");
    }
}

#[test]
fn long_lines_and_floods_of_a_program_are_bounded() {
    let daemon = Builder::new()
        .table("[service.loud]\nlisten = \"127.0.0.1:0\"\ncommand = ['/bin/sh', '-c', 'head -c 100000 /dev/zero | tr \"\\000\" x >&2; echo >&2; echo done']")
        .start();
    assert_eq!(talk(daemon.tcp("loud"), b""), "done\n");
    daemon.expect(&["EXIT: loud", "status=0"]);
    let longest = daemon.lines().iter().map(String::len).max().unwrap();
    assert!(longest <= 1200, "a line of {longest} bytes");
}

#[test]
fn megabytes_of_standard_error_hold_up_their_own_program_alone() {
    let _alone = crate::harness::alone();
    let daemon = Builder::new()
        .table(ECHO)
        .table("[service.loud]\nlisten = \"127.0.0.1:0\"\ncommand = ['/bin/sh', '-c', 'yes 0123456789012345678901234567890123456789 | head -c 5000000 >&2; echo done']")
        .trouble("LOST")
        .start();
    let before = daemon.process().number("VmRSS");
    let loud = daemon.tcp("loud");
    std::thread::scope(|scope| {
        let answer = scope.spawn(move || talk(loud, b""));
        for _ in 0..50 {
            assert_eq!(talk(daemon.tcp("echo"), b"others"), "others");
        }
        assert_eq!(answer.join().unwrap(), "done\n");
    });
    let after = daemon.process().number("VmRSS");
    assert!(
        after <= before + 1024,
        "VmRSS grew from {before} to {after} KiB"
    );
}

#[test]
fn json_lines_parse_and_carry_the_fields() {
    let daemon = Builder::new()
        .daemon("log_format = \"json\"")
        .table("[service.x]\nlisten = \"[::1]:0\"\ncommand = ['/bin/sh', '-c', 'printf \"a \\\"b\\\" \\033\\n\" >&2; exit 4']")
        .start();
    let listen = daemon.expect(&["\"event\":\"listen\""]);
    let listen: serde_json::Value = serde_json::from_str(&listen).unwrap();
    let address = listen["address"].as_str().unwrap();
    talk(address.trim_start_matches("tcp ").parse().unwrap(), b"");
    let start = daemon.expect(&["\"event\":\"start\""]);
    let exit = daemon.expect(&["\"event\":\"exit\""]);
    daemon.expect(&["\"event\":\"output\""]);
    for line in daemon.lines() {
        let object: serde_json::Value = serde_json::from_str(&line).expect(&line);
        assert!(
            object["time"].is_string() && object["level"].is_string(),
            "{line}"
        );
    }
    let start: serde_json::Value = serde_json::from_str(&start).unwrap();
    let exit: serde_json::Value = serde_json::from_str(&exit).unwrap();
    assert_eq!(start["service"], "x");
    assert_eq!(start["from"], "::1");
    assert_eq!(exit["status"], 4);
    assert_eq!(exit["id"], start["id"]);
    assert_eq!(exit["pid"], start["pid"]);
}

/// Two connections to a service with these keys; gives how many START and EXIT lines there were.
fn told(daemon_keys: &str, keys: &str) -> (usize, usize) {
    let (builder, path) = on_path(Builder::new().daemon(daemon_keys), keys);
    let daemon: Daemon = builder.start();
    serve(&path, 2);
    daemon.quiet();
    let end = daemon.log_end();
    daemon.signal(Signal::SIGHUP);
    if daemon_keys.is_empty() {
        daemon.expect_from(end, &["RELOAD:"]);
    }
    (daemon.count(&["START: "]), daemon.count(&["EXIT: "]))
}

#[test]
fn log_selects_events_and_log_level_importance() {
    assert_eq!(told("", ""), (2, 2));
    assert_eq!(told("", "log = [\"start\"]"), (2, 0));
    assert_eq!(told("", "log = [\"exit\", \"refuse\"]"), (0, 2));
    assert_eq!(told("", "log = []"), (0, 0));
    assert_eq!(told("log_level = \"warning\"", ""), (0, 0));
}

/// A private /dev whose `log` leads into the test's directory; the words exec the rest.
fn private_dev(builder: &Builder) -> String {
    let here = builder.path().display();
    format!(
        "set -e; mkdir {here}/dev; mount -t tmpfs dev {here}/dev; \
         for f in null zero full random urandom tty; do touch {here}/dev/$f; mount --bind /dev/$f {here}/dev/$f; done; \
         ln -s {here}/syslog {here}/dev/log; mount --rbind {here}/dev /dev; exec \"$@\""
    )
}

#[test]
fn syslog_gets_the_lines() {
    if lacks_root() || lacks(&["unshare", "mount"]) {
        return;
    }
    let (builder, path) = on_path(
        Builder::new().daemon("log_to = \"syslog\"\nsyslog_facility = \"local3\""),
        "",
    );
    let syslog = UnixDatagram::bind(builder.path().join("syslog")).unwrap();
    syslog.set_read_timeout(Some(PATIENCE)).unwrap();
    let script = private_dev(&builder);
    let daemon = builder
        .through(&["unshare", "--mount", "sh", "-c", &script, "sh"])
        .start();
    serve(&path, 1);
    let mut seen = String::new();
    while !seen.contains("EXIT: echo") {
        let mut buffer = [0; 4096];
        let length = syslog.recv(&mut buffer).expect("lines come");
        let line = String::from_utf8_lossy(&buffer[..length]).into_owned();
        // local3 is facility 19; information is severity 6, a warning 4.
        assert!(
            line.starts_with("<158>") || line.starts_with("<156>"),
            "{line}"
        );
        assert!(line.contains("oxinetd"), "{line}");
        seen.push_str(&line);
        seen.push('\n');
    }
    assert!(
        seen.contains("LISTEN: echo") && seen.contains("START: echo"),
        "{seen}"
    );
    drop(daemon);
}

#[test]
fn stuck_or_missing_syslog_stops_nobody() {
    if lacks_root() || lacks(&["unshare", "mount"]) {
        return;
    }
    for bound in [true, false] {
        let (builder, path) = on_path(Builder::new().daemon("log_to = \"syslog\""), "");
        let unread = bound.then(|| UnixDatagram::bind(builder.path().join("syslog")).unwrap());
        let script = private_dev(&builder);
        let mut daemon = builder
            .through(&["unshare", "--mount", "sh", "-c", &script, "sh"])
            .trouble("syslog")
            .trouble("/dev/log")
            .start();
        serve(&path, 1000);
        // It comes back: a reader from now on gets later lines.
        drop(unread);
        let _ = fs::remove_file(daemon.path().join("syslog"));
        let reader = UnixDatagram::bind(daemon.path().join("syslog")).unwrap();
        reader
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        until("a line after the return", PATIENCE, || {
            serve(&path, 1);
            reader.recv(&mut [0; 4096]).is_ok()
        });
        // Connected now, and with a way round through standard error: not the descriptors of the start.
        daemon.rebase();
        drop(daemon);
    }
}

#[test]
fn log_file_is_private() {
    let builder = Builder::new();
    let file = builder.path().join("log");
    let keys = format!("log_to = \"file:{}\"", file.display());
    let (builder, path) = on_path(builder.daemon(&keys), "");
    let _daemon = builder.start();
    serve(&path, 1);
    until("the file", PATIENCE, || file.exists());
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &File::open(&file).unwrap().metadata().unwrap().permissions(),
    );
    assert_eq!(mode & 0o027, 0, "{mode:o}: not for everybody");
}
