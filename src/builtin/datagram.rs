//! The datagram driver: one unprivileged child answers all clients of a datagram socket.
//!
//! Invariant: a reply is never longer than its request, unless the table says `allow_reflection`, comes from the address
//! that was asked, and goes only to those that `guard` lets through. It never waits to send: an answer that does not fit
//! is lost, as datagrams are.

use std::io;
use std::os::fd::RawFd;
use std::time::{Duration, Instant, SystemTime};

use super::{Datagram, IO_ERROR, Maker, UNUSABLE, guard};
use crate::service::{Builtin, Peer};
use crate::sys::{poll, udp};

/// Serves the datagram socket `fd`, blocking or not, until nothing has come for `idle`: then 0. `own_ports` are the ports
/// of all datagram built-ins of the daemon: what comes from there is another echo, not a client. `admits` is asked about
/// each sender that would be answered.
///
/// 74 (EX_IOERR) when the socket is of no use, 66 (EX_NOINPUT) when the built-in's file is, 70 (EX_SOFTWARE) for a built-in
/// that serves streams only.
pub fn serve_datagrams(
    builtin: &Builtin,
    fd: RawFd,
    own_ports: &[u16],
    idle: Duration,
    admits: impl FnMut(&Peer) -> bool,
) -> u8 {
    let machine = match Maker::open(&builtin.kind) {
        Ok(maker) => maker.datagram(),
        Err(status) => return status,
    };
    let Some(machine) = machine else {
        return UNUSABLE;
    };
    let Ok(port) = udp::prepare(fd) else {
        return IO_ERROR;
    };
    let mut own: Vec<u16> = own_ports.to_vec();
    own.extend(port);
    let mut worker = Worker {
        admits,
        machine,
        fd,
        own,
        allow_reflection: builtin.allow_reflection,
        buffer: vec![0; LONGEST],
    };
    loop {
        match worker.turn() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let deadline = Instant::now().checked_add(idle);
                if !poll::wait_readable(fd, deadline) {
                    return 0;
                }
            }
            Err(error) if !udp::is_passing(&error) => return IO_ERROR,
            Ok(()) | Err(_) => {}
        }
    }
}

struct Worker<F> {
    admits: F,
    machine: Box<dyn Datagram>,
    fd: RawFd,
    own: Vec<u16>,
    allow_reflection: bool,
    buffer: Vec<u8>,
}

impl<F: FnMut(&Peer) -> bool> Worker<F> {
    /// Takes one datagram and answers it, or not.
    fn turn(&mut self) -> io::Result<()> {
        let arrival = udp::receive(self.fd, &mut self.buffer)?;
        let is_welcome = match arrival.from() {
            Some(from) => {
                !arrival.is_broadcast() && guard::may_answer(from, arrival.to(), &self.own)
            }
            None => arrival.can_be_answered(),
        };
        if !is_welcome || !arrival.peer().is_none_or(|peer| (self.admits)(&peer)) {
            return Ok(());
        }
        let limit = if self.allow_reflection {
            self.buffer.len()
        } else {
            arrival.length
        };
        let now = SystemTime::now();
        let reply = self
            .machine
            .reply(&mut self.buffer, arrival.length, limit, now)
            .and_then(|length| self.buffer.get(..length));
        if let Some(reply) = reply {
            // The next receive tells if the socket is broken; anything else is one lost answer.
            let _ = udp::answer(self.fd, &arrival, reply);
        }
        Ok(())
    }
}

