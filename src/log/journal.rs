//! The journal's native protocol: one datagram of fields, so that `journalctl OXINETD_SERVICE=rsync` works.
//!
//! Invariant: values are framed by their length wherever they could hold a newline, and escaped all the same.

use std::fmt::Write;
use std::io;
use std::path::PathBuf;

use super::lines::severity;
use super::queue::Queue;
use super::sender::{Destination, Sender};
use super::sink::Medium;
use crate::event::{Event, Value, escape};

/// Where journald listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

pub(super) struct Journal {
    sender: Sender,
    facility: u8,
    value: String,
}

impl Journal {
    /// To the journal at `path`.
    pub(super) fn new(path: PathBuf, facility: u8) -> Self {
        Self {
            sender: Sender::new(Destination::Unix(path)),
            facility,
            value: String::new(),
        }
    }

    fn push(&mut self, name: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
        out.extend_from_slice(&(self.value.len() as u64).to_le_bytes());
        out.extend_from_slice(self.value.as_bytes());
        out.push(b'\n');
        self.value.clear();
    }

    fn push_format(&mut self, name: &str, value: std::fmt::Arguments<'_>, out: &mut Vec<u8>) {
        let _ = self.value.write_fmt(value);
        self.push(name, out);
    }
}

impl Medium for Journal {
    fn frame(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        self.value.clear();
        event.push_message(&mut self.value);
        self.push("MESSAGE", out);
        self.push_format("PRIORITY", format_args!("{}", severity(event.level())), out);
        let facility = self.facility;
        self.push_format("SYSLOG_FACILITY", format_args!("{facility}"), out);
        escape::push(
            &mut self.value,
            event.tag().unwrap_or("oxinetd").as_bytes(),
            FIELD,
        );
        self.push("SYSLOG_IDENTIFIER", out);
        self.push_format("OXINETD_EVENT", format_args!("{}", event.kind()), out);
        event.fields(&mut |(name, value)| {
            let Some(name) = field_name(name) else { return };
            let _ = match value {
                Value::Text(text) => {
                    escape::push(&mut self.value, text.as_bytes(), FIELD);
                    Ok(())
                }
                Value::Number(number) => write!(self.value, "{number}"),
                Value::Seconds(time) => {
                    write!(self.value, "{}.{:06}", time.as_secs(), time.subsec_micros())
                }
                Value::Peer(peer) => write!(self.value, "{peer}"),
                Value::Address(_) | Value::Bytes(_) => return,
            };
            self.push(name, out);
        });
    }

    fn send(&mut self, queue: &mut Queue) -> io::Result<()> {
        self.sender.send(queue)
    }
}

/// `None`: the message says it.
fn field_name(name: &str) -> Option<&'static str> {
    FIELDS
        .iter()
        .find(|(plain, _)| *plain == name)
        .map(|(_, journal)| *journal)
}

/// Names of [`Event::fields`] and of the journal.
const FIELDS: [(&str, &str); 14] = [
    ("service", "OXINETD_SERVICE"),
    ("id", "OXINETD_CONN_ID"),
    ("pid", "OXINETD_PID"),
    ("from", "REMOTE_ADDR"),
    ("port", "REMOTE_PORT"),
    ("uid", "REMOTE_UID"),
    ("reason", "OXINETD_REASON"),
    ("errno", "ERRNO"),
    ("status", "OXINETD_STATUS"),
    ("signal", "OXINETD_SIGNAL"),
    ("duration", "OXINETD_DURATION"),
    ("in", "OXINETD_BYTES_IN"),
    ("out", "OXINETD_BYTES_OUT"),
    ("cpu", "OXINETD_CPU"),
];

/// Longest value besides the message.
const FIELD: usize = 320;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Peer;
    use std::collections::HashMap;

    fn parse(mut datagram: &[u8]) -> HashMap<String, String> {
        let mut fields = HashMap::new();
        while !datagram.is_empty() {
            let end = datagram.iter().position(|b| *b == b'\n').unwrap();
            let name = String::from_utf8(datagram[..end].to_vec()).unwrap();
            let (length, rest) = datagram[end + 1..].split_at(8);
            let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
            let value = String::from_utf8(rest[..length].to_vec()).unwrap();
            assert_eq!(rest[length], b'\n');
            assert_eq!(fields.insert(name, value), None);
            datagram = &rest[length + 1..];
        }
        fields
    }

    #[test]
    fn an_event_is_a_datagram_of_fields() {
        let peer = Peer::Inet("192.0.2.7:51514".parse().unwrap());
        let mut journal = Journal::new("/nowhere".into(), 3);
        let mut out = Vec::new();
        journal.frame(
            &Event::Start {
                service: "rsync",
                pid: 4211,
                peer: Some(&peer),
                id: "0f8k2m-9f2c",
            },
            &mut out,
        );
        let fields = parse(&out);
        let cases = [
            (
                "MESSAGE",
                "START: rsync pid=4211 from=192.0.2.7 port=51514 id=0f8k2m-9f2c",
            ),
            ("PRIORITY", "6"),
            ("SYSLOG_IDENTIFIER", "oxinetd"),
            ("OXINETD_EVENT", "start"),
            ("OXINETD_SERVICE", "rsync"),
            ("OXINETD_CONN_ID", "0f8k2m-9f2c"),
            ("REMOTE_ADDR", "192.0.2.7"),
            ("REMOTE_PORT", "51514"),
        ];
        for (name, value) in cases {
            assert_eq!(fields.get(name).map(String::as_str), Some(value), "{name}");
        }
    }

    #[test]
    fn a_program_cannot_add_fields() {
        let mut journal = Journal::new("/nowhere".into(), 3);
        let mut out = Vec::new();
        let line = b"x\nOXINETD_SERVICE=ssh\n";
        journal.frame(
            &Event::Output {
                tag: "git",
                id: None,
                line,
            },
            &mut out,
        );
        let fields = parse(&out);
        assert_eq!(fields["MESSAGE"], "x\\x0aOXINETD_SERVICE=ssh\\x0a");
        assert_eq!(fields["SYSLOG_IDENTIFIER"], "git");
        assert!(!fields.contains_key("OXINETD_SERVICE"));
    }
}
