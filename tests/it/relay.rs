//! What stands between a client and its server: PROXY headers, banners, redirect, cache, transcript.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::harness::{
    Builder, Client, PATIENCE, alone, connect_from, find, in_own_network, lacks, lacks_root, reset,
    talk, until,
};

fn shell(name: &str, listen: &str, script: &str) -> String {
    format!(
        "[service.{name}]\nlisten = \"{listen}\"\ncommand = ['/bin/sh', '-c', '''{script}''']\n"
    )
}

#[test]
fn redirect_passes_both_directions_whole_and_counts_them() {
    let builder = Builder::new();
    let socket = builder.path().join("s").display().to_string();
    let daemon = builder
        .table(&shell("back", &socket, "wc -c; head -c 2000000 /dev/zero"))
        .table(&format!(
            "[service.front]\nlisten = \"127.0.0.1:0\"\nredirect = [\"{socket}.not\", \"{socket}\"]\n"
        ))
        .start();
    let mut client = Client::connect(daemon.tcp("front"));
    let mut writer = client.0.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        writer.write_all(&vec![b'x'; 3_000_000]).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    assert_eq!(client.line(), "3000000\n");
    assert_eq!(client.rest().len(), 2_000_000);
    sender.join().unwrap();
    daemon.expect(&["EXIT: front status=0", " in=3000000 out=2000008 "]);
}

#[test]
fn redirect_to_nobody_is_a_reset_and_told() {
    let builder = Builder::new();
    let socket = builder.path().join("s").display().to_string();
    let daemon = builder
        .table(&format!(
            "[service.front]\nlisten = \"127.0.0.1:0\"\nredirect = \"{socket}\"\n"
        ))
        .start();
    let mut client = Client::connect(daemon.tcp("front"));
    let error = client.0.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let words = "No such file or directory (ENOENT)";
    daemon.expect(&[&format!("no server to redirect to: unix {socket}: {words}")]);
    daemon.expect(&["EXIT: front status=69"]);
}

#[test]
fn redirect_takes_the_first_server_that_answers_and_passes_resets_on() {
    if lacks_root() {
        return;
    }
    in_own_network(|| {
        let daemon = Builder::new()
            .table(&shell("cat", "127.0.0.1:7101", "exec cat"))
            .table(&shell("killed", "127.0.0.1:7102", "read x; echo $x; sleep 0.1; kill -9 $$"))
            .table("[service.front]\nlisten = \"127.0.0.1:7201\"\nredirect = [\"127.0.0.1:7100\", \"127.0.0.1:7101\"]\n")
            .table("[service.broken]\nlisten = \"127.0.0.1:7202\"\nredirect = { to = \"127.0.0.1:7102\" }\n")
            .start();
        assert_eq!(talk(daemon.tcp("front"), b"hello"), "hello");
        // The client's reset reaches the server.
        let mut client = Client::connect(daemon.tcp("front"));
        client.echo(b"x");
        reset(client.0);
        until("the server's end", PATIENCE, || {
            daemon.count(&["EXIT: cat"]) == 2
        });
        assert_eq!(talk(daemon.tcp("broken"), b"line\n"), "line\n");
    });
}

#[test]
fn redirect_serves_unix_clients_and_ends_with_their_silence() {
    let builder = Builder::new();
    let (front, back) = (builder.path().join("f"), builder.path().join("b"));
    let daemon = builder
        .table(&shell("back", &back.display().to_string(), "exec cat"))
        .table(&format!(
            "[service.front]\nlisten = \"{}\"\nredirect = \"{}\"\nidle_timeout = \"1s\"\n",
            front.display(),
            back.display()
        ))
        .start();
    let mut client = UnixStream::connect(&front).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"hello").unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    daemon.expect(&["EXIT: back status=0"]);
}

const FACTS: &str =
    r#"read line; echo "$REMOTE_ADDR $REMOTE_PORT $PROXY_PEER_IP $TCPLOCALIP $line""#;

fn proxied(name: &str, script: &str, keys: &str) -> String {
    let keys = format!("proxy_protocol = \"any\"\nproxy_from = [\"loopback\"]\n{keys}\n");
    shell(name, "127.0.0.1:0", script) + &keys
}

