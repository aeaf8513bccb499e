//! How a line looks on stderr and in files: what stands before the words of the event.

use std::fmt::Write;

use super::clock::Clock;
use super::json;
use crate::event::Event;
use crate::service::{LogFormat, LogLevel};

/// What stands before the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    /// Nothing: a person or a supervisor reads along.
    None,
    /// `<6>`: the service manager reads it (sd-daemon(3)).
    Priority,
    /// `2026-11-24T03:54:00.123456+01:00 oxinetd[812]: `: it is read later.
    Stamp,
}

/// Makes lines, with their newline.
pub(super) struct Lines {
    prefix: Prefix,
    format: LogFormat,
    clock: Clock,
    line: String,
    pid: u32,
}

impl Lines {
    pub(super) fn new(prefix: Prefix, format: LogFormat) -> Self {
        Self {
            prefix,
            format,
            clock: Clock::new(),
            line: String::new(),
            pid: std::process::id(),
        }
    }

    pub(super) fn push(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        self.line.clear();
        // Writing to a `String` cannot fail.
        let _ = match (self.prefix, self.format) {
            (Prefix::Priority, _) => write!(self.line, "<{}>", severity(event.level())),
            (Prefix::Stamp, LogFormat::Text) => {
                self.clock.push_now(&mut self.line);
                write!(self.line, " oxinetd[{}]: ", self.pid)
            }
            (Prefix::None, _) | (Prefix::Stamp, LogFormat::Json) => Ok(()),
        };
        match self.format {
            LogFormat::Text => event.push_line(&mut self.line),
            LogFormat::Json => json::push(event, &mut self.clock, &mut self.line),
        }
        self.line.push('\n');
        out.extend_from_slice(self.line.as_bytes());
    }
}

/// The severity of RFC 5424.
pub(super) fn severity(level: LogLevel) -> u8 {
    match level {
        LogLevel::Error => 3,
        LogLevel::Warning => 4,
        LogLevel::Info => 6,
        LogLevel::Debug => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_suits_the_reader() {
        let line = |prefix, format| {
            let mut out = Vec::new();
            Lines::new(prefix, format).push(&Event::Resume { service: "ssh" }, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(line(Prefix::None, LogFormat::Text), "RESUME: ssh\n");
        assert_eq!(line(Prefix::Priority, LogFormat::Text), "<4>RESUME: ssh\n");
        let stamped = line(Prefix::Stamp, LogFormat::Text);
        let (stamp, rest) = stamped.split_once(' ').unwrap();
        assert!(stamp.parse::<jiff::Timestamp>().is_ok(), "{stamp}");
        assert_eq!(
            rest,
            format!("oxinetd[{}]: RESUME: ssh\n", std::process::id())
        );
        assert!(line(Prefix::Stamp, LogFormat::Json).starts_with("{\"time\""));
        assert!(line(Prefix::Priority, LogFormat::Json).starts_with("<4>{"));
    }
}
