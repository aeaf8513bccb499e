//! Deadlines in the order of their time: a binary heap that knows where each entry stands. Setting and cancelling cost
//! O(log n) whatever is pending, and allocate nothing once the heap has been as large before.
//!
//! Invariant: no timer of a connection outlives it. At 1,000 connections a second with `timeout = "1h"` a queue without
//! cancelling would hold 3.6 million entries of the dead.

use std::collections::HashMap;
use std::time::Instant;

use super::token::{
    AnswerKey, ChildKey, ControlKey, EachKey, HeaderKey, LingerKey, ListenerKey, RefusedKey,
    ServiceKey,
};

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// No entry is later than those at twice its place plus one and plus two.
    heap: Vec<Entry>,
    places: HashMap<Entry, usize>,
}

type Entry = (Instant, Timer);

impl Timers {
    /// Adds a deadline. What is set already stays set once.
    pub(super) fn set(&mut self, at: Instant, timer: Timer) {
        if !self.places.contains_key(&(at, timer)) {
            self.heap.push((at, timer));
            self.rise(self.heap.len() - 1);
        }
    }

    /// Takes back what was set so.
    pub(super) fn cancel(&mut self, at: Instant, timer: Timer) {
        if let Some(place) = self.places.get(&(at, timer)) {
            self.take(*place);
        }
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.first().map(|(at, _)| *at)
    }

    /// Takes one that is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        Some(self.take(0).1)
    }

    /// Takes the entry out that stands at this place. The last one comes there, and goes where it belongs.
    fn take(&mut self, place: usize) -> Entry {
        let entry = self.heap.swap_remove(place);
        self.places.remove(&entry);
        self.sink(place);
        self.rise(place);
        entry
    }

    fn rise(&mut self, mut place: usize) {
        while let Some(parent) = place.checked_sub(1).map(|before| before / 2)
            && self.is_before(place, parent)
        {
            self.swap(place, parent);
            place = parent;
        }
        self.note(place);
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            let next = if self.is_before(right, left) {
                right
            } else {
                left
            };
            if !self.is_before(next, place) {
                return;
            }
            self.swap(place, next);
            place = next;
        }
    }

    /// False where one of the places is empty.
    fn is_before(&self, place: usize, other: usize) -> bool {
        let (one, other) = (self.heap.get(place), self.heap.get(other));
        one.zip(other).is_some_and(|(one, other)| one < other)
    }

    fn swap(&mut self, place: usize, other: usize) {
        self.heap.swap(place, other);
        self.note(place);
        self.note(other);
    }

    fn note(&mut self, place: usize) {
        if let Some(entry) = self.heap.get(place) {
            self.places.insert(*entry, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
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
        assert!(timers.heap.is_empty() && timers.places.is_empty());
    }

    #[test]
    fn the_heap_agrees_with_a_sorted_set() {
        let start = Instant::now();
        let (mut timers, mut model) = (Timers::default(), BTreeSet::new());
        let mut keys = slotmap::SlotMap::<ChildKey, ()>::with_key();
        let keys: Vec<ChildKey> = (0..20).map(|_| keys.insert(())).collect();
        let mut random = 1_u64;
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005) + 1;
            let time = Duration::from_secs(random >> 40 & 31);
            let entry = (
                start + time,
                Timer::Connection(keys[(random >> 50) as usize % 20]),
            );
            match random >> 60 {
                0..8 => {
                    timers.set(entry.0, entry.1);
                    model.insert(entry);
                }
                8..14 => {
                    timers.cancel(entry.0, entry.1);
                    model.remove(&entry);
                }
                _ => {
                    let due = model.first().filter(|(at, _)| *at <= entry.0).copied();
                    assert_eq!(timers.pop(entry.0), due.map(|(_, timer)| timer));
                    due.map(|due| model.remove(&due));
                }
            }
            assert_eq!(timers.next(), model.first().map(|(at, _)| *at));
            assert_eq!(timers.places.len(), model.len());
        }
    }
}
