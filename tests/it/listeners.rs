//! Every way to name an address, and what the socket behind it is.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream};
use std::process::Command;

use crate::harness::{
    Builder, Client, PATIENCE, in_own_network, lacks, lacks_root, read_all, talk, talk_unix, text,
    until,
};

fn echo(listen: &str) -> String {
    format!("[service.echo]\nlisten = {listen}\nbuiltin = \"echo\"")
}

fn at(host: &str, port: u16) -> SocketAddr {
    format!("{host}:{port}").parse().unwrap()
}

#[test]
fn bare_port_is_one_dual_stack_socket() {
    let daemon = Builder::new().table(&echo("0")).start();
    let all = daemon.addresses("echo");
    assert_eq!(all.len(), 1);
    let port = all[0].strip_prefix("tcp *:").expect("tcp *:PORT").parse();
    let port = port.unwrap();
    assert_eq!(talk(at("127.0.0.1", port), b"four"), "four");
    assert_eq!(talk(at("[::1]", port), b"six"), "six");
    daemon.expect(&["START: echo", "from=127.0.0.1 "]);
    daemon.expect(&["START: echo", "from=::1 "]);
    assert_eq!(daemon.count(&["::ffff:"]), 0, "v4-mapped peers are IPv4");
}

#[test]
fn explicit_ipv6_wildcards_are_ipv6_only() {
    for listen in ["\"[::]:0\"", "\"tcp6:0\"", "\"tcp6:*:0\""] {
        let daemon = Builder::new().table(&echo(listen)).start();
        let all = daemon.addresses("echo");
        let port = all[0].strip_prefix("tcp [::]:").unwrap_or_else(|| {
            panic!("{listen} is {all:?}");
        });
        let port = port.parse().unwrap();
        assert_eq!(talk(at("[::1]", port), b"six"), "six");
        assert!(
            TcpStream::connect(at("127.0.0.1", port)).is_err(),
            "{listen}"
        );
    }
}

#[test]
fn tcp4_is_ipv4_only() {
    let daemon = Builder::new().table(&echo("\"tcp4:0\"")).start();
    let port = daemon.tcp("echo").port();
    assert_eq!(daemon.addresses("echo"), [format!("tcp 0.0.0.0:{port}")]);
    assert_eq!(talk(at("127.0.0.1", port), b"four"), "four");
    assert!(TcpStream::connect(at("[::1]", port)).is_err());
}

#[test]
fn localhost_is_both_loopbacks() {
    let daemon = Builder::new().table(&echo("\"localhost:0\"")).start();
    let mut hosts: Vec<String> = daemon
        .addresses("echo")
        .iter()
        .map(|address| address.rsplit_once(':').unwrap().0.to_owned())
        .collect();
    hosts.sort();
    assert_eq!(hosts, ["tcp 127.0.0.1", "tcp [::1]"]);
}

#[test]
fn several_addresses_of_several_families_serve_one_service() {
    let builder = Builder::new();
    let path = builder.path().join("s");
    let listen = format!(
        "[\"127.0.0.1:0\", \"[::1]:0\", \"unix:{}\"]",
        path.display()
    );
    let daemon = builder.table(&echo(&listen)).start();
    let all = daemon.addresses("echo");
    assert_eq!(all.len(), 3, "{all:?}");
    for address in &all[..2] {
        let address = address.strip_prefix("tcp ").unwrap().parse().unwrap();
        assert_eq!(talk(address, b"tcp"), "tcp");
    }
    assert_eq!(all[2], format!("unix {}", path.display()));
    assert_eq!(talk_unix(&path, b"unix"), "unix");
    daemon.expect(&["START: echo", "from=unix"]);
}

#[test]
fn fixed_ports_ranges_and_names() {
    if lacks_root() || lacks(&["ip"]) {
        return;
    }
    in_own_network(|| {
        let daemon = Builder::new()
            .table(&echo(
                "[\"127.0.0.1:20000-20010\", \"127.0.0.1:finger\", \"127.0.0.1:7\"]",
            ))
            .start();
        let ports = (20000..=20010).chain([79, 7]);
        for port in ports {
            daemon.expect(&[&format!("LISTEN: echo tcp 127.0.0.1:{port}")]);
            assert_eq!(talk(at("127.0.0.1", port), b"x"), "x");
        }
        assert_eq!(daemon.addresses("echo").len(), 13);
    });
}

#[test]
fn unix_socket_has_its_mode_owner_and_group() {
    if lacks_root() {
        return;
    }
    let builder = Builder::new();
    let path = builder.path().join("s");
    let keys = "socket_user = \"daemon\"\nsocket_group = \"bin\"\nsocket_mode = \"0640\"";
    let listen = format!("\"{}\"", path.display());
    let daemon = builder.table(&format!("{}\n{keys}", echo(&listen))).start();
    let meta = fs::metadata(&path).unwrap();
    assert!(meta.file_type().is_socket());
    assert_eq!(meta.mode() & 0o7777, 0o640);
    assert_eq!((meta.uid(), meta.gid()), (1, 2));
    assert_eq!(talk_unix(&path, b"x"), "x");
    // Nothing was left of the way there but the lock that tells other daemons.
    let mut names: Vec<_> = fs::read_dir(daemon.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.contains("lock"))
        .collect();
    names.sort();
    assert_eq!(names, ["oxinetd.toml", "s"]);
}

