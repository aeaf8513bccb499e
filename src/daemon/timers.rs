//! Deadlines in the order of their time. Setting and cancelling cost O(log n) whatever is pending.
//!
//! Invariant: no timer of a connection outlives it. At 1,000 connections a second with `timeout = "1h"` a queue without
//! cancelling would hold 3.6 million entries of the dead.

use std::collections::BTreeSet;
use std::time::Instant;

use super::token::{
    AnswerKey, ChildKey, ControlKey, EachKey, HeaderKey, LingerKey, ListenerKey, RefusedKey,
    ServiceKey,
};

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
    /// A rehearsal has taken too long.
    Rehearsal,
    /// A control client has had its time.
    Control(ControlKey),
    /// Whether clients still wait is looked at; `None`: for the whole daemon.
    Queue(Option<ServiceKey>),
    /// Refusals that were not told one by one are told as a number.
    Refusals(ServiceKey),
    /// A refused connection has had its time.
    Refused(RefusedKey),
    /// A PROXY header has had its time. Cancelled with its connection.
    Header(HeaderKey),
    /// A client has taken nothing of its cached reply for a while. Cancelled with it.
    Answer(AnswerKey),
    /// The files of lists are looked at.
    Lists,
    /// Orphans may be reaped again.
    Orphans,
    /// A connection is to be looked at, or its TERM has had its time. Cancelled with the connection.
    Connection(ChildKey),
    /// A worker has lived for a while, or is tried again.
    Worker(ChildKey),
    /// A lingering close has had its time. Cancelled with it.
    Linger(LingerKey),
    /// Trees of programs that are to end are looked at again.
    Trees,
    /// A service's stderr is read again, or what it lost is told.
    Output(ServiceKey),
    /// The stderr of one connection is read again.
    Each(EachKey),
    /// The stderr of one connection whose program is dead is closed, whoever holds it.
    EachOver(EachKey),
    /// Control groups that could not be removed are tried again.
    Leaves,
    /// An interface or an address has come or gone a moment ago.
    Network,
    /// The service manager wants a sign of life.
    Manager,
    /// A service manager that was busy is asked again.
    ManagerRetry,
}

/// The pending deadlines. Those that are few are recognized as stale by their subject when they fire; those that come
/// with each connection are cancelled.
#[derive(Debug, Default)]
pub(super) struct Timers {
    pending: BTreeSet<(Instant, Timer)>,
}

impl Timers {
    /// Adds a deadline.
    pub(super) fn set(&mut self, at: Instant, timer: Timer) {
        self.pending.insert((at, timer));
    }

    /// Takes back what was set so.
    pub(super) fn cancel(&mut self, at: Instant, timer: Timer) {
        self.pending.remove(&(at, timer));
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.pending.first().map(|(at, _)| *at)
    }

    /// Takes one that is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.pending.pop_first().map(|(_, timer)| timer)
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

    #[test]
    fn cancelled_timers_leave_nothing() {
        let start = Instant::now();
        let mut timers = Timers::default();
        let mut keys = slotmap::SlotMap::<ChildKey, ()>::with_key();
        for second in 0..1000 {
            let at = start + Duration::from_secs(second);
            let timer = Timer::Connection(keys.insert(()));
            timers.set(at, timer);
            timers.cancel(at, timer);
        }
        assert_eq!(timers.next(), None);
        assert!(timers.pending.is_empty());
    }
}
