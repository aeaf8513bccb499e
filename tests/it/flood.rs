//! Hostile peers and hostile programs: each costs itself its connection and nobody else anything.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use nix::sys::signal::Signal;

use crate::harness::{
    Builder, Client, Daemon, PATIENCE, Process, alone, connect_from, probe, reset, talk, talk_unix,
    until,
};

const ECHO: &str = "[service.echo]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"";

fn start() -> Daemon {
    let builder = Builder::new();
    let path = builder.path().display().to_string();
    builder
        .table(&format!(
            "[service.echo]\nlisten = [\"127.0.0.1:0\", \"{path}/s\"]\nbuiltin = \"echo\"\nmax_connections = 2000"
        ))
        // cat complains of each connection that was reset.
        .trouble("of its output")
        .table("[service.cat]\nlisten = \"127.0.0.1:0\"\ncommand = \"/bin/cat\"\nmax_connections = 2000")
        .start()
}

fn assert_serves(daemon: &Daemon) {
    assert_eq!(talk(daemon.tcp("echo"), b"innocent"), "innocent");
    assert_eq!(talk(daemon.tcp("cat"), b"innocent"), "innocent");
    assert_eq!(talk_unix(daemon.path().join("s"), b"innocent"), "innocent");
}

/// One manner of misbehaving on a TCP connection, from connect to close.
type Manner = (&'static str, fn(SocketAddr));

#[test]
fn misbehaving_tcp_peers_hurt_nobody() {
    let manners: &[Manner] = &[
        ("connect and RST", |to| {
            reset(TcpStream::connect(to).unwrap());
        }),
        ("connect and FIN", |to| {
            drop(TcpStream::connect(to).unwrap());
        }),
        ("half-close at once", |to| {
            let stream = TcpStream::connect(to).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        }),
        ("close the reading side", |to| {
            let mut stream = TcpStream::connect(to).unwrap();
            stream.shutdown(Shutdown::Read).unwrap();
            let _ = stream.write(b"answer me");
        }),
        ("send and RST", |to| {
            let mut stream = TcpStream::connect(to).unwrap();
            let _ = stream.write(&vec![b'x'; 50_000]);
            reset(stream);
        }),
        ("urgent data", |to| {
            let stream = TcpStream::connect(to).unwrap();
            let flags = nix::sys::socket::MsgFlags::MSG_OOB;
            let fd = std::os::fd::AsRawFd::as_raw_fd(&stream.as_fd());
            nix::sys::socket::send(fd, b"!", flags).unwrap();
        }),
        ("source port below 1024", |to| {
            if crate::harness::root() {
                drop(connect_from([127, 9, 9, 9].into(), to));
            }
        }),
        ("control bytes", |to| {
            let mut stream = TcpStream::connect(to).unwrap();
            let _ = stream.write(b"\0\n\x1b[2J%n%s%{id}\r\n");
        }),
    ];
    let daemon = start();
    for (name, manner) in manners {
        for service in ["echo", "cat"] {
            for _ in 0..20 {
                manner(daemon.tcp(service));
            }
        }
        assert_serves(&daemon);
        assert_eq!(daemon.process().threads(), 1, "{name}");
    }
}

#[test]
fn misbehaving_unix_peers_hurt_nobody() {
    let daemon = start();
    let path = daemon.path().join("s");
    let odd = daemon.path().join("odd\nSTART: echo\u{1b}[31m");
    for _ in 0..20 {
        drop(UnixStream::connect(&path).unwrap());
        let mut stream = UnixStream::connect(&path).unwrap();
        let _ = stream.write(&vec![0; 100_000]);
        drop(stream);
        // A client that is bound to a name with a newline in it.
        let fd = nix::sys::socket::socket(
            nix::sys::socket::AddressFamily::Unix,
            nix::sys::socket::SockType::Stream,
            nix::sys::socket::SockFlag::SOCK_CLOEXEC,
            None,
        )
        .unwrap();
        let raw = std::os::fd::AsRawFd::as_raw_fd(&fd);
        let name = nix::sys::socket::UnixAddr::new(&odd).unwrap();
        nix::sys::socket::bind(raw, &name).unwrap();
        let to = nix::sys::socket::UnixAddr::new(&path).unwrap();
        nix::sys::socket::connect(raw, &to).unwrap();
        drop(fd);
        std::fs::remove_file(&odd).unwrap();
    }
    let idle: Vec<_> = (0..300)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect();
    assert_serves(&daemon);
    drop(idle);
    daemon.quiet();
    for line in daemon.lines() {
        assert!(!line.contains("[31m"), "{line:?}");
    }
}

#[test]
fn thousand_silent_clients_cost_the_daemon_nothing() {
    let _alone = alone();
    let daemon = start();
    let silent: Vec<_> = (0..1000)
        .map(|_| TcpStream::connect(daemon.tcp("echo")).unwrap())
        .collect();
    until("a thousand children", PATIENCE, || {
        daemon.process().children().len() == 1000
    });
    let before = daemon.process().cpu();
    std::thread::sleep(std::time::Duration::from_secs(1));
    let spent = daemon.process().cpu().saturating_sub(before);
    assert!(spent.as_millis() < 100, "{spent:?} for silence");
    assert_serves(&daemon);
    drop(silent);
}

#[test]
fn storm_of_connects_from_one_source_leaves_others_served() {
    let _alone = alone();
    let daemon = start();
    let address = daemon.tcp("cat");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                for _ in 0..500 {
                    reset(connect_from([127, 6, 6, 6].into(), address));
                }
            });
        }
        for _ in 0..20 {
            assert_serves(&daemon);
        }
    });
    assert_serves(&daemon);
}

