//! One client of the event model: what the driver of one blocking socket does, cut at every place where that would wait.
//!
//! Invariant: it reads nothing while there is something that the client has not taken, and moves one chunk at a time, so
//! that no client delays the others by much.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

use crate::builtin::blocking::{LINGER, LINGER_BYTES};
use crate::builtin::worker::Passed;
use crate::builtin::{IO_ERROR, Next, Stream};
use crate::sys::poller::{Interest, Poller};
use crate::sys::stream;

/// A connection.
pub(super) struct Client {
    fd: OwnedFd,
    number: u64,
    machine: Box<dyn Stream>,
    /// Given by the machine, and not taken by the client.
    unsent: Box<[u8]>,
    /// The end of a pause, or of lingering.
    until: Option<Instant>,
    /// Lingering: so much input may still come.
    lingering: Option<usize>,
    /// The client will send no more.
    ended: bool,
    /// It did not take all of the last chunk.
    slow: bool,
    watched: Option<Interest>,
}

/// What becomes of a client for now.
pub(super) enum Step {
    /// It goes on when this is the case, or at its time.
    Wait(Interest),
    /// It has ended, with this status.
    Over(u8),
}

impl Client {
    pub(super) fn new(passed: Passed, machine: Box<dyn Stream>) -> Self {
        Self {
            fd: passed.fd,
            number: passed.number,
            machine,
            unsent: Box::default(),
            until: None,
            lingering: None,
            ended: false,
            slow: false,
            watched: None,
        }
    }

    /// The time at which it goes on, whatever happens.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Watches it for this, under this token.
    pub(super) fn watch(
        &mut self,
        poller: &Poller,
        interest: Interest,
        token: u64,
    ) -> io::Result<()> {
        match self.watched {
            Some(watched) if watched == interest => {}
            Some(_) => poller.modify(self.fd.as_fd(), interest, token)?,
            None => poller.add(self.fd.as_fd(), interest, token)?,
        }
        self.watched = Some(interest);
        Ok(())
    }

    /// Closes it, and gives its number. The daemon holds the same open file, so that a close alone would not take it out of
    /// epoll.
    pub(super) fn close(self, poller: &Poller) -> u64 {
        if self.watched.is_some() {
            poller.remove(&self.fd);
        }
        self.number
    }

    /// Goes on as far as it can without waiting.
    pub(super) fn go_on(&mut self, scratch: &mut [u8], now: Instant) -> Step {
        match self.run(scratch, now) {
            Ok(step) => step,
            Err(error) if stream::is_gone(&error) => Step::Over(0),
            Err(_) => Step::Over(IO_ERROR),
        }
    }

    fn run(&mut self, scratch: &mut [u8], now: Instant) -> io::Result<Step> {
        if self.lingering.is_some() {
            return self.linger(scratch, now);
        }
        if !self.unsent.is_empty() {
            let rest = std::mem::take(&mut self.unsent);
            if !self.send(&rest)? {
                return Ok(Step::Wait(Interest::Writable));
            }
        }
        let mut moved = false;
        loop {
            let all = match self.machine.next() {
                Next::Read if moved => return Ok(Step::Wait(Interest::Readable)),
                Next::Read => match self.receive(scratch)? {
                    None => return Ok(Step::Wait(Interest::Readable)),
                    Some(0) => {
                        self.ended = true;
                        self.machine.on_end();
                        continue;
                    }
                    Some(length) => {
                        let bytes = scratch.get_mut(..length).unwrap_or_default();
                        let answer = self.machine.on_input(bytes);
                        self.send(scratch.get(..answer).unwrap_or_default())?
                    }
                },
                Next::Write if moved => return Ok(Step::Wait(Interest::Writable)),
                Next::Write => {
                    let length = self.machine.fill(self.room(scratch));
                    let all = self.send(scratch.get(..length).unwrap_or_default())?;
                    self.receive(scratch)?;
                    all
                }
                Next::WriteAfter(pause) => {
                    match self.until {
                        None => self.until = Some(now + pause),
                        Some(until) if until <= now => {
                            self.until = None;
                            let length = self.machine.fill(self.room(scratch));
                            if !self.send(scratch.get(..length).unwrap_or_default())? {
                                return Ok(Step::Wait(Interest::Writable));
                            }
                            continue;
                        }
                        // Nothing but a hang-up is left to be told.
                        Some(_) if self.ended => return Ok(Step::Over(0)),
                        Some(_) => self.ended = self.receive(scratch)? == Some(0),
                    }
                    return Ok(Step::Wait(if self.ended {
                        Interest::Nothing
                    } else {
                        Interest::Readable
                    }));
                }
                Next::Done if self.ended => return Ok(Step::Over(0)),
                Next::Done => {
                    stream::end_sending(self.fd.as_raw_fd())?;
                    self.until = Some(now + LINGER);
                    self.lingering = Some(LINGER_BYTES);
                    return self.linger(scratch, now);
                }
            };
            self.slow = !all;
            if self.slow {
                return Ok(Step::Wait(Interest::Writable));
            }
            moved = true;
        }
    }

    /// As `blocking` does, and for the same reason: a close with unread input would destroy the reply.
    fn linger(&mut self, scratch: &mut [u8], now: Instant) -> io::Result<Step> {
        while let Some(length) = self.receive(scratch)? {
            let left = self.lingering.unwrap_or(0).saturating_sub(length);
            if length == 0 || left == 0 {
                return Ok(Step::Over(0));
            }
            self.lingering = Some(left);
        }
        Ok(if self.until.is_some_and(|until| until <= now) {
            Step::Over(0)
        } else {
            Step::Wait(Interest::Readable)
        })
    }

    /// What there is; `None`: nothing yet, 0: the end.
    fn receive(&self, scratch: &mut [u8]) -> io::Result<Option<usize>> {
        match stream::receive_now(self.fd.as_raw_fd(), self.room(scratch)) {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A chunk as large as this client takes. What is left of one has to be kept.
    fn room<'a>(&self, scratch: &'a mut [u8]) -> &'a mut [u8] {
        let most = if self.slow { SMALL_CHUNK } else { CHUNK };
        let most = scratch.len().min(most);
        scratch.get_mut(..most).unwrap_or_default()
    }

    /// Sends what the client takes, and keeps the rest. False: there is a rest.
    fn send(&mut self, bytes: &[u8]) -> io::Result<bool> {
        if bytes.is_empty() {
            return Ok(true);
        }
        let sent = match stream::send_now(self.fd.as_raw_fd(), bytes) {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        let rest = bytes.get(sent..).unwrap_or_default();
        self.unsent = rest.into();
        Ok(rest.is_empty())
    }
}

/// As the large buffer of `blocking`.
pub(super) const CHUNK: usize = 64 * 1024;
/// For clients who take less than they send.
const SMALL_CHUNK: usize = 16 * 1024;
