//! From a readable listener to a launched child.
//!
//! Invariant: a connection that was accepted is served, refused with a reason, or held until there is room; and a
//! listener that cannot be served now is not polled, so the loop never spins on it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime};

use slotmap::Key;

use super::state::{Child, Held, ListenerState};
use super::token::{ChildKey, ListenerKey, ServiceKey, Token};
use super::{Daemon, Phase, Timer};
use crate::admission::{Arrival, Moment, Verdict, Wait};
use crate::event::Event;
use crate::handover::state::Stamp;
use crate::handover::{Packer, Unpacker};
use crate::launch::{Connection, LaunchError};
use crate::listener::Accepted;
use crate::service::Peer;
use crate::sys::errno;
use crate::sys::poller::Interest;
use crate::sys::{proc, socket};

/// Connections taken from one listener in one turn, so that no flood delays the others.
const BATCH: usize = 64;
/// Connections lost before they came to us, after which a listener rests: such an error may also be one for good, of a
/// firewall or a security module.
const LOST_IN_A_ROW: usize = 16;
/// How soon exhaustion is looked at again.
const RETRY: Duration = Duration::from_millis(100);
/// How long a connection waits for a child that cannot be made.
const HELD_AT_MOST: Duration = Duration::from_secs(5);
/// How often continuing exhaustion is told.
const TELL_AGAIN: Duration = Duration::from_secs(10);
/// Exhaustion that has not been met for this long is over.
const CALM: Duration = Duration::from_secs(1);

/// Why a listener is left alone for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle {
    /// The service's own: full, paused. It is woken by the service.
    Service,
    /// The daemon's: full, no launch slot. It is woken when a child ends or a launch settles.
    Daemon,
}

impl Daemon {
    pub(super) fn on_listener(&mut self, key: ListenerKey, now: Instant) {
        let mut lost = 0;
        for turn in 0..BATCH {
            let Some(listener) = self.listeners.get_mut(key) else {
                return;
            };
            let service = listener.service;
            if self.leaving
                || self.phase != Phase::Serving
                || listener.state != ListenerState::Polling
            {
                return;
            }
            // Who is held has been admitted, and may be the very one that fills the service.
            if listener.held.is_some() {
                if !self.has_slot(service) {
                    return self.suspend(key, Obstacle::Daemon);
                }
                let held = self.listeners.get_mut(key).and_then(|it| it.held.take());
                if held.is_some_and(|held| !self.launch_held(key, service, held, now)) {
                    return;
                }
                continue;
            }
            if let Some(obstacle) = self.obstacle(service, turn == 0, now) {
                // After the first turn nobody may be waiting: that is for epoll to say.
                if turn == 0 || obstacle == Obstacle::Daemon {
                    self.suspend(key, obstacle);
                }
                return;
            }
            let Some(socket) = self
                .listeners
                .get(key)
                .and_then(|listener| listener.socket.as_ref())
            else {
                return;
            };
            match socket.accept() {
                Accepted::Connection(fd, peer) => {
                    if !self.on_connection(key, service, fd, peer, now) {
                        return;
                    }
                }
                Accepted::Lost(_) if lost < LOST_IN_A_ROW => lost += 1,
                Accepted::Empty => return,
                Accepted::Lost(error) | Accepted::Exhausted(error) => {
                    return self.on_exhausted(key, "accept", &error, now);
                }
                Accepted::Broken(error) => return self.reopen(key, &error, now),
            }
        }
    }

    /// What keeps `service` from taking a connection now. `waiting`: epoll has just told that somebody waits.
    fn obstacle(&mut self, service: ServiceKey, waiting: bool, now: Instant) -> Option<Obstacle> {
        let live = self.services.get_mut(service)?;
        if live.held_off || live.paused_until.is_some_and(|until| until > now) {
            return Some(Obstacle::Service);
        }
        if !waiting && !live.gate.may_go_on(&self.house, now) {
            return Some(Obstacle::Service);
        }
        if let Some(wait) = live.gate.wait(&self.house, now) {
            self.note_queue(Some(service), &wait, now);
            if let Some(until) = wait.until {
                self.timers.set(until, Timer::Wake(service));
            }
            return Some(Obstacle::Service);
        }
        if self.house.is_full() {
            if waiting {
                self.note_queue(None, &Wait::room(), now);
            }
            return Some(Obstacle::Daemon);
        }
        (!self.has_slot(service)).then_some(Obstacle::Daemon)
    }

    fn has_slot(&self, service: ServiceKey) -> bool {
        self.services
            .get(service)
            .is_some_and(|live| self.launcher.has_room(&live.plan))
    }

    fn suspend(&mut self, key: ListenerKey, obstacle: Obstacle) {
        let Some(listener) = self.listeners.get_mut(key) else {
            return;
        };
        let Some(socket) = listener.socket.as_ref() else {
            return;
        };
        listener.state = ListenerState::Waiting;
        let _ = self.poller.modify(
            socket.as_fd(),
            Interest::Nothing,
            Token::Listener(key).bits(),
        );
        match obstacle {
            Obstacle::Daemon => self.waiting.push(key),
            Obstacle::Service => {
                if let Some(live) = self.services.get_mut(listener.service) {
                    live.waiting.push(key);
                }
            }
        }
    }

