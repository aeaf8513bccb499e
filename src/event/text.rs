//! The text wording of events: `START: rsync pid=4211 from=192.0.2.7 port=51514 id=0f8k2m-9f2c`.
//!
//! Invariant: one line without its newline, in the shapes of xinetd that fail2ban and old eyes know; `from=` ends a FAIL
//! line. Every word that is not ours goes through `escape`, and the line stays within 1 KiB.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use super::escape::{self, push_format};
use super::{End, Event};
use crate::service::{LogLevel, Peer};
use crate::sys::errno;

impl Event<'_> {
    /// Appends the line as stderr and files have it: a program's line is preceded by its tag.
    pub fn push_line(&self, out: &mut String) {
        let begin = out.len();
        if let Event::Output { tag, id, .. } = self {
            escape::push(out, tag.as_bytes(), FIELD);
            if let Some(id) = id {
                push_format(out, format_args!("[{id}]"));
            }
            out.push_str(": ");
        }
        self.tell(&mut Line { out, begin });
    }

    /// Appends the line for sinks that have a place of their own for the tag ([`Event::tag`]).
    pub fn push_message(&self, out: &mut String) {
        let begin = out.len();
        self.tell(&mut Line { out, begin });
    }

    fn tell(&self, line: &mut Line<'_>) {
        match self {
            Event::Listen { service, address } => line.start("LISTEN", service).foreign(address),
            Event::ListenFailed {
                service,
                address,
                reason,
            } => line
                .start("ERROR", service)
                .foreign(address)
                .ours(": ")
                .sentence(reason.as_bytes()),
            Event::Close { service, address } => line.start("CLOSE", service).foreign(address),
            Event::Start {
                service,
                pid,
                peer,
                id,
            } => line
                .start("START", service)
                .pair("pid", pid)
                .from(*peer)
                .pair("id", id),
            Event::Exit { .. } => self.exit(line),
            Event::Fail {
                service,
                reason,
                peer,
            } => line.start("FAIL", service).foreign(reason).address(peer),
            Event::LaunchFailed {
                service,
                step,
                errno: number,
                peer,
                id,
            } => line
                .start("ERROR", service)
                .foreign(step)
                .ours(": ")
                .ours(errno::describe(*number))
                .from(*peer)
                .pair("id", id),
            Event::Pause {
                service,
                reason,
                period,
            } => match period {
                Some(period) => line
                    .start("PAUSE", service)
                    .foreign(reason)
                    .pair("for", Period(*period)),
                None => line.start("PAUSE", service).foreign(reason),
            },
            Event::Resume { service } => line.start("RESUME", service),
            Event::Output { line: output, .. } => line.sentence(output),
            Event::Reloaded {
                added,
                changed,
                removed,
                kept,
            } => line
                .ours("RELOAD:")
                .pair("added", added)
                .pair("changed", changed)
                .pair("removed", removed)
                .pair("kept", kept),
            Event::Upgraded {
                from,
                to,
                away,
                connections,
            } => line
                .ours("UPGRADE:")
                .pair("from", OneWord(from))
                .pair("to", OneWord(to))
                .pair("away", Seconds(*away))
                .pair("connections", connections),
            Event::Lost { lines } => line.ours("LOST:").pair("lines", lines),
            Event::Note {
                level,
                service,
                text,
            } => match service {
                Some(service) => line.start(note_word(*level), service).ours(": "),
                None => line.ours(note_word(*level)).ours(": "),
            }
            .sentence(text.as_bytes()),
        };
    }

    fn exit<'l, 'o>(&self, line: &'l mut Line<'o>) -> &'l mut Line<'o> {
        let Event::Exit {
            service,
            pid,
            end,
            duration,
            bytes,
            cpu,
            reason,
            id,
            max_rss: _,
        } = self
        else {
            return line;
        };
        line.start("EXIT", service);
        match end {
            End::Status(status) => line.pair("status", status),
            End::Signal(signal) => line.pair("signal", signal),
        };
        if let Some(reason) = reason {
            line.pair("reason", OneWord(reason));
        }
        line.pair("pid", pid).pair("duration", Seconds(*duration));
        if let Some((read, written)) = bytes {
            line.pair("in", read).pair("out", written);
        }
        if let Some(cpu) = cpu {
            line.pair("cpu", Seconds(*cpu));
        }
        line.pair("id", id)
    }
}

