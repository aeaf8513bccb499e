//! Blocking stream sockets of a child, by the number that the child was given.

#![expect(unsafe_code, reason = "a child knows its socket by number only")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{MsgFlags, Shutdown, SockType, getsockopt, recv, send, shutdown, sockopt};

/// A descriptor of one's own for the socket that the child was given.
pub fn own(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the number is looked at once, during the call; a number that is not open is answered by EBADF.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    fd.try_clone_to_owned()
}

/// The same, in place of the number, which is closed.
pub fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    let own = own(fd)?;
    nix::unistd::close(fd)?;
    Ok(own)
}

/// From now on nothing waits on this socket, whoever holds it.
pub fn never_wait(fd: BorrowedFd<'_>) -> io::Result<()> {
    fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Waits for bytes; 0: the peer has finished sending.
pub fn receive(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match recv(fd, buffer, MsgFlags::empty()) {
            Err(Errno::EINTR) => {}
            result => return Ok(result?),
        }
    }
}

/// True for a socket that keeps the bounds of messages (SOCK_SEQPACKET).
pub fn has_records(fd: RawFd) -> bool {
    // SAFETY: borrowed for this call only, which fails if the number is not open.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    getsockopt(&socket, sockopt::SockType).is_ok_and(|kind| kind == SockType::SeqPacket)
}

/// Waits for a record and tells its length; 0: the peer has finished sending.
pub fn next_record(fd: RawFd) -> io::Result<usize> {
    loop {
        match recv(fd, &mut [], MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC) {
            Err(Errno::EINTR) => {}
            result => return Ok(result?),
        }
    }
}

/// What has come, without waiting (WouldBlock). It stays where it is.
pub fn peek_now(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
    Ok(recv(fd.as_raw_fd(), buffer, flags)?)
}

/// What has come, without waiting (WouldBlock).
pub fn take_now(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(recv(fd.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT)?)
}

/// [`receive`] without waiting (WouldBlock).
pub fn receive_now(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(recv(fd, buffer, MsgFlags::MSG_DONTWAIT)?)
}

/// Sends what fits without waiting (WouldBlock), and without SIGPIPE.
pub fn send_now(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(send(
        fd,
        bytes,
        MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
    )?)
}

/// Sends everything, as fast as the peer takes it, and without SIGPIPE.
pub fn send_all(fd: RawFd, bytes: &[u8]) -> io::Result<()> {
    let mut bytes = bytes;
    while !bytes.is_empty() {
        match send(fd, bytes, MsgFlags::MSG_NOSIGNAL) {
            Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// The peer will read its end of file after what was sent.
pub fn end_sending(fd: RawFd) -> io::Result<()> {
    Ok(shutdown(fd, Shutdown::Write)?)
}

/// True: the peer or the way to it is gone. That is its own business and no failure of ours.
pub fn is_gone(error: &io::Error) -> bool {
    const GONE: [Errno; 8] = [
        Errno::ECONNRESET,
        Errno::EPIPE,
        Errno::ETIMEDOUT,
        Errno::ECONNABORTED,
        Errno::EHOSTUNREACH,
        Errno::ENETUNREACH,
        Errno::ENETDOWN,
        Errno::ENOTCONN,
    ];
    GONE.iter()
        .any(|errno| error.raw_os_error() == Some(*errno as i32))
}
