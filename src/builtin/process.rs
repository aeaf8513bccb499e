//! The process model: one client, one process.
//!
//! Invariant: runs in a forked child that has dropped its privileges. Nothing is shared with another client.

use std::os::fd::RawFd;

use super::{Maker, blocking};

/// Serves the client on the blocking stream socket `fd` until its end. Returns the exit status: that of the connection.
pub(super) fn serve(maker: &Maker, fd: RawFd) -> u8 {
    blocking::drive(maker.stream().as_mut(), fd)
}
