//! From a readable listener to a launched child.
//!
//! Invariant: a connection that was accepted is served, refused with a reason, or held until there is room; and a
//! listener that cannot be served now is not polled, so the loop never spins on it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use slotmap::Key;

use super::headers::Proxied;
use super::id::ConnectionId;
use super::line::{Obstacle, RETRY};
use super::state::{Child, Held, Listener, ListenerState};
use super::token::{ChildKey, ListenerKey, ServiceKey, Token};
use super::{Daemon, Phase, Timer};
use crate::admission::{Arrival, Moment, Verdict, Wait};
use crate::builtin;
use crate::event::Event;
use crate::handover::state::Stamp;
use crate::handover::{Packer, Unpacker};
use crate::launch::{Body, Connection, LaunchError, Launcher};
use crate::listener::Accepted;
use crate::service::Peer;
use crate::sys::errno;
use crate::sys::poller::Interest;
use crate::sys::{proc, socket};

/// Connections taken from one listener in one turn, so that no flood delays the others.
pub(super) const BATCH: usize = 64;
/// Connections lost before they came to us, after which a listener rests: such an error may also be one for good, of a
/// firewall or a security module.
const LOST_IN_A_ROW: usize = 16;
/// How long a connection waits for a child that cannot be made.
const HELD_AT_MOST: Duration = Duration::from_secs(5);
/// How often continuing exhaustion is told.
const TELL_AGAIN: Duration = Duration::from_secs(10);
/// Exhaustion that has not been met for this long is over.
const CALM: Duration = Duration::from_secs(1);

/// What came of looking for one connection.
#[derive(Debug)]
pub(super) enum Took {
    /// One, served or refused.
    One,
    /// One that was lost before it came to us.
    Lost(io::Error),
    /// Nobody waits.
    Nobody,
    /// There is somebody, or may be, and something is in the way.
    Obstacle(Obstacle),
    /// The listener is suspended, or gone.
    Stopped,
}

impl Daemon {
    /// epoll tells of waiting clients.
    pub(super) fn on_listener(&mut self, key: ListenerKey, now: Instant) {
        let polling = |listener: &Listener| listener.state == ListenerState::Polling;
        if !self.accepts() || !self.listeners.get(key).is_some_and(polling) {
            return;
        }
        if self.line.has_somebody() {
            // Those in the line were first.
            return self.suspend(key, Obstacle::Daemon);
        }
        let mut lost = 0;
        for turn in 0..BATCH {
            match self.take(key, turn == 0, now) {
                Took::One => {}
                Took::Lost(_) if lost < LOST_IN_A_ROW => lost += 1,
                Took::Lost(error) => return self.on_exhausted(key, "accept", &error, now),
                // After the first turn nobody may be waiting: that is for epoll to say.
                Took::Obstacle(Obstacle::Service) if turn > 0 => return,
                Took::Obstacle(obstacle) => return self.suspend(key, obstacle),
                Took::Nobody | Took::Stopped => return,
            }
        }
    }

    /// True while connections are taken at all.
    pub(super) fn accepts(&self) -> bool {
        self.phase == Phase::Serving && !self.leaving
    }

    /// Takes one connection of a listener. `waiting`: epoll has just told that somebody waits.
    pub(super) fn take(&mut self, key: ListenerKey, waiting: bool, now: Instant) -> Took {
        let Some(listener) = self.listeners.get_mut(key) else {
            return Took::Stopped;
        };
        let service = listener.service;
        // Who is held has been admitted, and may be the very one that fills the service.
        if listener.held.is_some() {
            if !self.launcher.has_room() {
                return Took::Obstacle(Obstacle::Daemon);
            }
            if !self.has_share(service) {
                // Not into the service's line: that one moves when there is room, which the held one may have taken.
                self.rest(key);
                return Took::Stopped;
            }
            let held = self.listeners.get_mut(key).and_then(|it| it.held.take());
            return match held {
                Some(held) => self.launch_held(key, service, held, now),
                None => Took::Stopped,
            };
        }
        if let Some(obstacle) = self.obstacle(service, waiting, now) {
            return Took::Obstacle(obstacle);
        }
        if self.lends(key) {
            return self.lend(key, service, now);
        }
        if self.headers_are_full(service) {
            return Took::Obstacle(Obstacle::Service);
        }
        let Some(socket) = self
            .listeners
            .get(key)
            .and_then(|listener| listener.socket.as_ref())
        else {
            return Took::Stopped;
        };
        match socket.accept() {
            Accepted::Connection(fd, peer) if self.has_headers(service) => {
                self.await_header(key, service, fd, peer, now);
                Took::One
            }
            Accepted::Connection(fd, peer) => self.on_connection(key, service, fd, peer, None, now),
            Accepted::Lost(error) => Took::Lost(error),
            Accepted::Empty => Took::Nobody,
            Accepted::Exhausted(error) => {
                self.on_exhausted(key, "accept", &error, now);
                Took::Stopped
            }
            Accepted::Broken(error) => {
                self.reopen(key, &error, now);
                Took::Stopped
            }
        }
    }

