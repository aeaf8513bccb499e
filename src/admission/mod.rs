//! Who is admitted: every rule says yes before a [`Ticket`] is made, and what a ticket counts comes back when it is
//! dropped, so no count can leak.
//!
//! The order of the rules is that of [`gate::RULES`], and fixed:
//!
//! | | rule | key | word | file |
//! |---|---|---|---|---|
//! | 1 | the time of day | `hours`, `timezone` | `hours` | `hours.rs` |
//! | 2 | a ban that has not ended | `penalty` | `banned` | `penalty.rs` |
//! | 3 | the longest matching prefix; a tie refuses | `allow`, `deny` | `address` | `access.rs` |
//! | 4 | the load of the host | `max_load` | `load` | `load.rs` |
//! | 5 | connections of the source | `max_per_source` | `per_source` | `limit.rs` |
//! | 6 | starts of the source | `rate_per_source` | `rate_per_source` | `rate.rs` |
//! | 7 | connections of the service | `max_connections` | `connections` | `limit.rs` |
//! | 8 | starts of the service | `rate` | `rate` | `rate.rs` |
//!
//! First everything is asked, then everything is taken: a refusal by a later rule has consumed nothing of an earlier
//! one. Rules 7 and 8 leave the client in the kernel's queue instead, unless `over_limit = "refuse"`: [`Gate::wait`]
//! tells before an accept.
//!
//! This module touches no socket, no file and no clock: it takes values and the [`Moment`].

mod access;
mod gate;
mod hours;
mod limit;
mod lists;
mod load;
#[cfg(test)]
mod model;
mod penalty;
mod prefixes;
mod rate;
mod source;
mod tally;

use std::time::{Duration, Instant, SystemTime};

use crate::service::Peer;

pub use gate::{Deciding, Gate, House, Ticket, Wait, deciding};
pub use lists::Lists;
pub use load::LoadAverage;
pub use source::{SourceKey, SourceUse};
pub use tally::{RefusalLog, Tally};

/// Who stands at the gate.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The other end.
    pub peer: &'a Peer,
    /// Supplementary groups of a unix peer, where [`Gate::asks_groups`].
    pub groups: &'a [u32],
}

/// When, and how the host is.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// For rates, pauses and bans.
    pub now: Instant,
    /// For `hours`, and for nothing else.
    pub wall: SystemTime,
    /// The 1-minute load average, where [`Gate::asks_load`].
    pub load: f64,
}

/// What the rules say.
#[derive(Debug)]
pub enum Verdict {
    /// Serve it.
    Admit(Ticket),
    /// Do not.
    Refuse {
        /// The first rule that refused.
        refusal: Refusal,
        /// The source has just been banned for this long.
        ban: Option<Duration>,
    },
}

/// Why a connection is not served: the word in the FAIL line and in the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Outside of `hours`.
    Hours,
    /// The source is banned by `penalty`.
    Banned,
    /// `allow` and `deny`.
    Address,
    /// `max_load`.
    Load,
    /// `max_per_source`.
    PerSource,
    /// `rate_per_source`.
    RatePerSource,
    /// `max_connections` of the service, with `over_limit = "refuse"`.
    Connections,
    /// `rate` of the service, with `over_limit = "refuse"`.
    Rate,
    /// `proxy_from`: it may not send a PROXY header. Decided before the rules.
    ProxyFrom,
    /// `proxy_protocol`: no such header came, or none in time. Decided before the rules.
    ProxyHeader,
}

impl Refusal {
    /// Those of the rules, in their order.
    pub const RULES: [Self; 8] = [
        Self::Hours,
        Self::Banned,
        Self::Address,
        Self::Load,
        Self::PerSource,
        Self::RatePerSource,
        Self::Connections,
        Self::Rate,
    ];

    /// All of them, those of the rules in their order.
    pub const ALL: [Self; 10] = [
        Self::Hours,
        Self::Banned,
        Self::Address,
        Self::Load,
        Self::PerSource,
        Self::RatePerSource,
        Self::Connections,
        Self::Rate,
        Self::ProxyFrom,
        Self::ProxyHeader,
    ];

    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hours => "hours",
            Self::Banned => "banned",
            Self::Address => "address",
            Self::Load => "load",
            Self::PerSource => "per_source",
            Self::RatePerSource => "rate_per_source",
            Self::Connections => "connections",
            Self::Rate => "rate",
            Self::ProxyFrom => "proxy_from",
            Self::ProxyHeader => "proxy_header",
        }
    }

    /// The refusal with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.word() == word)
    }

    /// True where the source itself is at fault: only that leads to a ban.
    pub fn blames_the_source(self) -> bool {
        matches!(self, Self::Address | Self::PerSource | Self::RatePerSource)
    }
}
