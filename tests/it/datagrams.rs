//! Datagram built-ins: what each answers, from where, to whom not, and that their workers come and go.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, SystemTime};

use crate::harness::{Builder, Client, Daemon, PATIENCE, in_own_network, lacks, lacks_root, until};

/// Where a service has its UDP socket; a wildcard as the loopback of the family that is asked for.
fn udp(daemon: &Daemon, service: &str, host: &str) -> SocketAddr {
    let all = daemon.addresses(service);
    let port = all
        .iter()
        .find_map(|address| address.strip_prefix("udp ")?.rsplit_once(':'))
        .unwrap_or_else(|| panic!("{service} has no UDP address: {all:?}"))
        .1;
    SocketAddr::new(host.parse().unwrap(), port.parse().unwrap())
}

/// A client that takes only what comes from the very address that it asked.
fn client(server: SocketAddr) -> UdpSocket {
    let any: IpAddr = if server.is_ipv4() {
        [127, 0, 0, 1].into()
    } else {
        "::1".parse().unwrap()
    };
    let client = UdpSocket::bind((any, 0)).unwrap();
    client.connect(server).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

fn ask(client: &UdpSocket, request: &[u8]) -> Vec<u8> {
    client.send(request).unwrap();
    receive(client)
}

fn receive(client: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65_536];
    let length = client.recv(&mut buffer).expect("an answer");
    buffer.truncate(length);
    buffer
}

/// Sends, and makes sure by a welcome client that it was not answered: the worker takes one after the other.
fn is_not_answered(client: &UdpSocket, welcome: &UdpSocket, request: &[u8]) {
    client.send(request).unwrap();
    assert_eq!(ask(welcome, b"after it"), b"after it");
    client.set_nonblocking(true).unwrap();
    assert!(client.recv(&mut [0; 100]).is_err());
    client.set_nonblocking(false).unwrap();
}

