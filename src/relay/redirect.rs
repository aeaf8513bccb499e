//! `redirect`: the bytes of a connection to another server and back.

use std::fmt::Write;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use super::pump::{self, End, Flow};
use super::{Task, tell};
use crate::builtin;
use crate::connection::proxy;
use crate::service::{Local, Peer, Redirect};
use crate::sys::splice::Channel;
use crate::sys::{connect, errno, socket, stream};

/// How long one address is tried.
const PATIENCE: Duration = Duration::from_secs(5);

/// Passes bytes between the client and the first server that answers. Returns the exit status of the process: 0 also when
/// one of the two went away, 69 (EX_UNAVAILABLE) when no server answers, 71 (EX_OSERR) for what the kernel refuses.
pub fn serve(redirect: &Redirect, task: &Task<'_>) -> u8 {
    let Ok(client) = stream::own(task.socket) else {
        return 71;
    };
    let server = match connect_in_turn(redirect) {
        Ok(server) => server,
        Err(reasons) => {
            tell(&format!("no server to redirect to: {reasons}"));
            // An end of file would look like an answer.
            socket::reset_on_close(client.as_fd());
            return 69;
        }
    };
    if let Some(version) = redirect.header {
        let header = proxy::write(version, ends(task));
        // The first bytes of a connection fit its send buffer.
        if stream::send_all(server.as_raw_fd(), &header).is_err() {
            socket::reset_on_close(client.as_fd());
            return 0;
        }
    }
    match pass(&client, &server, idle(task)) {
        Ok(()) => 0,
        Err(error) => {
            tell(&format!("cannot pass bytes on: {}", words(&error)));
            71
        }
    }
}

/// The first server that answers, or why each of them does not.
fn connect_in_turn(redirect: &Redirect) -> Result<OwnedFd, String> {
    let mut reasons = String::new();
    for address in &redirect.to {
        match connect::connect(address, PATIENCE) {
            Ok(server) => return Ok(server),
            Err(error) => {
                let comma = if reasons.is_empty() { "" } else { ", " };
                // Writing to a string cannot fail.
                let _ = write!(reasons, "{comma}{address}: {}", words(&error));
            }
        }
    }
    Err(reasons)
}

fn words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => errno::describe(number).to_string(),
        None => error.to_string(),
    }
}

/// Who came, and where to, for the server.
fn ends(task: &Task<'_>) -> Option<(std::net::SocketAddr, std::net::SocketAddr)> {
    match (task.peer, task.local) {
        (Peer::Inet(peer), Local::Inet(local)) => Some((*peer, *local)),
        _ => None,
    }
}

/// The kernel counts the bytes of TCP clients, and the daemon looks at that; of others nobody else knows.
fn idle(task: &Task<'_>) -> Option<Duration> {
    match task.local {
        Local::Inet(_) | Local::Udp(_) => None,
        Local::Unix(_) | Local::Vsock { .. } => task.service.deadlines.idle,
    }
}

fn pass(client: &OwnedFd, server: &OwnedFd, idle: Option<Duration>) -> io::Result<()> {
    stream::never_wait(client.as_fd())?;
    stream::never_wait(server.as_fd())?;
    let (mut up, mut down) = (Channel::new()?, Channel::new()?);
    let end = pump::run(
        [
            Flow {
                from: client.as_fd(),
                to: server.as_fd(),
                carrier: &mut up,
                end: &mut || socket::shut_down_writing(server.as_fd()),
            },
            Flow {
                from: server.as_fd(),
                to: client.as_fd(),
                carrier: &mut down,
                end: &mut || socket::shut_down_writing(client.as_fd()),
            },
        ],
        idle,
        None,
    );
    match end {
        // What the client still sends has nobody to go to; unread, it would destroy the end of the reply.
        End::Both => {
            let _ = builtin::linger(client.as_raw_fd(), &mut [0; 4096]);
        }
        // Nobody is to take what came for the whole: a reset is passed on as one.
        End::Broken => {
            socket::reset_on_close(client.as_fd());
            socket::reset_on_close(server.as_fd());
        }
        End::Idle => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{Address, UnixKind, UnixName};
    use std::io::{Read, Write};
    use std::net::Shutdown;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::thread::{self, JoinHandle};

    fn to(path: &std::path::Path) -> Address {
        Address::Unix {
            kind: UnixKind::Stream,
            name: UnixName::Path(path.to_owned()),
        }
    }

    /// A client, its server, and the thread that stands between them in place of a child.
    fn between() -> (UnixStream, UnixStream, JoinHandle<io::Result<()>>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let (client, relayed) = UnixStream::pair().unwrap();
        let redirect = Redirect {
            to: vec![to(&directory.path().join("nobody")), to(&path)],
            header: None,
        };
        let thread = thread::spawn(move || {
            let server = connect_in_turn(&redirect).unwrap();
            pass(&relayed.into(), &server, None)
        });
        let server = listener.accept().unwrap().0;
        (client, server, thread)
    }

    fn pattern(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i * 7 % 251) as u8).collect()
    }

    #[test]
    fn both_directions_arrive_whole_and_end_one_by_one() {
        let (mut client, mut server, thread) = between();
        let sent = pattern(3_000_000);
        let mut writer = client.try_clone().unwrap();
        let bytes = sent.clone();
        let sending = thread::spawn(move || {
            writer.write_all(&bytes).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut request = Vec::new();
        server.read_to_end(&mut request).unwrap();
        sending.join().unwrap();
        assert!(request == sent);
        let answering = thread::spawn(move || server.write_all(&pattern(2_000_000)).unwrap());
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        answering.join().unwrap();
        assert!(answer == pattern(2_000_000));
        thread.join().unwrap().unwrap();
    }

    #[test]
    fn a_server_that_ends_first_still_listens() {
        let (mut client, mut server, thread) = between();
        server.write_all(b"bye").unwrap();
        server.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.read_to_end(&mut Vec::new()).unwrap(), 3);
        client.write_all(b"late").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        server.read_to_string(&mut text).unwrap();
        assert_eq!(text, "late");
        thread.join().unwrap().unwrap();
    }

    #[test]
    fn every_address_that_does_not_answer_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let redirect = Redirect {
            to: vec![
                to(&directory.path().join("one")),
                to(&directory.path().join("two")),
            ],
            header: None,
        };
        let reasons = connect_in_turn(&redirect).unwrap_err();
        let words = "No such file or directory (ENOENT)";
        assert!(
            reasons.contains(&format!("one: {words}, unix ")),
            "{reasons}"
        );
        assert!(reasons.ends_with(&format!("two: {words}")), "{reasons}");
    }

    #[test]
    fn silence_ends_it() {
        let (client, relayed) = UnixStream::pair().unwrap();
        let (server, other) = UnixStream::pair().unwrap();
        let idle = Some(Duration::from_millis(50));
        pass(&relayed.into(), &other.into(), idle).unwrap();
        drop((client, server));
    }
}
