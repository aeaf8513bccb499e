//! The services of our own: echo and discard, over TCP and unix sockets, in every model.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;

use crate::harness::{Builder, Client, Daemon, PATIENCE, reset, reset_on_close, talk, talk_unix};

const MODELS: [&str; 3] = ["process", "event", "thread"];

fn start(model: &str) -> Daemon {
    let builder = Builder::new();
    let path = builder.path().to_str().unwrap().to_owned();
    builder
        .defaults(&format!("model = \"{model}\""))
        .table(&format!(
            "[service]\necho = {{ listen = [\"127.0.0.1:0\", \"{path}/echo\"], builtin = \"echo\" }}\n\
             discard = {{ listen = [\"127.0.0.1:0\", \"{path}/discard\"], builtin = \"discard\" }}"
        ))
        .start()
}

/// Ten megabytes that differ from one place to the next.
fn pattern() -> Vec<u8> {
    (0..10_000_000_u32)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

/// Sends everything, ends its direction, and reads to the end meanwhile.
fn round_trip<S: Read + Write + Send>(
    bytes: &[u8],
    reader: &mut S,
    mut writer: S,
    half_close: impl FnOnce(&S) + Send,
) -> Vec<u8> {
    std::thread::scope(|scope| {
        scope.spawn(move || {
            writer.write_all(bytes).unwrap();
            half_close(&writer);
        });
        let mut back = Vec::new();
        reader.read_to_end(&mut back).unwrap();
        back
    })
}

#[test]
fn ten_megabytes_come_back_whole_after_a_half_close() {
    for model in MODELS {
        let daemon = start(model);
        let bytes = pattern();
        let mut tcp = Client::connect(daemon.tcp("echo")).0;
        let writer = tcp.try_clone().unwrap();
        let end = |stream: &TcpStream| stream.shutdown(Shutdown::Write).unwrap();
        assert!(round_trip(&bytes, &mut tcp, writer, end) == bytes);
        let mut unix = UnixStream::connect(daemon.path().join("echo")).unwrap();
        unix.set_read_timeout(Some(PATIENCE)).unwrap();
        let writer = unix.try_clone().unwrap();
        let end = |stream: &UnixStream| stream.shutdown(Shutdown::Write).unwrap();
        assert!(round_trip(&bytes, &mut unix, writer, end) == bytes);
    }
}

#[test]
fn discard_takes_everything_and_says_nothing() {
    for model in MODELS {
        let daemon = start(model);
        let bytes = pattern();
        let mut client = Client::connect(daemon.tcp("discard"));
        client.send(&bytes);
        assert!(client.is_silent());
        client.half_close();
        assert_eq!(client.rest(), b"");
        assert_eq!(talk_unix(daemon.path().join("discard"), &bytes), "");
    }
}

#[test]
fn empty_and_one_byte_exchanges_end_cleanly() {
    for model in MODELS {
        let daemon = start(model);
        for bytes in ["", "x", "\n", "\0"] {
            assert_eq!(talk(daemon.tcp("echo"), bytes.as_bytes()), bytes);
            assert_eq!(talk(daemon.tcp("discard"), bytes.as_bytes()), "");
            assert_eq!(
                talk_unix(daemon.path().join("echo"), bytes.as_bytes()),
                bytes
            );
        }
    }
}

#[test]
fn client_that_does_not_read_holds_its_own_child_alone() {
    for model in MODELS {
        let daemon = start(model);
        let mut stuck = TcpStream::connect(daemon.tcp("echo")).unwrap();
        stuck.set_nonblocking(true).unwrap();
        let chunk = vec![7; 65536];
        // Until both directions are full, twice in a row.
        let mut refused = 0;
        while refused < 2 {
            refused += 1;
            if stuck.write(&chunk).is_ok_and(|length| length > 0) {
                refused = 0;
            } else {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
        }
        assert_eq!(talk(daemon.tcp("echo"), b"others"), "others");
        reset_on_close(&stuck);
    }
}

#[test]
fn resets_and_vanishing_clients_make_no_noise() {
    for model in MODELS {
        let daemon = start(model);
        let large = vec![1; 100_000];
        for service in ["echo", "discard"] {
            for bytes in [&b""[..], b"some", &large] {
                for _ in 0..10 {
                    let mut stream = TcpStream::connect(daemon.tcp(service)).unwrap();
                    stream.set_nonblocking(true).unwrap();
                    let _ = stream.write(bytes);
                    reset(stream);
                }
            }
            for _ in 0..10 {
                let mut stream = UnixStream::connect(daemon.path().join(service)).unwrap();
                let _ = stream.write(b"unread answer");
            }
        }
        daemon.quiet();
        // The guard looks for lines of trouble; a reset client is no failure of the child either.
        assert_eq!(daemon.count(&["EXIT: ", "signal="]), 0);
        let ends = daemon.count(&["EXIT: "]);
        assert_eq!(daemon.count(&["EXIT: ", "status=0"]), ends);
    }
}

#[test]
fn each_byte_is_answered_when_it_comes() {
    for model in MODELS {
        let daemon = start(model);
        let mut client = Client::connect(daemon.tcp("echo"));
        for byte in 0..=255_u8 {
            client.echo(&[byte]);
        }
    }
}