/// A line that grows from left to right.
struct Line<'o> {
    out: &'o mut String,
    begin: usize,
}

impl Line<'_> {
    fn start(&mut self, word: &str, service: &str) -> &mut Self {
        self.out.push_str(word);
        self.out.push(':');
        self.foreign(service)
    }

    /// Words of this program: nothing in them needs escaping.
    fn ours(&mut self, text: impl Display) -> &mut Self {
        push_format(self.out, format_args!("{text}"));
        self
    }

    /// ` name=value`, the value being ours.
    fn pair(&mut self, name: &str, value: impl Display) -> &mut Self {
        push_format(self.out, format_args!(" {name}={value}"));
        self
    }

    /// A space and a short text that came from outside.
    fn foreign(&mut self, text: impl Display) -> &mut Self {
        self.out.push(' ');
        let end = self.out.len() + FIELD;
        let _ = write!(Escaper { out: self.out, end }, "{text}");
        self
    }

    /// A text from outside that may take what is left of the line.
    fn sentence(&mut self, text: &[u8]) -> &mut Self {
        let left = (self.begin + LINE).saturating_sub(self.out.len());
        escape::push(self.out, text, left);
        self
    }

    fn from(&mut self, peer: Option<&Peer>) -> &mut Self {
        let Some(peer) = peer else { return self };
        self.address(peer);
        if let Some(port) = peer.port() {
            self.pair("port", port);
        }
        if let Peer::Unix { uid, .. } = peer {
            self.pair("uid", uid);
        }
        self
    }

    fn address(&mut self, peer: &Peer) -> &mut Self {
        self.pair("from", peer)
    }
}

/// Escapes what is formatted into it, up to a length of the line.
struct Escaper<'o> {
    out: &'o mut String,
    end: usize,
}

impl Write for Escaper<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let left = self.end.saturating_sub(self.out.len());
        escape::push(self.out, text.as_bytes(), left);
        Ok(())
    }
}

/// `3.214s`: always with milliseconds, so that columns can be sorted.
struct Seconds(Duration);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}s", self.0.as_secs(), self.0.subsec_millis())
    }
}

/// `10s`, `1.500s`: a time that somebody wrote into the table.
struct Period(Duration);

impl Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.subsec_millis() == 0 {
            write!(f, "{}s", self.0.as_secs())
        } else {
            Seconds(self.0).fmt(f)
        }
    }
}

/// `client gone` as one word: `client-gone`.
struct OneWord<'a>(&'a str);

impl Display for OneWord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .chars()
            .try_for_each(|c| f.write_char(if c == ' ' { '-' } else { c }))
    }
}

fn note_word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "ERROR",
        LogLevel::Warning => "WARNING",
        LogLevel::Info => "NOTE",
        LogLevel::Debug => "DEBUG",
    }
}

/// Longest escaped form of a name, an address, a reason, a step.
const FIELD: usize = 160;

