//! Sockets that are lent: to the program of a `wait` service, and to the child that answers the datagrams of a built-in.
//!
//! ```text
//! Polling --readable, rules say yes--> HandedTo(child) --its end--> put right --> Polling
//! ```
//!
//! Invariant: a socket has one owner. While a child has it the daemon does not watch it, so nothing that the child does
//! to it can make the loop block or spin; and before it is watched again it is looked over (`listener::lent`).
//!
//! A child that was lent a socket has no ticket: there is at most one for each socket. A reload leaves the program of a
//! `wait` service alone, even if its definition changed: the next one is the new one. It is told to end when its socket
//! is not wanted any more. A worker of a built-in is told to end whenever what it goes by has changed: the next datagram
//! makes another.

use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use super::accept::Took;
use super::datagrams::serve_datagrams;
use super::state::{Child, Launch, Lent, ListenerState};
use super::token::{ChildKey, ListenerKey, ServiceKey, Token};
use super::{Daemon, Timer};
use crate::admission::{Arrival, Moment};
use crate::connection::Reason;
use crate::event::Event;
use crate::launch::Connection;
use crate::listener::{Sender, Socket};
use crate::service::{Address, Peer, Protocol, Run};
use crate::sys::poller::Interest;
use crate::sys::process::Kill;
use crate::sys::{proc, socket};

/// A child that lived longer has done something, even if clients of a stream socket still wait.
const SHORT: Duration = Duration::from_secs(1);

impl Daemon {
    /// True when whoever is ready at this listener is not accepted by the daemon.
    pub(super) fn lends(&self, key: ListenerKey) -> bool {
        let listener = self.listeners.get(key);
        listener.is_some_and(|listener| {
            let datagrams = listener.socket.as_ref().is_some_and(Socket::is_datagram);
            let live = self.services.get(listener.service);
            datagrams || live.is_some_and(|live| live.service.wait)
        })
    }

    /// Something waits at a socket that is to be lent.
    pub(super) fn lend(&mut self, key: ListenerKey, service: ServiceKey, now: Instant) -> Took {
        match self.judge_next(key, service, now) {
            Next::Serve => self.hand_over(key, service, now),
            Next::Nobody => return Took::Nobody,
            Next::Refused => return Took::One,
            Next::Broken(error) => self.reopen(key, &error, now),
        }
        Took::Stopped
    }

    /// Asks the rules about what waits at the socket. Who waits at a stream socket is not known before the accept, which
    /// is the program's; and a worker asks by itself about each datagram.
    fn judge_next(&mut self, key: ListenerKey, service: ServiceKey, now: Instant) -> Next {
        let Some(socket) = self
            .listeners
            .get(key)
            .and_then(|listener| listener.socket.as_ref())
        else {
            return Next::Nobody;
        };
        if let Err(error) = socket.check() {
            return Next::Broken(error);
        }
        if !socket.is_datagram() {
            return Next::Serve;
        }
        let peer = match socket.sender() {
            Sender::Known(peer) => peer.unwrap_or(UNKNOWN),
            Sender::Nobody => return Next::Nobody,
            Sender::Broken(error) => return Next::Broken(error),
        };
        let Some(live) = self.services.get_mut(service) else {
            return Next::Nobody;
        };
        if matches!(live.service.run, Run::Builtin(_)) {
            return Next::Serve;
        }
        let arrival = Arrival {
            peer: &peer,
            groups: &[],
        };
        let moment = Moment {
            now,
            wall: SystemTime::now(),
            load: if live.gate.asks_load() {
                self.load.at(now, proc::load_average)
            } else {
                0.0
            },
        };
        match live.gate.admit_datagram(&self.house, &arrival, &moment) {
            Ok(()) => Next::Serve,
            Err(refusal) => {
                socket.drop_next();
                self.tell_refusal(service, &peer, refusal, None, now);
                Next::Refused
            }
        }
    }

    /// Makes the child that owns the socket from now on.
    fn hand_over(&mut self, key: ListenerKey, service: ServiceKey, now: Instant) {
        let (Some(live), Some(listener)) =
            (self.services.get_mut(service), self.listeners.get(key))
        else {
            return;
        };
        let Some(socket) = listener.socket.as_ref() else {
            return;
        };
        let rules = Rc::clone(&live.service);
        let is_program = matches!(rules.run, Run::Program(_));
        if is_program {
            live.gate.start(&self.house, now);
        }
        let mark = is_program.then(|| socket.mark());
        let local = socket.local();
        let lent = socket
            .lend()
            .and_then(|()| socket.as_fd().try_clone_to_owned());
        let fd = match lent {
            Ok(fd) => fd,
            Err(error) => return self.on_exhausted(key, "dup", &error, now),
        };
        let id = self.ids.next();
        let connection = Connection {
            socket: fd.as_fd(),
            stderr: None,
            peer: None,
            local: &local,
            id: id.as_str(),
            cookie: socket::cookie(fd.as_fd()),
            concurrency: 0,
            cgroup: None,
            proxied_from: None,
        };
        let (lists, ports) = (self.lists.lists.clone(), self.datagram_ports());
        let body = |fd| serve_datagrams(&rules, &lists, &ports, fd);
        match self.make_child(service, id, connection, &body, now) {
            Ok(child) => {
                self.on_launched(service, child);
                self.count_served(service, None, now);
                let lent = Lent {
                    listener: key,
                    mark,
                    is_worker: !is_program,
                };
                self.on_handed_over(key, child, lent);
            }
            Err(error) if error.for_now => {
                let reason = io::Error::from_raw_os_error(error.errno);
                self.on_exhausted(key, error.step, &reason, now);
            }
            Err(error) => {
                self.on_launch_failed(service, error.step, error.errno, None, id.as_str(), now);
            }
        }
    }

