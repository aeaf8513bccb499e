//! `cache`: one run of a program answers every client that comes while it lasts, and for a time afterwards.
//!
//! The program has one end of a socket pair on its standard input and output, its input is at its end, and the daemon
//! collects what it writes. A client gets the whole reply, as fast as it takes it, and then a lingering close in any case:
//! a reply that comes before the request would be destroyed by the request otherwise.
//!
//! Invariant: there is one run of a service at a time. A run has no ticket, every client has its own. A reply is bounded,
//! and a client that takes none of it for a while is let go.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::accept::{NotMade, Took};
use super::state::{Child, Held};
use super::token::{AnswerKey, ChildKey, ListenerKey, ServiceKey, Token};
use super::{Daemon, Timer};
use crate::admission::Ticket;
use crate::connection::Reason;
use crate::service::LogLevel;
use crate::sys::datagram;
use crate::sys::poller::Interest;
use crate::sys::process::Kill;

/// The longest reply.
const LONGEST: usize = 1 << 20;
/// Bytes read of one run in one turn.
const TURN: usize = 64 << 10;
/// How long a client may take nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a service keeps for it.
#[derive(Debug, Default)]
pub(super) struct Cached {
    /// The last reply, and when it was whole.
    reply: Option<(Rc<[u8]>, Instant)>,
    running: bool,
    /// Who waits for the run.
    waiting: Vec<Held>,
}

impl Cached {
    /// What was said under other rules is not said again.
    pub(super) fn forget(&mut self) {
        self.reply = None;
    }

    fn fresh(&self, time: Duration, now: Instant) -> Option<Rc<[u8]>> {
        let (reply, at) = self.reply.as_ref()?;
        (now.saturating_duration_since(*at) < time).then(|| Rc::clone(reply))
    }
}

/// The output of a run.
#[derive(Debug)]
pub(super) struct Run {
    pub reader: UnixStream,
    output: Vec<u8>,
}

/// A reply that is under way.
#[derive(Debug)]
pub(super) struct Answer {
    service: ServiceKey,
    connection: OwnedFd,
    reply: Rc<[u8]>,
    sent: usize,
    until: Instant,
    _ticket: Ticket,
}

impl Daemon {
    /// Answers a client from the last run, or lets it wait for the run that is under way, or a new one. Without room for
    /// that it is held.
    pub(super) fn serve_cached(
        &mut self,
        key: ListenerKey,
        service: ServiceKey,
        held: Held,
        now: Instant,
    ) -> Took {
        let Some(live) = self.services.get_mut(service) else {
            return Took::Stopped;
        };
        let time = live.service.cache.unwrap_or_default();
        if let Some(reply) = live.cached.fresh(time, now) {
            self.answer(service, held, reply, now);
            return Took::One;
        }
        if !live.cached.running
            && let Err(error) = self.start_run(key, service, &held, now)
        {
            return self.on_not_made(key, service, held, &error, now);
        }
        if let Some(live) = self.services.get_mut(service) {
            live.cached.waiting.push(held);
        }
        Took::One
    }

    /// Starts a run. `held` is the client that the program sees.
    fn start_run(
        &mut self,
        key: ListenerKey,
        service: ServiceKey,
        held: &Held,
        now: Instant,
    ) -> Result<(), NotMade> {
        let not_made = |error: &io::Error| NotMade::of("socket pair", error);
        let (reader, end) = UnixStream::pair().map_err(|error| not_made(&error))?;
        reader
            .set_nonblocking(true)
            .and_then(|()| reader.shutdown(std::net::Shutdown::Write))
            .map_err(|error| not_made(&error))?;
        let listener = self.listeners.get(key);
        let (Some(live), Some(socket)) = (
            self.services.get(service),
            listener.and_then(|listener| listener.socket.as_ref()),
        ) else {
            return Err(not_made(&io::ErrorKind::NotConnected.into()));
        };
        let (rules, local) = (Rc::clone(&live.service), held.local(socket));
        let id = self.ids.next();
        let connection = held.given(end.as_fd(), &local, &id);
        let body = |socket| super::body(&held.task(&rules, socket, &local, &id));
        let child = self.make_child(service, id, connection, &body, now)?;
        let token = Token::Reply(child).bits();
        let _ = self.poller.add(reader.as_fd(), Interest::Readable, token);
        if let Some(made) = self.children.get_mut(child) {
            made.peer = Some(held.peer.clone());
            made.run = Some(Run {
                reader,
                output: Vec::new(),
            });
        }
        if let Some(live) = self.services.get_mut(service) {
            live.cached.running = true;
        }
        self.on_launched(service, child);
        self.set_first_due(child);
        Ok(())
    }

