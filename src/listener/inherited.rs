//! Sockets that were open before this process was: those that a service manager has kept for us over a crash.
//!
//! A socket is stored under a name that says whose it is and, as a hash, all that tells it from any other: where it is
//! bound, its options, the inode of its path. So it is only taken for an address that asks for exactly this socket, and
//! what nobody asks for is closed.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::unix::{self, OwnPath};
use super::{Socket, bind};
use crate::service::{Address, SocketOptions, UnixName};
use crate::sys::socket;

/// What every name of a stored socket begins with: a socket unit calls its sockets otherwise.
const PREFIX: &str = "oxinetd-";

/// The sockets that nobody has asked for yet.
#[derive(Debug, Default)]
pub struct Inherited(HashMap<String, Vec<OwnedFd>>);

impl Inherited {
    /// These descriptors, by the names under which they were passed.
    pub fn new(passed: Vec<(String, OwnedFd)>) -> Self {
        let mut sockets: HashMap<String, Vec<OwnedFd>> = HashMap::new();
        for (name, fd) in passed {
            sockets.entry(name).or_default().push(fd);
        }
        Self(sockets)
    }

    /// The socket that was stored for this address of this service with these options.
    pub fn take_stored(
        &mut self,
        service: &str,
        asked: &Address,
        options: &SocketOptions,
    ) -> Option<Socket> {
        if self.0.is_empty() {
            return None;
        }
        let path = match asked {
            Address::Unix {
                name: UnixName::Path(path),
                ..
            } => Some(path),
            Address::Unix { .. }
            | Address::Inet { .. }
            | Address::Vsock { .. }
            | Address::Inherited { .. } => None,
        };
        let inode = path.and_then(|path| unix::inode(path));
        for bound in self.candidates(service, asked) {
            let name = stored_name(service, &bound, options, inode);
            let Some(fd) = self.take(&name) else { continue };
            if !leads_to(fd.as_fd(), &bound) {
                continue;
            }
            let path = match path.zip(inode) {
                Some((path, inode)) => Some(OwnPath::adopt(path, inode).ok()?),
                None => None,
            };
            return Some(Socket::new(fd, asked.clone(), bound, path));
        }
        None
    }

    /// What a socket unit passed: everything that this program has not stored itself.
    pub fn take_passed(&mut self) -> Vec<(String, OwnedFd)> {
        let all = std::mem::take(&mut self.0);
        let (stored, passed) = all
            .into_iter()
            .partition(|(name, _)| name.starts_with(PREFIX));
        self.0 = stored;
        let each =
            |(name, fds): (String, Vec<OwnedFd>)| fds.into_iter().map(move |fd| (name.clone(), fd));
        HashMap::into_iter(passed).flat_map(each).collect()
    }

    /// Closes what was stored and nobody has asked for; the names, for the manager to forget.
    pub fn close_stored(&mut self) -> Vec<String> {
        let names: Vec<String> = self
            .0
            .keys()
            .filter(|name| name.starts_with(PREFIX))
            .cloned()
            .collect();
        for name in &names {
            for fd in self.0.remove(name).unwrap_or_default() {
                socket::stop_listening(fd.as_fd());
            }
        }
        names
    }

    /// Where a socket for `asked` may be bound: there, or with port 0 where one of this service is.
    fn candidates(&self, service: &str, asked: &Address) -> Vec<Address> {
        let Address::Inet {
            protocol,
            socket: wanted,
            dual_stack,
        } = asked
        else {
            return vec![asked.clone()];
        };
        if wanted.port() != 0 {
            return vec![asked.clone()];
        }
        let own = format!("{PREFIX}{service}-");
        let stored = self.0.iter().filter(|(name, _)| name.starts_with(&own));
        let ports = stored.flat_map(|(_, fds)| fds.iter().filter_map(port));
        ports
            .map(|port| Address::Inet {
                protocol: *protocol,
                socket: bind::with_port(*wanted, port),
                dual_stack: *dual_stack,
            })
            .collect()
    }

    fn take(&mut self, name: &str) -> Option<OwnedFd> {
        let fds = self.0.get_mut(name)?;
        let fd = fds.pop();
        if fds.is_empty() {
            self.0.remove(name);
        }
        fd
    }
}

impl Socket {
    /// The name under which the service manager keeps this socket of `service`.
    pub fn stored_name(&self, service: &str, options: &SocketOptions) -> String {
        let inode = self.path.as_ref().map(OwnPath::inode);
        stored_name(service, &self.bound, options, inode)
    }
}

/// At most 93 characters, none of them a colon or a control character (sd_notify(3), FDNAME=).
fn stored_name(
    service: &str,
    bound: &Address,
    options: &SocketOptions,
    inode: Option<(u64, u64)>,
) -> String {
    let mut hasher = DefaultHasher::new();
    (bound, options, inode).hash(&mut hasher);
    format!("{PREFIX}{service}-{:016x}", hasher.finish())
}

