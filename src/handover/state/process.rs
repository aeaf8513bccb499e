//! What belongs to the process as a whole.

use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::service::{LogFormat, LogLevel, LogTarget, UnixName};

/// What a file looked like: inode, size, time of the last change.
pub type Fingerprint = (u64, u64, SystemTime);

/// What the process was started with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// Where the table comes from.
    pub source: Source,
    /// What the command line says of the control socket.
    pub control: ControlWord,
    /// What the command line says of the form of the log.
    pub log_format: Option<LogFormat>,
    /// Removed at the end.
    pub pid_file: Option<PathBuf>,
    /// Where the program is.
    pub image: PathBuf,
    /// What children get back: soft and hard limit of open files, ignored signals, oom_score_adj, nice.
    pub open_files: (u64, u64),
    /// Bit n - 1: signal n.
    pub ignored_signals: u64,
    /// -1000 to 1000.
    pub oom_score_adj: i32,
    /// -20 to 19.
    pub nice: i32,
    /// The environment that was found, as bytes.
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Where the table comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// A file that was named.
    Named(PathBuf),
    /// The default file, or the table in the program.
    Default,
    /// The command line: what messages call it, and its text.
    Text(String, String),
}

/// What the command line says of the control socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlWord {
    /// Nothing.
    OfTable,
    /// There is none.
    Off,
    /// It is here.
    At(UnixName),
}

/// Control groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaves {
    /// Where they are made.
    pub base: Option<PathBuf>,
    /// Controllers that are passed on.
    pub controllers: Vec<String>,
    /// It was tried, and refused.
    pub refused: bool,
    /// Groups that outlive their connections.
    pub stale: Vec<String>,
}

/// What the service manager is still to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manager {
    /// Messages, in their order.
    pub texts: Vec<String>,
    /// Sockets are to be stored: which ones is not known any more, so all of them are, and those that it has it knows.
    pub store: bool,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The level in force.
    pub level: LogLevel,
    /// Lines that were lost.
    pub lost: u64,
    /// Sinks that have not taken all lines.
    pub stuck: Vec<Stuck>,
}

/// A sink that has not taken all lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stuck {
    /// Which.
    pub target: LogTarget,
    /// What is left of each record.
    pub records: Vec<Vec<u8>>,
    /// Lines lost after these.
    pub lost: u64,
}
