//! The process model: one client, one process.
//!
//! Invariant: runs in a forked child that has dropped its privileges. Nothing is shared with another client.

use std::os::fd::RawFd;

use super::{Maker, blocking};
use crate::service::Builtin;

/// Serves the client on the blocking stream socket `fd` until its end. Returns the exit status of the process: that of
/// the connection (see `blocking`), or 66 (EX_NOINPUT) when the file of the built-in cannot be read.
pub fn serve(builtin: &Builtin, fd: RawFd) -> u8 {
    match Maker::open(&builtin.kind) {
        Ok(maker) => blocking::drive(maker.stream().as_mut(), fd),
        Err(status) => status,
    }
}