fn port(fd: &OwnedFd) -> Option<u16> {
    socket::local_inet(fd.as_fd()).map(|address| address.port())
}

/// True if the descriptor is a socket that is bound there. Of a path the kernel tells the name of the moment of bind(2),
/// so its inode, which is in the name, must do.
pub(super) fn leads_to(fd: BorrowedFd<'_>, bound: &Address) -> bool {
    match bound {
        Address::Inet { socket: wanted, .. } => socket::local_inet(fd)
            .is_some_and(|found| same_address(found, *wanted) && is_alive(fd, bound)),
        Address::Vsock { cid, port } => {
            socket::local_vsock(fd) == Some((*cid, *port)) && is_alive(fd, bound)
        }
        Address::Unix { kind: wanted, .. } => {
            matches!(socket::address(fd), Ok(Address::Unix { kind, .. }) if kind == *wanted)
                && is_alive(fd, bound)
        }
        Address::Inherited { .. } => false,
    }
}

fn is_alive(fd: BorrowedFd<'_>, bound: &Address) -> bool {
    bound.is_datagram() || socket::is_listening(fd)
}

/// `::` and `0.0.0.0` as getsockname tells them are told apart by the hash.
fn same_address(found: SocketAddr, wanted: SocketAddr) -> bool {
    found.port() == wanted.port() && found.ip() == wanted.ip()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::UnixKind;

    fn tcp(text: &str) -> Address {
        Address::Inet {
            protocol: crate::service::Protocol::Tcp,
            socket: text.parse().unwrap(),
            dual_stack: false,
        }
    }

    fn store(socket: &Socket, options: &SocketOptions) -> (String, OwnedFd) {
        let name = socket.stored_name("echo", options);
        (name, socket.as_fd().try_clone_to_owned().unwrap())
    }

    #[test]
    fn a_stored_socket_comes_back_to_who_asks_for_exactly_it() {
        let options = SocketOptions::default();
        let other = SocketOptions {
            nodelay: true,
            ..SocketOptions::default()
        };
        let asked = tcp("127.0.0.1:0");
        let socket = bind(&asked, &options).unwrap();
        let bound = socket.bound.clone();
        let mut inherited = Inherited::new(vec![store(&socket, &options)]);
        drop(socket);
        assert!(inherited.take_stored("other", &bound, &options).is_none());
        assert!(inherited.take_stored("echo", &bound, &other).is_none());
        let again = inherited.take_stored("echo", &asked, &options).unwrap();
        assert_eq!((&again.bound, &again.asked), (&bound, &asked));
        assert!(inherited.take_stored("echo", &asked, &options).is_none());
        assert!(inherited.close_stored().is_empty());
    }

    #[test]
    fn a_unix_name_leads_to_no_other_socket() {
        let directory = tempfile::tempdir().unwrap();
        let asked = Address::Unix {
            kind: UnixKind::Stream,
            name: UnixName::Path(directory.path().join("sock")),
        };
        let options = SocketOptions::default();
        let unix = bind(&asked, &options).unwrap();
        let inet = bind(&tcp("127.0.0.1:0"), &options).unwrap();
        assert!(leads_to(unix.as_fd(), &asked));
        assert!(!leads_to(inet.as_fd(), &asked));
    }

    #[test]
    fn a_path_that_is_another_file_now_is_not_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sock");
        let asked = Address::Unix {
            kind: UnixKind::Stream,
            name: UnixName::Path(path.clone()),
        };
        let options = SocketOptions::default();
        let stored = || {
            let socket = bind(&asked, &options).unwrap();
            let stored = store(&socket, &options);
            // As after a crash: the file stays, the lock is free.
            let keeper = std::fs::hard_link(&path, directory.path().join("keeper"));
            drop(socket);
            keeper.unwrap();
            std::fs::rename(directory.path().join("keeper"), &path).unwrap();
            stored
        };
        let mut inherited = Inherited::new(vec![stored()]);
        let socket = inherited.take_stored("echo", &asked, &options).unwrap();
        drop(socket);
        assert!(!path.exists(), "the path is ours again");
        let mut inherited = Inherited::new(vec![stored()]);
        std::fs::write(directory.path().join("new"), "").unwrap();
        std::fs::rename(directory.path().join("new"), &path).unwrap();
        assert!(inherited.take_stored("echo", &asked, &options).is_none());
        assert_eq!(inherited.close_stored().len(), 1);
    }

    #[test]
    fn what_a_socket_unit_passed_is_left_alone() {
        let socket = bind(&tcp("127.0.0.1:0"), &SocketOptions::default()).unwrap();
        let fd = socket.as_fd().try_clone_to_owned().unwrap();
        let mut inherited = Inherited::new(vec![("echo".to_owned(), fd)]);
        assert!(inherited.close_stored().is_empty());
        assert_eq!(inherited.take_passed().len(), 1);
    }
}
