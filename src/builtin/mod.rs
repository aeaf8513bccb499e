//! The services that the binary brings along, one file each.
//!
//! A built-in's protocol is a pure state machine: bytes in, bytes out, done. Drivers move the bytes: `datagram` for
//! datagrams, and for streams one for each of the three textbook ways to serve many clients. `process` serves one client
//! in a process of its own; `thread` and `event` are workers that get clients from the daemon (`worker`), and serve each
//! in a thread of its own, or all in one loop. The first two share the driver of one blocking socket (`blocking`).
//!
//! Invariant: a machine touches no descriptor and no clock, keeps no input, and every driver sends what a machine gave
//! before it reads on, so that a client costs a bounded buffer however slowly it reads.
//!
//! A new built-in is one file and one row in [`TABLE`], and has all of these.

mod blocking;
mod chargen;
mod datagram;
mod daytime;
mod discard;
mod echo;
mod event;
mod guard;
mod health;
mod process;
mod qotd;
mod random;
mod tarpit;
mod text;
mod thread;
mod time;
pub mod worker;

use std::io::{self, Write};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use blocking::linger;
pub use datagram::serve_datagrams;

use crate::service::{Builtin, BuiltinKind, Model};

/// What a stream machine waits for, once everything that it gave has been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Bytes of the client, or its end of file.
    Read,
    /// Room to write: it has more to say. Input is thrown away meanwhile.
    Write,
    /// This time, and then room to write. Input is thrown away meanwhile.
    WriteAfter(Duration),
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

    /// After [`Next::Write`], and the time of [`Next::WriteAfter`]: fills `room`, which is never empty, from the front; that many are to be sent.
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

/// Serves what is behind `fd`: in the process model one client, in the others all that the daemon passes on (`worker`).
/// Returns the exit status of the process: 0, or one of sysexits.h.
pub fn serve(builtin: &Builtin, fd: RawFd) -> u8 {
    let maker = match Maker::open(&builtin.kind) {
        Ok(maker) => maker,
        Err(status) => return status,
    };
    match builtin.model {
        Model::Process => process::serve(&maker, fd),
        Model::Event => event::serve(maker, fd),
        Model::Thread => thread::serve(maker, fd),
    }
}

/// What the machines of one child share, made once at its start: quotes, an answer.
pub type Texts = Vec<Arc<[u8]>>;

/// Makes the machine for a datagram socket.
type Make = fn(&Texts) -> Box<dyn Datagram>;

/// A built-in.
pub struct Entry {
    /// As `builtin` has it.
    pub name: &'static str,
    /// What its machines share. An error is a sentence for the log.
    texts: fn(&BuiltinKind) -> io::Result<Texts>,
    /// The machine for a new connection, at this time.
    stream: fn(&Texts, SystemTime) -> Box<dyn Stream>,
    /// The machine for a datagram socket; `None`: it serves streams only.
    datagram: Option<Make>,
    /// A reply may be longer than its request: over datagrams that serves attackers, unless `allow_reflection`.
    pub reflects: bool,
}

impl Entry {
    /// False: it serves streams only.
    pub fn serves_datagrams(&self) -> bool {
        self.datagram.is_some()
    }
}

/// The built-in for `kind`.
pub fn entry(kind: &BuiltinKind) -> &'static Entry {
    let [
        echo,
        discard,
        chargen,
        daytime,
        time,
        qotd,
        health,
        tarpit,
        metrics,
    ] = &TABLE;
    match kind {
        BuiltinKind::Echo => echo,
        BuiltinKind::Discard => discard,
        BuiltinKind::Chargen => chargen,
        BuiltinKind::Daytime => daytime,
        BuiltinKind::Time => time,
        BuiltinKind::Qotd { .. } => qotd,
        BuiltinKind::Health { .. } => health,
        BuiltinKind::Tarpit => tarpit,
        BuiltinKind::Metrics { .. } => metrics,
    }
}

/// A built-in with what its machines share: makes them.
struct Maker {
    entry: &'static Entry,
    texts: Texts,
}

impl Maker {
    /// In a child, at its start. What failed is told on its standard error, and by the status of [`NO_INPUT`].
    fn open(kind: &BuiltinKind) -> Result<Self, u8> {
        let entry = entry(kind);
        match (entry.texts)(kind) {
            Ok(texts) => Ok(Self { entry, texts }),
            Err(error) => {
                let _ = writeln!(io::stderr(), "{error}");
                Err(NO_INPUT)
            }
        }
    }

    /// The machine for a new connection.
    fn stream(&self) -> Box<dyn Stream> {
        (self.entry.stream)(&self.texts, SystemTime::now())
    }

