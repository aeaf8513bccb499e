//! A connection: with its program, or after it.

use serde::{Deserialize, Serialize};

use super::{Descriptor, Lines, SourceKey, Stamp};
use crate::service::Peer;

/// A live child.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Child {
    /// Its service, by its index.
    pub service: usize,
    /// Its process id, or that of its worker. It is not reaped, so the number is its own.
    pub pid: i32,
    /// Its connection's id.
    pub id: String,
    /// What it is.
    #[serde(default)]
    pub task: Task,
    /// Who came; `None`: it serves no single client.
    pub peer: Option<Peer>,
    /// What it counts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<SourceKey>,
    /// When it began.
    pub started: Stamp,
    /// Its program did not start, and the log has it.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub failed: bool,
    /// The daemon's own descriptor of the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<Descriptor>,
    /// The loss of the client is watched for.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub watched: bool,
    /// The last activity, and the bytes received and acknowledged by then.
    pub active: (Stamp, u64, u64),
    /// When it is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Stamp>,
    /// Why the daemon ended it, in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When KILL follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill_at: Option<Stamp>,
    /// Bytes of a PROXY header before the client's.
    pub header: u64,
    /// It has a control group.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub leaf: bool,
    /// Its own stderr pipe, by its index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<usize>,
    /// The socket that it was lent: by the index of its service, and its own there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lent: Option<(usize, usize)>,
}

/// What a child is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// A process with one connection.
    #[default]
    Own,
    /// A worker of a service.
    Worker(Worker),
    /// A connection of a worker.
    Passed {
        /// The worker, by its index among the children.
        worker: usize,
        /// How the worker calls the connection.
        number: u64,
    },
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// The daemon's end of the pair.
    pub pair: Descriptor,
    /// The number of the next connection.
    pub next: u64,
    /// Those from this number on have not been passed.
    pub passed: u64,
    /// It gets no more connections.
    pub retired: bool,
    /// It is being killed.
    pub distrusted: bool,
}

/// A connection whose program has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lingering {
    /// The connection.
    pub connection: Descriptor,
    /// Until when.
    pub until: Stamp,
    /// Bytes that may still be discarded.
    pub left: u64,
}

/// The stderr pipe of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Each {
    /// The end that is read.
    pub reader: Descriptor,
    /// What was read of a line.
    pub lines: Lines,
    /// The service, by its index.
    pub service: usize,
    /// The connection's id.
    pub id: String,
    /// When it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Stamp>,
}

/// A dead leader of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remains {
    /// Its process id; it is a zombie.
    pub pid: i32,
    /// Its connection's id.
    pub id: String,
    /// It had a control group.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub leaf: bool,
    /// When the tree is killed.
    pub kill_at: Stamp,
}

/// A refused connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The connection.
    pub connection: Descriptor,
    /// Bytes that may be discarded while its message is under way; `None`: it is in the tarpit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<usize>,
}
