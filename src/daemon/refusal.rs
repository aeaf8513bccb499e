//! What refused clients get: an orderly close, a message that arrives, a reset, or a long wait; and who hears of it.
//!
//! Invariant: refusing costs bounded descriptors, time and lines, whatever comes. Where a bound is reached the answer is
//! a plain close. What clients send is discarded and never looked at.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use slotmap::SlotMap;

use super::token::{RefusedKey, ServiceKey, Token};
use super::{Daemon, Timer};
use crate::admission::Refusal;
use crate::event::Event;
use crate::handover::{Packer, Unpacker, state};
use crate::service::{LogLevel, Peer, RefuseWith};
use crate::sys::heirloom::Kind;
use crate::sys::poller::Interest;
use crate::sys::{datagram, socket};

/// Messages under way: so many (and no more than a sixteenth of all descriptors), so long, and so much input discarded
/// for each (reliability P21).
const LINGER_AT_MOST: usize = 64;
const LINGER: Duration = Duration::from_secs(1);
const DISCARD: usize = 16 << 10;
/// Clients in the tarpit: so many, with the same reserve, so long.
const TARPIT_AT_MOST: usize = 256;
const TARPIT: Duration = Duration::from_secs(60);

/// Refused connections that are not closed yet.
#[derive(Debug)]
pub(super) struct Refused {
    share: usize,
    sockets: SlotMap<RefusedKey, Socket>,
    lingering: usize,
    tarred: usize,
}

#[derive(Debug)]
enum Socket {
    /// Its message is under way; so much may still be discarded.
    Lingering(OwnedFd, usize),
    /// In the tarpit.
    Tarred(OwnedFd),
}

impl Refused {
    /// None yet, in a daemon with so many descriptors.
    pub(super) fn new(open_files: u64) -> Self {
        Self {
            share: usize::try_from(open_files / 16).unwrap_or(usize::MAX),
            sockets: SlotMap::with_key(),
            lingering: 0,
            tarred: 0,
        }
    }

    fn may_linger(&self) -> bool {
        self.lingering < LINGER_AT_MOST.min(self.share)
    }

    fn may_be_tarred(&self) -> bool {
        self.tarred < TARPIT_AT_MOST.min(self.share)
    }

    fn insert(&mut self, socket: Socket) -> RefusedKey {
        match socket {
            Socket::Lingering(..) => self.lingering += 1,
            Socket::Tarred(_) => self.tarred += 1,
        }
        self.sockets.insert(socket)
    }

    fn remove(&mut self, key: RefusedKey) -> Option<OwnedFd> {
        match self.sockets.remove(key)? {
            Socket::Lingering(fd, _) => {
                self.lingering -= 1;
                Some(fd)
            }
            Socket::Tarred(fd) => {
                self.tarred -= 1;
                Some(fd)
            }
        }
    }
}

impl Refused {
    /// What a successor of this process is to know of them.
    pub(super) fn pack(&self, packer: &mut Packer) -> io::Result<Vec<state::Refused>> {
        let mut pack = |socket: &Socket| {
            let (fd, left) = match socket {
                Socket::Lingering(fd, left) => (fd, Some(*left)),
                Socket::Tarred(fd) => (fd, None),
            };
            Ok(state::Refused {
                connection: packer.fd(fd.as_fd())?,
                left,
            })
        };
        self.sockets.values().map(&mut pack).collect()
    }
}

impl Daemon {
    /// Takes one over from the predecessor. Its time begins anew, which is little.
    pub(super) fn unpack_refused(
        &mut self,
        record: &state::Refused,
        unpacker: &mut Unpacker,
        now: Instant,
    ) -> io::Result<()> {
        let fd = unpacker.fd(&record.connection, Kind::Socket)?;
        match record.left {
            Some(left) => self.keep(Socket::Lingering(fd, left), now + LINGER),
            None => self.keep(Socket::Tarred(fd), now + TARPIT),
        }
        Ok(())
    }

