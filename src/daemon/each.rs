//! `stderr = "log-each"`: a pipe for each connection, whose lines carry its id.
//!
//! Invariant: the daemon holds the writing end of none, so a pipe ends with its last writer; and one whose program is
//! dead ends a second later, whoever else holds it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use super::id::ConnectionId;
use super::lines::Lines;
use super::output::{Drained, REST, drain, owner, tell_line};
use super::token::{EachKey, ServiceKey, Token};
use super::{Daemon, Timer};
use crate::handover::{Packer, Unpacker, state};
use crate::service::Stderr;
use crate::sys::heirloom::Kind;
use crate::sys::pipe;
use crate::sys::poller::Interest;

/// How long a pipe outlives its program.
const AFTER: Duration = Duration::from_secs(1);

/// The stderr pipe of one connection.
#[derive(Debug)]
pub(super) struct Each {
    reader: pipe::Reader,
    lines: Lines,
    service: ServiceKey,
    id: ConnectionId,
    /// When it is read again.
    resting: Option<Instant>,
    /// The program is dead: when it is closed.
    over: Option<Instant>,
}

impl Each {
    /// What a successor of this process is to know of it; `service` is the index of its service.
    pub(super) fn pack(
        &self,
        packer: &mut Packer,
        service: impl Fn(ServiceKey) -> Option<usize>,
    ) -> io::Result<Option<state::Each>> {
        let Some(service) = service(self.service) else {
            return Ok(None);
        };
        Ok(Some(state::Each {
            reader: packer.fd(self.reader.as_fd())?,
            lines: self.lines.pack(),
            service,
            id: self.id.as_str().to_owned(),
            over: self.over.map(|over| packer.at(over)),
        }))
    }
}

impl Daemon {
    /// Takes one over from the predecessor.
    pub(super) fn unpack_each(
        &mut self,
        record: state::Each,
        service: ServiceKey,
        unpacker: &mut Unpacker,
    ) -> io::Result<EachKey> {
        let over = record.over.map(|over| unpacker.at(over));
        let key = self.each.insert(Each {
            reader: pipe::Reader::inherited(unpacker.fd(&record.reader, Kind::Pipe)?),
            lines: Lines::unpack(record.lines),
            service,
            id: ConnectionId::from_text(&record.id),
            resting: None,
            over,
        });
        if let Some(over) = over {
            self.timers.set(over, Timer::EachOver(key));
        }
        self.poll_each(key)?;
        Ok(key)
    }

    fn poll_each(&self, key: EachKey) -> io::Result<()> {
        let token = Token::Each(key).bits();
        match self.each.get(key) {
            Some(each) => self
                .poller
                .add(each.reader.as_fd(), Interest::Readable, token),
            None => Ok(()),
        }
    }

    /// Opens the pipe of a connection, if its service has one for each. The writing end is for the launch only.
    pub(super) fn open_each(
        &mut self,
        service: ServiceKey,
        id: ConnectionId,
    ) -> io::Result<Option<(EachKey, OwnedFd)>> {
        let Some(live) = self.services.get(service) else {
            return Ok(None);
        };
        if live.service.process.stderr != Stderr::LogEach {
            return Ok(None);
        }
        let (reader, writer) = pipe::open(owner(&live.service))?;
        let key = self.each.insert(Each {
            reader,
            lines: Lines::default(),
            service,
            id,
            resting: None,
            over: None,
        });
        if let Err(error) = self.poll_each(key) {
            self.each.remove(key);
            return Err(error);
        }
        Ok(Some((key, writer)))
    }

    /// The program wrote, or the last writer has gone.
    pub(super) fn on_each(&mut self, key: EachKey, now: Instant) {
        let (log, timers) = (&mut self.log, &mut self.timers);
        let Some(each) = self.each.get_mut(key) else {
            return;
        };
        let service = each.service;
        let Some(live) = self.services.get_mut(service) else {
            return self.close_each(key);
        };
        let (rules, pace, id) = ((&*live.service, &live.recent), &mut live.pace, each.id);
        let lines = &mut each.lines;
        let drained = drain(&mut each.reader, |bytes| {
            lines.take(bytes, |line| {
                if let Some(at) = tell_line(log, rules, pace, Some(id.as_str()), line, now) {
                    timers.set(at, Timer::Output(service));
                }
            });
        });
        match drained {
            Drained::Closed => self.end_each(key, now),
            Drained::Full if each.resting.is_none() => {
                let token = Token::Each(key).bits();
                let _ = self
                    .poller
                    .modify(each.reader.as_fd(), Interest::Nothing, token);
                each.resting = Some(now + REST);
                timers.set(now + REST, Timer::Each(key));
            }
            Drained::Empty | Drained::Full => {}
        }
    }

    /// The pipe has rested.
    pub(super) fn on_each_rested(&mut self, key: EachKey) {
        if let Some(each) = self.each.get_mut(key) {
            each.resting = None;
            let token = Token::Each(key).bits();
            let _ = self
                .poller
                .modify(each.reader.as_fd(), Interest::Readable, token);
        }
    }

    /// The program is dead: what it wrote is told, and who else holds the pipe has a second.
    pub(super) fn finish_each(&mut self, key: EachKey, now: Instant) {
        self.on_each(key, now);
        if let Some(each) = self.each.get_mut(key) {
            let at = now + AFTER;
            each.over = Some(at);
            self.timers.set(at, Timer::EachOver(key));
        }
    }

    /// Tells the line that nobody will end, and closes the pipe.
    pub(super) fn end_each(&mut self, key: EachKey, now: Instant) {
        let (log, timers) = (&mut self.log, &mut self.timers);
        if let Some(each) = self.each.get_mut(key)
            && let Some(live) = self.services.get_mut(each.service)
        {
            let (service, id) = (each.service, each.id);
            let (rules, pace) = ((&*live.service, &live.recent), &mut live.pace);
            each.lines.finish(|line| {
                if let Some(at) = tell_line(log, rules, pace, Some(id.as_str()), line, now) {
                    timers.set(at, Timer::Output(service));
                }
            });
        }
        self.close_each(key);
    }

    /// Closes it, without a look at what it holds.
    pub(super) fn close_each(&mut self, key: EachKey) {
        if let Some(each) = self.each.remove(key) {
            self.poller.remove(&each.reader);
            for (at, timer) in [
                (each.over, Timer::EachOver(key)),
                (each.resting, Timer::Each(key)),
            ] {
                if let Some(at) = at {
                    self.timers.cancel(at, timer);
                }
            }
        }
    }
}
