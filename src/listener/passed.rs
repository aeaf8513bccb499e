//! Sockets that the service manager passed (LISTEN_FDS): found by name (`fd:NAME`) or by the address that a service asks
//! for, and kept for a later reload while nobody uses them.
//!
//! Invariant: a passed socket is never closed while the daemon lives: it could not be opened again.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;

use super::bind::{BindError, bind, start_listening};
use super::{Socket, lent};
use crate::handover::{Packer, Unpacker, state};
use crate::service::{Address, SocketOptions};
use crate::sys::heirloom::Kind;
use crate::sys::socket;

/// All of them that are not in use.
#[derive(Debug, Default)]
pub struct Passed(Vec<One>);

#[derive(Debug)]
struct One {
    name: String,
    fd: OwnedFd,
    bound: Address,
}

impl Passed {
    /// What was passed, by name. A descriptor that no service can listen on is told by the second value and closed.
    pub fn new(descriptors: Vec<(String, OwnedFd)>) -> (Self, Vec<String>) {
        let mut passed = Self::default();
        let mut problems = Vec::new();
        for (name, fd) in descriptors {
            match prepare(&fd) {
                Ok(bound) => passed.0.push(One { name, fd, bound }),
                Err(error) => problems.push(format!(
                    "the descriptor `{name}` of the service manager is no socket to listen on: {error}"
                )),
            }
        }
        (passed, problems)
    }

    /// Opens `address`: with a passed socket where one has that name or is bound there, else anew.
    pub fn open(
        &mut self,
        address: &Address,
        options: &SocketOptions,
    ) -> Result<Socket, BindError> {
        let fits = |one: &One| match address {
            Address::Inherited { name } => one.name == *name,
            Address::Inet { .. } | Address::Unix { .. } | Address::Vsock { .. } => {
                one.bound == *address
            }
        };
        match self.0.iter().position(fits) {
            Some(index) => self.take(index, address, options),
            None => bind(address, options),
        }
    }

    fn take(
        &mut self,
        index: usize,
        address: &Address,
        options: &SocketOptions,
    ) -> Result<Socket, BindError> {
        let One { name, fd, bound } = self.0.remove(index);
        let listens = lent::listens(fd.as_fd());
        if !bound.is_datagram()
            && !listens
            && let Err(error) = start_listening(&fd, options, 0)
        {
            self.0.push(One { name, fd, bound });
            return Err(error);
        }
        let mut socket = Socket::new(fd, address.clone(), bound, None);
        socket.passed = Some(name);
        Ok(socket)
    }

    /// True while another socket has the name that `address` asks for: one word may mean several sockets.
    pub fn has_more(&self, address: &Address) -> bool {
        matches!(address, Address::Inherited { name } if self.0.iter().any(|one| one.name == *name))
    }

    /// Keeps a socket that is not used any more, if it was passed; any other is closed.
    pub fn give_back(&mut self, socket: Socket) {
        if let Some(name) = socket.passed {
            self.0.push(One {
                name,
                fd: socket.fd,
                bound: socket.bound,
            });
        }
    }

    /// What a successor of this process is to know of them.
    pub fn pack(&self, packer: &mut Packer) -> io::Result<Vec<state::Socket>> {
        let one = |one: &One| {
            Ok(state::Socket {
                fd: packer.fd(one.fd.as_fd())?,
                asked: one.bound.clone(),
                bound: one.bound.clone(),
                path: None,
                passed: Some(one.name.clone()),
            })
        };
        self.0.iter().map(one).collect()
    }

    /// The same, from the predecessor.
    pub fn unpack(records: &[state::Socket], unpacker: &mut Unpacker) -> io::Result<Self> {
        let one = |record: &state::Socket| {
            Ok(One {
                name: record.passed.clone().unwrap_or_default(),
                fd: unpacker.fd(&record.fd, Kind::Socket)?,
                bound: record.bound.clone(),
            })
        };
        records.iter().map(one).collect::<io::Result<_>>().map(Self)
    }

    /// Name and address of those that nobody uses.
    pub fn unused(&self) -> impl Iterator<Item = (&str, &Address)> {
        self.0.iter().map(|one| (one.name.as_str(), &one.bound))
    }
}

/// Makes a descriptor of somebody else's as ours are.
fn prepare(fd: &OwnedFd) -> io::Result<Address> {
    let bound = socket::address(fd.as_fd())?;
    lent::set_blocking(fd.as_fd(), false)?;
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    if bound.is_datagram() {
        // systemd sets it on every socket; on UDP anybody who does the same could take the datagrams (reliability F16).
        socket::set_number(fd.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, 0)?;
    }
    Ok(bound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{SocketAddr, TcpListener, UdpSocket};

    fn address(udp: bool, socket: SocketAddr) -> Address {
        Address::Inet {
            protocol: if udp {
                crate::service::Protocol::Udp
            } else {
                crate::service::Protocol::Tcp
            },
            socket,
            dual_stack: false,
        }
    }

    #[test]
    fn sockets_are_found_by_name_and_by_address_and_come_back() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp_at = address(false, tcp.local_addr().unwrap());
        let udp_at = address(true, udp.local_addr().unwrap());
        let file = tempfile::tempfile().unwrap();
        let (mut passed, problems) = Passed::new(vec![
            ("web".into(), tcp.into()),
            ("unknown".into(), udp.into()),
            ("file".into(), file.into()),
        ]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        let options = SocketOptions::default();
        let web = Address::Inherited { name: "web".into() };
        assert!(passed.has_more(&web));
        let socket = passed.open(&web, &options).unwrap();
        assert_eq!((&socket.asked, &socket.bound), (&web, &tcp_at));
        assert!(!passed.has_more(&web));
        let error = passed.open(&web, &options).unwrap_err().to_string();
        assert!(error.contains("FileDescriptorName=web"), "{error}");
        let other = passed.open(&udp_at, &options).unwrap();
        assert_eq!(other.bound, udp_at);
        assert_eq!(passed.unused().count(), 0);
        passed.give_back(socket);
        passed.give_back(other);
        assert_eq!(passed.unused().count(), 2);
        assert!(passed.open(&tcp_at, &options).is_ok());
    }
}
