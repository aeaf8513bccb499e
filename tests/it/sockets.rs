//! Every socket key of the table on a socket of each kind, sockets of the service manager, theft, and many of them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Command;

use crate::harness::{
    Builder, PATIENCE, in_own_network, lacks, lacks_root, run, talk, talk_unix, text, until,
};

/// A program that tells the options of the socket on fd 0, one line each, to its client or to a file.
const OPTIONS: &str = "#!/usr/bin/env python3
import socket, sys, struct
s = socket.socket(fileno=0)
def number(level, name):
    try: return s.getsockopt(level, name)
    except OSError: return -1
inet = s.family in (socket.AF_INET, socket.AF_INET6)
six = s.family == socket.AF_INET6
names = {
    'keepalive': (1, 9), 'idle': (6, 4), 'nodelay': (6, 1), 'mark': (1, 36), 'tos': (0, 1),
    'tclass': (41, 67), 'receive': (1, 8), 'send': (1, 7), 'reuse_port': (1, 15),
    'freebind': (0, 15), 'transparent': (0, 19),
}
text = ' '.join('%s=%d' % (name, number(*key)) for name, key in names.items())
if inet: text += ' device=' + s.getsockopt(1, 25, 16).split(b'\\0')[0].decode()
if s.type == socket.SOCK_DGRAM:
    data, peer = s.recvfrom(100)
    s.sendto(text.encode(), peer)
else:
    s.sendall(text.encode())
";

const KEYS: &str = "keepalive = \"77s\"\nnodelay = true\nmark = 7\ndscp = 46\nreceive_buffer = \"100K\"\n\
    send_buffer = \"50K\"\nreuse_port = true\nbind_device = \"lo\"\nfreebind = true\ntransparent = true\n\
    backlog = 5\ndefer_accept = \"1s\"\n";

#[test]
fn every_socket_key_is_applied() {
    if lacks_root() || lacks(&["ip", "python3"]) {
        return;
    }
    in_own_network(|| {
        let builder = Builder::new();
        let program = builder.file("options.py", OPTIONS);
        let unix = builder.path().join("s.sock");
        let service = |name: &str, listen: &str, more: &str| {
            format!(
                "[service.{name}]\nlisten = \"{listen}\"\ncommand = \"{program}\"\nuser = \"root\"\nsandbox = \"none\"\n{KEYS}{more}"
            )
        };
        let daemon = builder
            .table(&service("four", "127.0.0.1:7001", ""))
            .table(&service("dual", "7002", ""))
            .table(&service("udp", "udp:127.0.0.1:7003", "wait = true"))
            .table(&format!(
                "[service.unix]\nlisten = \"{}\"\ncommand = \"{program}\"\nreceive_buffer = \"100K\"",
                unix.display()
            ))
            .trouble("warning")
            .trouble("WARNING")
            .start();
        let inet = [
            "mark=7",
            "tos=184",
            "receive=204800",
            "send=102400",
            "reuse_port=1",
            "device=lo",
        ];
        let tcp = ["keepalive=1", "idle=77", "nodelay=1"];
        for (at, more) in [
            ("127.0.0.1:7001", "freebind=1 transparent=1"),
            ("127.0.0.1:7002", "tclass=184"),
            ("[::1]:7002", "tclass=184"),
        ] {
            let found = talk(at.parse().unwrap(), b"x");
            for word in inet.iter().chain(&tcp).copied().chain(more.split(' ')) {
                assert!(found.contains(word), "{at} {word}: {found}");
            }
        }
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.connect("127.0.0.1:7003").unwrap();
        client.send(b"x").unwrap();
        let mut buffer = [0; 500];
        let length = client.recv(&mut buffer).unwrap();
        let found = String::from_utf8_lossy(&buffer[..length]).into_owned();
        for word in inet.iter().copied().chain(["freebind=1", "transparent=1"]) {
            assert!(found.contains(word), "udp {word}: {found}");
        }
        assert!(talk_unix(&unix, b"").contains("mark=0"));
        // What only listeners have: the length of the queue, and that silent clients are kept back.
        let sockets = text(&run(Command::new("ss").args(["-ltn", "sport = :7001"])));
        assert!(
            sockets.split_whitespace().any(|word| word == "5"),
            "{sockets}"
        );
        let end = daemon.log_end();
        let silent = TcpStream::connect("127.0.0.1:7001").unwrap();
        assert!(talk("127.0.0.1:7001".parse().unwrap(), b"x").contains("mark"));
        daemon.expect_from(end, &["START: four"]);
        assert_eq!(
            daemon.lines()[end..]
                .iter()
                .filter(|line| line.contains("START: four"))
                .count(),
            1
        );
        drop(silent);
    });
}

