//! Who is admitted: every rule says yes before a [`Ticket`] is made, and what a ticket counts comes back when it is
//! dropped, so no count can leak.
//!
//! This module touches no socket and no clock: it takes values and `now`.

mod limit;

pub use limit::{Gate, House, Ticket};

/// Why a connection is not served: the word in the FAIL line and in the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `max_connections` of the service, with `over_limit = "refuse"`.
    Connections,
}

impl Refusal {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Connections => "connections",
        }
    }
}
