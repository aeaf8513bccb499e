//! What stands between a client and its server: children of the daemon that pass bytes on.
//!
//! | | between the client and | by |
//! |---|---|---|
//! | [`redirect`] | another server | splice(2) |
//! | [`transcript`] | the service's own program | a buffer, and a record |
//!
//! Invariant: everything here runs in a forked child that has dropped its privileges and given up the daemon's memory, so
//! it may wait, allocate and fail as it likes: it costs its own client and nobody else. A byte that was taken is given, in
//! both directions, to any delay, and the end of each direction is passed on when it comes; a reset is passed on as one.

mod pump;
mod redirect;
mod transcript;

pub use redirect::serve as redirect;
pub use transcript::serve as transcript;

use std::io::Write;
use std::os::fd::RawFd;

use crate::service::{Local, Peer, Service};

/// What a child of ours is given.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// The service that it serves.
    pub service: &'a Service,
    /// The number of its connection, in blocking mode.
    pub socket: RawFd,
    /// Who came.
    pub peer: &'a Peer,
    /// Our end.
    pub local: &'a Local,
    /// The id of the log.
    pub id: &'a str,
}

/// A line for the log of the service.
fn tell(text: &str) {
    // Nothing is to be done where nobody listens.
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}
