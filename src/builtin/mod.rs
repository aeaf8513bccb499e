//! The services that the binary brings along, one file each.
//!
//! A built-in's protocol is a pure state machine: bytes in, bytes out, done. Drivers (`process`, `datagram`) move the bytes.
//! Invariant: a machine touches no descriptor and no clock, keeps no input, and every driver sends what a machine gave
//! before it reads on, so that a client costs a bounded buffer however slowly it reads.
//!
//! A new built-in is one file and one row in [`TABLE`].

mod chargen;
mod datagram;
mod daytime;
mod discard;
mod echo;
mod guard;
mod process;
mod time;

use std::time::SystemTime;

pub use datagram::serve_datagrams;
pub use process::serve;

use crate::service::BuiltinKind;

/// What a stream machine waits for, once everything that it gave has been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Bytes of the client, or its end of file.
    Read,
    /// Room to write: it has more to say. Input is thrown away meanwhile.
    Write,
    /// Nothing: the connection is to be closed, in an orderly way.
    Done,
}

/// The protocol on one stream connection.
pub trait Stream {
    /// What is to be done now.
    fn next(&self) -> Next;

    /// After [`Next::Read`]: `bytes` have arrived, at least one. Its answer stands at the front of `bytes` when it
    /// returns: that many are to be sent.
    fn on_input(&mut self, bytes: &mut [u8]) -> usize;

    /// After [`Next::Read`]: the client will send no more. It may still read.
    fn on_end(&mut self);

    /// After [`Next::Write`]: fills `room`, which is never empty, from the front; that many are to be sent.
    fn fill(&mut self, room: &mut [u8]) -> usize;
}

/// The protocol on a datagram socket: one machine for all clients.
pub trait Datagram {
    /// The answer to the request `buffer[..length]`, left at the front of `buffer`, and its length: at most `limit`, which
    /// is at most the length of `buffer`. `None`: no answer.
    fn reply(
        &mut self,
        buffer: &mut [u8],
        length: usize,
        limit: usize,
        now: SystemTime,
    ) -> Option<usize>;
}

/// A built-in.
pub struct Entry {
    /// As `builtin` has it.
    pub name: &'static str,
    /// The machine for a new connection, at this time.
    pub stream: fn(SystemTime) -> Box<dyn Stream>,
    /// The machine for a datagram socket.
    pub datagram: fn() -> Box<dyn Datagram>,
    /// A reply may be longer than its request: over datagrams that serves attackers, unless `allow_reflection`.
    pub reflects: bool,
}

/// The built-in for `kind`; `None`: not in this binary.
pub fn entry(kind: &BuiltinKind) -> Option<&'static Entry> {
    let name = match kind {
        BuiltinKind::Echo => "echo",
        BuiltinKind::Discard => "discard",
        BuiltinKind::Chargen => "chargen",
        BuiltinKind::Daytime => "daytime",
        BuiltinKind::Time => "time",
        BuiltinKind::Qotd { .. } | BuiltinKind::Health { .. } | BuiltinKind::Tarpit => return None,
    };
    TABLE.iter().find(|entry| entry.name == name)
}

/// All of them.
pub static TABLE: [Entry; 5] = [
    Entry {
        name: "echo",
        stream: |_| Box::new(echo::Echo::default()),
        datagram: || Box::new(echo::Echo::default()),
        reflects: false,
    },
    Entry {
        name: "discard",
        stream: |_| Box::new(discard::Discard::default()),
        datagram: || Box::new(discard::Discard::default()),
        reflects: false,
    },
    Entry {
        name: "chargen",
        stream: |_| Box::new(chargen::Chargen::default()),
        datagram: || Box::new(chargen::Chargen::default()),
        reflects: true,
    },
    Entry {
        name: "daytime",
        stream: |now| Box::new(daytime::Daytime::at(now)),
        datagram: || Box::new(daytime::Answer),
        reflects: true,
    },
    Entry {
        name: "time",
        stream: |now| Box::new(time::Time::at(now)),
        datagram: || Box::new(time::Answer),
        reflects: true,
    },
];

/// Moves as much of `text` as fits to the front of `room`.
fn put(room: &mut [u8], text: &[u8]) -> usize {
    let length = room.len().min(text.len());
    if let (Some(room), Some(text)) = (room.get_mut(..length), text.get(..length)) {
        room.copy_from_slice(text);
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_kind() {
        let kinds = [
            BuiltinKind::Echo,
            BuiltinKind::Discard,
            BuiltinKind::Chargen,
            BuiltinKind::Daytime,
            BuiltinKind::Time,
        ];
        let found: Vec<_> = kinds.iter().map(|kind| entry(kind).unwrap().name).collect();
        let rows: Vec<_> = TABLE.iter().map(|entry| entry.name).collect();
        assert_eq!(found, rows);
        assert!(entry(&BuiltinKind::Tarpit).is_none());
    }

    #[test]
    fn no_machine_answers_beyond_the_limit() {
        for entry in &TABLE {
            let mut machine = (entry.datagram)();
            for (length, limit) in [(0, 0), (1, 1), (3, 3), (100, 100), (600, 600), (1, 600)] {
                let mut buffer = [b'q'; 600];
                let reply = machine.reply(&mut buffer, length, limit, SystemTime::UNIX_EPOCH);
                assert!(
                    reply.unwrap_or(0) <= limit,
                    "{} {length} {limit}",
                    entry.name
                );
            }
        }
    }
}