    /// What keeps `service` from taking a connection now. `waiting`: somebody is known to wait.
    pub(super) fn obstacle(
        &mut self,
        service: ServiceKey,
        waiting: bool,
        now: Instant,
    ) -> Option<Obstacle> {
        if self.is_held_up(service, waiting, now) {
            return Some(Obstacle::Service);
        }
        if self.house.is_full() {
            if waiting {
                self.note_queue(None, &Wait::room(), now);
            }
            return Some(Obstacle::Daemon);
        }
        (!self.launcher.has_room()).then_some(Obstacle::Daemon)
    }

    /// True when something of the service itself is in the way. Whatever it is, [`Daemon::wake_service`] is called when
    /// it is gone.
    pub(super) fn is_held_up(&mut self, service: ServiceKey, waiting: bool, now: Instant) -> bool {
        let Some(live) = self.services.get_mut(service) else {
            return true;
        };
        if live.held_off || live.paused_until.is_some_and(|until| until > now) {
            return true;
        }
        if !waiting && !live.gate.may_go_on(&self.house, now) {
            return true;
        }
        if let Some(wait) = live.gate.wait(&self.house, now) {
            self.note_queue(Some(service), &wait, now);
            if let Some(until) = wait.until {
                self.timers.set(until, Timer::Wake(service));
            }
            return true;
        }
        !self.has_share(service)
    }

