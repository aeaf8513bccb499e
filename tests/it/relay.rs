//! What stands between a client and its server: redirect.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use crate::harness::{Builder, Client, PATIENCE, in_own_network, lacks_root, reset, talk, until};

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
