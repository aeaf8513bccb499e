//! The same facts as names and values, for the sinks that keep them apart (JSON lines, the journal).
//!
//! Invariant: one table; a sink decides only how a value is written. Values are raw here: sinks escape.

use std::time::Duration;

use super::{End, Event};
use crate::service::{Address, LogLevel, Peer};

/// A name, as JSON has it, and its value.
pub type Field<'v> = (&'static str, Value<'v>);

/// A value in its own type.
#[derive(Clone, Copy, Debug)]
pub enum Value<'v> {
    /// Text of ours or of the table.
    Text(&'v str),
    /// What a program wrote: any bytes.
    Bytes(&'v [u8]),
    /// A count, a number.
    Number(i128),
    /// A time, in seconds.
    Seconds(Duration),
    /// A peer's address.
    Peer(&'v Peer),
    /// A listener's address.
    Address(&'v Address),
}

impl Event<'_> {
    /// The kind in one word, `start`, `exit`, …
    pub fn kind(&self) -> &'static str {
        match self {
            Event::Listen { .. } => "listen",
            Event::ListenFailed { .. } => "listen_failed",
            Event::Close { .. } => "close",
            Event::Start { .. } => "start",
            Event::Exit { .. } => "exit",
            Event::Fail { .. } => "fail",
            Event::LaunchFailed { .. } => "launch_failed",
            Event::Pause { .. } => "pause",
            Event::Resume { .. } => "resume",
            Event::Output { .. } => "output",
            Event::Reloaded { .. } => "reload",
            Event::Upgraded { .. } => "upgrade",
            Event::Lost { .. } => "lost",
            Event::Note { .. } => "note",
        }
    }

    /// Gives every field to `tell`, in the order of the text line.
    pub fn fields(&self, tell: &mut dyn FnMut(Field<'_>)) {
        match self {
            Event::Listen { service, address } | Event::Close { service, address } => {
                tell(("service", Value::Text(service)));
                tell(("address", Value::Address(address)));
            }
            Event::ListenFailed {
                service,
                address,
                reason,
            } => {
                tell(("service", Value::Text(service)));
                tell(("address", Value::Address(address)));
                tell(("reason", Value::Text(reason)));
            }
            Event::Start {
                service,
                pid,
                peer,
                id,
            } => {
                tell(("service", Value::Text(service)));
                tell(("pid", number(*pid)));
                tell_peer(*peer, tell);
                tell(("id", Value::Text(id)));
            }
            Event::Exit { .. } => self.exit_fields(tell),
            Event::Fail {
                service,
                reason,
                peer,
            } => {
                tell(("service", Value::Text(service)));
                tell(("reason", Value::Text(reason)));
                tell_peer(Some(peer), tell);
            }
            Event::LaunchFailed {
                service,
                step,
                errno,
                peer,
                id,
            } => {
                tell(("service", Value::Text(service)));
                tell(("step", Value::Text(step)));
                tell(("errno", number(*errno)));
                tell_peer(*peer, tell);
                tell(("id", Value::Text(id)));
            }
            Event::Pause {
                service,
                reason,
                period,
            } => {
                tell(("service", Value::Text(service)));
                tell(("reason", Value::Text(reason)));
                if let Some(period) = period {
                    tell(("for", Value::Seconds(*period)));
                }
            }
            Event::Resume { service } => tell(("service", Value::Text(service))),
            Event::Output { tag, id, line } => {
                tell(("tag", Value::Text(tag)));
                tell(("line", Value::Bytes(line)));
                if let Some(id) = id {
                    tell(("id", Value::Text(id)));
                }
            }
            Event::Reloaded {
                added,
                changed,
                removed,
                kept,
            } => {
                for (name, count) in [
                    ("added", added),
                    ("changed", changed),
                    ("removed", removed),
                    ("kept", kept),
                ] {
                    tell((name, Value::Number(*count as i128)));
                }
            }
            Event::Upgraded { .. } => self.upgraded_fields(tell),
            Event::Lost { lines } => tell(("lines", number(*lines))),
            Event::Note {
                service,
                text,
                level: _,
            } => {
                if let Some(service) = service {
                    tell(("service", Value::Text(service)));
                }
                tell(("text", Value::Text(text)));
            }
        }
    }

    fn upgraded_fields(&self, tell: &mut dyn FnMut(Field<'_>)) {
        let Event::Upgraded {
            from,
            to,
            away,
            connections,
        } = self
        else {
            return;
        };
        tell(("from", Value::Text(from)));
        tell(("to", Value::Text(to)));
        tell(("away", Value::Seconds(*away)));
        tell(("connections", number(*connections)));
    }

    fn exit_fields(&self, tell: &mut dyn FnMut(Field<'_>)) {
        let Event::Exit {
            service,
            pid,
            end,
            duration,
            bytes,
            cpu,
            max_rss,
            reason,
            id,
        } = self
        else {
            return;
        };
        tell(("service", Value::Text(service)));
        tell(match end {
            End::Status(status) => ("status", number(*status)),
            End::Signal(signal) => ("signal", number(*signal)),
        });
        if let Some(reason) = reason {
            tell(("reason", Value::Text(reason)));
        }
        tell(("pid", number(*pid)));
        tell(("duration", Value::Seconds(*duration)));
        if let Some((read, written)) = bytes {
            tell(("in", number(*read)));
            tell(("out", number(*written)));
        }
        if let Some(cpu) = cpu {
            tell(("cpu", Value::Seconds(*cpu)));
        }
        if let Some(max_rss) = max_rss {
            tell(("max_rss", number(*max_rss)));
        }
        tell(("id", Value::Text(id)));
    }
}

fn tell_peer(peer: Option<&Peer>, tell: &mut dyn FnMut(Field<'_>)) {
    let Some(peer) = peer else { return };
    tell(("from", Value::Peer(peer)));
    if let Some(port) = peer.port() {
        tell(("port", number(port)));
    }
    if let Peer::Unix { uid, .. } = peer {
        tell(("uid", number(*uid)));
    }
}

fn number<'v>(value: impl Into<i128>) -> Value<'v> {
    Value::Number(value.into())
}

/// `log_level` as the table and the JSON lines spell it.
pub fn level_word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warning => "warning",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
    }
}
