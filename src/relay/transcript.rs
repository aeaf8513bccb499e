//! `transcript`: both directions of a connection as text, with times.
//!
//! ```text
//! # oxinetd transcript: service=x id=0f8k2m-9f2c from=192.0.2.7 port=51514 at=2026-11-25T03:21:20Z
//! 0.000312 > GET / HTTP/1.0\r\n
//! 0.004127 < HTTP/1.0 200 OK\r\n
//! ```
//!
//! `>` is to the program, `<` to the client; seconds since the start. A line ends after a newline or with what came at
//! once. Everything but printable ASCII is escaped, so nothing is lost and no terminal is harmed.
//!
//! Invariant: a connection that is to be recorded and cannot be is not served; one that is served is served whole,
//! whatever becomes of its record afterwards.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use super::pump::{self, Carrier, End, Flow, Watch};
use super::{Task, tell};
use crate::launch::behind;
use crate::service::Transcript;
use crate::sys::poll::{self, Wish};
use crate::sys::process::{self, Kill};
use crate::sys::{datagram, errno, output, socket, stream, tcp};

/// Stands between the client and the program that runs already (see [`behind`]), and ends as the program does: with its
/// status, or by its signal. 73 (EX_CANTCREAT): the record cannot be made, and the program is killed before a byte.
pub fn serve(transcript: &Transcript, task: &Task<'_>) -> u8 {
    let fds = [task.socket, behind::SERVER, behind::KEPT, behind::PROGRAM].map(stream::adopt);
    let [Ok(client), Ok(server), Ok(kept), Ok(program)] = fds else {
        return 71;
    };
    // The program has been told to end as well: what it says to that is passed on.
    process::ignore_stops();
    let path = transcript
        .path
        .fill(&task.service.name, task.peer, || task.id.to_owned());
    let record = match output::append_private(Path::new(&path)) {
        Ok(file) => Record::new(file, transcript.max),
        Err(error) => {
            let number = error.raw_os_error().unwrap_or(0);
            tell(&format!(
                "the transcript {path}: {}",
                errno::describe(number)
            ));
            let _ = process::signal(program.as_fd(), Kill::Kill);
            socket::reset_on_close(client.as_fd());
            return 73;
        }
    };
    record.borrow_mut().begin(task);
    let lingers = task.service.deadlines.linger.is_some();
    let passed = pass(&client, &server, lingers.then_some(kept), &program, &record);
    // Where it was broken the program learns it now.
    drop(server);
    if let Err(error) = passed {
        tell(&format!("cannot pass bytes on: {error}"));
        return 71;
    }
    poll::wait_for(&[Wish::Read(program.as_fd())], None);
    match process::reap(program.as_fd()) {
        Ok(Some(dead)) => process::end_like(dead.end),
        Ok(None) | Err(_) => 71,
    }
}

/// Moves the bytes. `kept` is the program's end of its connection, where the connection lingers.
fn pass(
    client: &OwnedFd,
    server: &OwnedFd,
    kept: Option<OwnedFd>,
    program: &OwnedFd,
    record: &RefCell<Record>,
) -> io::Result<()> {
    stream::never_wait(client.as_fd())?;
    stream::never_wait(server.as_fd())?;
    let mut kept = kept;
    let (mut up, mut down) = (Recorded::new('>', record), Recorded::new('<', record));
    let end = pump::run(
        [
            Flow {
                from: client.as_fd(),
                to: server.as_fd(),
                carrier: &mut up,
                end: &mut || socket::shut_down_writing(server.as_fd()),
            },
            Flow {
                from: server.as_fd(),
                to: client.as_fd(),
                carrier: &mut down,
                end: &mut || socket::shut_down_writing(client.as_fd()),
            },
        ],
        None,
        Some(Watch {
            fd: program.as_fd(),
            // As the daemon does at the exit of a program: with input left unread its direction ends, without any who
            // it left behind may go on.
            then: &mut || {
                if let Some(kept) = kept.as_ref().filter(|kept| tcp::unread(kept.as_fd()) > 0) {
                    socket::shut_down_writing(kept.as_fd());
                } else {
                    kept = None;
                }
            },
        }),
    );
    if let End::Broken = end {
        socket::reset_on_close(client.as_fd());
        socket::reset_on_close(server.as_fd());
    }
    Ok(())
}

/// One direction, through a buffer.
struct Recorded<'a> {
    direction: char,
    record: &'a RefCell<Record>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl<'a> Recorded<'a> {
    fn new(direction: char, record: &'a RefCell<Record>) -> Self {
        Self {
            direction,
            record,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
        }
    }
}

