//! Datagrams to a log daemon: connected when first needed, connected again when the daemon was restarted.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use super::queue::Queue;
use crate::sys::datagram;

/// Where a log daemon listens.
pub(super) enum Destination {
    Unix(PathBuf),
    Udp(SocketAddr),
}

impl Destination {
    fn connect(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Unix(path) => datagram::connect_unix(path),
            Self::Udp(address) => datagram::connect_udp(*address),
        }
    }
}

pub(super) struct Sender {
    to: Destination,
    socket: Option<OwnedFd>,
}

impl Sender {
    pub(super) fn new(to: Destination) -> Self {
        Self { to, socket: None }
    }

    /// Sends record by record. A connection that went stale is made anew once; a record that no datagram can carry is
    /// given up.
    pub(super) fn send(&mut self, queue: &mut Queue) -> io::Result<()> {
        let mut fresh = false;
        while let Some(record) = queue.first() {
            let socket = if let Some(socket) = &self.socket {
                socket
            } else {
                fresh = true;
                self.socket.insert(self.to.connect()?)
            };
            match datagram::send_now(socket.as_fd(), record) {
                Ok(_) => {
                    let length = record.len();
                    queue.consume(length);
                }
                Err(error) if datagram::is_full(&error) => return Err(error),
                Err(error) if datagram::is_too_long(&error) => queue.drop_first(),
                Err(error) => {
                    self.socket = None;
                    if fresh {
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    fn queue(lines: &[&str]) -> Queue {
        let mut queue = Queue::default();
        for line in lines {
            queue.push(|out| out.extend_from_slice(line.as_bytes()));
        }
        queue
    }

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 100];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn a_restarted_log_daemon_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut sender = Sender::new(Destination::Unix(path.clone()));
        let mut absent = queue(&["early"]);
        let error = sender.send(&mut absent).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);

        let daemon = UnixDatagram::bind(&path).unwrap();
        sender.send(&mut absent).unwrap();
        assert_eq!(received(&daemon), "early");

        drop(daemon);
        let mut gone = queue(&["a", "b"]);
        let error = sender.send(&mut gone).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        std::fs::remove_file(&path).unwrap();
        let daemon = UnixDatagram::bind(&path).unwrap();
        sender.send(&mut gone).unwrap();
        assert_eq!(
            (received(&daemon), received(&daemon)),
            ("a".into(), "b".into())
        );

        // Restarted between two lines, without the sender having noticed.
        drop(daemon);
        std::fs::remove_file(&path).unwrap();
        let daemon = UnixDatagram::bind(&path).unwrap();
        sender.send(&mut queue(&["c"])).unwrap();
        assert_eq!(received(&daemon), "c");
    }

    #[test]
    fn a_full_log_daemon_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let mut sender = Sender::new(Destination::Unix(path));
        let mut lines = queue(&["x"; 1000]);
        let error = sender.send(&mut lines).unwrap_err();
        assert!(datagram::is_full(&error), "{error}");
        let left = lines.records();
        assert!(left > 0);
        received(&daemon);
        assert!(sender.send(&mut lines).is_err());
        assert_eq!(lines.records(), left - 1);
    }
}