    /// Refuses a connection: counted, told, answered.
    pub(super) fn refuse(
        &mut self,
        key: ServiceKey,
        connection: OwnedFd,
        peer: &Peer,
        refusal: Refusal,
        ban: Option<Duration>,
        now: Instant,
    ) {
        self.tell_refusal(key, peer, refusal, ban, now);
        let Some(live) = self.services.get(key) else {
            return;
        };
        match live.service.admission.refuse_with {
            RefuseWith::Reset => socket::reset_on_close(connection.as_fd()),
            RefuseWith::Tarpit => self.tar(connection, now),
            RefuseWith::Close => match &live.service.admission.refuse_message {
                Some(template) => {
                    let id = || self.ids.next().as_str().to_owned();
                    let text = template.fill(&live.service.name, peer, id);
                    self.say(connection, text.as_bytes(), now);
                }
                // Input that is left unread would make the close a reset.
                None => drop(socket::discard_now(connection.as_fd(), DISCARD)),
            },
        }
    }

    pub(super) fn tell_refusal(
        &mut self,
        key: ServiceKey,
        peer: &Peer,
        refusal: Refusal,
        ban: Option<Duration>,
        now: Instant,
    ) {
        let Some(live) = self.services.get_mut(key) else {
            return;
        };
        live.counters.refused.add(refusal);
        if !live.service.log.refuse {
            return;
        }
        match live.refusal_log.tells(refusal, now) {
            Ok(true) => {}
            Ok(false) => return,
            Err(due) => return self.timers.set(due, Timer::Refusals(key)),
        }
        let service = live.service.name.as_str();
        let event = Event::Fail {
            service,
            reason: refusal.word(),
            peer,
        };
        Self::tell(&mut self.log, Some(live), &event);
        if let Some(ban) = ban {
            let text = format!("the source of {peer} is banned for {}s", ban.as_secs_f64());
            let event = Event::Note {
                level: LogLevel::Info,
                service: Some(service),
                text: &text,
            };
            Self::tell(&mut self.log, Some(live), &event);
        }
    }

    /// The end of a minute in which not every refusal was told.
    pub(super) fn on_refusals_due(&mut self, key: ServiceKey) {
        let Some(live) = self.services.get_mut(key) else {
            return;
        };
        for (refusal, count) in live.refusal_log.settle().counts() {
            let text = format!(
                "{count} more connections were refused for `{}` in the last minute",
                refusal.word()
            );
            let event = Event::Note {
                level: LogLevel::Info,
                service: Some(&live.service.name),
                text: &text,
            };
            Self::tell(&mut self.log, Some(live), &event);
        }
    }

    /// Sends the message, and sees that it arrives: our direction ends, and what the client still sends is discarded for
    /// a while, because input that is unread at the close destroys what is under way.
    fn say(&mut self, connection: OwnedFd, text: &[u8], now: Instant) {
        if datagram::send_now(connection.as_fd(), text).is_err() {
            return;
        }
        socket::shut_down_writing(connection.as_fd());
        if self.refused.may_linger() {
            let left = DISCARD;
            self.keep(Socket::Lingering(connection, left), now + LINGER);
        } else {
            let _ = socket::discard_now(connection.as_fd(), DISCARD);
        }
    }

    fn tar(&mut self, connection: OwnedFd, now: Instant) {
        if self.refused.may_be_tarred() {
            socket::shrink_receive_buffer(connection.as_fd());
            self.keep(Socket::Tarred(connection), now + TARPIT);
        }
    }

    fn keep(&mut self, socket: Socket, until: Instant) {
        let key = self.refused.insert(socket);
        let added = match self.refused.sockets.get(key) {
            Some(Socket::Lingering(fd, _)) => {
                self.poller
                    .add(fd.as_fd(), Interest::Readable, Token::Refused(key).bits())
            }
            Some(Socket::Tarred(fd)) => {
                self.poller
                    .add(fd.as_fd(), Interest::EndOnce, Token::Refused(key).bits())
            }
            None => return,
        };
        match added {
            Ok(()) => self.timers.set(until, Timer::Refused(key)),
            Err(_) => drop(self.refused.remove(key)),
        }
    }

    /// A refused client sent something, or is gone.
    pub(super) fn on_refused(&mut self, key: RefusedKey) {
        let goes_on = match self.refused.sockets.get_mut(key) {
            Some(Socket::Lingering(fd, left)) => match socket::discard_now(fd.as_fd(), *left) {
                Ok(count) => {
                    *left -= count.min(*left);
                    count > 0 && *left > 0
                }
                Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
            },
            Some(Socket::Tarred(_)) | None => false,
        };
        if !goes_on {
            self.close_refused(key);
        }
    }

    /// Closes it, if it is still there.
    pub(super) fn close_refused(&mut self, key: RefusedKey) {
        if let Some(fd) = self.refused.remove(key) {
            self.poller.remove(&fd);
        }
    }
}