    /// The machine for a datagram socket, if there is one.
    fn datagram(&self) -> Option<Box<dyn Datagram>> {
        self.entry.datagram.map(|make| make(&self.texts))
    }
}

/// All of them.
pub static TABLE: [Entry; 9] = [
    Entry {
        name: "echo",
        texts: no_texts,
        stream: |_, _| Box::new(echo::Echo::default()),
        datagram: Some(|_| Box::new(echo::Echo::default())),
        reflects: false,
    },
    Entry {
        name: "discard",
        texts: no_texts,
        stream: |_, _| Box::new(discard::Discard::default()),
        datagram: Some(|_| Box::new(discard::Discard::default())),
        reflects: false,
    },
    Entry {
        name: "chargen",
        texts: no_texts,
        stream: |_, _| Box::new(chargen::Chargen::default()),
        datagram: Some(|_| Box::new(chargen::Chargen::default())),
        reflects: true,
    },
    Entry {
        name: "daytime",
        texts: no_texts,
        stream: |_, now| Box::new(daytime::stream(now)),
        datagram: Some(|_| Box::new(daytime::Answer)),
        reflects: true,
    },
    Entry {
        name: "time",
        texts: no_texts,
        stream: |_, now| Box::new(time::stream(now)),
        datagram: Some(|_| Box::new(time::Answer)),
        reflects: true,
    },
    Entry {
        name: "qotd",
        texts: |kind| {
            if let BuiltinKind::Qotd { file } = kind {
                return qotd::read(file);
            }
            no_texts(kind)
        },
        stream: |texts, now| Box::new(qotd::stream(texts, now)),
        datagram: Some(|texts| Box::new(qotd::Answer(texts.clone()))),
        reflects: true,
    },
    Entry {
        name: "health",
        texts: |kind| {
            if let BuiltinKind::Health { body } = kind {
                return Ok(health::answers(health::PLAIN, body));
            }
            no_texts(kind)
        },
        stream: |texts, _| Box::new(health::Health::new(texts)),
        datagram: None,
        reflects: true,
    },
    Entry {
        name: "tarpit",
        texts: no_texts,
        stream: |_, now| Box::new(tarpit::Tarpit::at(now)),
        datagram: None,
        reflects: true,
    },
    Entry {
        name: "metrics",
        texts: |kind| {
            if let BuiltinKind::Metrics { text } = kind {
                return Ok(health::answers(health::OPENMETRICS, text));
            }
            no_texts(kind)
        },
        stream: |texts, _| Box::new(health::Health::new(texts)),
        datagram: None,
        reflects: true,
    },
];

#[expect(clippy::unnecessary_wraps, reason = "what the table takes")]
fn no_texts(_: &BuiltinKind) -> io::Result<Texts> {
    Ok(Texts::new())
}

/// Moves as much of `text` as fits to the front of `room`.
fn put(room: &mut [u8], text: &[u8]) -> usize {
    let length = room.len().min(text.len());
    if let (Some(room), Some(text)) = (room.get_mut(..length), text.get(..length)) {
        room.copy_from_slice(text);
    }
    length
}

/// EX_NOINPUT of sysexits.h: what a built-in reads is not there.
const NO_INPUT: u8 = 66;
/// EX_SOFTWARE: the table cannot have asked for this.
pub const UNUSABLE: u8 = 70;
/// EX_IOERR: a socket is of no use.
const IO_ERROR: u8 = 74;

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds() -> [BuiltinKind; 9] {
        [
            BuiltinKind::Echo,
            BuiltinKind::Discard,
            BuiltinKind::Chargen,
            BuiltinKind::Daytime,
            BuiltinKind::Time,
            BuiltinKind::Qotd {
                file: "/nowhere".into(),
            },
            BuiltinKind::Health {
                body: "ok\n".to_owned(),
            },
            BuiltinKind::Tarpit,
            BuiltinKind::Metrics {
                text: String::new(),
            },
        ]
    }

    #[test]
    fn every_row_is_found_by_its_kind() {
        let found = kinds().map(|kind| entry(&kind).name);
        assert_eq!(found, TABLE.each_ref().map(|row| row.name));
        assert_eq!(
            found,
            [
                "echo", "discard", "chargen", "daytime", "time", "qotd", "health", "tarpit",
                "metrics"
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_ends_the_child() {
        for kind in kinds() {
            let opened = Maker::open(&kind).map(|_| ());
            let unreadable = matches!(kind, BuiltinKind::Qotd { .. });
            assert_eq!(opened.err(), unreadable.then_some(NO_INPUT));
        }
    }

    #[test]
    fn no_machine_answers_beyond_the_limit() {
        for entry in &TABLE {
            let Some(make) = entry.datagram else { continue };
            let mut machine = make(&vec![Arc::from(*b"quote\r\n")]);
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