    /// Polls the listeners of `service` again.
    pub(super) fn wake_service(&mut self, service: ServiceKey) {
        let Some(live) = self.services.get_mut(service) else {
            return;
        };
        let mut waiting = std::mem::take(&mut live.waiting);
        for key in waiting.drain(..) {
            self.poll_again(key);
        }
        if let Some(live) = self.services.get_mut(service) {
            // Its room is used again; who was suspended anew meanwhile stays in it.
            waiting.append(&mut live.waiting);
            live.waiting = waiting;
        }
    }

    /// The predecessor had run out of something.
    pub(super) fn unpack_exhausted(
        &mut self,
        (told, last): (Option<Stamp>, Option<Stamp>),
        unpacker: &Unpacker,
        now: Instant,
    ) {
        let at = |at: Option<Stamp>| at.map(|at| unpacker.at(at));
        self.exhausted = Some(Exhausted {
            told: at(told),
            last: at(last),
            retrying: false,
        });
        self.timers.set(now + CALM, Timer::Calm);
    }

    /// Polls the listeners that wait for the daemon again.
    pub(super) fn wake_waiting(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        for key in waiting.drain(..) {
            self.poll_again(key);
        }
        waiting.append(&mut self.waiting);
        self.waiting = waiting;
    }

    fn poll_again(&mut self, key: ListenerKey) {
        let Some(listener) = self.listeners.get_mut(key) else {
            return;
        };
        let Some(socket) = listener.socket.as_ref() else {
            return;
        };
        listener.state = ListenerState::Polling;
        let _ = self.poller.modify(
            socket.as_fd(),
            Interest::Readable,
            Token::Listener(key).bits(),
        );
        if listener.held.is_some() {
            // Its client is not in the kernel's queue, so epoll would not tell of it.
            self.on_listener(key, Instant::now());
        }
    }

    /// Serves or refuses a connection. False: the listener is suspended.
    fn on_connection(
        &mut self,
        key: ListenerKey,
        service: ServiceKey,
        connection: OwnedFd,
        peer: Peer,
        now: Instant,
    ) -> bool {
        let Some(live) = self.services.get_mut(service) else {
            return false;
        };
        let groups = if live.gate.asks_groups() {
            socket::peer_groups(connection.as_fd())
        } else {
            Vec::new()
        };
        let arrival = Arrival {
            peer: &peer,
            groups: &groups,
        };
        let load = if live.gate.asks_load() {
            self.load.at(now, proc::load_average)
        } else {
            0.0
        };
        let moment = Moment {
            now,
            wall: SystemTime::now(),
            load,
        };
        match live.gate.admit(&self.house, &arrival, &moment) {
            Verdict::Admit(ticket) => self.launch(
                key,
                service,
                Held {
                    connection,
                    peer,
                    ticket,
                    since: now,
                },
                now,
            ),
            Verdict::Refuse { refusal, ban } => {
                self.refuse(service, connection, &peer, refusal, ban, now);
                true
            }
        }
    }

    fn launch_held(
        &mut self,
        key: ListenerKey,
        service: ServiceKey,
        held: Held,
        now: Instant,
    ) -> bool {
        if now.duration_since(held.since) < HELD_AT_MOST {
            return self.launch(key, service, held, now);
        }
        let id = self.ids.next();
        if let Some(live) = self.services.get_mut(service) {
            live.counters.failed += 1;
            let event = Event::LaunchFailed {
                service: &live.service.name,
                step: "clone",
                errno: errno::EAGAIN,
                peer: Some(&held.peer),
                id: id.as_str(),
            };
            Self::tell(&mut self.log, Some(live), &event);
        }
        true
    }

