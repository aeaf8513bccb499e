//! Listeners that are not polled because something is in the way, and the lines in which they wait for it to go.
//!
//! ```text
//! Obstacle::Service   LiveService::waiting --wake_service, room--> the line
//! Obstacle::Daemon    the line             --room, in turns-----> a connection each, or polled again
//! exhaustion          resting              --a child's end, or a tenth of a second--> the line
//! ```
//!
//! Invariant: what came free moves as many listeners as it can serve, in the order in which they began to wait, so its
//! cost does not grow with those that wait; and who is in the line goes before those that epoll tells of, so nobody is
//! passed over for ever. A line moves as long as there is room: a client who has gone leaves his room to the next.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::accept::{BATCH, Took};
use super::state::ListenerState;
use super::token::{ListenerKey, ServiceKey, Token};
use super::{Daemon, Timer};
use crate::sys::poller::Interest;

/// How soon exhaustion is looked at again.
pub(super) const RETRY: Duration = Duration::from_millis(100);
/// Listeners of one service that come into the line in one turn.
const STEP: u32 = 16;

/// Why a listener is left alone for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// The service's own: full, paused, all its launches in flight.
    Service,
    /// The daemon's: full, no launch slot.
    Daemon,
}

/// The listeners of one service that wait for it.
#[derive(Debug, Default)]
pub(super) struct OwnLine {
    listeners: VecDeque<ListenerKey>,
    /// The daemon is going to look whether they can go on.
    called: bool,
}

impl OwnLine {
    /// True when nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, key: ListenerKey) {
        self.listeners.retain(|other| *other != key);
    }
}

/// Who waits for the daemon.
#[derive(Debug, Default)]
pub(super) struct Line {
    listeners: VecDeque<ListenerKey>,
    /// Services whose own lines may move.
    services: Vec<ServiceKey>,
    /// Listeners that met exhaustion.
    resting: Vec<ListenerKey>,
    /// The time to try these again is set.
    retry_due: bool,
}

impl Line {
    /// True when somebody waits for room of the daemon.
    pub(super) fn has_somebody(&self) -> bool {
        !self.listeners.is_empty()
    }
}

impl Daemon {
    /// Takes a listener out of epoll's sight until the obstacle is gone.
    pub(super) fn suspend(&mut self, key: ListenerKey, obstacle: Obstacle) {
        let Some(service) = self.hide(key) else {
            return;
        };
        match obstacle {
            Obstacle::Daemon => self.line.listeners.push_back(key),
            Obstacle::Service => {
                if let Some(live) = self.services.get_mut(service) {
                    live.waiting.listeners.push_back(key);
                }
            }
        }
    }

    /// Leaves a listener alone until a child ends or a moment has passed.
    pub(super) fn rest(&mut self, key: ListenerKey) {
        if self.hide(key).is_some() {
            self.line.resting.push(key);
            if !std::mem::replace(&mut self.line.retry_due, true) {
                self.timers.set(Instant::now() + RETRY, Timer::Retry);
            }
        }
    }

    fn hide(&mut self, key: ListenerKey) -> Option<ServiceKey> {
        let listener = self.listeners.get_mut(key)?;
        let socket = listener.socket.as_ref()?;
        if listener.state == ListenerState::Polling {
            listener.state = ListenerState::Waiting;
            let token = Token::Listener(key).bits();
            let _ = self.poller.modify(socket.as_fd(), Interest::Nothing, token);
        }
        Some(listener.service)
    }

    fn poll_again(&mut self, key: ListenerKey) {
        if let Some(listener) = self.listeners.get_mut(key)
            && let Some(socket) = &listener.socket
            && !listener.state.is_handed_over()
        {
            listener.state = ListenerState::Polling;
            let token = Token::Listener(key).bits();
            let _ = self
                .poller
                .modify(socket.as_fd(), Interest::Readable, token);
        }
    }

    /// Something of a service came free, or its rules have changed.
    pub(super) fn wake_service(&mut self, service: ServiceKey) {
        if let Some(live) = self.services.get_mut(service)
            && !live.waiting.is_empty()
            && !std::mem::replace(&mut live.waiting.called, true)
        {
            self.line.services.push(service);
        }
    }

    /// A child has ended, and with it went descriptors, memory and a process.
    pub(super) fn wake_one_resting(&mut self) {
        self.line.listeners.extend(self.line.resting.pop());
    }

    /// The time to try again.
    pub(super) fn on_retry(&mut self) {
        self.line.retry_due = false;
        self.line.listeners.extend(self.line.resting.drain(..));
    }

    /// True when the next turn has somebody to serve whom epoll will not tell of.
    pub(super) fn line_moves(&self) -> bool {
        let somebody = self.line.has_somebody() && self.has_room();
        self.accepts() && (somebody || !self.line.services.is_empty())
    }

    /// Gives room to those who wait in the line, one connection each, in turns.
    pub(super) fn serve_line(&mut self, now: Instant) {
        if !self.accepts() {
            return;
        }
        for _ in 0..self.line.services.len() {
            let service = self.line.services.swap_remove(0);
            self.move_line_of(service, now);
        }
        for _ in 0..BATCH {
            if !self.has_room() {
                return;
            }
            let Some(key) = self.line.listeners.pop_front() else {
                return;
            };
            match self.take(key, false, now) {
                Took::One => self.line.listeners.push_back(key),
                Took::Obstacle(Obstacle::Daemon) => self.line.listeners.push_front(key),
                // Whether somebody waits is for epoll to say.
                Took::Lost(_) | Took::Nobody | Took::Obstacle(Obstacle::Service) => {
                    self.poll_again(key);
                }
                Took::Stopped => {}
            }
        }
    }

    /// Moves as many listeners of a service into the daemon's line as the service has room for.
    fn move_line_of(&mut self, service: ServiceKey, now: Instant) {
        let held_up = self.is_held_up(service, true, now);
        let Some(live) = self.services.get_mut(service) else {
            return;
        };
        live.waiting.called = false;
        if held_up {
            return;
        }
        let room = live.gate.room().min(STEP) as usize;
        let waiting = &mut live.waiting.listeners;
        let moving = room.min(waiting.len());
        self.line.listeners.extend(waiting.drain(..moving));
        // They may not need it all.
        self.wake_service(service);
    }

    fn has_room(&self) -> bool {
        !self.house.is_full() && self.launcher.has_room()
    }
}