/// Every built-in of the RFCs on TCP and UDP, on both families.
const ALL: &str = "[service]
echo = { listen = [\"tcp:0\", \"udp:0\"], builtin = \"echo\" }
discard = { listen = [\"tcp:0\", \"udp:0\"], builtin = \"discard\" }
chargen = { listen = [\"tcp:0\", \"udp:0\"], builtin = \"chargen\", allow_reflection = true }
daytime = { listen = [\"tcp:0\", \"udp:0\"], builtin = \"daytime\", allow_reflection = true }
time = { listen = [\"tcp:0\", \"udp:0\"], builtin = \"time\", allow_reflection = true }
";

/// The number of RFC 868 for now, give or take a busy machine.
fn is_now(bytes: &[u8]) -> bool {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = unix.unwrap().as_secs() + 2_208_988_800;
    let told = u64::from(u32::from_be_bytes(bytes.try_into().unwrap()));
    (now - 60..=now).contains(&told)
}

/// One line, with the year of four digits in it.
fn is_a_day(text: &[u8]) -> bool {
    let text = std::str::from_utf8(text).unwrap();
    text.ends_with("\r\n") && text.matches('\n').count() == 1 && text.contains(" 20")
}

#[test]
fn each_built_in_does_what_its_rfc_says_on_both_transports_and_families() {
    let daemon = Builder::new()
        .table(ALL)
        .trouble("WARNING")
        .trouble("warning")
        .start();
    for host in ["127.0.0.1", "::1"] {
        let at = |service: &str| udp(&daemon, service, host);
        assert_eq!(ask(&client(at("echo")), b"hello"), b"hello");
        assert_eq!(
            ask(&client(at("echo")), b""),
            b"",
            "an empty one is one, too"
        );
        let long = vec![7; 60_000];
        assert_eq!(ask(&client(at("echo")), &long), long);
        let chargen = ask(&client(at("chargen")), b"");
        assert!(
            (1..=512).contains(&chargen.len())
                && chargen
                    .iter()
                    .all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n')),
            "{host}"
        );
        assert!(is_a_day(&ask(&client(at("daytime")), b"")), "{host}");
        assert!(is_now(&ask(&client(at("time")), b"")), "{host}");
        // Discard says nothing, whatever comes; the same socket is read to the end.
        let quiet = client(at("discard"));
        for _ in 0..100 {
            quiet.send(b"x").unwrap();
        }
        let tcp = |service: &str| {
            let port = daemon.tcp(service).port();
            Client::connect(SocketAddr::new(host.parse().unwrap(), port))
        };
        assert!(is_a_day(&tcp("daytime").rest()), "{host}");
        assert!(is_now(&tcp("time").rest()), "{host}");
        let mut chargen = tcp("chargen");
        let mut text = [0; 95 * 74];
        std::io::Read::read_exact(&mut chargen.0, &mut text).unwrap();
        assert!(text.starts_with(b" !\"#") && text[72..74] == *b"\r\n");
        quiet.set_nonblocking(true).unwrap();
        assert!(quiet.recv(&mut [0; 10]).is_err());
    }
}

#[test]
fn answers_come_from_the_address_that_was_asked() {
    let daemon = Builder::new()
        .table("[service.echo]\nlisten = \"udp:0\"\nbuiltin = \"echo\"")
        .start();
    for host in ["127.0.0.1", "127.0.0.77", "127.1.2.3", "::1"] {
        let server = udp(&daemon, "echo", host);
        assert_eq!(ask(&client(server), host.as_bytes()), host.as_bytes());
    }
    daemon.expect(&["START: echo"]);
    assert_eq!(
        daemon.count(&["START: echo"]),
        1,
        "one child for all of them"
    );
}

#[test]
fn worker_is_one_child_without_privileges_that_ends_when_nothing_comes() {
    let daemon = Builder::new()
        .table("[service.echo]\nlisten = \"udp:127.0.0.1:0\"\nbuiltin = \"echo\"\nidle_timeout = \"4s\"")
        .start();
    let server = udp(&daemon, "echo", "127.0.0.1");
    assert_eq!(ask(&client(server), b"one"), b"one");
    let children = daemon.process().children();
    let [worker] = children.as_slice() else {
        panic!("{children:?}");
    };
    if crate::harness::root() {
        let status = worker.file("status");
        assert!(
            status.contains("Uid:\t65534\t65534\t65534\t65534"),
            "{status}"
        );
        assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    }
    daemon.expect(&["EXIT: echo", "status=0"]);
    daemon.quiet();
    let end = daemon.log_end();
    assert_eq!(ask(&client(server), b"again"), b"again");
    daemon.expect_from(end, &["START: echo"]);
}

#[test]
fn killed_worker_is_followed_by_another() {
    let daemon = Builder::new()
        .table("[service.echo]\nlisten = \"udp:127.0.0.1:0\"\nbuiltin = \"echo\"")
        .start();
    let client = client(udp(&daemon, "echo", "127.0.0.1"));
    for round in 1..=7 {
        assert_eq!(ask(&client, b"x"), b"x");
        let children = daemon.process().children();
        children[0].signal(nix::sys::signal::Signal::SIGKILL);
        until("the exit", PATIENCE, || {
            daemon.count(&["EXIT: echo", "signal=9"]) == round
        });
    }
}

#[test]
fn rules_are_asked_about_each_sender() {
    let builder = Builder::new();
    let list = builder.file("list", "127.0.0.2\n");
    let daemon = builder
        .table(&format!(
            "[service.echo]\nlisten = \"udp:127.0.0.1:0\"\nbuiltin = \"echo\"\n\
             deny = [\"127.0.0.3\", \"@{list}\"]\nrate_per_source = \"3/h\"\nexempt = [\"127.0.0.9\"]"
        ))
        .start();
    let server = udp(&daemon, "echo", "127.0.0.1");
    let from = |host: &str| {
        let client = UdpSocket::bind((host, 0)).unwrap();
        client.connect(server).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
    };
    let exempt = from("127.0.0.9");
    for denied in ["127.0.0.2", "127.0.0.3"] {
        is_not_answered(&from(denied), &exempt, b"x");
        daemon.expect(&[&format!("echo: datagram from {denied} refused: address")]);
    }
    let limited = from("127.0.0.4");
    for _ in 0..3 {
        assert_eq!(ask(&limited, b"y"), b"y");
    }
    is_not_answered(&limited, &exempt, b"y");
    daemon.expect(&["echo: datagram from 127.0.0.4 refused: rate_per_source"]);
    // A list that changes is in force without a reload.
    std::fs::write(daemon.path().join("list"), "127.0.0.5\n").unwrap();
    daemon.expect(&["has changed and is in force"]);
    is_not_answered(&from("127.0.0.5"), &exempt, b"x");
    assert_eq!(ask(&from("127.0.0.2"), b"free"), b"free");
    assert_eq!(
        daemon.count(&["FAIL: "]),
        0,
        "nobody is banned for what may be forged"
    );
}

#[test]
fn servers_and_reflectors_are_not_answered() {
    if lacks_root() || lacks(&["ip"]) {
        return;
    }
    in_own_network(|| {
        let _daemon = Builder::new()
            .table(
                "[service]\none = { listen = [\"udp:7\", \"udp:7007\"], builtin = \"echo\" }\n\
                 two = { listen = \"udp:7008\", builtin = \"echo\" }",
            )
            .trouble("WARNING")
            .start();
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let welcome = client(at(7007));
        for port in [1, 19, 53, 123, 1023, 1900, 5353, 11211, 27000] {
            let server = UdpSocket::bind(at(port)).unwrap();
            server.connect(at(7007)).unwrap();
            is_not_answered(&server, &welcome, b"forged");
        }
        assert_eq!(ask(&client(at(7)), b"x"), b"x");
        assert_eq!(ask(&client(at(7008)), b"x"), b"x");
        // A seed between two of our own: sent as if from the other one. Raw, as forgers do it.
        let seed = "import socket, struct\n\
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)\n\
            def ip(source, target, payload):\n\
            \x20   udp = struct.pack('!HHHH', source, target, 8 + len(payload), 0) + payload\n\
            \x20   head = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0,\n\
            \x20       socket.inet_aton('127.0.0.1'), socket.inet_aton('127.0.0.1'))\n\
            \x20   return head + udp\n\
            raw.sendto(ip(7007, 7008, b'seed'), ('127.0.0.1', 0))\n\
            raw.sendto(ip(7008, 7, b'seed'), ('127.0.0.1', 0))\n\
            raw.sendto(ip(7007, 7007, b'seed'), ('127.0.0.1', 0))\n\
            raw.sendto(ip(0, 7007, b'seed'), ('127.0.0.1', 0))\n";
        let sent = datagrams_in();
        assert!(
            std::process::Command::new("python3")
                .args(["-c", seed])
                .status()
                .unwrap()
                .success()
        );
        until("the seeds", PATIENCE, || datagrams_in() >= sent + 4);
        assert_eq!(ask(&welcome, b"after them"), b"after them");
        let now = datagrams_in();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(datagrams_in(), now, "nothing goes on by itself");
        assert!(now <= sent + 7, "{sent} {now}");
    });
}

/// Datagrams that this network namespace delivered.
fn datagrams_in() -> u64 {
    let thread = format!(
        "/proc/{}/task/{}/net/snmp",
        std::process::id(),
        nix::unistd::gettid()
    );
    let text = std::fs::read_to_string(thread).unwrap();
    let line = text.lines().filter(|line| line.starts_with("Udp:")).nth(1);
    line.unwrap().split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn broadcast_and_multicast_are_not_answered() {
    if lacks_root() || lacks(&["ip"]) {
        return;
    }
    in_own_network(|| {
        for words in [
            "link add v0 type veth peer name v1",
            "addr add 10.9.8.7/24 brd + dev v0",
            "link set v1 up",
            "link set v0 up",
            "route add 224.0.0.0/4 dev v0",
        ] {
            let ip = crate::harness::find("ip").unwrap();
            let status = std::process::Command::new(ip)
                .args(words.split(' '))
                .status();
            assert!(status.unwrap().success(), "{words}");
        }
        let daemon = Builder::new()
            .table("[service.echo]\nlisten = \"udp:7007\"\nbuiltin = \"echo\"")
            .start();
        daemon.expect(&["LISTEN: echo udp *:7007"]);
        let any = UdpSocket::bind("10.9.8.7:0").unwrap();
        any.set_broadcast(true).unwrap();
        let welcome = UdpSocket::bind("10.9.8.7:0").unwrap();
        welcome.set_read_timeout(Some(PATIENCE)).unwrap();
        for target in ["10.9.8.255", "255.255.255.255", "224.0.0.1"] {
            let _ = any.send_to(b"all of you", (target, 7007));
        }
        welcome.connect("10.9.8.7:7007").unwrap();
        assert_eq!(ask(&welcome, b"me"), b"me");
        any.set_nonblocking(true).unwrap();
        assert!(any.recv(&mut [0; 20]).is_err());
    });
}

#[test]
fn unix_datagrams_are_judged_by_uid_and_answered_by_name() {
    let uid = nix::unistd::getuid();
    let builder = Builder::new();
    let path = builder.path().join("echo.sock");
    let shut = builder.path().join("shut.sock");
    let daemon = builder
        .table(&format!(
            "[service]\necho = {{ listen = \"unix-dgram:{}\", builtin = \"echo\", allow = [\"uid:{uid}\"] }}\n\
             shut = {{ listen = \"unix-dgram:{}\", builtin = \"echo\", deny = [\"uid:{uid}\"] }}",
            path.display(),
            shut.display(),
        ))
        .start();
    assert_eq!(
        daemon.addresses("echo"),
        [format!("unix-dgram {}", path.display())]
    );
    let name = daemon.path().join("client");
    let client = UnixDatagram::bind(&name).unwrap();
    // The worker is nobody, and whoever answers must be allowed to write.
    std::fs::set_permissions(&name, std::fs::Permissions::from_mode(0o777)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(b"hello", &path).unwrap();
    let mut buffer = [0; 100];
    assert_eq!(client.recv(&mut buffer).unwrap(), 5);
    client.send_to(b"hello", &shut).unwrap();
    daemon.expect(&["shut: datagram from unix refused: address"]);
    // Nobody can be answered who has no name; the worker goes on.
    UnixDatagram::unbound()
        .unwrap()
        .send_to(b"x", &path)
        .unwrap();
    client.send_to(b"again", &path).unwrap();
    assert_eq!(client.recv(&mut buffer).unwrap(), 5);
}
