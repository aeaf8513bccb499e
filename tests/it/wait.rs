//! `wait = true`: one program owns the socket until it exits, and whatever it does to it is put right afterwards.

use std::io::Read;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};

use nix::sys::signal::Signal;

use crate::harness::{Builder, Daemon, PATIENCE, lacks, oxinetd, text, until};

/// A service whose program is Python, with the socket as `s` on fd 0.
fn python(builder: &Builder, name: &str, keys: &str, body: &str) -> String {
    let file = builder.file(
        &format!("{name}.py"),
        &format!(
            "#!/usr/bin/env python3\nimport os, socket, sys, time, struct\n\
             s = socket.socket(fileno=0)\n{body}"
        ),
    );
    format!("[service.{name}]\nwait = true\ncommand = \"{file}\"\n{keys}")
}

fn address(daemon: &Daemon, service: &str) -> SocketAddr {
    let all = daemon.addresses(service);
    let (_, address) = all.first().expect("an address").split_once(' ').unwrap();
    address.parse().unwrap()
}

fn client(daemon: &Daemon, service: &str) -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(address(daemon, service)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

fn ask(client: &UdpSocket, request: &[u8]) -> String {
    client.send(request).unwrap();
    let mut buffer = [0; 2000];
    let length = client.recv(&mut buffer).expect("an answer");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

/// Answers one datagram with its own facts, then one after the other until it is told to end.
const ANSWER: &str = "while True:\n\
    \x20   data, peer = s.recvfrom(2000)\n\
    \x20   s.sendto(b'%s %d' % (data, os.getpid()), peer)\n\
    \x20   if data == b'end': sys.exit(0)\n";

#[test]
fn one_program_owns_a_udp_socket_until_it_exits() {
    if lacks(&["python3"]) {
        return;
    }
    let builder = Builder::new();
    let table = python(&builder, "answer", "listen = \"udp:127.0.0.1:0\"", ANSWER);
    let control = builder.path().join("control");
    let control = control.to_str().unwrap().to_owned();
    let config = builder.path().join("oxinetd.toml");
    let arguments = [
        "run",
        "--control",
        &control,
        "--config",
        config.to_str().unwrap(),
    ];
    let daemon = builder.table(&table).arguments(&arguments).start();
    let client = client(&daemon, "answer");
    let pid = ask(&client, b"one").split_once(' ').unwrap().1.to_owned();
    assert_eq!(ask(&client, b"two"), format!("two {pid}"));
    let status = text(&oxinetd(&["status", "--control", &control]));
    assert!(status.contains(&format!("held by pid {pid}")), "{status}");
    assert!(status.contains("1/1"), "{status}");
    assert_eq!(ask(&client, b"end"), format!("end {pid}"));
    daemon.expect(&["EXIT: answer", "status=0"]);
    let next = ask(&client, b"three");
    assert!(
        next.starts_with("three ") && !next.ends_with(&pid),
        "{next}"
    );
    until("both starts in the log", PATIENCE, || {
        daemon.count(&["START: answer"]) == 2
    });
    ask(&client, b"end");
}

#[test]
fn one_program_owns_a_listening_socket_and_accepts_by_itself() {
    if lacks(&["python3"]) {
        return;
    }
    let builder = Builder::new();
    let path = builder.path().join("s.sock");
    // Two clients each, one after the other.
    let body = "for _ in range(2):\n\
        \x20   c, _ = s.accept()\n\
        \x20   c.sendall(b'%d' % os.getpid())\n\
        \x20   c.close()\n";
    let tcp = python(&builder, "tcp", "listen = \"127.0.0.1:0\"", body);
    let unix = python(
        &builder,
        "unix",
        &format!("listen = \"unix:{}\"", path.display()),
        body,
    );
    let daemon = builder.table(&tcp).table(&unix).start();
    let at = address(&daemon, "tcp");
    let mut connect: [Box<dyn FnMut() -> String>; 2] = [
        Box::new(|| {
            let mut text = String::new();
            TcpStream::connect(at)
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            text
        }),
        Box::new(|| {
            let mut text = String::new();
            UnixStream::connect(&path)
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            text
        }),
    ];
    for connect in &mut connect {
        let pids: Vec<String> = (0..6).map(|_| connect()).collect();
        assert!(pids.chunks(2).all(|two| two[0] == two[1]), "{pids:?}");
        assert!(pids[0] != pids[2] && pids[2] != pids[4], "{pids:?}");
    }
    daemon.quiet();
    until("the starts in the log", PATIENCE, || {
        daemon.count(&["START: tcp"]) == 3 && daemon.count(&["START: unix"]) == 3
    });
}

#[test]
fn listen_fds_gives_the_socket_as_systemd_does() {
    if lacks(&["python3"]) {
        return;
    }
    let builder = Builder::new();
    let file = builder.file(
        "fds.py",
        "#!/usr/bin/env python3\nimport os, socket\n\
         s = socket.socket(fileno=3)\n\
         data, peer = s.recvfrom(100)\n\
         own = os.environ['LISTEN_PID'] == str(os.getpid())\n\
         text = '%s %s %s' % (own, os.environ['LISTEN_FDS'], os.environ['LISTEN_FDNAMES'])\n\
         s.sendto(text.encode(), peer)\n",
    );
    let daemon = builder
        .table(&format!(
            "[service.fds]\nlisten = \"udp:127.0.0.1:0\"\nwait = true\ncommand = \"{file}\"\nstdio = \"listen_fds\""
        ))
        .start();
    assert_eq!(ask(&client(&daemon, "fds"), b"x"), "True 1 fds");
}

/// What a program did to the socket is not there for the next one, and never holds the daemon up.
#[test]
fn mischief_with_the_socket_is_put_right() {
    if lacks(&["python3"]) {
        return;
    }
    // Each program takes one client, tells the state in which it found its socket, and does its worst.
    let found = "import fcntl\n\
        flags = fcntl.fcntl(0, fcntl.F_GETFL) & os.O_NONBLOCK\n\
        state = 'blocking' if not flags else 'nonblocking'\n";
    let acts = [
        ("nonblock", "s.setblocking(False)\n"),
        (
            "shut",
            "try: s.shutdown(socket.SHUT_RDWR)\nexcept OSError: pass\n",
        ),
        (
            "buffer",
            "s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)\n",
        ),
        (
            "filter",
            "import ctypes\ncode = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0))\n\
             s.setsockopt(socket.SOL_SOCKET, 26, struct.pack('HL', 1, ctypes.addressof(code)))\n",
        ),
        (
            "time",
            "s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack('ll', 0, 1000))\n",
        ),
    ];
    let builder = Builder::new();
    let mut tables = Vec::new();
    for (name, act) in acts {
        let stream =
            format!("{found}c, _ = s.accept()\nc.sendall(state.encode())\nc.close()\n{act}");
        let datagram =
            format!("{found}data, peer = s.recvfrom(100)\ns.sendto(state.encode(), peer)\n{act}");
        let keys = "receive_buffer = \"64K\"\nlisten =";
        tables.push(python(
            &builder,
            &format!("t-{name}"),
            &format!("{keys} \"127.0.0.1:0\""),
            &stream,
        ));
        tables.push(python(
            &builder,
            &format!("u-{name}"),
            &format!("{keys} \"udp:127.0.0.1:0\""),
            &datagram,
        ));
    }
    tables.push(python(
        &builder,
        "u-tied",
        "listen = \"udp:127.0.0.1:0\"",
        &format!("{found}data, peer = s.recvfrom(100)\ns.sendto(state.encode(), peer)\ns.connect(('127.0.0.1', 9))\n"),
    ));
    let mut builder = builder
        .trouble("broke")
        .table("[service.echo]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"");
    for table in &tables {
        builder = builder.table(table);
    }
    let daemon = builder.start();
    let names: Vec<String> = acts
        .iter()
        .flat_map(|(name, _)| [format!("t-{name}"), format!("u-{name}")])
        .chain(["u-tied".to_owned()])
        .collect();
    for name in &names {
        for round in 1..=3 {
            let exits = || daemon.count(&[&format!("EXIT: {name} ")]);
            let answer = if name.starts_with('t') {
                let mut text = String::new();
                TcpStream::connect(address(&daemon, name))
                    .unwrap()
                    .read_to_string(&mut text)
                    .unwrap();
                text
            } else {
                ask(&client(&daemon, name), b"x")
            };
            assert_eq!(answer, "blocking", "{name} {round}");
            until("its exit", PATIENCE, || exits() == round);
        }
        assert_eq!(
            crate::harness::talk(daemon.tcp("echo"), b"serves"),
            "serves"
        );
    }
    let cpu = daemon.process().cpu();
    std::thread::sleep(std::time::Duration::from_secs(1));
    let spent = daemon.process().cpu().saturating_sub(cpu);
    assert!(spent.as_millis() < 300, "the loop does not spin: {spent:?}");
}

#[test]
fn program_that_takes_nothing_is_backed_off() {
    let builder = Builder::new();
    let daemon = builder
        .table(
            "[service]\nudp = { listen = \"udp:127.0.0.1:0\", wait = true, command = \"/bin/true\" }\n\
             tcp = { listen = \"127.0.0.1:0\", wait = true, command = \"/bin/true\" }",
        )
        .trouble("PAUSE: ")
        .start();
    let udp = client(&daemon, "udp");
    udp.send(b"one").unwrap();
    // One start for one datagram, whoever does not want it.
    daemon.expect(&["EXIT: udp"]);
    daemon.quiet();
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(daemon.count(&["START: udp"]), 1);
    for _ in 0..20 {
        udp.send(b"more").unwrap();
    }
    daemon.expect(&["PAUSE: udp", "ends without taking anything"]);
    let waiting = TcpStream::connect(address(&daemon, "tcp")).unwrap();
    daemon.expect(&["PAUSE: tcp", "ends without taking anything", "for=1s"]);
    let starts = daemon.count(&["START: tcp"]);
    assert!(starts <= 6, "{starts}");
    daemon.expect(&["PAUSE: tcp", "for=2s"]);
    drop(waiting);
}

#[test]
fn program_that_serves_one_datagram_each_is_not_held_up() {
    if lacks(&["python3"]) {
        return;
    }
    let builder = Builder::new();
    let body = "data, peer = s.recvfrom(100)\ns.sendto(data, peer)\n";
    let table = python(&builder, "one", "listen = \"udp:127.0.0.1:0\"", body);
    let daemon = builder.table(&table).start();
    let client = client(&daemon, "one");
    // All of them wait at once, so that something is left at each exit.
    for _ in 0..12 {
        client.send(b"x").unwrap();
    }
    for _ in 0..12 {
        assert_eq!(client.recv(&mut [0; 10]).expect("an answer"), 1);
    }
    until("the exits", PATIENCE, || daemon.count(&["EXIT: one"]) == 12);
}

#[test]
fn missing_program_loses_no_datagram_and_backs_off() {
    let builder = Builder::new();
    let program = builder.path().join("late");
    let daemon = builder
        .table(&format!(
            "[service.late]\nlisten = \"udp:127.0.0.1:0\"\nwait = true\ncommand = \"{}\"",
            program.display()
        ))
        .trouble("exec")
        .trouble("PAUSE: ")
        .trouble("warning")
        .start();
    let client = client(&daemon, "late");
    client.send(b"kept").unwrap();
    daemon.expect(&["ERROR: late exec"]);
    daemon.expect(&["PAUSE: late start failures"]);
    std::fs::write(
        &program,
        "#!/bin/sh\nexec python3 -c \"import socket; s = socket.socket(fileno=0); d, p = s.recvfrom(99); s.sendto(d, p)\"\n",
    )
    .unwrap();
    std::fs::set_permissions(
        &program,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let mut buffer = [0; 100];
    assert_eq!(client.recv(&mut buffer).expect("the first datagram"), 4);
    daemon.expect(&["RESUME: late"]);
}

#[test]
fn first_datagram_is_judged_by_the_rules() {
    if lacks(&["python3"]) {
        return;
    }
    let builder = Builder::new();
    let body = "s.settimeout(0.2)\ntry:\n while True:\n  d, p = s.recvfrom(99); s.sendto(d, p)\nexcept OSError: pass\n";
    let table = python(
        &builder,
        "one",
        "listen = \"udp:127.0.0.1:0\"\ndeny = [\"127.0.0.2\"]",
        body,
    );
    let daemon = builder
        .table(&table)
        .trouble("FAIL: one address from=127.0.0.2")
        .start();
    let denied = UdpSocket::bind("127.0.0.2:0").unwrap();
    denied.connect(address(&daemon, "one")).unwrap();
    denied.send(b"x").unwrap();
    daemon.expect(&["FAIL: one address from=127.0.0.2"]);
    assert_eq!(daemon.count(&["START: one"]), 0);
    assert_eq!(ask(&client(&daemon, "one"), b"y"), "y");
}

#[test]
fn reload_leaves_an_owner_alone_until_its_socket_is_not_wanted() {
    if lacks(&["python3"]) {
        return;
    }
    let builder = Builder::new();
    let path = builder.path().join("d.sock");
    let listen = format!("listen = \"unix-dgram:{}\"", path.display());
    let body = "while True:\n\
        \x20   data, peer = s.recvfrom(2000)\n\
        \x20   if peer: s.sendto(b'%s %d' % (data, os.getpid()), peer)\n\
        \x20   if data == b'end': sys.exit(0)\n";
    let table = python(&builder, "kept", &listen, body);
    let empty = builder.toml();
    let daemon = builder.table(&table).start();
    let mut daemon = daemon;
    let own = daemon.path().join("own");
    let client = UnixDatagram::bind(&own).unwrap();
    std::fs::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let ask = |word: &[u8]| {
        client.send_to(word, &path).unwrap();
        let mut buffer = [0; 100];
        let length = client.recv(&mut buffer).expect("an answer");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let pid = ask(b"one").split_once(' ').unwrap().1.to_owned();
    // The definition changes, the socket stays: so does its owner.
    let end = daemon.log_end();
    daemon.rewrite(&format!("{empty}\n{table}\nnice = 1"));
    daemon.signal(Signal::SIGHUP);
    daemon.expect_from(end, &["RELOAD: ", "changed=1"]);
    assert_eq!(ask(b"two"), format!("two {pid}"));
    // The next one is the new one.
    ask(b"end");
    daemon.expect(&["EXIT: kept"]);
    let next = ask(b"three");
    let next = next.split_once(' ').unwrap().1;
    let stat = std::fs::read_to_string(format!("/proc/{next}/stat")).unwrap();
    let nice = stat
        .rsplit_once(") ")
        .unwrap()
        .1
        .split(' ')
        .nth(16)
        .unwrap()
        .to_owned();
    assert_eq!(nice, "1");
    // The service goes: so does its owner, and the path.
    let end = daemon.log_end();
    daemon.rewrite(&empty);
    daemon.signal(Signal::SIGHUP);
    daemon.expect_from(end, &["RELOAD: ", "removed=1"]);
    daemon.expect_from(end, &["EXIT: kept", "reason=reload"]);
    assert!(!path.exists());
    daemon.trouble("no enabled service");
    daemon.rebase();
}

#[test]
fn stop_ends_an_owner_and_drain_too() {
    if lacks(&["python3"]) {
        return;
    }
    let builder = Builder::new();
    let table = python(&builder, "answer", "listen = \"udp:127.0.0.1:0\"", ANSWER);
    let mut daemon = builder.table(&table).start();
    ask(&client(&daemon, "answer"), b"x");
    daemon.signal(Signal::SIGTERM);
    let status = daemon.wait(PATIENCE);
    assert!(status.success(), "{status}");
    daemon.expect(&["EXIT: answer", "reason=shutdown"]);
}

#[test]
fn seqpacket_programs_get_whole_records() {
    if lacks(&["python3"]) {
        return;
    }
    let builder = Builder::new();
    let path = builder.path().join("q.sock");
    let daemon = builder
        .table(&format!(
            "[service.echo]\nlisten = \"unix-seqpacket:{}\"\nbuiltin = \"echo\"",
            path.display()
        ))
        .start();
    let script = format!(
        "import socket\ns = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n\
         s.connect('{}')\n\
         for n in (1, 5, 4096, 10000, 100000):\n\
         \x20   s.send(b'x' * n)\n\
         \x20   print(len(s.recv(200000)))\n",
        path.display()
    );
    let output = crate::harness::run(std::process::Command::new("python3").args(["-c", &script]));
    assert_eq!(text(&output), "1\n5\n4096\n10000\n100000\n");
    daemon.expect(&["EXIT: echo", "status=0"]);
}