#[test]
fn clumsy_and_hostile_programs_hurt_nobody() {
    let scripts = [
        ("closes", "exec <&- >&- 2>&-; sleep 0.1"),
        ("ignores", "exit 0"),
        ("dies", "kill -9 $$"),
        ("aborts", "ulimit -c 0; kill -6 $$"),
        ("orphans", "(sleep 0.3 &) ; echo bye"),
        (
            "shuts",
            "exec /usr/bin/python3 -c 'import socket; s = socket.socket(fileno=0); s.shutdown(2)'",
        ),
        ("siblings", "kill -9 -1; kill -9 $PPID; echo lives"),
        (
            "peeks",
            "ls -l /proc/$PPID/fd /proc/$PPID/mem; cat /proc/$PPID/environ",
        ),
        (
            "renices",
            "renice -n -20 $PPID; kill -STOP $PPID; kill -HUP $PPID; echo tried",
        ),
        ("eats", "ulimit -v 50000; x=x; while :; do x=$x$x; done"),
        ("forges", "printf '\\n<30>fake: x\\033[2J\\n' >&2"),
    ];
    let mut builder = Builder::new().table(ECHO);
    // Each under a number of its own, so that `kill -1` meets only its own.
    for (index, (name, script)) in scripts.iter().enumerate() {
        let user = if crate::harness::root() {
            format!("user = \"{}\"\n", 64400 + index)
        } else if ["siblings", "renices"].contains(name) {
            continue;
        } else {
            String::new()
        };
        builder = builder.table(&format!(
            "[service.{name}]\nlisten = \"127.0.0.1:0\"\n{user}command = ['/bin/sh', '-c', '''{script}''']\nlimits = {{ core = \"0\" }}"
        ));
    }
    let daemon = builder.start();
    let mut bystander = Client::connect(daemon.tcp("echo"));
    for (name, _) in scripts {
        if daemon.addresses(name).is_empty() {
            continue;
        }
        for _ in 0..3 {
            let answer = talk(daemon.tcp(name), b"some input that nobody reads");
            assert!(!answer.contains("socket:"), "{name} saw: {answer}");
        }
        bystander.echo(name.as_bytes());
    }
}

#[test]
fn stopped_program_is_not_taken_for_dead() {
    let builder = Builder::new();
    let Some(probe) = probe(&builder) else { return };
    let daemon = builder
        .table(ECHO)
        .table(&format!(
            "[service.x]\nlisten = \"127.0.0.1:0\"\ncommand = ['{probe}', 'hold']"
        ))
        .start();
    let mut client = Client::connect(daemon.tcp("x"));
    let program = Process(client.line().trim().parse().unwrap());
    program.signal(Signal::SIGSTOP);
    until("it is stopped", PATIENCE, || program.state() == Some('T'));
    assert_eq!(talk(daemon.tcp("echo"), b"x"), "x");
    assert_eq!(daemon.count(&["EXIT: x"]), 0);
    program.signal(Signal::SIGCONT);
    until("it goes on", PATIENCE, || program.state() != Some('T'));
    assert_eq!(daemon.count(&["EXIT: x"]), 0);
    client.half_close();
    daemon.expect(&["EXIT: x", "status=0"]);
}

#[test]
fn nonblocking_flag_of_a_program_does_not_reach_the_daemon() {
    let builder = Builder::new();
    let Some(probe) = probe(&builder) else { return };
    let daemon = builder
        .table(ECHO)
        .table(&format!(
            "[service.x]\nlisten = \"127.0.0.1:0\"\ncommand = ['{probe}', 'nonblock']"
        ))
        .start();
    for _ in 0..20 {
        talk(daemon.tcp("x"), b"");
    }
    assert_eq!(talk(daemon.tcp("echo"), b"x"), "x");
}

#[test]
fn grandchild_that_keeps_standard_error_is_forgotten() {
    let builder = Builder::new();
    let Some(probe) = probe(&builder) else { return };
    let daemon = builder
        .table(&format!(
            "[service.x]\nlisten = \"127.0.0.1:0\"\ncommand = ['/bin/sh', '-c', '{probe} patient </dev/null & echo started >&2']"
        ))
        .start();
    let mut client = Client::connect(daemon.tcp("x"));
    // The grandchild holds the connection as its stdout, and stderr; it tells its pid.
    let grandchild = Process(client.line().trim().parse().unwrap());
    daemon.expect(&["EXIT: x", "status=0"]);
    daemon.quiet();
    grandchild.signal(Signal::SIGTERM);
    until("the grandchild's end", PATIENCE, || !grandchild.lives());
}
