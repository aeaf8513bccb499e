//! Deadlines in the order of their time. Setting and cancelling cost O(log n) whatever is pending.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::token::{ControlKey, ListenerKey, RefusedKey, ServiceKey};

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A paused service goes on.
    Wake(ServiceKey),
    /// Listeners that met exhaustion try again.
    Retry,
    /// Exhaustion may be over.
    Calm,
    /// An address that could not be bound is tried again.
    Bind(ListenerKey),
    /// The drain has had its time.
    Shutdown,
    /// A load has taken too long.
    Loading,
    /// A control client has had its time.
    Control(ControlKey),
    /// Whether clients still wait is looked at; `None`: for the whole daemon.
    Queue(Option<ServiceKey>),
    /// Refusals that were not told one by one are told as a number.
    Refusals(ServiceKey),
    /// A refused connection has had its time.
    Refused(RefusedKey),
    /// The files of lists are looked at.
    Lists,
    /// Orphans may be reaped again.
    Orphans,
}

/// The pending deadlines. A timer whose subject is gone or has another deadline by now is recognized by its subject
/// when it fires: nothing has to be found in the heap to cancel it.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, Timer)>>,
}

impl Timers {
    /// Adds a deadline.
    pub(super) fn set(&mut self, at: Instant, timer: Timer) {
        self.heap.push(Reverse((at, timer)));
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes one that is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, timer))| timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timers_fire_in_order_and_never_early() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.set(start + Duration::from_secs(2), Timer::Shutdown);
        timers.set(start + Duration::from_secs(1), Timer::Retry);
        assert_eq!(timers.pop(start), None);
        assert_eq!(timers.next(), Some(start + Duration::from_secs(1)));
        let late = start + Duration::from_secs(3);
        assert_eq!(timers.pop(late), Some(Timer::Retry));
        assert_eq!(timers.pop(late), Some(Timer::Shutdown));
        assert_eq!(timers.pop(late), None);
    }
}
