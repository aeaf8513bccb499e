//! What programs write to their stderr: one pipe for each service that runs any, read a bounded amount a turn, cut to
//! lines and told to the log.
//!
//! Invariant: a flood costs its writer its lines and time, and nobody else anything: a pipe that gave a whole turn's
//! worth rests for a moment.

use std::cell::RefCell;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime};

use super::lines::{Lines, May, Pace};
use super::recent::Recent;
use super::state::{Child, LiveService};
use super::token::{ServiceKey, Token};
use super::{Daemon, Timer};
use crate::event::Event;
use crate::handover::{Packer, Unpacker, state};
use crate::log::Log;
use crate::service::{LogLevel, Service, Stderr};
use crate::sys::heirloom::Kind;
use crate::sys::pipe;
use crate::sys::poller::Interest;

/// Bytes read of one pipe in one turn.
const TURN: usize = 65_536;
/// A pipe that gave that much is left alone this long: six megabytes a second cost the daemon little.
pub(super) const REST: Duration = Duration::from_millis(10);

/// The stderr pipe of a service.
#[derive(Debug)]
pub(super) struct Output {
    reader: pipe::Reader,
    writer: OwnedFd,
    lines: Lines,
    /// Not polled for a moment.
    resting: bool,
}

impl Output {
    /// The end that is read.
    pub(super) fn reader(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }

    /// The end for fd 2 of a program.
    pub(super) fn writer(&self) -> BorrowedFd<'_> {
        self.writer.as_fd()
    }
}

impl Output {
    /// What a successor of this process is to know of it.
    pub(super) fn pack(&self, packer: &mut Packer) -> io::Result<state::Output> {
        Ok(state::Output {
            reader: packer.fd(self.reader.as_fd())?,
            writer: packer.fd(self.writer.as_fd())?,
            lines: self.lines.pack(),
        })
    }

    /// The same, from the predecessor.
    pub(super) fn unpack(record: state::Output, unpacker: &mut Unpacker) -> io::Result<Self> {
        Ok(Self {
            reader: pipe::Reader::inherited(unpacker.fd(&record.reader, Kind::Pipe)?),
            writer: unpacker.fd(&record.writer, Kind::Pipe)?,
            lines: Lines::unpack(record.lines),
            resting: false,
        })
    }
}

/// How a turn's reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drained {
    /// There was no more.
    Empty,
    /// There may be more.
    Full,
    /// Nobody can write any more.
    Closed,
}

/// Reads at most a turn's worth.
#[inline(never)] // See `discard_now`: the buffer stays out of the frame of a turn.
pub(super) fn drain(reader: &mut pipe::Reader, mut take: impl FnMut(&[u8])) -> Drained {
    let mut buffer = [0_u8; 8192];
    let mut total = 0;
    while total < TURN {
        match reader.read(&mut buffer) {
            Ok(0) => return Drained::Closed,
            Ok(count) => {
                total += count;
                take(buffer.get(..count).unwrap_or(&[]));
                if count < buffer.len() {
                    return Drained::Empty;
                }
            }
            Err(_) => return Drained::Empty,
        }
    }
    Drained::Full
}

/// Tells a line of a program if the service's pace allows; else the time at which the count of the others is due, once.
pub(super) fn tell_line(
    log: &mut Log,
    (service, recent): (&Service, &RefCell<Recent>),
    pace: &mut Pace,
    id: Option<&str>,
    line: &[u8],
    now: Instant,
) -> Option<Instant> {
    match pace.line(now) {
        May::Tell => {
            let tag = &service.log_tag;
            let event = Event::Output { tag, id, line };
            recent.borrow_mut().add(&event, SystemTime::now());
            log.write(&event, service.log_to.as_ref());
            None
        }
        May::Drop => None,
        May::DropFirst(at) => Some(at),
    }
}

impl Daemon {
    /// Opens the pipe of a service whose programs' stderr goes to the log, at its first launch.
    pub(super) fn open_output(&mut self, key: ServiceKey) -> io::Result<()> {
        let Some(live) = self.services.get(key) else {
            return Ok(());
        };
        if live.output.is_some() || live.service.process.stderr != Stderr::Log {
            return Ok(());
        }
        let (reader, writer) = pipe::open(owner(&live.service))?;
        self.poll_output(key, reader.as_fd())?;
        if let Some(live) = self.services.get_mut(key) {
            live.output = Some(Output {
                reader,
                writer,
                lines: Lines::default(),
                resting: false,
            });
        }
        Ok(())
    }

    /// Waits for lines of a service.
    pub(super) fn poll_output(&self, key: ServiceKey, reader: BorrowedFd<'_>) -> io::Result<()> {
        let token = Token::Output(key).bits();
        self.poller.add(reader, Interest::Readable, token)
    }

    /// A program wrote.
    pub(super) fn on_output(&mut self, key: ServiceKey, now: Instant) {
        let Some(LiveService {
            output: Some(output),
            service,
            pace,
            recent,
            ..
        }) = self.services.get_mut(key)
        else {
            return;
        };
        let Output {
            reader,
            lines,
            resting,
            ..
        } = output;
        let (log, timers) = (&mut self.log, &mut self.timers);
        let drained = drain(reader, |bytes| {
            lines.take(bytes, |line| {
                if let Some(at) = tell_line(log, (service, recent), pace, None, line, now) {
                    timers.set(at, Timer::Output(key));
                }
            });
        });
        if drained == Drained::Full && !*resting {
            let token = Token::Output(key).bits();
            *resting = self
                .poller
                .modify(reader.as_fd(), Interest::Nothing, token)
                .is_ok();
            timers.set(now + REST, Timer::Output(key));
        }
    }

    /// A pipe has rested, or lines that were left out are to be told.
    pub(super) fn on_output_rested(&mut self, key: ServiceKey, now: Instant) {
        let Some(live) = self.services.get_mut(key) else {
            return;
        };
        let dropped = live.pace.dropped(now);
        if let Some(output) = live.output.as_mut().filter(|output| output.resting) {
            let token = Token::Output(key).bits();
            let _ = self
                .poller
                .modify(output.reader.as_fd(), Interest::Readable, token);
            output.resting = false;
        }
        if dropped > 0 {
            let text = format!(
                "{dropped} lines of its output were too many for a second and are left out"
            );
            let event = Event::Note {
                level: LogLevel::Warning,
                service: Some(&live.service.name),
                text: &text,
            };
            Self::tell(&mut self.log, Some(live), &event);
        }
    }

    /// A child has ended: what it wrote is told before its end, a line that it left open too.
    pub(super) fn finish_output(&mut self, child: &Child, now: Instant) {
        if let Some(each) = child.each {
            return self.finish_each(each, now);
        }
        self.on_output(child.service, now);
        if let Some(LiveService {
            output: Some(output),
            service,
            pace,
            recent,
            ..
        }) = self.services.get_mut(child.service)
        {
            let lines = &mut output.lines;
            let (log, timers) = (&mut self.log, &mut self.timers);
            lines.finish(|line| {
                if let Some(at) = tell_line(log, (service, recent), pace, None, line, now) {
                    timers.set(at, Timer::Output(child.service));
                }
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

/// The account for which `echo x >/dev/stderr`, which opens the pipe anew, is to work.
pub(super) fn owner(service: &Service) -> Option<(u32, u32)> {
    let identity = service.process.identity.as_ref()?;
    Some((identity.uid, identity.gid))
}