#[test]
fn unix_socket_is_open_to_all_by_default_and_gone_after_the_end() {
    let builder = Builder::new();
    let path = builder.path().join("s");
    let mut daemon = builder
        .table(&echo(&format!("\"unix:{}\"", path.display())))
        .start();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o666);
    assert_eq!(talk_unix(&path, b"x"), "x");
    daemon.quiet();
    daemon.stop();
    assert!(!path.exists(), "the socket is unlinked at the end");
}

#[test]
fn unix_socket_is_never_wider_than_asked() {
    if lacks_root() || lacks(&["strace"]) {
        return;
    }
    // The file must have its final mode before the final name exists, so umask and chmod cannot race with a client: no
    // moment may exist in which the name is there with more rights than 0600.
    let builder = Builder::new();
    let path = builder.path().join("s");
    let trace = builder.path().join("trace");
    let keys = format!(
        "{}\nsocket_mode = \"0600\"",
        echo(&format!("\"{}\"", path.display()))
    );
    let mut daemon = builder
        .table(&keys)
        .through(&[
            "strace",
            "-D",
            "-o",
            trace.to_str().unwrap(),
            "-e",
            "trace=bind,chmod,fchmod,fchmodat,?fchmodat2,umask,rename,renameat,renameat2,listen",
        ])
        .start();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    daemon.quiet();
    daemon.stop();
    until("the trace", PATIENCE, || {
        fs::read_to_string(&trace).unwrap().contains("+++ exited")
    });
    let trace = fs::read_to_string(&trace).unwrap();
    let name = format!("{}\"", path.display());
    let bound_in_place = trace
        .lines()
        .any(|line| line.starts_with("bind(") && line.contains(&name));
    let umask = trace.lines().find(|line| line.starts_with("umask("));
    // Bound in place it has at most the rights that umask 077 leaves; else it was bound elsewhere and renamed.
    assert!(
        !bound_in_place || umask.is_some_and(|line| line.contains("077")),
        "{trace}"
    );
}

#[test]
fn stale_unix_socket_is_taken_over_and_a_live_one_or_a_file_is_not() {
    let builder = Builder::new();
    let stale = builder.path().join("stale");
    drop(UnixListener::bind(&stale).unwrap());
    let live = builder.path().join("live");
    let _holder = UnixListener::bind(&live).unwrap();
    let file = builder.path().join("file");
    fs::write(&file, "mine").unwrap();
    let service = |name: &str| {
        let path = builder.path().join(name);
        let path = path.display();
        format!("[service.{name}]\nlisten = \"unix:{path}\"\nbuiltin = \"echo\"\n")
    };
    let tables: String = ["stale", "live", "file"].map(service).concat();
    let daemon = builder
        .table(&tables)
        .trouble("live")
        .trouble("file")
        .start();
    assert_eq!(talk_unix(&stale, b"x"), "x");
    daemon.expect(&["live"]);
    daemon.expect(&["file"]);
    assert!(daemon.addresses("live").is_empty());
    assert!(daemon.addresses("file").is_empty());
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    let _kept = UnixStream::connect(&live).unwrap();
}

#[test]
fn abstract_socket_serves() {
    let name = format!("oxinetd-it-{}", std::process::id());
    let daemon = Builder::new()
        .table(&echo(&format!("\"unix:@{name}\"")))
        .start();
    assert_eq!(daemon.addresses("echo"), [format!("unix @{name}")]);
    let address = UnixAddress::from_abstract_name(&name).unwrap();
    let mut stream = UnixStream::connect_addr(&address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    std::io::Write::write_all(&mut stream, b"abstract").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), b"abstract");
}

#[test]
fn nobody_can_steal_a_listening_address() {
    if lacks_root() || lacks(&["python3"]) {
        return;
    }
    let daemon = Builder::new()
        .table(&echo("[\"127.0.0.1:0\", \"[::1]:0\"]"))
        .start();
    let thief = "
import errno, socket, sys
for family, host in ((socket.AF_INET, '127.0.0.1'), (socket.AF_INET, '0.0.0.0'), (socket.AF_INET6, '::1'), (socket.AF_INET6, '::')):
    for options in ((), (socket.SO_REUSEADDR,), (socket.SO_REUSEPORT,), (socket.SO_REUSEADDR, socket.SO_REUSEPORT)):
        for port in sys.argv[1:3]:
            s = socket.socket(family)
            for option in options: s.setsockopt(socket.SOL_SOCKET, option, 1)
            try:
                s.bind((host, int(port))); s.listen()
            except OSError as e:
                assert e.errno == errno.EADDRINUSE, e
            else:
                # A wildcard takes nothing from a socket that is bound to the address itself.
                assert (host, port) not in (('127.0.0.1', sys.argv[1]), ('::1', sys.argv[2])), ('stolen', host, port, options)
print('honest')
";
    let ports: Vec<String> = daemon
        .addresses("echo")
        .iter()
        .map(|address| address.rsplit_once(':').unwrap().1.to_owned())
        .collect();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args(["/usr/bin/python3", "-c", thief])
        .args(&ports)
        .output()
        .unwrap();
    assert_eq!(text(&output), "honest\n");
}

#[test]
fn restart_binds_again_while_old_connections_die() {
    // TIME_WAIT of the first daemon's connections must not keep the second from its port.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    for _ in 0..3 {
        let daemon = Builder::new()
            .table(
                "[service.bye]\nlisten = \"ADDRESS\"\ncommand = \"/bin/true\""
                    .replace("ADDRESS", &address.to_string())
                    .as_str(),
            )
            .start();
        for _ in 0..5 {
            Client::connect(address).rest();
        }
        drop(daemon);
    }
}