impl Carrier for Recorded<'_> {
    fn take(&mut self, from: BorrowedFd<'_>) -> io::Result<usize> {
        let count = stream::take_now(from, &mut self.buffer)?;
        (self.start, self.end) = (0, count);
        let bytes = self.buffer.get(..count).unwrap_or_default();
        self.record.borrow_mut().add(self.direction, bytes);
        Ok(count)
    }

    fn give(&mut self, to: BorrowedFd<'_>) -> io::Result<usize> {
        let bytes = self.buffer.get(self.start..self.end).unwrap_or_default();
        let count = datagram::send_now(to, bytes)?;
        self.start += count;
        Ok(count)
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// The file.
struct Record {
    /// `None`: it is full, or could not be written.
    file: Option<File>,
    started: Instant,
    /// Bytes that may still be written.
    left: u64,
}

impl Record {
    fn new(file: File, most: u64) -> RefCell<Self> {
        RefCell::new(Self {
            file: Some(file),
            started: Instant::now(),
            left: most,
        })
    }

    fn begin(&mut self, task: &Task<'_>) {
        let mut line = format!(
            "# oxinetd transcript: service={} id={} from={}",
            task.service.name, task.id, task.peer
        );
        if let Some(port) = task.peer.port() {
            let _ = write!(line, " port={port}");
        }
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        let _ = writeln!(line, " at={now}");
        self.write(&line);
    }

    fn add(&mut self, direction: char, bytes: &[u8]) {
        if self.file.is_some() && !bytes.is_empty() {
            let text = lines(self.started.elapsed(), direction, bytes);
            self.write(&text);
        }
    }

    fn write(&mut self, text: &str) {
        let Some(file) = &mut self.file else {
            return;
        };
        let fits = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(text.len());
        let written = file.write_all(text.as_bytes().get(..fits).unwrap_or_default());
        self.left -= fits as u64;
        let full = fits < text.len();
        if full {
            let _ = file.write_all(b"\n# the rest is left out\n");
        }
        if let Err(error) = &written {
            tell(&format!("the transcript ends early: {error}"));
        }
        if full || written.is_err() {
            self.file = None;
        }
    }
}

/// The bytes as lines of the record.
fn lines(time: Duration, direction: char, bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 32);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let _ = write!(text, "{:.6} {direction} ", time.as_secs_f64());
        for byte in line {
            match byte {
                b'\\' => text.push_str("\\\\"),
                b'\r' => text.push_str("\\r"),
                b'\n' => text.push_str("\\n"),
                b'\t' => text.push_str("\\t"),
                b' '..=b'~' => text.push(char::from(*byte)),
                _ => {
                    let _ = write!(text, "\\x{byte:02x}");
                }
            }
        }
        text.push('\n');
    }
    text
}

const BUFFER: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};

    /// What a reader of the record gets back.
    fn unescaped(text: &str, direction: char) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in text.lines() {
            let (_, rest) = line.split_once(' ').unwrap();
            let Some(text) = rest.strip_prefix(&format!("{direction} ")) else {
                continue;
            };
            let mut rest = text.chars();
            while let Some(next) = rest.next() {
                if next != '\\' {
                    bytes.push(next as u8);
                    continue;
                }
                bytes.push(match rest.next().unwrap() {
                    'r' => b'\r',
                    'n' => b'\n',
                    't' => b'\t',
                    'x' => {
                        let digits: String = rest.by_ref().take(2).collect();
                        u8::from_str_radix(&digits, 16).unwrap()
                    }
                    other => other as u8,
                });
            }
        }
        bytes
    }

    #[test]
    fn a_line_for_each_line_and_nothing_is_lost() {
        let time = Duration::from_millis(1500);
        assert_eq!(
            lines(time, '>', b"GET /\\ \r\nHost:\tx"),
            "1.500000 > GET /\\\\ \\r\\n\n1.500000 > Host:\\tx\n"
        );
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unescaped(&lines(time, '<', &all), '<'), all);
        assert!(lines(time, '<', &all).is_ascii());
    }

    #[test]
    fn a_record_ends_at_its_size_and_says_so() {
        let mut file = tempfile::tempfile().unwrap();
        let record = Record::new(file.try_clone().unwrap(), 20);
        record.borrow_mut().add('>', b"hello");
        record.borrow_mut().add('<', b"more and more");
        record.borrow_mut().add('>', b"never");
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(
            text.split_once("\n# the rest is left out\n")
                .unwrap()
                .0
                .len(),
            20
        );
        assert!(text.ends_with("# the rest is left out\n"), "{text}");
    }
}