    /// A run wrote.
    pub(super) fn on_reply(&mut self, key: ChildKey, now: Instant) {
        let Some(child) = self.children.get_mut(key) else {
            return;
        };
        let Some(run) = child.run.as_mut() else {
            return;
        };
        match run.collect(TURN) {
            Collected::Some => {}
            Collected::End => self.poller.remove(&run.reader),
            Collected::TooMuch => {
                self.poller.remove(&run.reader);
                let service = child.service;
                if let Some(live) = self.services.get(service) {
                    let name = live.service.name.clone();
                    let text = "a reply of more than 1 MiB cannot be cached: its program is killed";
                    self.note(LogLevel::Warning, Some(&name), text);
                }
                self.end(key, Reason::Killed, Kill::Kill, now);
            }
        }
    }

    /// A run has ended: who waits is answered, and whoever comes soon. What it said before the daemon ended it, or
    /// before a signal did, is no reply.
    pub(super) fn finish_run(&mut self, child: &mut Child, whole: bool, now: Instant) {
        let Some(mut run) = child.run.take() else {
            return;
        };
        let whole = whole && matches!(run.collect(LONGEST), Collected::Some | Collected::End);
        let reply: Rc<[u8]> = run.output.into();
        let Some(live) = self.services.get_mut(child.service) else {
            return;
        };
        live.cached.running = false;
        if whole {
            live.cached.reply = Some((Rc::clone(&reply), now));
        }
        let waiting = std::mem::take(&mut live.cached.waiting);
        for held in waiting {
            if whole {
                self.answer(child.service, held, Rc::clone(&reply), now);
            }
        }
    }

    fn answer(&mut self, service: ServiceKey, held: Held, reply: Rc<[u8]>, now: Instant) {
        self.count_served(service, Some(held.peer), now);
        let key = self.answers.insert(Answer {
            service,
            connection: held.connection,
            reply,
            sent: 0,
            until: now + PATIENCE,
            _ticket: held.ticket,
        });
        self.on_answer(key, now);
        if let Some(answer) = self.answers.get(key) {
            let token = Token::Answer(key).bits();
            match self
                .poller
                .add(answer.connection.as_fd(), Interest::Writable, token)
            {
                Ok(()) => self.timers.set(answer.until, Timer::Answer(key)),
                Err(_) => drop(self.answers.remove(key)),
            }
        }
    }

    /// A client takes more of its reply.
    pub(super) fn on_answer(&mut self, key: AnswerKey, now: Instant) {
        let Some(answer) = self.answers.get_mut(key) else {
            return;
        };
        let rest = answer.reply.get(answer.sent..).unwrap_or_default();
        match datagram::send_now(answer.connection.as_fd(), rest) {
            Ok(count) => answer.sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(_) => return drop(self.take_answer(key)),
        }
        if answer.sent < answer.reply.len() {
            let before = std::mem::replace(&mut answer.until, now + PATIENCE);
            let until = answer.until;
            self.timers.cancel(before, Timer::Answer(key));
            self.timers.set(until, Timer::Answer(key));
            return;
        }
        if let Some(answer) = self.take_answer(key)
            && let Some(live) = self.services.get(answer.service)
        {
            let rules = Rc::clone(&live.service);
            self.linger_in_any_case(answer.connection, &rules, now);
        }
    }

    /// Takes an answer out of the books, whole or not.
    pub(super) fn take_answer(&mut self, key: AnswerKey) -> Option<Answer> {
        let answer = self.answers.remove(key)?;
        self.poller.remove(&answer.connection);
        self.timers.cancel(answer.until, Timer::Answer(key));
        Some(answer)
    }
}

enum Collected {
    /// There may be more.
    Some,
    /// Nobody can write any more.
    End,
    /// More than a reply may have.
    TooMuch,
}

impl Run {
    /// Reads what there is, at most so much.
    fn collect(&mut self, most: usize) -> Collected {
        let mut buffer = [0; 8 << 10];
        let mut total = 0;
        while total <= most {
            match (&self.reader).read(&mut buffer) {
                Ok(0) => return Collected::End,
                Ok(count) => {
                    total += count;
                    self.output
                        .extend_from_slice(buffer.get(..count).unwrap_or_default());
                    if self.output.len() > LONGEST {
                        return Collected::TooMuch;
                    }
                }
                // Nothing for now; or the reset of an end whose input was not read, and it has none.
                Err(_) => break,
            }
        }
        Collected::Some
    }
}
