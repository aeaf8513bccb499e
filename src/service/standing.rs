//! What counts of a client at a service at one moment: from the daemon to `try`.

use serde::{Deserialize, Serialize};

/// What counts of a client and its service now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The source as rules group it.
    pub source: String,
    /// No per-source rule counts it.
    pub exempt: bool,
    /// Its connections now, and how many it may have.
    pub of_source: (u32, Option<u32>),
    /// Connections of the service now, and how many it may have.
    pub of_service: (u32, Option<u32>),
    /// The words of all rules that would refuse now.
    pub refusals: Vec<String>,
    /// Seconds until its ban ends.
    pub banned: Option<u64>,
}
