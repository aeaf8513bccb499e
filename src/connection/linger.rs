//! The lingering close: whether a connection needs it, and for how long.
//!
//! Invariant: it ends. By the peer's end of file, by time, or by bytes, whichever comes first.

use std::time::{Duration, Instant};

use crate::sys::tcp::CLOSE;

/// What the daemon does with its descriptor at the program's exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtExit {
    /// Close it.
    Close,
    /// Shut down writing, discard input, close later.
    Linger(Duration),
}

/// Decides it. `unread` is SIOCINQ; each lingering connection costs a descriptor, so there is not always room.
pub fn at_exit(linger: Option<Duration>, state: u8, unread: u64, has_room: bool) -> AtExit {
    match linger {
        Some(time) if unread > 0 && state != CLOSE && has_room => AtExit::Linger(time),
        _ => AtExit::Close,
    }
}

/// A connection that lingers.
#[derive(Clone, Copy, Debug)]
pub struct Linger {
    until: Instant,
    left: u64,
}

impl Linger {
    /// Starts now. What is unread already is discarded for nothing; of what comes later, `bytes`.
    pub fn new(now: Instant, time: Duration, unread: u64, bytes: u64) -> Self {
        Self {
            until: now + time,
            left: unread.saturating_add(bytes),
        }
    }

    /// One that goes on in another process.
    pub fn resume(until: Instant, left: u64) -> Self {
        Self { until, left }
    }

    /// How many bytes may still be discarded.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// When it is over in any case.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// How many bytes may be discarded now, in one turn.
    pub fn most(&self) -> usize {
        usize::try_from(self.left).map_or(TURN, |left| left.min(TURN))
    }

    /// So many were discarded: true when it goes on.
    pub fn discarded(&mut self, count: usize) -> bool {
        self.left = self.left.saturating_sub(count as u64);
        count > 0 && self.left > 0
    }
}

/// Bytes discarded in one turn of the loop.
const TURN: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn only_unread_input_on_a_living_connection_lingers() {
        let linger = AtExit::Linger(SECOND);
        for (time, state, unread, room, expected) in [
            (Some(SECOND), 1, 1, true, linger),
            (Some(SECOND), 8, 1, true, linger),
            (Some(SECOND), 1, 0, true, AtExit::Close),
            (Some(SECOND), CLOSE, 1, true, AtExit::Close),
            (Some(SECOND), 1, 1, false, AtExit::Close),
            (None, 1, 1, true, AtExit::Close),
        ] {
            assert_eq!(at_exit(time, state, unread, room), expected);
        }
    }

    #[test]
    fn it_ends_by_bytes_and_by_the_peers_end() {
        let now = Instant::now();
        let mut linger = Linger::new(now, SECOND, 10, 20);
        assert_eq!(linger.until(), now + SECOND);
        assert_eq!(linger.most(), 30);
        assert!(linger.discarded(29));
        assert_eq!(linger.most(), 1);
        assert!(!linger.discarded(1));
        assert!(!Linger::new(now, SECOND, 10, 20).discarded(0));
        assert_eq!(Linger::new(now, SECOND, 1, u64::MAX).most(), TURN);
    }
}
