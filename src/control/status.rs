//! What `status` tells: plain values, the same for the table, for JSON and for metrics.
//!
//! Times are seconds, sizes bytes.

use serde::{Deserialize, Serialize};

/// The daemon and its services.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon itself.
    pub daemon: Daemon,
    /// Its services in the order of the table, disabled ones last.
    pub services: Vec<Service>,
}

/// The daemon itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Daemon {
    /// Version of the binary.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Seconds since the start.
    pub up: u64,
    /// Seconds since this image of the program began to serve; less than `up` after an upgrade.
    #[serde(default)]
    pub image_up: u64,
    /// Main file first; empty for the embedded table.
    pub files: Vec<String>,
    /// When they were read: seconds since 1970.
    pub loaded_at: i64,
    /// Those of them that are different on disk now.
    pub changed_files: Vec<String>,
    /// Connections now.
    pub connections: u32,
    /// Connections at most.
    pub max_connections: Option<u32>,
    /// Connections that were served.
    pub served: u64,
    /// Connections that were refused.
    pub refused: u64,
    /// Log lines that no sink took.
    pub lost_lines: u64,
    /// Limit of open descriptors.
    pub open_files: u64,
    /// The longest turn of the loop, milliseconds.
    pub longest_turn: u64,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// `file:line` of its definition.
    pub origin: String,
    /// Its addresses as `ss` prints them.
    pub listen: Vec<String>,
    /// What it does now.
    pub state: State,
    /// Why, in words: `rate`, `held by pid 12`, `exec /usr/bin/x: No such file or directory`.
    pub detail: String,
    /// Seconds until it goes on, where that is known.
    pub left: Option<u64>,
    /// Connections now.
    pub live: u32,
    /// Connections at most.
    pub max: Option<u32>,
    /// Connections that were served.
    pub served: u64,
    /// Connections that were refused, by rule.
    pub refused: Vec<(String, u64)>,
    /// Programs that did not start.
    pub failed: u64,
    /// Who came last, and how many seconds ago.
    pub last: Option<(String, u64)>,
    /// What limits it, in words; only with a name.
    pub limits: Vec<String>,
    /// Top sources; only with a name.
    pub sources: Vec<Source>,
    /// Live connections; only with a name.
    pub connections: Vec<Connection>,
    /// The last lines of its log; only with a name.
    pub lines: Vec<Line>,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When: seconds since 1970.
    pub at: i64,
    /// The line.
    pub text: String,
}

/// What a service does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It accepts.
    Listening,
    /// At a limit; who comes waits or is refused.
    Full,
    /// It does not accept for now.
    Paused,
    /// Its socket is with its program (`wait`).
    Held,
    /// Its program does not start, or an address cannot be bound.
    Failing,
    /// It accepts no more, and its connections end.
    Draining,
    /// A reload removed it; its last connections live on.
    Removed,
    /// `enabled = false`.
    Disabled,
}

/// A source of connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The prefix.
    pub source: String,
    /// Its connections now.
    pub live: u32,
    /// Refusals that are remembered of it.
    pub refused: u32,
    /// Seconds until its ban ends.
    pub banned: Option<u64>,
}

/// A live connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// Its id.
    pub id: String,
    /// Pid of its process.
    pub pid: i32,
    /// Who came.
    pub peer: String,
    /// The peer's port.
    pub port: Option<u32>,
    /// Seconds since its start.
    pub age: f64,
    /// Processor seconds of its process so far.
    pub cpu: Option<f64>,
    /// Resident memory of its process, bytes.
    pub memory: Option<u64>,
    /// Bytes from the peer and to it, where they are known.
    pub bytes: Option<(u64, u64)>,
}