    fn on_handed_over(&mut self, key: ListenerKey, child: ChildKey, lent: Lent) {
        if let Some(listener) = self.listeners.get_mut(key) {
            listener.state = ListenerState::HandedTo(child);
            // Not watched for nothing, but not at all: a hang-up is told whatever is asked for.
            if let Some(socket) = &listener.socket {
                self.poller.remove(socket);
            }
        }
        let Some(entry) = self.children.get_mut(child) else {
            return;
        };
        entry.lent = Some(lent);
        let rules = self.services.get(entry.service).map(|live| &live.service);
        let timeout = rules
            .filter(|_| !lent.is_worker)
            .and_then(|rules| rules.deadlines.timeout);
        let due = timeout.and_then(|time| entry.started.checked_add(time));
        self.set_due(child, due);
    }

    /// The child that owned a socket has ended.
    pub(super) fn take_back(&mut self, key: ChildKey, child: &Child, now: Instant) {
        let Some(lent) = child.lent else { return };
        // Without one a reload has closed the socket.
        let Some(listener) = self.listeners.get_mut(lent.listener) else {
            return;
        };
        if listener.state != ListenerState::HandedTo(key) {
            return;
        }
        let (Some(socket), Some(live)) = (
            listener.socket.as_ref(),
            self.services.get(listener.service),
        ) else {
            return;
        };
        let token = Token::Listener(lent.listener).bits();
        let taken = socket
            .take_back(&live.service.socket)
            .and_then(|()| self.poller.add(socket.as_fd(), Interest::Readable, token));
        if let Err(error) = taken {
            return self.reopen(lent.listener, &error, now);
        }
        listener.state = ListenerState::Polling;
        if child.launch == Launch::Done
            && let Some(mark) = lent.mark
        {
            let short = socket.is_datagram() || now.duration_since(child.started) < SHORT;
            let untouched = short && mark.is_untouched(socket.mark());
            if untouched && socket.is_datagram() {
                // Nobody wants it, and those behind it are not to wait for ever.
                socket.drop_next();
            }
            self.judge_owner(lent.listener, untouched, now);
        }
    }

    /// A child that ended without having taken anything would be made again at once, for ever: after some in a row the
    /// service backs off.
    fn judge_owner(&mut self, key: ListenerKey, untouched: bool, now: Instant) {
        let Some(listener) = self.listeners.get_mut(key) else {
            return;
        };
        let service = listener.service;
        let pause = if untouched {
            listener.fruitless.failed()
        } else {
            listener.fruitless.succeeded();
            None
        };
        let (Some(pause), Some(live)) = (pause, self.services.get_mut(service)) else {
            return;
        };
        live.paused_until = Some(now + pause);
        self.timers.set(now + pause, Timer::Wake(service));
        let event = Event::Pause {
            service: &live.service.name,
            reason: "ends without taking anything",
            period: Some(pause),
        };
        Self::tell(&mut self.log, Some(live), &event);
    }

    /// Ports from which no datagram is answered: those of our own built-ins.
    pub(super) fn datagram_ports(&self) -> Vec<u16> {
        let open = self.listeners.values().filter_map(|listener| {
            let live = self.services.get(listener.service)?;
            let is_builtin = matches!(live.service.run, Run::Builtin(_));
            listener.socket.as_ref().filter(|_| is_builtin)
        });
        let mut ports: Vec<u16> = open
            .filter_map(|socket| match &socket.bound {
                Address::Inet {
                    protocol: Protocol::Udp,
                    socket,
                    ..
                } => Some(socket.port()),
                Address::Inet { .. }
                | Address::Unix { .. }
                | Address::Vsock { .. }
                | Address::Inherited { .. } => None,
            })
            .collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// Who owns the socket of a listener.
    pub(super) fn owner_of(&self, key: ListenerKey) -> Option<(ChildKey, i32)> {
        match self.listeners.get(key)?.state {
            ListenerState::HandedTo(child) => {
                self.children.get(child).map(|entry| (child, entry.pid))
            }
            ListenerState::Polling | ListenerState::Waiting | ListenerState::Closed => None,
        }
    }

    /// The socket is not wanted any more: its owner is told to end.
    pub(super) fn end_owner(&mut self, key: ListenerKey, now: Instant) {
        if let Some((child, _)) = self.owner_of(key) {
            self.end(child, Reason::Reload, Kill::Term, now);
        }
    }

    /// What the workers of a service (`None`: of all) go by has changed.
    pub(super) fn end_workers(&mut self, service: Option<ServiceKey>, now: Instant) {
        let is_worker = |child: &Child| {
            child.lent.is_some_and(|lent| lent.is_worker)
                && service.is_none_or(|service| service == child.service)
        };
        let workers: Vec<ChildKey> = self
            .children
            .iter()
            .filter(|(_, child)| is_worker(child))
            .map(|(key, _)| key)
            .collect();
        for key in workers {
            self.end(key, Reason::Reload, Kill::Term, now);
        }
    }
}

/// What is to be done about what waits at a socket.
enum Next {
    /// A child is to have the socket.
    Serve,
    /// There was nothing.
    Nobody,
    /// It was refused, and thrown away.
    Refused,
    /// The socket is of no use any more.
    Broken(io::Error),
}

/// A unix client that sent before its credentials could be asked for.
pub(super) const UNKNOWN: Peer = Peer::Unix {
    uid: u32::MAX,
    gid: u32::MAX,
    pid: 0,
};