    /// Makes the child of an admitted connection. False: there was no room; it is held and the listener suspended.
    fn launch(&mut self, key: ListenerKey, service: ServiceKey, held: Held, now: Instant) -> bool {
        let id = self.ids.next();
        let equipment = match self.equip(service, &id) {
            Ok(equipment) => equipment,
            Err(error) => return self.on_no_room(key, held, "pipe or control group", &error, now),
        };
        let Some(live) = self.services.get(service) else {
            return false;
        };
        let Some(socket) = self
            .listeners
            .get(key)
            .and_then(|listener| listener.socket.as_ref())
        else {
            return false;
        };
        let Held {
            connection: fd,
            peer,
            ticket,
            since,
        } = held;
        let local = socket.local_of(fd.as_fd());
        let connection = Connection {
            socket: fd.as_fd(),
            stderr: equipment.stderr(live),
            peer: Some(&peer),
            local: &local,
            id: id.as_str(),
            cookie: socket::cookie(fd.as_fd()),
            concurrency: ticket.of_source(),
            proxied_from: None,
            cgroup: equipment.cgroup(),
        };
        let (engine, poller) = (&mut self.launcher, &self.poller);
        let mut ticket = Some(ticket);
        let result =
            self.children
                .try_insert_with_key(|child: ChildKey| -> Result<Child, LaunchError> {
                    let body = |socket| super::body(&live.service, socket, &peer, &local);
                    let key = child.data().as_ffi();
                    let launched = engine.launch(&live.plan, &connection, &body, key, now)?;
                    let _ = poller.add(
                        launched.pidfd.as_fd(),
                        Interest::Readable,
                        Token::Child(child).bits(),
                    );
                    Ok(Child {
                        leaf: equipment.has_leaf(),
                        each: equipment.each(),
                        ..Child::new(service, launched, id, peer.clone(), ticket.take(), now)
                    })
                });
        if let Err(error) = &result {
            self.unequip(&equipment, &id);
            if equipment.has_leaf()
                && self.goes_without_leaf(service, error)
                && let Some(ticket) = ticket
            {
                let held = Held {
                    connection: fd,
                    peer,
                    ticket,
                    since,
                };
                return self.launch(key, service, held, now);
            }
        }
        match (result, ticket) {
            (Ok(child), _) => {
                self.on_launched(service, child);
                self.watch(child, fd);
                true
            }
            (Err(error), Some(ticket)) if errno::is_exhaustion(error.errno) => {
                let held = Held {
                    connection: fd,
                    peer,
                    ticket,
                    since,
                };
                self.on_no_room(
                    key,
                    held,
                    error.step,
                    &io::Error::from_raw_os_error(error.errno),
                    now,
                )
            }
            (Err(error), _) => {
                // A reason of its own: an environment that is too large, …
                self.on_launch_failed(
                    service,
                    error.step,
                    error.errno,
                    Some(&peer),
                    id.as_str(),
                    now,
                );
                true
            }
        }
    }

    fn on_launched(&mut self, service: ServiceKey, child: ChildKey) {
        let (Some(live), Some(child)) = (self.services.get_mut(service), self.children.get(child))
        else {
            return;
        };
        live.children += 1;
        live.counters.served += 1;
        live.counters.last = Some((child.peer.clone(), child.started));
        if live.service.log.start {
            let (name, id) = (&live.service.name, child.id.as_str());
            let event = Event::Start {
                service: name,
                pid: child.pid,
                peer: Some(&child.peer),
                id,
            };
            Self::tell(&mut self.log, Some(live), &event);
        }
    }

    /// Keeps a connection for which there is no descriptor, memory or process now.
    fn on_no_room(
        &mut self,
        key: ListenerKey,
        held: Held,
        what: &str,
        error: &io::Error,
        now: Instant,
    ) -> bool {
        if let Some(listener) = self.listeners.get_mut(key) {
            listener.held = Some(held);
        }
        self.on_exhausted(key, what, error, now);
        false
    }

    /// Descriptors, memory or processes are exhausted: the listener rests until a child ends or a moment has passed.
    fn on_exhausted(&mut self, key: ListenerKey, what: &str, error: &io::Error, now: Instant) {
        self.suspend(key, Obstacle::Daemon);
        let state = self.exhausted.get_or_insert_with(|| {
            self.timers.set(now + CALM, Timer::Calm);
            Exhausted::default()
        });
        state.last = Some(now);
        if !std::mem::replace(&mut state.retrying, true) {
            self.timers.set(now + RETRY, Timer::Retry);
        }
        if state
            .told
            .is_none_or(|told| now.duration_since(told) >= TELL_AGAIN)
        {
            state.told = Some(now);
            let errno = error.raw_os_error().unwrap_or(0);
            let reason = format!("{what}: {}", errno::describe(errno));
            let event = Event::Pause {
                service: "*",
                reason: &reason,
                period: Some(RETRY),
            };
            Self::tell(&mut self.log, None, &event);
        }
    }

    /// The time to try again.
    pub(super) fn on_retry(&mut self) {
        if let Some(state) = self.exhausted.as_mut() {
            state.retrying = false;
        }
        self.wake_waiting();
    }

    /// Exhaustion is over when it has not been met for a while.
    pub(super) fn on_calm(&mut self, now: Instant) {
        let Some(last) = self.exhausted.as_ref().and_then(|state| state.last) else {
            return;
        };
        if now.duration_since(last) >= CALM {
            self.exhausted = None;
            Self::tell(&mut self.log, None, &Event::Resume { service: "*" });
        } else {
            self.timers.set(last + CALM, Timer::Calm);
        }
    }
}

impl Exhausted {
    /// When it was told, and when it was met last.
    pub(super) fn pack(&self, packer: &Packer) -> (Option<Stamp>, Option<Stamp>) {
        let at = |at: Option<Instant>| at.map(|at| packer.at(at));
        (at(self.told), at(self.last))
    }
}

/// The state of running out of descriptors, memory or processes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Exhausted {
    /// When the log heard of it.
    told: Option<Instant>,
    /// When it was met last.
    last: Option<Instant>,
    /// A retry is set.
    retrying: bool,
}
