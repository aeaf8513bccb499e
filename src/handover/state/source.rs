//! What gates remember: rates, bans, sources. As tuples, for there may be 80,000 of them.

use serde::{Deserialize, Serialize};

use super::Stamp;

/// The state of a gate: times are ns of the house's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Its number, which keys of sources have.
    pub number: u32,
    /// When the bucket of `rate` is full.
    pub bucket: u64,
    /// The same for datagrams.
    pub datagram_bucket: u64,
    /// The end of a `pause`.
    pub paused_until: u64,
}

/// A source at one gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceKey(
    /// The gate.
    pub u32,
    /// The family.
    pub u8,
    /// The length of the prefix.
    pub u8,
    /// Its upper and lower bits.
    pub u64,
    /// See above.
    pub u64,
);

/// What is remembered of a source; times are ns of the house's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory(
    /// Which.
    pub SourceKey,
    /// Refusals.
    pub u32,
    /// When the bucket of starts is full.
    pub u64,
    /// When the bucket of refusals is.
    pub u64,
    /// When it was banned.
    pub u64,
    /// Until when.
    pub u64,
    /// Bans in a row.
    pub u8,
);

/// What is remembered of sources, those that were idle for longest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    /// When the house's clock began.
    pub clock: Stamp,
    /// The number of the next gate.
    pub next_gate: u32,
    /// Of connections.
    pub streams: Vec<Memory>,
    /// Of datagrams.
    pub datagrams: Vec<Memory>,
}