    /// True when its worker takes a connection, or its next child may be made.
    fn has_share(&mut self, service: ServiceKey) -> bool {
        let Some(live) = self.services.get(service) else {
            return false;
        };
        match live.worker {
            Some(worker) => self.takes(worker),
            None => Launcher::has_share(&live.plan),
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
        });
        self.timers.set(now + CALM, Timer::Calm);
    }

    /// Serves or refuses a connection.
    pub(super) fn on_connection(
        &mut self,
        key: ListenerKey,
        service: ServiceKey,
        connection: OwnedFd,
        peer: Peer,
        proxied: Option<Box<Proxied>>,
        now: Instant,
    ) -> Took {
        let Some(live) = self.services.get_mut(service) else {
            return Took::Stopped;
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
                    proxied,
                    greeted: false,
                },
                now,
            ),
            Verdict::Refuse { refusal, ban } => {
                self.refuse(service, connection, &peer, refusal, ban, now);
                Took::One
            }
        }
    }

    fn launch_held(
        &mut self,
        key: ListenerKey,
        service: ServiceKey,
        held: Held,
        now: Instant,
    ) -> Took {
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
        Took::One
    }

    /// Serves an admitted connection: by a child of its own, or by the worker of its service. Without room it
    /// is held and the listener rests.
    fn launch(
        &mut self,
        key: ListenerKey,
        service: ServiceKey,
        mut held: Held,
        now: Instant,
    ) -> Took {
        let id = self.ids.next();
        if !std::mem::replace(&mut held.greeted, true) && !self.greet(service, &held, id) {
            return Took::One;
        }
        let (Some(live), Some(listener)) = (self.services.get(service), self.listeners.get(key))
        else {
            return Took::Stopped;
        };
        let rules = Rc::clone(&live.service);
        let Some(socket) = listener.socket.as_ref() else {
            return Took::Stopped;
        };
        if rules.is_cached() {
            return self.serve_cached(key, service, held, now);
        }
        if rules.has_worker() {
            return match self.give(service, held, now) {
                Ok(()) => Took::One,
                Err((held, error)) => self.on_not_made(key, service, held, &error, now),
            };
        }
        let local = held.local(socket);
        let connection = held.given(held.connection.as_fd(), &local, &id);
        let metrics = self.metrics_for(service, now);
        let body = |socket| match &metrics {
            Some(metrics) => builtin::serve(metrics, socket),
            None => super::body(&held.task(&rules, socket, &local, &id)),
        };
        match self.make_child(service, id, connection, &body, now) {
            Ok(child) => {
                let peer = Some(held.peer);
                if let Some(child) = self.children.get_mut(child) {
                    child.header = held.proxied.map_or(0, |proxied| proxied.length);
                    child.peer.clone_from(&peer);
                    child.ticket = Some(held.ticket);
                }
                self.on_launched(service, child);
                self.count_served(service, peer, now);
                self.watch(child, held.connection);
                Took::One
            }
            Err(error) => self.on_not_made(key, service, held, &error, now),
        }
    }

    /// Makes a child, with all that it needs besides its connection.
    pub(super) fn make_child(
        &mut self,
        service: ServiceKey,
        id: ConnectionId,
        connection: Connection<'_>,
        body: Body<'_>,
        now: Instant,
    ) -> Result<ChildKey, NotMade> {
        loop {
            let equipment = self.equip(service, &id).map_err(|error| NotMade {
                step: "pipe or control group",
                errno: error.raw_os_error().unwrap_or(0),
                for_now: true,
            })?;
            let Some(live) = self.services.get(service) else {
                return Err(NotMade::of("service", &io::Error::other("gone")));
            };
            let connection = Connection {
                stderr: equipment.stderr(live),
                cgroup: equipment.cgroup(),
                ..connection
            };
            let (engine, poller) = (&mut self.launcher, &self.poller);
            let made = self.children.try_insert_with_key(|child: ChildKey| {
                let key = child.data().as_ffi();
                let launched = engine.launch(&live.plan, &connection, body, key, now)?;
                let token = Token::Child(child).bits();
                let _ = poller.add(launched.pidfd.as_fd(), Interest::Readable, token);
                let process = (launched.pid, Some(launched.pidfd));
                Ok(Child {
                    leaf: equipment.has_leaf(),
                    each: equipment.each(),
                    ..Child::new(service, process, id, None, None, now)
                })
            });
            let error: LaunchError = match made {
                Ok(child) => return Ok(child),
                Err(error) => error,
            };
            self.unequip(&equipment, &id);
            if !(equipment.has_leaf() && self.goes_without_leaf(service, &error)) {
                return Err(error.into());
            }
        }
    }

    /// There is no child for a connection. If that is for now, it is held and the listener rests.
    pub(super) fn on_not_made(
        &mut self,
        key: ListenerKey,
        service: ServiceKey,
        held: Held,
        error: &NotMade,
        now: Instant,
    ) -> Took {
        if error.for_now {
            let reason = io::Error::from_raw_os_error(error.errno);
            return self.on_no_room(key, held, error.step, &reason, now);
        }
        // A reason of its own: an environment that is too large, …
        let (id, peer) = (self.ids.next(), Some(&held.peer));
        self.on_launch_failed(service, error.step, error.errno, peer, id.as_str(), now);
        Took::One
    }

    pub(super) fn on_launched(&mut self, service: ServiceKey, child: ChildKey) {
        let (Some(live), Some(child)) = (self.services.get_mut(service), self.children.get(child))
        else {
            return;
        };
        live.children += 1;
        if live.service.log.start {
            let (name, id) = (&live.service.name, child.id.as_str());
            let event = Event::Start {
                service: name,
                pid: child.pid,
                peer: child.peer.as_ref(),
                id,
            };
            Self::tell(&mut self.log, Some(live), &event);
        }
    }

    /// A client is served.
    pub(super) fn count_served(&mut self, service: ServiceKey, peer: Option<Peer>, now: Instant) {
        if let Some(live) = self.services.get_mut(service) {
            live.counters.served += 1;
            live.counters.last = Some((peer, now));
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
    ) -> Took {
        if let Some(listener) = self.listeners.get_mut(key) {
            listener.held = Some(held);
        }
        self.on_exhausted(key, what, error, now);
        Took::Stopped
    }

    /// Descriptors, memory or processes are exhausted: the listener rests until a child ends or a moment has passed.
    pub(super) fn on_exhausted(
        &mut self,
        key: ListenerKey,
        what: &str,
        error: &io::Error,
        now: Instant,
    ) {
        self.rest(key);
        let state = self.exhausted.get_or_insert_with(|| {
            self.timers.set(now + CALM, Timer::Calm);
            Exhausted::default()
        });
        state.last = Some(now);
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

/// Why there is no child.
#[derive(Clone, Copy, Debug)]
pub(super) struct NotMade {
    pub(super) step: &'static str,
    pub(super) errno: i32,
    /// Descriptors, memory or processes are wanting.
    pub(super) for_now: bool,
}

impl NotMade {
    pub(super) fn of(step: &'static str, error: &io::Error) -> Self {
        let errno = error.raw_os_error().unwrap_or(0);
        Self {
            step,
            errno,
            for_now: errno::is_exhaustion(errno),
        }
    }
}

impl From<LaunchError> for NotMade {
    fn from(error: LaunchError) -> Self {
        Self {
            step: error.step,
            errno: error.errno,
            for_now: errno::is_exhaustion(error.errno),
        }
    }
}

/// The state of running out of descriptors, memory or processes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Exhausted {
    /// When the log heard of it.
    told: Option<Instant>,
    /// When it was met last.
    last: Option<Instant>,
}