#[test]
fn address_that_does_not_exist_yet_is_bound_and_serves_when_it_comes() {
    if lacks_root() || lacks(&["ip"]) {
        return;
    }
    in_own_network(|| {
        let daemon = Builder::new()
            .table(
                "[service.echo]\nlisten = [\"10.9.8.7:7007\", \"udp:10.9.8.7:7007\", \"[fd00::7]:7007\"]\nbuiltin = \"echo\"",
            )
            .trouble("warning")
            .start();
        assert_eq!(daemon.addresses("echo").len(), 3);
        for words in ["addr add 10.9.8.7/32 dev lo", "addr add fd00::7/128 dev lo"] {
            let ip = crate::harness::find("ip").unwrap();
            assert!(
                Command::new(ip)
                    .args(words.split(' '))
                    .status()
                    .unwrap()
                    .success()
            );
        }
        for at in ["10.9.8.7:7007", "[fd00::7]:7007"] {
            assert_eq!(talk(at.parse().unwrap(), b"here"), "here");
        }
    });
}

/// uid 65534 with every mix of options, on the same and on a more specific address: never.
#[test]
fn nobody_can_steal_a_socket() {
    if lacks_root() || lacks(&["python3", "setpriv"]) {
        return;
    }
    let daemon = Builder::new()
        .table(
            "[service.echo]\nlisten = [\"0.0.0.0:0\", \"udp:0.0.0.0:0\", \"udp:[::]:0\"]\nbuiltin = \"echo\"",
        )
        .trouble("warning")
        .start();
    let ports: Vec<String> = daemon
        .addresses("echo")
        .iter()
        .map(|address| {
            let (kind, rest) = address.split_once(' ').unwrap();
            let family = if rest.starts_with('[') { 10 } else { 2 };
            format!(
                "({}, {family}, {})",
                if kind == "udp" { 2 } else { 1 },
                rest.rsplit_once(':').unwrap().1
            )
        })
        .collect();
    let thief = format!(
        "import socket\nstolen = 0\n\
         for kind, family, port in [{}]:\n\
         \x20 for options in ((), (2,), (15,), (2, 15)):\n\
         \x20  for host in (('0.0.0.0', '127.0.0.1') if family == 2 else ('::', '::1')):\n\
         \x20   s = socket.socket(family, kind)\n\
         \x20   if family == 10: s.setsockopt(41, 26, 1)\n\
         \x20   for option in options: s.setsockopt(1, option, 1)\n\
         \x20   try:\n\
         \x20    s.bind((host, port))\n\
         \x20    if kind == 1: s.listen()\n\
         \x20    stolen += 1\n\
         \x20   except OSError: pass\n\
         \x20   s.close()\n\
         print('stolen', stolen)\n",
        ports.join(", ")
    );
    let steal = || {
        let words = [
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "/usr/bin/python3",
            "-c",
            &thief,
        ];
        assert_eq!(
            text(&run(Command::new("setpriv").args(words))),
            "stolen 0\n"
        );
    };
    steal();
    // While a worker has it, too.
    let udp = daemon.addresses("echo")[1].replace("udp 0.0.0.0", "127.0.0.1");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(b"x", &udp).unwrap();
    client.recv(&mut [0; 10]).expect("an answer");
    steal();
}

#[test]
fn sockets_of_the_service_manager_are_found_by_name_and_by_address() {
    if lacks(&["python3"]) {
        return;
    }
    let starter = "import os, socket, sys\n\
        made = [socket.socket(socket.AF_INET, kind) for kind in (1, 2, 1, 2)]\n\
        for s in made:\n\
        \x20   s.setsockopt(1, 2, 1)\n\
        \x20   s.bind(('127.0.0.1', 0))\n\
        for s in (made[0], made[2]): s.listen(5)\n\
        table = open(sys.argv[1]).read().replace('PORT', str(made[2].getsockname()[1]))\n\
        open(sys.argv[1], 'w').write(table)\n\
        for n, s in enumerate(made): os.dup2(s.fileno(), 40 + n)\n\
        for n in range(4): os.dup2(40 + n, 3 + n)\n\
        os.closerange(7, 60)\n\
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='4', LISTEN_FDNAMES='web:talk:unknown:idle')\n\
        os.execv(sys.argv[2], sys.argv[2:])\n";
    let builder = Builder::new();
    let file = builder.file("starter.py", starter);
    let config = builder.path().join("oxinetd.toml");
    let daemon = builder
        .table(
            "[service]\nweb = { listen = \"fd:web\", builtin = \"echo\" }\n\
             talk = { listen = \"fd:talk\", builtin = \"echo\" }\n\
             plain = { listen = \"127.0.0.1:PORT\", builtin = \"echo\" }\n\
             gone = { listen = \"fd:gone\", builtin = \"echo\" }",
        )
        .through(&["python3", &file, config.to_str().unwrap()])
        .trouble("the service manager passed no socket named `gone`")
        .trouble("as `idle`, which no service asks for")
        .trouble("warning")
        .start();
    assert_eq!(talk(daemon.tcp("web"), b"web"), "web");
    assert_eq!(talk(daemon.tcp("plain"), b"plain"), "plain");
    let at: SocketAddr = daemon.addresses("talk")[0]
        .strip_prefix("udp ")
        .unwrap()
        .parse()
        .unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(b"x", at).unwrap();
    client.recv(&mut [0; 10]).expect("an answer");
    daemon.expect(&["no socket named `gone`", "FileDescriptorName=gone"]);
    daemon.expect(&["as `idle`, which no service asks for"]);
}

