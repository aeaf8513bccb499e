//! The main job: a table in, served and reaped connections out.

use std::collections::HashSet;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::{
    Builder, Client, OXINETD, PATIENCE, in_own_network, lacks, lacks_root, oxinetd, probe, root,
    talk, text, until,
};

const ECHO: &str = "[service.echo]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"";

#[test]
fn embedded_table_serves_echo_on_localhost_7007() {
    if lacks_root() || lacks(&["ip", "nc"]) {
        return;
    }
    in_own_network(|| {
        assert!(
            !std::path::Path::new("/etc/oxinetd.toml").exists(),
            "this host has a table: the embedded one would not be used"
        );
        let mut daemon = Builder::new().arguments(&["run"]).start();
        let first = daemon.lines().first().cloned().unwrap_or_default();
        assert!(first.contains("embedded"), "the first line: {first}");
        daemon.expect(&["LISTEN: echo", "127.0.0.1:7007"]);
        let nc = "printf 'hello\\n' | nc -N -w 5 localhost 7007";
        let answer = Command::new("sh").args(["-c", nc]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&answer.stdout), "hello\n");
        assert_eq!(talk("127.0.0.1:7007".parse().unwrap(), b"again"), "again");
        daemon.quiet();
        assert_eq!(daemon.stop().code(), Some(0));
    });
}

#[test]
fn hundred_clients_have_a_process_each_and_an_idle_one_hurts_nobody() {
    let daemon = Builder::new().table(ECHO).start();
    let mut idle = Client::connect(daemon.tcp("echo"));
    let mut clients: Vec<_> = (0..100)
        .map(|_| Client::connect(daemon.tcp("echo")))
        .collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.echo(format!("client {number}").as_bytes());
    }
    let children = daemon.process().children();
    assert_eq!(children.len(), 101, "a process for each connection");
    assert!(children.iter().all(|child| child.threads() == 1));
    for client in clients.iter_mut().rev() {
        client.echo(b"again");
    }
    assert!(idle.is_silent());
    drop(clients);
    until("the end of the hundred", PATIENCE, || {
        daemon.process().children().len() == 1
    });
    idle.echo(b"still here");
}

