//! A pair of sockets that carries whole records, and descriptors with them (SOCK_SEQPACKET, SCM_RIGHTS).
//!
//! Invariant: no descriptor that the kernel has handed over is lost: each ends in an `OwnedFd`, or the kernel itself has
//! closed it.
#![expect(
    unsafe_code,
    reason = "control messages are memory of the kernel's layout"
)]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, recv, shutdown, socketpair,
};

/// Descriptors that one record carries at most.
pub const MOST: usize = 32;

/// A connected pair, close-on-exec.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (kind, flags) = (SockType::SeqPacket, SockFlag::SOCK_CLOEXEC);
    Ok(socketpair(AddressFamily::Unix, kind, None, flags)?)
}

/// The other side will receive 0 bytes after all records that were sent.
pub fn end(socket: BorrowedFd<'_>) {
    let _ = shutdown(socket.as_raw_fd(), Shutdown::Write);
}

/// Sends one record with up to [`MOST`] descriptors, without waiting (WouldBlock) and without SIGPIPE.
pub fn send(socket: BorrowedFd<'_>, record: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut control = Control::empty();
    let mut part = libc::iovec {
        iov_base: record.as_ptr().cast_mut().cast(),
        iov_len: record.len(),
    };
    let mut message = message(&mut part);
    if !fds.is_empty() {
        let fds = fds.get(..MOST).unwrap_or(fds);
        control.header.cmsg_level = libc::SOL_SOCKET;
        control.header.cmsg_type = libc::SCM_RIGHTS;
        control.header.cmsg_len = mem::size_of::<libc::cmsghdr>() + mem::size_of_val(fds);
        for (place, fd) in control.fds.iter_mut().zip(fds) {
            *place = fd.as_raw_fd();
        }
        message.msg_controllen = control.header.cmsg_len;
        message.msg_control = ptr::from_mut(&mut control).cast();
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the message leads to the record and to a control message of the length that it says, both alive.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Receives one record and its descriptors, which are added to `fds`, close-on-exec. Answers its length; 0: the other
/// side has ended. A record that is longer than `record` is an error. With `wait` it waits for one, else WouldBlock.
///
/// Where no more descriptors could be opened there are fewer than were sent, and the first ones.
pub fn receive(
    socket: BorrowedFd<'_>,
    record: &mut [u8],
    fds: &mut Vec<OwnedFd>,
    wait: bool,
) -> io::Result<usize> {
    let mut control = Control::empty();
    let mut part = libc::iovec {
        iov_base: record.as_mut_ptr().cast(),
        iov_len: record.len(),
    };
    let mut message = message(&mut part);
    message.msg_control = ptr::from_mut(&mut control).cast();
    message.msg_controllen = mem::size_of::<Control>();
    let flags = libc::MSG_CMSG_CLOEXEC | if wait { 0 } else { libc::MSG_DONTWAIT };
    let received = loop {
        // SAFETY: the message leads to the record and to the control message, with their lengths, both alive.
        let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
        if received >= 0 {
            break received as usize;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    };
    let header = mem::size_of::<libc::cmsghdr>();
    if message.msg_controllen >= header
        && control.header.cmsg_level == libc::SOL_SOCKET
        && control.header.cmsg_type == libc::SCM_RIGHTS
    {
        let count = control.header.cmsg_len.saturating_sub(header) / mem::size_of::<RawFd>();
        for fd in control.fds.iter().take(count) {
            // SAFETY: the kernel has just made this descriptor for us.
            fds.push(unsafe { OwnedFd::from_raw_fd(*fd) });
        }
    }
    if message.msg_flags & libc::MSG_TRUNC != 0 {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    Ok(received)
}

/// Receives one record without waiting (WouldBlock), and no descriptor: what was sent with it is closed. Answers its length;
/// 0: the other side has ended. A record that is longer than `record` is an error.
pub fn receive_words(socket: BorrowedFd<'_>, record: &mut [u8]) -> io::Result<usize> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
    let length = recv(socket.as_raw_fd(), record, flags)?;
    if length > record.len() {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    Ok(length)
}

/// Waits until a record can be sent, or nobody is there to receive it.
pub fn wait_for_room(socket: BorrowedFd<'_>) {
    let mut polled = [PollFd::new(socket, PollFlags::POLLOUT)];
    let _ = poll(&mut polled, PollTimeout::NONE);
}

/// One control message with room for all descriptors.
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    fds: [RawFd; MOST],
}

impl Control {
    fn empty() -> Self {
        // SAFETY: all zero is a valid value of every field.
        unsafe { mem::zeroed() }
    }
}

fn message(part: &mut libc::iovec) -> libc::msghdr {
    // SAFETY: all zero is a valid value: no name, no parts, no control message.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = part;
    message.msg_iovlen = 1;
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    fn receive_now(socket: &OwnedFd, room: usize) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
        let (mut record, mut fds) = (vec![0; room], Vec::new());
        let length = receive(socket.as_fd(), &mut record, &mut fds, false)?;
        record.truncate(length);
        Ok((record, fds))
    }

    #[test]
    fn records_come_whole_with_their_descriptors() {
        let (one, other) = pair().unwrap();
        for count in [0, 1, 2, MOST] {
            let pairs: Vec<_> = (0..count).map(|_| UnixStream::pair().unwrap()).collect();
            let sent: Vec<_> = pairs.iter().map(|(fd, _)| fd.as_fd()).collect();
            send(one.as_fd(), b"record", &sent).unwrap();
            let (record, fds) = receive_now(&other, 20).unwrap();
            assert_eq!((&record[..], fds.len()), (&b"record"[..], count));
            for (fd, (_, end)) in fds.into_iter().zip(&pairs) {
                File::from(fd).write_all(b"x").unwrap();
                let mut byte = [0];
                let mut end = end;
                end.read_exact(&mut byte).unwrap();
            }
        }
        assert_eq!(
            receive_now(&other, 20).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
    }

    #[test]
    fn the_end_comes_after_the_last_record() {
        let (one, other) = pair().unwrap();
        send(one.as_fd(), b"last", &[]).unwrap();
        end(one.as_fd());
        assert_eq!(receive_now(&other, 20).unwrap().0, b"last");
        assert!(receive_now(&other, 20).unwrap().0.is_empty());
        send(other.as_fd(), b"still", &[]).unwrap();
        assert_eq!(receive_now(&one, 20).unwrap().0, b"still");
        drop(other);
        assert!(send(one.as_fd(), b"nobody", &[]).is_err());
    }

    #[test]
    fn what_is_too_long_is_an_error_and_leaks_nothing() {
        let (one, other) = pair().unwrap();
        let (fd, mut end) = UnixStream::pair().unwrap();
        send(one.as_fd(), b"long record", &[fd.as_fd()]).unwrap();
        drop(fd);
        assert!(receive_now(&other, 4).is_err());
        assert_eq!(end.read(&mut [0]).unwrap(), 0, "the other end is closed");
    }

    #[test]
    fn a_full_pair_does_not_wait() {
        let (one, other) = pair().unwrap();
        let mut sent = 0;
        while send(one.as_fd(), &[0; 8], &[other.as_fd()]).is_ok() {
            sent += 1;
        }
        assert!(sent > 10);
        for _ in 0..sent {
            receive_now(&other, 8).unwrap();
        }
    }
}