#[test]
fn vsock_is_listened_on_where_the_kernel_has_it() {
    let daemon = Builder::new()
        .table("[service.echo]\nlisten = [\"vsock:0\", \"127.0.0.1:0\"]\nbuiltin = \"echo\"")
        .trouble("this kernel has no vsock")
        .start();
    // Without a guest or the loopback module nobody can connect; the line says which it is.
    daemon.expect(&["echo vsock *:"]);
    assert_eq!(talk(daemon.tcp("echo"), b"x"), "x");
}

#[test]
fn unix_sockets_of_every_type_keep_the_rules_of_paths() {
    for kind in ["unix-dgram", "unix-seqpacket"] {
        let builder = Builder::new();
        let path = builder.path().join("s.sock");
        let other = builder.path().join("other.sock");
        // Left behind by somebody who died: taken over. In use, as whatever type: not.
        drop(std::os::unix::net::UnixDatagram::bind(&path).unwrap());
        let holder = std::os::unix::net::UnixDatagram::bind(&other).unwrap();
        let listen = format!(
            "[\"{kind}:{}\", \"{kind}:{}\"]",
            path.display(),
            other.display()
        );
        let daemon = builder
            .table(&format!(
                "[service.echo]\nlisten = {listen}\nbuiltin = \"echo\"\nsocket_mode = \"0660\""
            ))
            .trouble("another program listens on")
            .start();
        daemon.expect(&["another program listens on", "other.sock"]);
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::symlink_metadata(&path).unwrap());
        assert_eq!(mode & 0o7777, 0o660, "{kind}");
        let mut daemon = daemon;
        daemon.signal(nix::sys::signal::Signal::SIGTERM);
        daemon.wait(PATIENCE);
        assert!(!path.exists() && other.exists(), "{kind}");
        drop(holder);
    }
}

/// One table with 9,000 services and as many listeners; how long it took is told, not judged.
#[test]
fn nine_thousand_listeners_start_and_reload() {
    if lacks_root() || lacks(&["ip", "prlimit"]) {
        return;
    }
    let _load = crate::harness::alone();
    in_own_network(|| {
        let mut table = String::from("[service]\n");
        for port in 20_000..27_000 {
            writeln!(
                table,
                "t{port} = {{ listen = \"127.0.0.1:{port}\", builtin = \"echo\" }}"
            )
            .unwrap();
        }
        for port in 30_000..31_000 {
            writeln!(
                table,
                "u{port} = {{ listen = \"udp:127.0.0.1:{port}\", builtin = \"echo\" }}"
            )
            .unwrap();
        }
        table += "range = { listen = \"127.0.0.1:40000-40999\", builtin = \"echo\" }\n";
        let builder = Builder::new();
        let toml = builder.table(&table).toml();
        let begin = std::time::Instant::now();
        let mut daemon = Builder::new().table(&table).start();
        let started = begin.elapsed();
        daemon.expect(&["ready: 8001 services, 9000 sockets"]);
        for port in [20_000, 26_999, 40_000, 40_999] {
            let at = SocketAddr::from(([127, 0, 0, 1], port));
            assert_eq!(talk(at, b"x"), "x");
        }
        let end = daemon.log_end();
        let begin = std::time::Instant::now();
        daemon.rewrite(&format!(
            "{toml}\n[service.more]\nlisten = \"127.0.0.1:50000\"\nbuiltin = \"echo\""
        ));
        daemon.signal(nix::sys::signal::Signal::SIGHUP);
        until("the reload", 4 * PATIENCE, || {
            daemon.lines()[end..]
                .iter()
                .any(|line| line.contains("RELOAD: added=1 changed=0 removed=0 kept=8001"))
        });
        let told = format!(
            "9,000 listeners: started in {started:?}, reloaded in {:?}\n",
            begin.elapsed()
        );
        std::io::stderr().write_all(told.as_bytes()).unwrap();
        daemon.rebase();
    });
}
