//! What the kernel knows of a TCP connection that somebody else serves, and the discarding of its input.
#![expect(
    unsafe_code,
    reason = "TCP_INFO, queue lengths and MSG_TRUNC have no safe wrappers"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};

/// tcpi_state of a connection that is no more: closed by both sides, or broken.
pub const CLOSE: u8 = 7;
/// States in which our FIN is in the count of what was sent.
pub const FIN_SENT: [u8; 4] = [4, 5, 9, 11];
/// States in which the peer's FIN is in the count of what was received.
pub const FIN_RECEIVED: [u8; 3] = [8, 9, 11];

/// A look at TCP_INFO. Sequence counts, so a FIN counts as a byte where the comment says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// tcpi_state.
    pub state: u8,
    /// Bytes that arrived in order, the peer's FIN included.
    pub received: u64,
    /// Bytes of ours that the peer has acknowledged, our FIN included.
    pub acked: u64,
    /// Bytes handed to the network, repeats included, no FIN.
    pub sent: u64,
    /// Bytes handed to the network again.
    pub resent: u64,
    /// Bytes written and not handed to the network.
    pub unsent: u64,
    /// Since data arrived.
    pub since_received: Duration,
    /// Since an acknowledgement arrived.
    pub since_ack: Duration,
}

/// Looks. Fails for sockets that are not TCP.
pub fn info(fd: BorrowedFd<'_>) -> io::Result<Info> {
    Ok(read(&look(fd)?))
}

/// Connections that wait in the queue of a listening socket. Fails for sockets that are not TCP.
pub fn queue_length(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let raw = look(fd)?;
    // tcpi_unacked, which counts them in this state.
    let bytes = raw.get(24..28).and_then(|bytes| bytes.try_into().ok());
    Ok(u32::from_ne_bytes(bytes.unwrap_or_default()).into())
}

fn look(fd: BorrowedFd<'_>) -> io::Result<[u8; LENGTH]> {
    let mut raw = [0_u8; LENGTH];
    let mut length = LENGTH as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes; what an older one leaves out stays 0.
    let answer = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            raw.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(raw)
}

/// The fields of `struct tcp_info` (linux/tcp.h), by their offsets, which are ABI.
fn read(raw: &[u8; LENGTH]) -> Info {
    let short = |at: usize| {
        let bytes = raw.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        u32::from_ne_bytes(bytes.unwrap_or_default())
    };
    let long = |at: usize| {
        let bytes = raw.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        u64::from_ne_bytes(bytes.unwrap_or_default())
    };
    Info {
        state: raw.first().copied().unwrap_or_default(),
        since_received: Duration::from_millis(short(52).into()),
        since_ack: Duration::from_millis(short(56).into()),
        acked: long(120),
        received: long(128),
        unsent: short(144).into(),
        sent: long(200),
        resent: long(208),
    }
}

/// Bytes that arrived and that nobody has read (SIOCINQ).
pub fn unread(fd: BorrowedFd<'_>) -> u64 {
    queue(fd, libc::FIONREAD)
}

/// Bytes written that the peer has not acknowledged (SIOCOUTQ), our FIN included.
pub fn unacknowledged(fd: BorrowedFd<'_>) -> u64 {
    queue(fd, libc::TIOCOUTQ)
}

fn queue(fd: BorrowedFd<'_>, request: libc::Ioctl) -> u64 {
    let mut length: i32 = 0;
    // SAFETY: both requests write one int.
    let answer = unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw mut length) };
    if answer < 0 {
        return 0;
    }
    u64::try_from(length).unwrap_or(0)
}

/// True when the socket holds an error that nobody has read. Looking does not clear it.
pub fn has_error(fd: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(fd, PollFlags::empty())];
    let _ = poll(&mut polled, PollTimeout::ZERO);
    polled[0]
        .revents()
        .is_some_and(|events| events.contains(PollFlags::POLLERR))
}

/// True when the peer's FIN has come and every byte before it has been read.
///
/// A closed socket does not show it otherwise: read(2) answers 0 after a FIN and after a reset that somebody has been
/// told of. The zero-copy receive (4.18) answers EIO after a FIN only; asked for no bytes, it changes nothing.
pub fn ended_by_peer(fd: BorrowedFd<'_>) -> bool {
    let mut nothing = [0_u64; 2]; // struct tcp_zerocopy_receive: address, length, hint
    let mut length = size_of_val(&nothing) as libc::socklen_t;
    // SAFETY: the pointers are to live values and the length is that of the value; address 0 and length 0 map nothing.
    let answer = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_TCP,
            TCP_ZEROCOPY_RECEIVE,
            nothing.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    answer < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EIO)
}