#[test]
fn builtin_child_has_dropped_its_privileges() {
    if lacks_root() {
        return;
    }
    let daemon = Builder::new().table(ECHO).start();
    let mut client = Client::connect(daemon.tcp("echo"));
    client.echo(b"x");
    let child = daemon.process().children()[0];
    let status = child.file("status");
    for (field, value) in [
        ("Uid", "65534\t65534\t65534\t65534"),
        ("CapPrm", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("NoNewPrivs", "1"),
    ] {
        assert!(
            status.contains(&format!("{field}:\t{value}\n")),
            "{field}: {status}"
        );
    }
    let open = child.fds();
    let sockets = open.values().filter(|t| t.starts_with("socket:"));
    let distinct: HashSet<_> = sockets.collect();
    assert_eq!(distinct.len(), 1, "only its connection: {open:?}");
}

#[test]
fn connection_is_told_from_start_to_exit() {
    let table = "[service.words]\nlisten = \"127.0.0.1:0\"\ncommand = ['/bin/sh', '-c', 'read a; echo got $a; exit 3']";
    let daemon = Builder::new().table(table).start();
    let mut client = Client::connect(daemon.tcp("words"));
    let port = client.0.local_addr().unwrap().port();
    client.send(b"this\n");
    assert_eq!(client.rest(), b"got this\n");
    let port = format!("port={port}");
    let start = daemon.expect(&["START: words pid=", "from=127.0.0.1", &port, " id="]);
    let id = start.rsplit_once(" id=").unwrap().1;
    let pid = start.split_once("pid=").unwrap().1.split(' ').next();
    let id = format!("id={id}");
    let pid = format!("pid={}", pid.unwrap());
    daemon.expect(&["EXIT: words", "status=3", &pid, "duration=", "cpu=", &id]);
}

#[test]
fn exit_line_tells_every_end() {
    let builder = Builder::new();
    let Some(probe) = probe(&builder) else { return };
    let ends = [
        ("exit", "0", "status=0"),
        ("exit", "1", "status=1"),
        ("exit", "255", "status=255"),
        ("raise", "9", "signal=9"),
        ("raise", "11", "signal=11"),
        ("raise", "15", "signal=15"),
    ];
    let mut builder = builder;
    for (index, (what, value, _)) in ends.iter().enumerate() {
        builder = builder.table(&format!(
            "[service.end{index}]\nlisten = \"127.0.0.1:0\"\ncommand = ['{probe}', '{what}', '{value}']\nlimits = {{ core = \"0\" }}"
        ));
    }
    let daemon = builder.start();
    for (index, (_, _, word)) in ends.iter().enumerate() {
        let service = format!("end{index}");
        talk(daemon.tcp(&service), b"");
        let line = daemon.expect(&[&format!("EXIT: {service} ")]);
        let signal_name = word.starts_with("signal=") && line.contains("signal=SIG");
        assert!(line.contains(word) || signal_name, "{word}: {line}");
    }
}

#[test]
fn orphans_are_reaped_by_pid_1() {
    if lacks_root() || lacks(&["unshare"]) {
        return;
    }
    // Below unshare --fork the daemon is process 1 of a namespace: grandchildren that lost their parent become its own.
    let table = "[service.orphan]\nlisten = \"127.0.0.1:0\"\ncommand = ['/bin/sh', '-c', '(sleep 0.2 </dev/null >/dev/null 2>&1 &) ; echo done']";
    let builder = Builder::new().table(table);
    let config = builder.write();
    let config = config.to_str().unwrap();
    let unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let mut words = unshare.to_vec();
    words.extend([OXINETD, "run", "--config", config]);
    let log = std::fs::File::create(builder.path().join("log")).unwrap();
    let mut parent = Command::new(words[0])
        .args(&words[1..])
        .stdin(std::process::Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let read = || std::fs::read_to_string(builder.path().join("log")).unwrap();
    until("LISTEN", PATIENCE, || {
        read().contains("LISTEN: orphan tcp ")
    });
    let lines = read();
    let address = lines.split_once("LISTEN: orphan tcp ").unwrap().1;
    let address = address.lines().next().unwrap().parse().unwrap();
    for _ in 0..20 {
        assert_eq!(talk(address, b""), "done\n");
    }
    let daemon = crate::harness::Process(parent.id().cast_signed()).children()[0];
    until("no orphan and no zombie", PATIENCE, || {
        daemon.children().is_empty()
    });
    daemon.signal(Signal::SIGTERM);
    assert!(parent.wait().unwrap().success(), "{}", read());
}

#[test]
fn daemon_is_hardened() {
    let daemon = Builder::new().table(ECHO).start();
    let process = daemon.process();
    assert_eq!(process.threads(), 1);
    let own = |name: &str| std::fs::read_link(format!("/proc/{}/{name}", process.0));
    if root() {
        assert_eq!(own("cwd").unwrap().to_str(), Some("/"));
        // The kernel gives the /proc files of a process that is not dumpable to root.
        let asked = std::process::Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .args(["ls", &format!("/proc/{}/fd", process.0)])
            .output()
            .unwrap();
        assert!(!asked.status.success(), "{}", text(&asked));
    }
    let status = process.file("status");
    let umask = status.lines().find(|line| line.starts_with("Umask:"));
    assert_eq!(umask, Some("Umask:\t0077"));
}

#[test]
fn closed_connections_leave_the_daemon_as_it_was() {
    let daemon = Builder::new().table(ECHO).start();
    for round in 0..50 {
        let word = format!("round {round}");
        assert_eq!(talk(daemon.tcp("echo"), word.as_bytes()), word);
    }
    daemon.quiet();
    until("50 ends told", Duration::from_secs(5), || {
        daemon.count(&["EXIT: echo"]) == 50
    });
    assert_eq!(daemon.count(&["START: echo"]), 50);
}

#[test]
fn no_command_prints_help_and_usage_errors_end_in_64() {
    let help = oxinetd(&[]);
    assert!(text(&help).contains("Usage"), "{}", text(&help));
    for words in [
        &["rnu"][..],
        &["run", "--nope"],
        &["serve"],
        &["check", "--format", "x"],
    ] {
        let output = oxinetd(words);
        assert_eq!(
            output.status.code(),
            Some(64),
            "{words:?}: {}",
            text(&output)
        );
    }
}