#[test]
fn client_that_a_header_names_is_the_peer_for_rules_environment_and_log() {
    let daemon = Builder::new()
        .table(&proxied("x", FACTS, "deny = [\"203.0.113.0/24\"]"))
        .trouble("FAIL: x address")
        .start();
    let v1 = b"PROXY TCP4 192.0.2.7 192.0.2.1 51514 80\r\nhello\n";
    let answer = "192.0.2.7 51514 127.0.0.1 192.0.2.1 hello\n";
    assert_eq!(talk(daemon.tcp("x"), v1), answer);
    daemon.expect(&["START: x", "from=192.0.2.7 port=51514"]);
    let bytes = format!(" in=6 out={} ", answer.len());
    daemon.expect(&["EXIT: x", &bytes]);
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x08\xc0\0\x02\x01\xc9\x3a\0\x50hello\n";
    let answer = "192.0.2.8 51514 127.0.0.1 192.0.2.1 hello\n";
    assert_eq!(talk(daemon.tcp("x"), v2), answer);
    let own = talk(daemon.tcp("x"), b"PROXY UNKNOWN\r\nhello\n");
    assert!(
        own.starts_with("127.0.0.1 ") && own.ends_with(" 127.0.0.1 127.0.0.1 hello\n"),
        "{own}"
    );
    let denied = b"PROXY TCP4 203.0.113.9 192.0.2.1 1 2\r\nhello\n";
    assert_eq!(talk(daemon.tcp("x"), denied), "");
    daemon.expect(&["FAIL: x address from=203.0.113.9"]);
}

#[test]
fn header_in_pieces_is_waited_for_and_delays_nobody() {
    let mut daemon = Builder::new().table(&proxied("x", FACTS, "")).start();
    let header = b"PROXY TCP4 192.0.2.7 192.0.2.1 51514 80\r\nhello\n";
    let mut slow: Vec<Client> = (0..40).map(|_| Client::connect(daemon.tcp("x"))).collect();
    for client in &mut slow {
        client.send(&header[..9]);
    }
    let answer = "192.0.2.7 51514 127.0.0.1 192.0.2.1 hello\n";
    assert_eq!(talk(daemon.tcp("x"), header), answer);
    assert_eq!(daemon.count(&["START: x"]), 1);
    for client in &mut slow {
        client.send(&header[9..]);
        assert_eq!(client.line(), answer);
    }
    let mut silent = Client::connect(daemon.tcp("x"));
    silent.send(b"PROXY ");
    daemon.trouble("FAIL: x proxy_header");
    assert_eq!(silent.rest(), b"", "its time is over");
    daemon.expect(&["FAIL: x proxy_header from=127.0.0.1"]);
}

#[test]
fn what_is_no_header_and_who_may_send_none_is_refused() {
    let stranger = proxied("stranger", FACTS, "").replace("loopback", "192.0.2.0/24");
    let daemon = Builder::new()
        .table(&proxied("x", FACTS, ""))
        .table(&stranger)
        .trouble("FAIL: ")
        .start();
    for bytes in [
        &b"GET / HTTP/1.0\r\n\r\n"[..],
        b"PROXY TCP4 1.2.3.4 5 6 7\r\nhello\n",
    ] {
        assert_eq!(talk(daemon.tcp("x"), bytes), "");
    }
    let header = b"PROXY TCP4 192.0.2.7 192.0.2.1 51514 80\r\nhello\n";
    assert_eq!(talk(daemon.tcp("stranger"), header), "");
    daemon.expect(&["FAIL: x proxy_header"]);
    daemon.expect(&["FAIL: stranger proxy_from from=127.0.0.1"]);
    // Comes and goes, as the check of a balancer does: nothing to tell.
    drop(Client::connect(daemon.tcp("x")));
    assert_eq!(daemon.count(&["START: "]), 0);
}

#[test]
fn client_whose_header_is_read_waits_for_room_and_is_served() {
    let keys = "max_connections = 1\nmax_per_source = \"unlimited\"";
    let daemon = Builder::new()
        .table(&proxied("x", "echo up; exec cat", keys))
        .trouble("PAUSE: x connections")
        .start();
    let header = b"PROXY TCP4 192.0.2.7 192.0.2.1 51514 80\r\n";
    let mut waiting: Vec<Client> = (0..3).map(|_| Client::connect(daemon.tcp("x"))).collect();
    for client in &mut waiting {
        client.send(header);
    }
    // The turn is that of whose header was there first, which need not be who connected first.
    std::thread::scope(|scope| {
        for mut client in waiting {
            scope.spawn(move || {
                assert_eq!(client.line(), "up\n");
                client.echo(b"mine");
                // For longer than the daemon takes to see that nobody waits any more.
                std::thread::sleep(Duration::from_millis(1500));
            });
        }
    });
    daemon.expect(&["clients waited for"]);
    assert_eq!(daemon.count(&["PAUSE: x"]), 1, "told once while they wait");
    assert_eq!(daemon.count(&["FAIL: "]), 0);
}