/// Has the kernel find out that the peer has vanished without a word: probes after `silence`, four of them, a quarter of
/// that time apart; and what is sent and not acknowledged gives up after the same sum, twice `silence`.
pub fn notice_loss(fd: BorrowedFd<'_>, silence: Duration) -> io::Result<()> {
    let silence = silence.max(Duration::from_secs(1));
    let seconds = u32::try_from(silence.as_secs()).unwrap_or(u32::MAX);
    let between = seconds.div_ceil(PROBES).clamp(1, LONGEST_PROBE);
    let give_up = silence.saturating_add(Duration::from_secs((between * PROBES).into()));
    setsockopt(&fd, sockopt::KeepAlive, &true)?;
    setsockopt(&fd, sockopt::TcpKeepIdle, &seconds.min(LONGEST_PROBE))?;
    setsockopt(&fd, sockopt::TcpKeepInterval, &between)?;
    setsockopt(&fd, sockopt::TcpKeepCount, &PROBES)?;
    let give_up = u32::try_from(give_up.as_millis()).unwrap_or(u32::MAX);
    Ok(setsockopt(&fd, sockopt::TcpUserTimeout, &give_up)?)
}

/// Throws away up to `most` bytes of input without reading one (MSG_TRUNC), and tells how many. 0: the peer has ended.
pub fn discard(fd: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    // SAFETY: with MSG_TRUNC a TCP socket copies nothing, so the null buffer is never written.
    let count = unsafe {
        libc::recv(
            fd.as_raw_fd(),
            std::ptr::null_mut(),
            most,
            libc::MSG_TRUNC | libc::MSG_DONTWAIT,
        )
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Through `bytes_retrans`, the last field that is read here.
const LENGTH: usize = 216;
const PROBES: u32 = 4;
/// MAX_TCP_KEEPIDLE and MAX_TCP_KEEPINTVL of the kernel, seconds.
const LONGEST_PROBE: u32 = 32767;
const TCP_ZEROCOPY_RECEIVE: i32 = 35;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::AsFd;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    fn until(what: impl Fn() -> bool) {
        let start = std::time::Instant::now();
        while !what() {
            assert!(start.elapsed() < Duration::from_secs(5));
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn counts_and_queues_are_told() {
        let (mut client, mut server) = pair();
        client.write_all(&[7; 1000]).unwrap();
        server.write_all(&[7; 300]).unwrap();
        until(|| info(server.as_fd()).unwrap().received == 1000);
        until(|| info(server.as_fd()).unwrap().acked == 300);
        assert_eq!(unread(server.as_fd()), 1000);
        assert_eq!(discard(server.as_fd(), 400).unwrap(), 400);
        assert_eq!(unread(server.as_fd()), 600);
        client.shutdown(Shutdown::Write).unwrap();
        until(|| info(server.as_fd()).unwrap().state == FIN_RECEIVED[0]);
        assert_eq!(info(server.as_fd()).unwrap().received, 1001);
        assert!(!ended_by_peer(server.as_fd()), "600 bytes are unread");
        assert_eq!(discard(server.as_fd(), 4000).unwrap(), 600);
        assert_eq!(discard(server.as_fd(), 4000).unwrap(), 0);
        assert!(ended_by_peer(server.as_fd()));
        assert_eq!(info(server.as_fd()).unwrap().sent, 300);
    }

    #[test]
    fn reset_is_an_error_until_somebody_reads_it_and_never_an_end() {
        let (client, mut server) = pair();
        crate::sys::socket::reset_on_close(client.as_fd());
        drop(client);
        until(|| has_error(server.as_fd()));
        assert!(has_error(server.as_fd()), "a look does not clear it");
        server.read(&mut [0]).unwrap_err();
        assert!(!has_error(server.as_fd()));
        assert_eq!(info(server.as_fd()).unwrap().state, CLOSE);
        assert!(!ended_by_peer(server.as_fd()));
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn other_sockets_are_refused() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(info(one.as_fd()).is_err());
    }
}
