//! What programs write to their stderr: one pipe for each service that runs any, read a bounded amount a turn, cut to
//! lines and told to the log.
//!
//! Invariant: a flood costs its writer its lines and nobody else anything: 50 lines a second are told, the rest is
//! counted; a line is told up to 1 KiB.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use super::Daemon;
use super::token::{ServiceKey, Token};
use crate::event::Event;
use crate::service::{LogLevel, Stderr};
use crate::sys::pipe;
use crate::sys::poller::Interest;

/// The longest line that is told whole.
const LINE: usize = 1024;
/// Lines told in a second.
const LINES_A_SECOND: u32 = 50;
/// Bytes read in one turn.
const TURN: usize = 65_536;

/// The stderr pipe of a service.
#[derive(Debug)]
pub(super) struct Output {
    reader: pipe::Reader,
    writer: OwnedFd,
    line: Vec<u8>,
    /// The rest of a line that was too long is passed over.
    cut: bool,
    second: Option<Instant>,
    told: u32,
    dropped: u64,
}

impl Output {
    /// The end for fd 2 of a program.
    pub(super) fn writer(&self) -> BorrowedFd<'_> {
        self.writer.as_fd()
    }

    /// Cuts `bytes` into lines and passes each to `tell`, with the number of lines dropped before it.
    fn take(&mut self, bytes: &[u8], now: Instant, mut tell: impl FnMut(&[u8], u64)) {
        for &byte in bytes {
            if byte != b'\n' {
                if self.line.len() < LINE {
                    self.line.push(byte);
                    continue;
                }
                if self.cut {
                    continue;
                }
                self.cut = true;
            } else if std::mem::take(&mut self.cut) {
                self.line.clear();
                continue;
            }
            if self.may_tell(now) {
                tell(&self.line, std::mem::take(&mut self.dropped));
            }
            if !self.cut {
                self.line.clear();
            }
        }
    }

    fn may_tell(&mut self, now: Instant) -> bool {
        if self
            .second
            .is_none_or(|start| now.duration_since(start) >= Duration::from_secs(1))
        {
            self.second = Some(now);
            self.told = 0;
        }
        self.told += 1;
        let may = self.told <= LINES_A_SECOND;
        if !may {
            self.dropped += 1;
        }
        may
    }
}

impl Daemon {
    /// Opens the pipe of a service whose programs' stderr goes to the log, at its first launch.
    pub(super) fn open_output(&mut self, key: ServiceKey) -> io::Result<()> {
        let Some(live) = self.services.get_mut(key) else {
            return Ok(());
        };
        if live.output.is_some() || live.service.process.stderr != Stderr::Log {
            return Ok(());
        }
        let owner = live
            .service
            .process
            .identity
            .as_ref()
            .map(|identity| (identity.uid, identity.gid));
        let (reader, writer) = pipe::open(owner)?;
        self.poller.add(
            reader.as_fd(),
            Interest::Readable,
            Token::Output(key).bits(),
        )?;
        live.output = Some(Output {
            reader,
            writer,
            line: Vec::new(),
            cut: false,
            second: None,
            told: 0,
            dropped: 0,
        });
        Ok(())
    }

    /// A program wrote.
    pub(super) fn on_output(&mut self, key: ServiceKey, now: Instant) {
        let Some(live) = self.services.get_mut(key) else {
            return;
        };
        let Some(output) = live.output.as_mut() else {
            return;
        };
        let (log, service) = (&mut self.log, &live.service);
        let mut buffer = [0_u8; 4096];
        let mut total = 0;
        while total < TURN {
            let count = match output.reader.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(count) => count,
            };
            total += count;
            output.take(buffer.get(..count).unwrap_or(&[]), now, |line, dropped| {
                if dropped > 0 {
                    let text = format!(
                        "{dropped} lines of its output were too many for a second and are left out"
                    );
                    let (level, service_name) = (LogLevel::Warning, Some(service.name.as_str()));
                    log.write(
                        &Event::Note {
                            level,
                            service: service_name,
                            text: &text,
                        },
                        service.log_to.as_ref(),
                    );
                }
                let event = Event::Output {
                    tag: &service.log_tag,
                    id: None,
                    line,
                };
                log.write(&event, service.log_to.as_ref());
            });
        }
    }

    /// Closes the pipe; who still writes to it is forgotten.
    pub(super) fn close_output(&mut self, key: ServiceKey) {
        if let Some(output) = self
            .services
            .get_mut(key)
            .and_then(|live| live.output.take())
        {
            self.poller.remove(&output.reader);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output() -> Output {
        let (reader, writer) = pipe::open(None).unwrap();
        Output {
            reader,
            writer,
            line: Vec::new(),
            cut: false,
            second: None,
            told: 0,
            dropped: 0,
        }
    }

    fn told(output: &mut Output, bytes: &[u8], now: Instant) -> Vec<(Vec<u8>, u64)> {
        let mut lines = Vec::new();
        output.take(bytes, now, |line, dropped| {
            lines.push((line.to_vec(), dropped))
        });
        lines
    }

    #[test]
    fn lines_are_put_together_from_pieces() {
        let (mut output, now) = (output(), Instant::now());
        assert_eq!(told(&mut output, b"one\ntw", now), [(b"one".to_vec(), 0)]);
        assert_eq!(
            told(&mut output, b"o\n\n", now),
            [(b"two".to_vec(), 0), (Vec::new(), 0)]
        );
    }

    #[test]
    fn a_line_that_is_too_long_is_told_once_and_cut() {
        let (mut output, now) = (output(), Instant::now());
        let long = [vec![b'x'; 3000], b"\nnext\n".to_vec()].concat();
        assert_eq!(
            told(&mut output, &long, now),
            [(vec![b'x'; LINE], 0), (b"next".to_vec(), 0)]
        );
    }

    #[test]
    fn a_flood_is_counted_and_told_later() {
        let (mut output, now) = (output(), Instant::now());
        assert_eq!(told(&mut output, &b"x\n".repeat(1000), now).len(), 50);
        let later = now + Duration::from_secs(1);
        assert_eq!(told(&mut output, b"y\n", later), [(b"y".to_vec(), 950)]);
    }
}
