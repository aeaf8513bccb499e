//! `[daemon]` and the words of the log.
//!
//! Only values that make sense; see the parent module for the invariant.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::UnixName;

/// `[daemon]`: what concerns the daemon as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Where the control socket listens; `None` for `"off"`.
    pub control: Option<UnixName>,
    /// Group that may ask for status besides root.
    pub control_gid: u32,
    /// Default sink of the log.
    pub log_to: LogTarget,
    /// Events less important than this are not written.
    pub log_level: LogLevel,
    /// Form of the lines on stderr and in files.
    pub log_format: LogFormat,
    /// Syslog facility by its RFC 5424 number (daemon = 3).
    pub syslog_facility: u8,
    /// Connections of all services together; `None`: what descriptors allow.
    pub max_connections: Option<NonZeroU32>,
    /// How long a drain on TERM may take.
    pub shutdown_timeout: Duration,
}

/// `log`: the events to write; errors always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSelection {
    /// START lines.
    pub start: bool,
    /// EXIT lines.
    pub exit: bool,
    /// FAIL lines.
    pub refuse: bool,
}

/// `log_to`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LogTarget {
    /// Journal, terminal, syslog or plain stderr, by what there is.
    Auto,
    /// The daemon's stderr.
    Stderr,
    /// The journal's native protocol.
    Journal,
    /// /dev/log.
    Syslog,
    /// RFC 5424 over UDP.
    SyslogUdp(SocketAddr),
    /// A file, reopened at reload.
    File(PathBuf),
}

/// `log_level`, most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something may fail.
    Warning,
    /// The life of services and connections.
    Info,
    /// Everything.
    Debug,
}

/// `log_format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogFormat {
    /// `START: echo pid=…`
    Text,
    /// One object a line.
    Json,
}
