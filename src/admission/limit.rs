//! `max_connections`, of a service and of the daemon: exact, and given back by the value that holds it.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::rc::Rc;

use super::Refusal;
use crate::service::{Admission, OverLimit};

/// A count of live connections with its limit.
#[derive(Debug, Default)]
struct Count {
    live: Rc<Cell<u32>>,
    max: Option<NonZeroU32>,
}

impl Count {
    fn is_full(&self) -> bool {
        self.max.is_some_and(|max| self.live.get() >= max.get())
    }
}

/// The daemon's own limit, over all services.
#[derive(Debug, Default)]
pub struct House(Count);

impl House {
    /// A house for `max` connections; `None`: unlimited.
    pub fn new(max: Option<NonZeroU32>) -> Self {
        Self(Count {
            live: Rc::default(),
            max,
        })
    }

    /// Changes the limit; who is in stays in.
    pub fn set_max(&mut self, max: Option<NonZeroU32>) {
        self.0.max = max;
    }

    /// True when nobody else may come in now.
    pub fn is_full(&self) -> bool {
        self.0.is_full()
    }

    /// Connections now.
    pub fn live(&self) -> u32 {
        self.0.live.get()
    }

    /// The limit in force.
    pub fn max(&self) -> Option<NonZeroU32> {
        self.0.max
    }
}

/// The state of one service's rules.
#[derive(Debug)]
pub struct Gate {
    connections: Count,
    over_limit: OverLimit,
}

impl Gate {
    /// The rules of `admission`, nobody in.
    pub fn new(admission: &Admission) -> Self {
        let connections = Count {
            live: Rc::default(),
            max: admission.max_connections,
        };
        Self {
            connections,
            over_limit: admission.over_limit,
        }
    }

    /// New rules after a reload; counts stay.
    pub fn change(&mut self, admission: &Admission) {
        self.connections.max = admission.max_connections;
        self.over_limit = admission.over_limit;
    }

    /// True when a client is better left in the kernel's queue.
    pub fn is_full(&self) -> bool {
        self.over_limit == OverLimit::Queue && self.connections.is_full()
    }

    /// Connections now.
    pub fn live(&self) -> u32 {
        self.connections.live.get()
    }

    /// The limit in force.
    pub fn max(&self) -> Option<NonZeroU32> {
        self.connections.max
    }

    /// Admits one connection, or says which rule refused it.
    pub fn admit(&self, house: &House) -> Result<Ticket, Refusal> {
        if self.connections.is_full() {
            return Err(Refusal::Connections);
        }
        Ok(Ticket::take([
            Rc::clone(&self.connections.live),
            Rc::clone(&house.0.live),
        ]))
    }
}

/// The right to be served, counted until it is dropped.
#[derive(Debug)]
pub struct Ticket {
    counts: [Rc<Cell<u32>>; 2],
}

impl Ticket {
    fn take(counts: [Rc<Cell<u32>>; 2]) -> Self {
        for count in &counts {
            count.set(count.get() + 1);
        }
        Self { counts }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        for count in &self.counts {
            count.set(count.get() - 1);
        }
    }
}