#[test]
fn redirect_tells_its_server_who_came() {
    if lacks_root() {
        return;
    }
    in_own_network(|| {
        let keys = "proxy_protocol = \"any\"\nproxy_from = [\"loopback\"]\n";
        let front = |name: &str, port: u16, version: &str| {
            format!(
                "[service.{name}]\nlisten = \"127.0.0.1:{port}\"\n{keys}\
                 redirect = {{ to = \"127.0.0.1:7301\", proxy_protocol = \"{version}\" }}\n"
            )
        };
        let daemon = Builder::new()
            .table(&(shell("back", "127.0.0.1:7301", FACTS) + keys))
            .table(&front("one", 7302, "v1"))
            .table(&front("two", 7303, "v2"))
            .start();
        let header = b"PROXY TCP4 192.0.2.7 192.0.2.1 51514 80\r\nhello\n";
        for service in ["one", "two"] {
            let answer = "192.0.2.7 51514 127.0.0.1 192.0.2.1 hello\n";
            assert_eq!(talk(daemon.tcp(service), header), answer);
        }
    });
}

#[test]
fn banner_comes_before_the_program_and_whoever_serves() {
    let builder = Builder::new();
    let file = builder.file("motd", "from %{remote_addr} at %{service} %{id}\n");
    let keys = "banner = \"220 ready\\r\\n\"\n";
    let daemon = builder
        .table(&(shell("program", "127.0.0.1:0", "echo program") + keys))
        .table(&format!(
            "[service.echo]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\nbanner = \"@{file}\"\n"
        ))
        .start();
    assert_eq!(talk(daemon.tcp("program"), b""), "220 ready\r\nprogram\n");
    daemon.expect(&["EXIT: program", " in=0 out=19 "]);
    let told = talk(daemon.tcp("echo"), b"hello");
    let exit = daemon.expect(&["EXIT: echo"]);
    let (_, id) = exit.rsplit_once("id=").unwrap();
    assert_eq!(told, format!("from 127.0.0.1 at echo {id}\nhello"));
}

/// haproxy in the foreground, on these ports of this network.
struct Haproxy(std::process::Child);

