//! Waiting for descriptors, for a child that has nothing else to do.

#![expect(
    unsafe_code,
    reason = "poll(2) by number: a child knows its socket by number only"
)]

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A descriptor that is waited for.
#[derive(Clone, Copy, Debug)]
pub enum Wish<'a> {
    /// Until it can be read, or its other end is gone.
    Read(BorrowedFd<'a>),
    /// Until it can be written, or its other end is gone.
    Write(BorrowedFd<'a>),
}

/// Waits until one of the wishes has come true, but not beyond `deadline`. Answers which have, in their order; none: the
/// time was over.
pub fn wait_for(wishes: &[Wish<'_>], deadline: Option<Instant>) -> Vec<bool> {
    let mut entries: Vec<PollFd<'_>> = wishes
        .iter()
        .map(|wish| match wish {
            Wish::Read(fd) => PollFd::new(*fd, PollFlags::POLLIN),
            Wish::Write(fd) => PollFd::new(*fd, PollFlags::POLLOUT),
        })
        .collect();
    loop {
        let timeout = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
            None => PollTimeout::NONE,
            Some(Duration::ZERO) => PollTimeout::ZERO,
            Some(left) => PollTimeout::try_from(left.max(Duration::from_millis(1)))
                .unwrap_or(PollTimeout::MAX),
        };
        match poll(&mut entries, timeout) {
            Err(Errno::EINTR) => {}
            Ok(0) if deadline.is_some_and(|at| at > Instant::now()) => {}
            Ok(_) | Err(_) => break,
        }
    }
    let is_ready = |entry: &PollFd<'_>| entry.any().unwrap_or(true);
    entries.iter().map(is_ready).collect()
}

/// Waits until something can be read or the other end is gone, but not beyond `deadline`. False: that came first.
pub fn wait_readable(fd: RawFd, deadline: Option<Instant>) -> bool {
    wait(fd, libc::POLLIN, deadline)
}

/// Waits until both directions are over, or the connection is broken. False: `deadline` came first.
pub fn wait_hang_up(fd: RawFd, deadline: Instant) -> bool {
    wait(fd, 0, Some(deadline))
}

/// True when something can be read now, or accepted.
pub fn is_readable(fd: BorrowedFd<'_>) -> bool {
    look(fd, libc::POLLIN) & libc::POLLIN != 0
}

/// True when the direction from the peer is over for good: by a shutdown, for sockets that have no peer.
pub fn is_shut(fd: BorrowedFd<'_>) -> bool {
    look(fd, libc::POLLRDHUP) & (libc::POLLRDHUP | libc::POLLHUP) != 0
}

fn look(fd: BorrowedFd<'_>, events: i16) -> i16 {
    let mut entry = libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    };
    // SAFETY: the pointer leads to one initialised entry that lives until poll returns, as the count says.
    unsafe { libc::poll(&raw mut entry, 1, 0) };
    entry.revents
}

fn wait(fd: RawFd, events: i16, deadline: Option<Instant>) -> bool {
    loop {
        let millis = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
            None => -1,
            Some(Duration::ZERO) => return false,
            Some(left) => i32::try_from(left.as_millis()).unwrap_or(i32::MAX).max(1),
        };
        let mut entry = libc::pollfd {
            fd,
            events,
            revents: 0,
        };
        // SAFETY: the pointer leads to one initialised entry that lives until poll returns, as the count says; a number
        // that is no open descriptor is answered by POLLNVAL.
        let ready = unsafe { libc::poll(&raw mut entry, 1, millis) };
        if ready > 0 {
            return true;
        }
    }
}
