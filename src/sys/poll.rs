//! Waiting for one descriptor, by the number that a child was given.

#![expect(
    unsafe_code,
    reason = "poll(2) by number: a child knows its socket by number only"
)]

use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use nix::libc;

/// Waits until something can be read or the other end is gone, but not beyond `deadline`. False: that came first.
pub fn wait_readable(fd: RawFd, deadline: Option<Instant>) -> bool {
    wait(fd, libc::POLLIN, deadline)
}

/// Waits until both directions are over, or the connection is broken. False: `deadline` came first.
pub fn wait_hang_up(fd: RawFd, deadline: Instant) -> bool {
    wait(fd, 0, Some(deadline))
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
