//! The control socket's language, and the client's side of it.
//!
//! A request is one line of plain words, an answer one line of JSON; then the daemon closes. So `nc -U` is a client too,
//! and the daemon parses nothing but words. The server's side is `daemon::control`.

pub mod client;
pub mod metrics;
mod request;
pub mod status;

use serde::{Deserialize, Serialize};

use crate::service::Standing;
pub use request::{LONGEST, Request};

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Done; what there is to say of it.
    Done(String),
    /// Not done; why.
    Error(String),
    /// To `status`.
    Status(Box<status::Status>),
    /// To `try`.
    Standing(Standing),
    /// To `reload`, when the new table is in force.
    Reloaded(Diff),
    /// To `reload`, when it is not: the diagnostics, for a person.
    Rejected(String),
}

/// What a reload changed, by service name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// New services.
    pub added: Vec<String>,
    /// Services that differ.
    pub changed: Vec<String>,
    /// Services that are gone.
    pub removed: Vec<String>,
    /// How many stayed as they were.
    pub kept: usize,
    /// Warnings of the new table, for a person.
    pub report: String,
}
