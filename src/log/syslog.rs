//! syslog: RFC 3164 to `/dev/log`, RFC 5424 over UDP.
//!
//! Invariant: the `syslog` crate only formats. Its transports wait and never reconnect; ours is `sender`.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use ::syslog::{Facility, Formatter3164, Formatter5424, LogFormat, Severity};

use super::queue::Queue;
use super::sender::{Destination, Sender};
use super::sink::Medium;
use crate::event::Event;
use crate::service::LogLevel;

/// Where the local syslog daemon listens.
pub(super) const DEV_LOG: &str = "/dev/log";

pub(super) struct Syslog {
    sender: Sender,
    formatter: Formatter,
    line: String,
}

enum Formatter {
    Local(Formatter3164),
    Remote(Formatter5424),
}

impl Syslog {
    /// To the daemon at `path`; `facility` by its RFC 5424 number.
    pub(super) fn local(path: PathBuf, facility: u8) -> Self {
        Self {
            sender: Sender::new(Destination::Unix(path)),
            formatter: Formatter::Local(Formatter3164 {
                facility: facility_of(facility),
                hostname: None,
                process: String::new(),
                pid: std::process::id(),
            }),
            line: String::new(),
        }
    }

    /// To another host.
    pub(super) fn remote(address: SocketAddr, facility: u8) -> Self {
        Self {
            sender: Sender::new(Destination::Udp(address)),
            formatter: Formatter::Remote(Formatter5424 {
                hostname: Formatter5424::default().hostname,
                facility: facility_of(facility),
                process: String::new(),
                pid: std::process::id(),
            }),
            line: String::new(),
        }
    }
}

impl Medium for Syslog {
    fn frame(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        self.line.clear();
        if let Event::Output { id: Some(id), .. } = event {
            self.line.push_str("id=");
            self.line.push_str(id);
            self.line.push(' ');
        }
        event.push_message(&mut self.line);
        let process = match &mut self.formatter {
            Formatter::Local(formatter) => &mut formatter.process,
            Formatter::Remote(formatter) => &mut formatter.process,
        };
        process.clear();
        process.extend(event.tag().unwrap_or("oxinetd").chars().map(|c| {
            // The tag ends at the first space, bracket or colon.
            if c.is_ascii_graphic() && !matches!(c, '[' | ':') {
                c
            } else {
                '_'
            }
        }));
        let severity = severity_of(event.level());
        let line = self.line.as_str();
        // Writing to a `Vec` cannot fail.
        let _ = match &self.formatter {
            Formatter::Local(formatter) => formatter.format(out, severity, line),
            Formatter::Remote(formatter) => {
                formatter.format(out, severity, (0, BTreeMap::new(), line))
            }
        };
    }

    fn send(&mut self, queue: &mut Queue) -> io::Result<()> {
        self.sender.send(queue)
    }
}

fn severity_of(level: LogLevel) -> Severity {
    match level {
        LogLevel::Error => Severity::LOG_ERR,
        LogLevel::Warning => Severity::LOG_WARNING,
        LogLevel::Info => Severity::LOG_INFO,
        LogLevel::Debug => Severity::LOG_DEBUG,
    }
}

fn facility_of(number: u8) -> Facility {
    const ALL: [Facility; 24] = [
        Facility::LOG_KERN,
        Facility::LOG_USER,
        Facility::LOG_MAIL,
        Facility::LOG_DAEMON,
        Facility::LOG_AUTH,
        Facility::LOG_SYSLOG,
        Facility::LOG_LPR,
        Facility::LOG_NEWS,
        Facility::LOG_UUCP,
        Facility::LOG_CRON,
        Facility::LOG_AUTHPRIV,
        Facility::LOG_FTP,
        Facility::LOG_NTP,
        Facility::LOG_AUDIT,
        Facility::LOG_ALERT,
        Facility::LOG_CLOCK_DAEMON,
        Facility::LOG_LOCAL0,
        Facility::LOG_LOCAL1,
        Facility::LOG_LOCAL2,
        Facility::LOG_LOCAL3,
        Facility::LOG_LOCAL4,
        Facility::LOG_LOCAL5,
        Facility::LOG_LOCAL6,
        Facility::LOG_LOCAL7,
    ];
    ALL.get(usize::from(number))
        .copied()
        .unwrap_or(Facility::LOG_DAEMON)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(syslog: &mut Syslog, event: &Event<'_>) -> String {
        let mut out = Vec::new();
        syslog.frame(event, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn local_messages_carry_priority_tag_and_pid() {
        let mut syslog = Syslog::local("/nowhere".into(), 3);
        let pid = std::process::id();
        let output = |id| Event::Output {
            tag: "git daemon",
            id,
            line: b"fatal\x1b",
        };
        let cases = [
            (
                Event::Resume { service: "ssh" },
                "<28>",
                format!(" oxinetd[{pid}]: RESUME: ssh"),
            ),
            (
                output(None),
                "<30>",
                format!(" git_daemon[{pid}]: fatal\\x1b"),
            ),
            (
                output(Some("1-a")),
                "<30>",
                format!(" git_daemon[{pid}]: id=1-a fatal\\x1b"),
            ),
        ];
        for (event, priority, end) in cases {
            let message = framed(&mut syslog, &event);
            assert!(
                message.starts_with(priority) && message.ends_with(&end),
                "{message}"
            );
        }
    }

    #[test]
    fn remote_messages_are_rfc_5424() {
        let mut syslog = Syslog::remote("127.0.0.1:514".parse().unwrap(), 16);
        let message = framed(&mut syslog, &Event::Resume { service: "ssh" });
        let words: Vec<&str> = message.splitn(8, ' ').collect();
        assert_eq!(words[0], "<132>1");
        assert!(words[1].parse::<jiff::Timestamp>().is_ok());
        assert_eq!(words[3], "oxinetd");
        assert_eq!(words[7], "RESUME: ssh");
    }
}
