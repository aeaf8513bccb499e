//! Every fact worth telling, in one wording. The daemon makes an [`Event`]; log sinks, counters and tests read it.
//!
//! Invariant: whatever a peer or a child supplied leaves this module escaped, on one line, at most 1 KiB long.

pub mod escape;
mod fields;
mod text;

use std::time::Duration;

pub use fields::{Field, Value, level_word};

use crate::service::{Address, LogLevel, Peer};

/// A fact. Borrowed: it lives as long as the call that tells it.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A socket of a service is open.
    Listen {
        /// Service name.
        service: &'a str,
        /// The bound address: with the real port where 0 was asked for.
        address: &'a Address,
    },
    /// A socket of a service could not be opened; retried.
    ListenFailed {
        /// Service name.
        service: &'a str,
        /// The address asked for.
        address: &'a Address,
        /// Why, and what to do.
        reason: &'a str,
    },
    /// A socket of a service was closed (removed by a reload, or shutdown).
    Close {
        /// Service name.
        service: &'a str,
        /// Its address.
        address: &'a Address,
    },
    /// A child was started for a connection.
    Start {
        /// Service name.
        service: &'a str,
        /// Its pid.
        pid: i32,
        /// Who came; `None` for the program of a `wait` service.
        peer: Option<&'a Peer>,
        /// Connection id.
        id: &'a str,
    },
    /// A child has ended.
    Exit {
        /// Service name.
        service: &'a str,
        /// Its pid.
        pid: i32,
        /// How it ended.
        end: End,
        /// Start to end.
        duration: Duration,
        /// Bytes from and to the peer, where known.
        bytes: Option<(u64, u64)>,
        /// User and system time; `None`: its process serves others too.
        cpu: Option<Duration>,
        /// Largest resident set, KiB; `None`: as above.
        max_rss: Option<u64>,
        /// Why the daemon ended it, if it did (`timeout`, `idle`, `killed`, `client gone`, …).
        reason: Option<&'a str>,
        /// Connection id.
        id: &'a str,
    },
    /// A connection was refused.
    Fail {
        /// Service name.
        service: &'a str,
        /// The rule: `address`, `connections`, `per_source`, `rate`, …
        reason: &'a str,
        /// Who came.
        peer: &'a Peer,
    },
    /// A child could not be made or a step of its set-up failed: the program never ran.
    LaunchFailed {
        /// Service name.
        service: &'a str,
        /// The step: `exec /usr/bin/x`, `setgid`, `clone`, …
        step: &'a str,
        /// The system error.
        errno: i32,
        /// Who came.
        peer: Option<&'a Peer>,
        /// Connection id.
        id: &'a str,
    },
    /// The service (or the daemon, `service = "*"`) stops accepting for a while.
    Pause {
        /// Service name.
        service: &'a str,
        /// `rate`, `connections`, `start failures`, `descriptors`, …
        reason: &'a str,
        /// When it goes on; `None`: when a connection ends.
        period: Option<Duration>,
    },
    /// It goes on.
    Resume {
        /// Service name.
        service: &'a str,
    },
    /// A line that a program wrote to its stderr.
    Output {
        /// The service's `log_tag`.
        tag: &'a str,
        /// Connection id, with `stderr = "log-each"`.
        id: Option<&'a str>,
        /// The line, raw, without its newline.
        line: &'a [u8],
    },
    /// A new table is in force.
    Reloaded {
        /// Services that are new.
        added: usize,
        /// Services that differ.
        changed: usize,
        /// Services that are gone.
        removed: usize,
        /// Services that stayed.
        kept: usize,
    },
    /// Another image of the program goes on in the place of the one before.
    Upgraded {
        /// The version of the one before.
        from: &'a str,
        /// This version.
        to: &'a str,
        /// For so long nobody was served.
        away: Duration,
        /// Connections that live on.
        connections: u32,
    },
    /// Lines that no sink could take.
    Lost {
        /// How many.
        lines: u64,
    },
    /// Anything else the daemon says, in a full sentence.
    Note {
        /// How important.
        level: LogLevel,
        /// The service it is about.
        service: Option<&'a str>,
        /// The sentence.
        text: &'a str,
    },
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By exit(3), with this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
}

impl<'a> Event<'a> {
    /// How important it is: `log_level` and the severities of syslog and the journal go by it.
    pub fn level(&self) -> LogLevel {
        match self {
            Event::ListenFailed { .. } | Event::LaunchFailed { .. } => LogLevel::Error,
            Event::Pause { .. } | Event::Resume { .. } | Event::Lost { .. } => LogLevel::Warning,
            Event::Note { level, .. } => *level,
            Event::Listen { .. }
            | Event::Close { .. }
            | Event::Start { .. }
            | Event::Exit { .. }
            | Event::Fail { .. }
            | Event::Output { .. }
            | Event::Reloaded { .. }
            | Event::Upgraded { .. } => LogLevel::Info,
        }
    }

    /// The tag of a program's own line; `None`: the daemon speaks.
    pub fn tag(&self) -> Option<&'a str> {
        if let Event::Output { tag, .. } = self {
            Some(tag)
        } else {
            None
        }
    }
}