impl Haproxy {
    fn start(directory: &std::path::Path, frontends: &str) -> Self {
        let path = directory.join("haproxy.cfg");
        let defaults =
            "defaults\n mode tcp\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n";
        std::fs::write(&path, format!("{defaults}{frontends}")).unwrap();
        let child = std::process::Command::new(find("haproxy").unwrap())
            .args(["-db", "-f", path.to_str().unwrap()])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn haproxy_in_front_tells_the_client_in_both_versions() {
    if lacks_root() || lacks(&["haproxy"]) {
        return;
    }
    in_own_network(|| {
        let keys = "proxy_protocol = \"any\"\nproxy_from = [\"loopback\"]\n";
        let daemon = Builder::new()
            .table(&(shell("x", "127.0.0.1:7311", FACTS) + keys))
            .start();
        let front = |port: u16, words: &str| {
            format!("listen f{port}\n bind 127.0.0.1:{port}\n server s 127.0.0.1:7311 {words}\n")
        };
        let _haproxy = Haproxy::start(
            daemon.path(),
            &(front(7312, "send-proxy")
                + &front(7313, "send-proxy-v2 proxy-v2-options unique-id,crc32c")),
        );
        for port in [7312, 7313] {
            let address: std::net::SocketAddr = ([127, 0, 0, 1], port).into();
            until("haproxy", PATIENCE, || {
                std::net::TcpStream::connect(address).is_ok()
            });
            let stream = connect_from([127, 0, 0, 9].into(), address);
            let client = stream.local_addr().unwrap();
            let mut client_side = Client(stream);
            client_side.send(b"hello\n");
            let answer = format!("127.0.0.9 {} 127.0.0.1 127.0.0.1 hello\n", client.port());
            assert_eq!(client_side.line(), answer, "{port}");
        }
    });
}

#[test]
fn health_checks_of_haproxy_meet_no_reset() {
    if lacks_root() || lacks(&["haproxy"]) {
        return;
    }
    let _alone = alone();
    in_own_network(|| {
        let script = r"printf 'HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n'";
        let daemon = Builder::new()
            .table(
                &(shell("check", "127.0.0.1:7321", script)
                    + "log = [\"exit\"]\nmax_per_source = \"unlimited\"\n"),
            )
            .start();
        let servers = " server-template s 20 127.0.0.1:7321 check inter 100ms fall 1\n";
        let config = format!(
            "listen stats\n bind 127.0.0.1:7322\n mode http\n stats enable\n stats uri /\n\
             backend b\n mode http\n option httpchk GET /health\n{servers}"
        );
        let haproxy = Haproxy::start(daemon.path(), &config);
        until("1,000 checks", PATIENCE * 6, || {
            std::thread::sleep(std::time::Duration::from_millis(100));
            daemon.count(&["EXIT: check status=0"]) >= 1000
        });
        let stats = talk(([127, 0, 0, 1], 7322).into(), b"GET /;csv HTTP/1.0\r\n\r\n");
        drop(haproxy);
        let rows: Vec<&str> = stats
            .lines()
            .filter(|line| line.starts_with("b,s"))
            .collect();
        assert_eq!(rows.len(), 20, "{stats}");
        for row in rows {
            let words: Vec<&str> = row.split(',').collect();
            // status, failed checks, transitions to down
            assert_eq!((words[17], words[21], words[22]), ("UP", "0", "0"), "{row}");
        }
    });
}

#[test]
fn one_run_answers_all_clients_of_its_time() {
    let builder = Builder::new();
    let runs = builder.file("runs", "");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(&runs, mode).unwrap();
    // It reads its input to the end, which is there at once.
    let script =
        format!("cat; echo run >>{runs}; sleep 0.3; printf \"HTTP/1.0 200 OK\\r\\n\\r\\nok\"");
    let keys = "cache = \"1h\"\nmax_per_source = \"unlimited\"\n";
    let daemon = builder
        .table(&(shell("x", "127.0.0.1:0", &script) + keys))
        .start();
    let address = daemon.tcp("x");
    let clients: Vec<_> = (0..100)
        .map(|_| std::thread::spawn(move || talk(address, b"GET / HTTP/1.0\r\n\r\n")))
        .collect();
    for client in clients {
        assert_eq!(client.join().unwrap(), "HTTP/1.0 200 OK\r\n\r\nok");
    }
    for _ in 0..100 {
        assert_eq!(talk(address, b""), "HTTP/1.0 200 OK\r\n\r\nok");
    }
    assert_eq!(std::fs::read_to_string(&runs).unwrap(), "run\n");
    assert_eq!(daemon.count(&["START: x"]), 1);
}

#[test]
fn check_under_a_hundred_clients_a_second_runs_a_few_times_a_second() {
    let _alone = alone();
    let keys = "cache = \"500ms\"\nmax_per_source = \"unlimited\"\nlog = [\"start\"]\n";
    let daemon = Builder::new()
        .table(&(shell("x", "127.0.0.1:0", "sleep 0.05; echo ok") + keys))
        .start();
    let (address, start) = (daemon.tcp("x"), std::time::Instant::now());
    let mut served = 0;
    while start.elapsed() < std::time::Duration::from_secs(3) {
        assert_eq!(talk(address, b"GET / HTTP/1.0\r\n\r\n"), "ok\n");
        served += 1;
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let runs = daemon.count(&["START: x"]);
    // One in half a second, and never two at once.
    assert!(
        runs <= start.elapsed().as_secs() as usize * 2 + 2,
        "{runs} runs for {served}"
    );
    assert!(runs < served, "{runs} runs for {served}");
}

#[test]
fn cached_reply_goes_whole_to_slow_readers_and_one_that_is_too_long_to_nobody() {
    let keys = "cache = \"1h\"\nmax_per_source = \"unlimited\"\n";
    let daemon = Builder::new()
        .table(&(shell("large", "127.0.0.1:0", "head -c 1048576 /dev/zero") + keys))
        .table(&(shell("endless", "127.0.0.1:0", "exec cat /dev/zero") + keys))
        .table(&(shell("killed", "127.0.0.1:0", "echo half; kill -9 $$") + keys))
        .trouble("a reply of more than 1 MiB")
        .start();
    let mut clients: Vec<Client> = (0..4)
        .map(|_| Client::connect(daemon.tcp("large")))
        .collect();
    for client in &mut clients {
        client.send(b"GET / HTTP/1.0\r\n\r\n");
    }
    daemon.expect(&["EXIT: large"]);
    for mut client in clients {
        assert_eq!(client.rest().len(), 1 << 20);
    }
    assert_eq!(talk(daemon.tcp("endless"), b""), "");
    daemon.expect(&["EXIT: endless signal=9 reason=killed"]);
    assert_eq!(talk(daemon.tcp("killed"), b""), "");
    daemon.expect(&["EXIT: killed signal=9"]);
}

/// A directory where services may write.
fn spool(builder: &Builder) -> std::path::PathBuf {
    let directory = builder.path().join("spool");
    std::fs::create_dir(&directory).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&directory, mode).unwrap();
    directory
}

fn transcript(name: &str, script: &str, path: &str, keys: &str) -> String {
    let keys = format!("transcript = {{ path = \"{path}\" }}\n{keys}\n");
    shell(name, "127.0.0.1:0", script) + &keys
}

#[test]
fn transcript_holds_both_directions_and_the_program_has_an_inet_socket() {
    if lacks(&["python3"]) {
        return;
    }
    let builder = Builder::new();
    let directory = spool(&builder);
    let path = format!("{}/%{{service}}-%{{id}}", directory.display());
    let script = "read line; echo \"got $line from $REMOTE_ADDR\"; python3 -c \"import socket; \
                  print(socket.socket(fileno=0).getpeername()[0])\"; exit 7";
    let daemon = builder.table(&transcript("x", script, &path, "")).start();
    let answer = "got hello from 127.0.0.1\n127.0.0.1\n";
    assert_eq!(talk(daemon.tcp("x"), b"hello\n"), answer);
    let exit = daemon.expect(&["EXIT: x status=7", " in=6 out=35 "]);
    let (_, id) = exit.rsplit_once("id=").unwrap();
    let file = directory.join(format!("x-{id}"));
    let text = std::fs::read_to_string(&file).unwrap();
    let mut lines = text.lines();
    let first = lines.next().unwrap();
    assert!(first.starts_with(&format!(
        "# oxinetd transcript: service=x id={id} from=127.0.0.1 port="
    )));
    let rest: Vec<&str> = lines.map(|line| line.split_once(' ').unwrap().1).collect();
    let expected = [
        "> hello\\n",
        "< got hello from 127.0.0.1\\n",
        "< 127.0.0.1\\n",
    ];
    assert_eq!(rest, expected, "{text}");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn transcript_changes_nothing_of_a_connection() {
    let builder = Builder::new();
    let path = format!("{}/%{{id}}", spool(&builder).display());
    let daemon = builder
        .table(&transcript(
            "unread",
            "head -c 3000000 /dev/zero",
            &path,
            "",
        ))
        .table(&transcript("echo", "cat; sleep 0.3; echo done", &path, ""))
        .table(&transcript("killed", "echo up; kill -9 $$", &path, ""))
        .table(&transcript(
            "ended",
            "trap \"echo bye; exit 3\" TERM; echo up; while :; do sleep 0.1; done",
            &path,
            "timeout = \"2s\"",
        ))
        .table(&transcript(
            "client",
            "echo err >&2",
            &path,
            "stderr = \"client\"",
        ))
        .start();
    let mut client = Client::connect(daemon.tcp("unread"));
    client.send(b"GET / HTTP/1.0\r\n\r\n");
    daemon.expect(&["START: unread"]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(client.rest().len(), 3_000_000);
    daemon.expect(&["EXIT: unread status=0", " in=18 out=3000000 "]);
    let mut echo = Client::connect(daemon.tcp("echo"));
    let mut writer = echo.0.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        writer.write_all(&vec![b'x'; 4 << 20]).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    assert_eq!(echo.rest().len(), (4 << 20) + 5);
    sender.join().unwrap();
    assert_eq!(talk(daemon.tcp("killed"), b""), "up\n");
    daemon.expect(&["EXIT: killed signal=9"]);
    assert_eq!(talk(daemon.tcp("client"), b""), "err\n");
    let mut ended = Client::connect(daemon.tcp("ended"));
    assert_eq!(String::from_utf8_lossy(&ended.rest()), "up\nbye\n");
    daemon.expect(&["EXIT: ended status=3", "reason=timeout"]);
}

#[test]
fn without_its_transcript_or_its_program_nobody_is_served() {
    let builder = Builder::new();
    let directory = spool(&builder);
    std::os::unix::fs::symlink(directory.join("target"), directory.join("link")).unwrap();
    let link = format!("{}/link", directory.display());
    let plain = format!("{}/plain", directory.display());
    let missing = format!(
        "[service.missing]\nlisten = \"127.0.0.1:0\"\ncommand = \"/nonexistent\"\ntranscript = \"{plain}\"\n"
    );
    let daemon = builder
        .table(&transcript("link", "echo secret", &link, ""))
        .table(&missing)
        .trouble("ERROR: missing")
        .start();
    assert_eq!(talk(daemon.tcp("link"), b"hello"), "");
    daemon.expect(&[&format!("the transcript {link}: "), "ELOOP"]);
    daemon.expect(&["EXIT: link status=73"]);
    assert!(!directory.join("target").exists());
    assert_eq!(talk(daemon.tcp("missing"), b""), "");
    daemon.expect(&["ERROR: missing", "/nonexistent", "ENOENT"]);
}
