//! A socket that a child owns for a while (`wait`, and the workers of datagram built-ins): how it is handed out, and what
//! must be put right when it comes back.
//!
//! A child that holds the descriptor shares the open socket with the daemon, whatever it does to it (reliability F9):
//! O_NONBLOCK, a pending error, a filter, a peer, a shutdown. Invariant: the daemon neither accepts nor reads while a
//! socket is lent; and nothing that a child left behind reaches the next one, or makes the daemon block or spin.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::socket::{SockaddrStorage, getpeername};

use super::{Socket, options};
use crate::service::{Peer, SocketOptions};
use crate::sys::{poll, socket, tcp, udp};

/// Where the queue of a socket stands, to see later whether somebody took from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The datagram at its head, by the time at which it came.
    Head(udp::Stamp),
    /// So many connections wait.
    Length(u64),
    /// Something waits, and the kernel does not tell more (connections on unix sockets and vsock).
    Waiting,
    /// Nothing waits.
    Empty,
}

impl Mark {
    /// True when nobody took anything between this mark and the later one, as far as can be known: a queue of
    /// connections that is as long as before may have been taken from and refilled.
    pub fn is_untouched(self, later: Self) -> bool {
        match (self, later) {
            (Self::Head(one), Self::Head(other)) => one == other,
            (Self::Length(before), Self::Length(now)) => now > 0 && now >= before,
            (Self::Waiting, Self::Waiting) => true,
            _ => false,
        }
    }
}

/// What a look at the next sender found.
#[derive(Debug)]
pub enum Sender {
    /// Him; `None`: the kernel does not know (a unix client).
    Known(Option<Peer>),
    /// There is no datagram: it was broken, or somebody else took it.
    Nobody,
    /// The socket is of no use any more.
    Broken(io::Error),
}

impl Socket {
    /// Makes it ready for its next owner.
    pub fn lend(&self) -> io::Result<()> {
        set_blocking(self.as_fd(), true)
    }

    /// Takes it back, as it was when it was opened. Fails when it cannot be put right.
    pub fn take_back(&self, options: &SocketOptions) -> io::Result<()> {
        let fd = self.as_fd();
        set_blocking(fd, false)?;
        let _ = socket::pending_error(fd);
        let level = libc::SOL_SOCKET;
        match socket::set_number(fd, level, libc::SO_DETACH_FILTER, 0) {
            Err(error) if error.raw_os_error() != Some(libc::ENOENT) => return Err(error),
            _ => {}
        }
        if options::buffers(fd, options).is_err() {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        if self.is_datagram() {
            socket::set_number(fd, level, libc::SO_REUSEADDR, 0)?;
        }
        self.check()
    }

    /// Fails when the socket brings nothing any more: a child has shut it down or tied it to one peer.
    pub fn check(&self) -> io::Result<()> {
        let fd = self.as_fd();
        if self.is_datagram() {
            let is_tied = getpeername::<SockaddrStorage>(fd.as_raw_fd()).is_ok();
            if is_tied || poll::is_shut(fd) {
                return Err(io::Error::from_raw_os_error(libc::ENOTCONN));
            }
        } else if !listens(fd) || poll::is_shut(fd) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        Ok(())
    }

    /// Who sent the next datagram.
    pub fn sender(&self) -> Sender {
        match udp::peek(self.as_fd()) {
            Ok(arrival) => Sender::Known(arrival.peer()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => match self.check() {
                Ok(()) => Sender::Nobody,
                Err(error) => Sender::Broken(error),
            },
            // An error of an earlier answer, which this call has taken off the socket.
            Err(error) if udp::is_passing(&error) => Sender::Nobody,
            Err(error) => Sender::Broken(error),
        }
    }

    /// Throws the next datagram away.
    pub fn drop_next(&self) {
        udp::drop_next(self.as_fd());
    }

    /// Where its queue stands.
    pub fn mark(&self) -> Mark {
        let fd = self.as_fd();
        if self.is_datagram() {
            // Only for this look: a program that does not ask for times is not to find them.
            let name = libc::SO_TIMESTAMPNS;
            let _ = socket::set_number(fd, libc::SOL_SOCKET, name, 1);
            let arrived = udp::peek(fd).ok().map(|arrival| arrival.arrived());
            let _ = socket::set_number(fd, libc::SOL_SOCKET, name, 0);
            return match arrived {
                Some(Some(stamp)) => Mark::Head(stamp),
                Some(None) => Mark::Waiting,
                None => Mark::Empty,
            };
        }
        match tcp::queue_length(fd) {
            Ok(length) => Mark::Length(length),
            Err(_) if poll::is_readable(fd) => Mark::Waiting,
            Err(_) => Mark::Empty,
        }
    }
}

pub(super) fn listens(fd: BorrowedFd<'_>) -> bool {
    socket::number(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN).is_ok_and(|value| value != 0)
}

pub(super) fn set_blocking(fd: BorrowedFd<'_>, blocking: bool) -> io::Result<()> {
    // All other flags go, too: O_ASYNC would make the kernel signal whom a child chose.
    let flags = if blocking {
        OFlag::empty()
    } else {
        OFlag::O_NONBLOCK
    };
    fcntl(fd, FcntlArg::F_SETFL(flags))?;
    Ok(())
}
