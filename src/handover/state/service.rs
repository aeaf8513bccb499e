//! A service: its sockets, its counts, what its programs say.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{Descriptor, Gate, SourceKey, Stamp};
use crate::service::{Address, Peer, Service};

/// A service with its counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// Which it is.
    pub definition: Definition,
    /// Its sockets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<Listener>,
    /// Its gate.
    pub gate: Gate,
    /// Programs in a row that did not start.
    pub start_failures: u32,
    /// Paused after those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<Stamp>,
    /// Paused by command.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub held_off: bool,
    /// Drained by command.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub draining: bool,
    /// Why its program did not start the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The stderr pipe of its programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
    /// The pace of their lines: the second, and lines told and left out in it.
    pub pace: (Option<Stamp>, u32, u64),
    /// Connections served.
    pub served: u64,
    /// Refusals by word.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<(String, u64)>,
    /// For how long clients waited.
    pub queued: Duration,
    /// Programs that did not start.
    pub failed: u64,
    /// Who came last, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<(Option<Peer>, Stamp)>,
    /// What the log was told of refusals.
    pub refusal_log: RefusalLog,
    /// Clients wait in the kernel's queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queueing: Option<Queueing>,
    /// Its last log lines, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<(SystemTime, String)>,
}

/// Which service it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Definition {
    /// The one of the table with this index.
    Table(usize),
    /// One that a reload removed.
    Removed(Rc<Service>),
}

/// An address of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// As the table has it.
    pub asked: Address,
    /// Its socket, if it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<Socket>,
    /// An admitted connection without a child.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// The address of a socket that broke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Address>,
    /// Attempts to open it that failed in a row.
    pub attempts: u32,
}

/// A listening socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Socket {
    /// The descriptor.
    pub fd: Descriptor,
    /// As the table has it.
    pub asked: Address,
    /// As the kernel has it.
    pub bound: Address,
    /// Its file, if it is unlinked at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<OwnPath>,
    /// The name under which the service manager passed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<String>,
}

/// A unix socket's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnPath {
    /// Where.
    pub path: PathBuf,
    /// The file of the lock.
    pub lock_path: PathBuf,
    /// Device and inode of the socket's file.
    pub inode: (u64, u64),
    /// The lock.
    pub lock: Descriptor,
}

/// A connection without a child.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The connection.
    pub connection: Descriptor,
    /// Who came.
    pub peer: Peer,
    /// What it counts for.
    pub ticket: SourceKey,
    /// Since when.
    pub since: Stamp,
    /// It has had its banner.
    pub greeted: bool,
}

/// The stderr pipe of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The end that is read.
    pub reader: Descriptor,
    /// The end that programs get.
    pub writer: Descriptor,
    /// What was read of a line.
    pub lines: Lines,
}

/// Lines that are put together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    /// The line so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub line: Vec<u8>,
    /// Its rest is passed over.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub cut: bool,
}

/// What the log was told of refusals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalLog {
    /// The minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minute: Option<Stamp>,
    /// Told in full in it, by word.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<(String, u64)>,
    /// Held back in it, by word.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_back: Vec<(String, u64)>,
}

/// Clients wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queueing {
    /// Since when.
    pub since: Stamp,
    /// When a client last met the limit.
    pub met: Stamp,
    /// When it was told.
    pub told: Stamp,
    /// The word of the limit.
    pub reason: String,
}
