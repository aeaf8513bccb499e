//! Listening sockets: opened, accepted on, and closed without leaving anything behind.
//!
//! Invariant: a [`Socket`] is listening from the moment it exists (bind and listen in one breath, so nobody can slip in
//! between, reliability F16), non-blocking (but for the time that it is lent, [`lent`]) and CLOEXEC. This module knows
//! nothing of limits or children.

mod bind;
mod carry;
mod inherited;
mod lent;
mod options;
mod passed;
mod unix;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::libc;

use crate::service::{Address, Local, Peer, Protocol, UnixName};
use crate::sys::socket;

pub use bind::{BindError, bind};
pub use inherited::Inherited;
pub use lent::{Mark, Sender};
pub use passed::Passed;
use unix::OwnPath;

/// An open listening socket.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    /// The address as the table asks for it: the socket's identity over a reload.
    pub asked: Address,
    /// The address that the kernel gave: with the real port where 0 was asked for.
    pub bound: Address,
    path: Option<OwnPath>,
    /// The name under which the service manager passed it.
    passed: Option<String>,
}

/// What an accept brought.
#[derive(Debug)]
pub enum Accepted {
    /// A connection.
    Connection(OwnedFd, Peer),
    /// Nothing is waiting.
    Empty,
    /// That one connection was lost before it came to us; the next may be fine.
    Lost(io::Error),
    /// Descriptors or memory are exhausted: pause, and come back.
    Exhausted(io::Error),
    /// The listener itself is dead: open it anew.
    Broken(io::Error),
}

impl Socket {
    fn new(fd: OwnedFd, asked: Address, bound: Address, path: Option<OwnPath>) -> Self {
        Self {
            fd,
            asked,
            bound,
            path,
            passed: None,
        }
    }

    /// True when it carries datagrams, and is never accepted on.
    pub fn is_datagram(&self) -> bool {
        self.bound.is_datagram()
    }

    /// True when the service manager passed it: it cannot be opened again.
    pub fn is_passed(&self) -> bool {
        self.passed.is_some()
    }

    /// Our end of a socket that is lent as it is: its own address.
    pub fn local(&self) -> Local {
        match &self.bound {
            Address::Inet {
                protocol: Protocol::Tcp,
                socket,
                ..
            } => Local::Inet(*socket),
            Address::Inet { socket, .. } => Local::Udp(*socket),
            Address::Unix { name, .. } => Local::Unix(name.clone()),
            Address::Vsock { cid, port } => Local::Vsock {
                cid: *cid,
                port: *port,
            },
            Address::Inherited { name } => Local::Unix(UnixName::Abstract(name.clone())),
        }
    }

    /// Accepts one connection. The classes of errno are those of reliability F2.
    pub fn accept(&self) -> Accepted {
        let error = match socket::accept(self.fd.as_fd()) {
            Ok((fd, peer)) => return Accepted::Connection(fd, peer),
            Err(error) => error,
        };
        match error.raw_os_error().unwrap_or(0) {
            libc::EAGAIN => Accepted::Empty,
            libc::EINVAL | libc::EBADF | libc::ENOTSOCK => Accepted::Broken(error),
            libc::EINTR
            | libc::ECONNABORTED
            | libc::EPROTO
            | libc::EPERM
            | libc::ENETDOWN
            | libc::ENOPROTOOPT
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EHOSTUNREACH
            | libc::EOPNOTSUPP
            | libc::ENETUNREACH => Accepted::Lost(error),
            _ => Accepted::Exhausted(error),
        }
    }

    /// This end of a connection that was accepted here.
    pub fn local_of(&self, connection: BorrowedFd<'_>) -> Local {
        match &self.bound {
            Address::Inet {
                socket: bound,
                protocol: Protocol::Tcp,
                ..
            } => {
                let known = if bound.ip().is_unspecified() {
                    socket::local_inet(connection)
                } else {
                    None
                };
                Local::Inet(known.unwrap_or(*bound))
            }
            Address::Vsock { cid, port } => {
                let (cid, port) = socket::local_vsock(connection).unwrap_or((*cid, *port));
                Local::Vsock { cid, port }
            }
            Address::Inet { .. } | Address::Unix { .. } | Address::Inherited { .. } => self.local(),
        }
    }

    /// Ends listening for everybody who holds the socket, a service manager that stores it too: the address is free for
    /// others from now on.
    pub fn stop_listening(&self) {
        socket::stop_listening(self.fd.as_fd());
    }

    /// Gives the file of a unix socket to another group.
    pub fn give_to_group(&self, gid: u32) -> io::Result<()> {
        self.path
            .as_ref()
            .map_or(Ok(()), |path| path.give_to_group(gid))
    }

    /// Forgets the path: the socket lives on in somebody else's hands and its file must stay.
    pub fn keep_path(&mut self) {
        self.path = None;
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