/// Longest line; the count of what did not fit makes it at most 1 KiB.
const LINE: usize = 1024 - " [+18446744073709551615 bytes]".len();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{Address, Protocol, UnixKind, UnixName};

    const ID: &str = "0f8k2m-9f2c";

    fn line(event: &Event<'_>) -> String {
        let mut out = String::new();
        event.push_line(&mut out);
        out
    }

    #[test]
    fn connections_are_told_in_the_shapes_of_the_manual() {
        let (service, id) = ("rsync", ID);
        let peer = Peer::Inet("192.0.2.7:51514".parse().unwrap());
        let unix = Peer::Unix {
            uid: 1000,
            gid: 100,
            pid: 7,
        };
        let scanner = Peer::Inet("[2001:db8::1]:9".parse().unwrap());
        let exit = |end, bytes, reason| Event::Exit {
            service,
            pid: 4211,
            end,
            duration: Duration::from_micros(3_214_999),
            bytes,
            cpu: Some(Duration::from_millis(21)),
            max_rss: Some(900),
            reason,
            id,
        };
        let start = |peer| Event::Start {
            service,
            pid: 4211,
            peer,
            id,
        };
        let failed = Event::LaunchFailed {
            service,
            step: "setgid",
            errno: 1,
            peer: Some(&peer),
            id,
        };
        let refused = Event::Fail {
            service,
            reason: "address",
            peer: &scanner,
        };
        let cases: &[(Event<'_>, &str)] = &[
            (
                start(Some(&peer)),
                "START: rsync pid=4211 from=192.0.2.7 port=51514 id=0f8k2m-9f2c",
            ),
            (
                start(Some(&unix)),
                "START: rsync pid=4211 from=unix uid=1000 id=0f8k2m-9f2c",
            ),
            (start(None), "START: rsync pid=4211 id=0f8k2m-9f2c"),
            (
                exit(End::Status(0), Some((1532, 88123)), None),
                "EXIT: rsync status=0 pid=4211 duration=3.214s in=1532 out=88123 cpu=0.021s id=0f8k2m-9f2c",
            ),
            (
                exit(End::Signal(9), None, Some("client gone")),
                "EXIT: rsync signal=9 reason=client-gone pid=4211 duration=3.214s cpu=0.021s id=0f8k2m-9f2c",
            ),
            (refused, "FAIL: rsync address from=2001:db8::1"),
            (
                failed,
                "ERROR: rsync setgid: Operation not permitted (EPERM) from=192.0.2.7 port=51514 id=0f8k2m-9f2c",
            ),
        ];
        for (event, text) in cases {
            assert_eq!(line(event), *text);
        }
    }

    #[test]
    fn services_are_told_in_the_shapes_of_the_manual() {
        let service = "sshd";
        let address = &Address::Inet {
            protocol: Protocol::Tcp,
            socket: "[::]:873".parse().unwrap(),
            dual_stack: true,
        };
        let pause = |reason, millis: Option<u64>| Event::Pause {
            service,
            reason,
            period: millis.map(Duration::from_millis),
        };
        let output = |id, line| Event::Output {
            tag: "git",
            id,
            line,
        };
        let note = |level, service, text| Event::Note {
            level,
            service,
            text,
        };
        let failed = Event::ListenFailed {
            service,
            address,
            reason: "address in use",
        };
        let reloaded = Event::Reloaded {
            added: 1,
            changed: 2,
            removed: 3,
            kept: 4,
        };
        let cases: &[(Event<'_>, &str)] = &[
            (Event::Listen { service, address }, "LISTEN: sshd tcp *:873"),
            (failed, "ERROR: sshd tcp *:873: address in use"),
            (Event::Close { service, address }, "CLOSE: sshd tcp *:873"),
            (pause("rate", Some(10_000)), "PAUSE: sshd rate for=10s"),
            (pause("rate", Some(1500)), "PAUSE: sshd rate for=1.500s"),
            (pause("connections", None), "PAUSE: sshd connections"),
            (Event::Resume { service }, "RESUME: sshd"),
            (output(None, b"fatal: \\ \x1b"), "git: fatal: \\\\ \\x1b"),
            (output(Some(ID), b"x"), "git[0f8k2m-9f2c]: x"),
            (reloaded, "RELOAD: added=1 changed=2 removed=3 kept=4"),
            (Event::Lost { lines: 17 }, "LOST: lines=17"),
            (
                note(LogLevel::Warning, Some(service), "two\nlines"),
                "WARNING: sshd: two\\x0alines",
            ),
            (note(LogLevel::Info, None, "up"), "NOTE: up"),
        ];
        for (event, text) in cases {
            assert_eq!(line(event), *text);
        }
    }

    #[test]
    fn a_line_stays_within_a_kibibyte() {
        let noise = [1_u8; 5000];
        let name = "n".repeat(64);
        let output = Event::Output {
            tag: &name,
            id: Some(ID),
            line: &noise,
        };
        let address = Address::Unix {
            kind: UnixKind::Stream,
            name: UnixName::Abstract("\u{1}".repeat(107)),
        };
        let failed = Event::ListenFailed {
            service: &name,
            address: &address,
            reason: &"r".repeat(5000),
        };
        for event in [output, failed] {
            assert!(
                (1000..=1024).contains(&line(&event).len()),
                "{}",
                line(&event).len()
            );
        }
    }
}
