//! `max_connections` of a service and of the daemon, and `max_per_source`: exact counts of what lives now.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::rc::Rc;

use super::source::Memory;
use crate::service::{Admission, Peer, PerSource};

/// A count of live connections with its limit.
#[derive(Debug, Default)]
pub(super) struct Count {
    live: Rc<Cell<u32>>,
    pub(super) max: Option<NonZeroU32>,
}

impl Count {
    pub(super) fn live(&self) -> u32 {
        self.live.get()
    }

    pub(super) fn is_full(&self) -> bool {
        self.max.is_some_and(|max| self.live.get() >= max.get())
    }

    /// How many more there may be.
    pub(super) fn room(&self) -> u32 {
        self.max
            .map_or(u32::MAX, |max| max.get().saturating_sub(self.live.get()))
    }

    /// Counts one until the value is dropped.
    pub(super) fn take(&self) -> Counted {
        self.live.set(self.live.get() + 1);
        Counted(Rc::clone(&self.live))
    }
}

/// One that is counted.
#[derive(Debug)]
pub(super) struct Counted(Rc<Cell<u32>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// `max_per_source`.
#[derive(Debug)]
pub(super) struct SourceLimit {
    max: Option<NonZeroU32>,
    /// The limit was not written: loopback and unix peers are one source for many people.
    by_default: bool,
}

impl SourceLimit {
    pub(super) fn new(admission: &Admission) -> Self {
        let half = |all: NonZeroU32| NonZeroU32::new(all.get() / 2).unwrap_or(NonZeroU32::MIN);
        match admission.max_per_source {
            PerSource::Half => Self {
                max: admission.max_connections.map(half),
                by_default: true,
            },
            PerSource::At(max) => Self {
                max: Some(max),
                by_default: false,
            },
            PerSource::Unlimited => Self {
                max: None,
                by_default: false,
            },
        }
    }

    /// The limit for `peer`.
    pub(super) fn for_peer(&self, peer: &Peer) -> Option<NonZeroU32> {
        let is_shared = match peer {
            Peer::Inet(address) => address.ip().is_loopback(),
            Peer::Unix { .. } => true,
            Peer::Vsock { .. } => false,
        };
        self.max.filter(|_| !(self.by_default && is_shared))
    }

    pub(super) fn refuses(&self, peer: &Peer, source: Option<&Memory>) -> bool {
        match (self.for_peer(peer), source) {
            (Some(max), Some(memory)) => memory.live >= max.get(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::gate::tests::{at, plain};

    #[test]
    fn a_count_is_full_at_its_limit_and_comes_back() {
        let count = Count {
            live: Rc::default(),
            max: NonZeroU32::new(3),
        };
        let mut held = Vec::new();
        for live in 0..3 {
            assert_eq!((count.live(), count.is_full()), (live, false));
            held.push(count.take());
        }
        assert!(count.is_full());
        held.pop();
        assert!(!count.is_full());
        drop(held);
        assert_eq!(count.live(), 0);
    }

    #[test]
    fn default_is_half_of_the_service_and_spares_what_many_share() {
        let unix = Peer::Unix {
            uid: 0,
            gid: 0,
            pid: 1,
        };
        let mut admission = plain();
        for (per_source, all, far, near) in [
            (PerSource::Half, Some(256), Some(128), None),
            (PerSource::Half, Some(1), Some(1), None),
            (PerSource::Half, Some(3), Some(1), None),
            (PerSource::Half, None, None, None),
            (
                PerSource::At(NonZeroU32::new(7).unwrap()),
                Some(256),
                Some(7),
                Some(7),
            ),
            (PerSource::Unlimited, Some(256), None, None),
        ] {
            admission.max_per_source = per_source;
            admission.max_connections = all.and_then(NonZeroU32::new);
            let limit = SourceLimit::new(&admission);
            let of = |peer: &Peer| limit.for_peer(peer).map(NonZeroU32::get);
            assert_eq!(of(&at("192.0.2.7")), far, "{per_source:?} of {all:?}");
            for shared in [&at("127.0.0.9"), &at("::1"), &unix] {
                assert_eq!(of(shared), near, "{per_source:?} of {all:?} for {shared}");
            }
        }
    }
}