/// The longest datagram.
const LONGEST: usize = 65_535;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{BuiltinKind, Model};
    use std::net::{SocketAddr, UdpSocket};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixDatagram;
    use std::thread;

    fn builtin(kind: BuiltinKind, allow_reflection: bool) -> Builtin {
        Builtin {
            kind,
            model: Model::Process,
            allow_reflection,
        }
    }

    /// Serves for as long as the test process lives.
    fn start(
        kind: BuiltinKind,
        allow_reflection: bool,
        bind: &str,
        own: &'static [u16],
    ) -> SocketAddr {
        let socket = UdpSocket::bind(bind).unwrap();
        let address = socket.local_addr().unwrap();
        thread::spawn(move || {
            serve_datagrams(
                &builtin(kind, allow_reflection),
                socket.as_raw_fd(),
                own,
                Duration::from_secs(600),
                |_| true,
            )
        });
        address
    }

    fn client(bind: &str, server: SocketAddr) -> UdpSocket {
        let client = UdpSocket::bind(bind).unwrap();
        client.connect(server).unwrap();
        client
            .set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        client
    }

    fn ask(client: &UdpSocket, request: &[u8]) -> Option<Vec<u8>> {
        client.send(request).unwrap();
        let mut buffer = vec![0; LONGEST];
        let length = client.recv(&mut buffer).ok()?;
        buffer.truncate(length);
        Some(buffer)
    }

    #[test]
    fn echo_answers_from_the_address_that_was_asked() {
        // A connected client takes only what comes from the very address that it asked.
        let cases = [
            ("0.0.0.0:0", "127.0.0.1"),
            ("0.0.0.0:0", "127.0.0.5"),
            ("[::]:0", "::1"),
            ("[::]:0", "127.0.0.9"),
        ];
        for (bind, asked) in cases {
            let server = start(BuiltinKind::Echo, false, bind, &[]);
            let asked: std::net::IpAddr = asked.parse().unwrap();
            let any = if asked.is_ipv4() {
                "127.0.0.1:0"
            } else {
                "[::1]:0"
            };
            let client = client(any, SocketAddr::new(asked, server.port()));
            for request in [b"".to_vec(), b"hello".to_vec(), vec![b'x'; 60_000]] {
                assert_eq!(ask(&client, &request), Some(request), "{bind} {asked}");
            }
        }
    }

    #[test]
    fn replies_are_no_longer_than_requests_unless_allowed() {
        let cases = [
            (BuiltinKind::Chargen, false, 10, Some(10)),
            (BuiltinKind::Chargen, true, 10, Some(512)),
            (BuiltinKind::Time, false, 3, None),
            (BuiltinKind::Time, false, 4, Some(4)),
            (BuiltinKind::Time, true, 0, Some(4)),
            (BuiltinKind::Daytime, false, 25, None),
            (BuiltinKind::Daytime, true, 0, Some(26)),
            (BuiltinKind::Discard, true, 100, None),
        ];
        for (kind, allow, length, expected) in cases {
            let server = start(kind.clone(), allow, "127.0.0.1:0", &[]);
            let client = client("127.0.0.1:0", server);
            let reply = ask(&client, &vec![b'q'; length]);
            assert_eq!(
                reply.map(|reply| reply.len()),
                expected,
                "{kind:?} {length}"
            );
        }
    }

    #[test]
    fn another_built_in_is_not_answered() {
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = other.local_addr().unwrap().port();
        let server = start(
            BuiltinKind::Echo,
            false,
            "127.0.0.1:0",
            Box::leak(Box::new([port])),
        );
        other.connect(server).unwrap();
        other
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        assert_eq!(ask(&other, b"ping"), None);
        assert!(ask(&client("127.0.0.1:0", server), b"ping").is_some());
    }

    #[test]
    fn a_worker_ends_when_nothing_comes_and_answers_whom_it_admits() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = socket.local_addr().unwrap();
        let refused = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = refused.local_addr().unwrap().port();
        let worker = thread::spawn(move || {
            let echo = builtin(BuiltinKind::Echo, false);
            let idle = Duration::from_millis(900);
            let admits = |peer: &Peer| peer.port() != Some(u32::from(port));
            serve_datagrams(&echo, socket.as_raw_fd(), &[], idle, admits)
        });
        refused.connect(server).unwrap();
        refused
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        assert_eq!(ask(&refused, b"ping"), None);
        assert!(ask(&client("127.0.0.1:0", server), b"ping").is_some());
        assert_eq!(worker.join().unwrap(), 0);
    }

    #[test]
    fn unix_clients_with_a_name_are_answered() {
        let dir = tempfile::tempdir().unwrap();
        let [server, named] = ["server", "client"].map(|name| dir.path().join(name));
        let socket = UnixDatagram::bind(&server).unwrap();
        thread::spawn(move || {
            serve_datagrams(
                &builtin(BuiltinKind::Echo, false),
                socket.as_raw_fd(),
                &[],
                Duration::from_secs(600),
                |_| true,
            )
        });
        UnixDatagram::unbound()
            .unwrap()
            .send_to(b"lost", &server)
            .unwrap();
        let client = UnixDatagram::bind(&named).unwrap();
        client.send_to(b"hello", &server).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut buffer = [0; 10];
        assert_eq!(client.recv(&mut buffer).unwrap(), 5);
    }

    #[test]
    fn what_is_no_datagram_socket_fails() {
        let file = tempfile::tempfile().unwrap();
        let echo = builtin(BuiltinKind::Echo, false);
        let serve = |builtin: &Builtin, fd| {
            serve_datagrams(builtin, fd, &[], Duration::from_secs(600), |_| true)
        };
        assert_eq!(serve(&echo, file.as_raw_fd()), 74);
        let stream = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(serve(&echo, stream.as_raw_fd()), 74);
        let tarpit = builtin(BuiltinKind::Tarpit, false);
        assert_eq!(serve(&tarpit, file.as_raw_fd()), 70);
    }
}
