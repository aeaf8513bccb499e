//! The daemon's own descriptor of a live connection: what it is kept for, and the deadlines of the connection.
//!
//! Invariant: the descriptor leaves epoll before it is closed. A descendant of the program may hold the same open file,
//! and a registration that outlives its number would tell of it for ever and could not be taken back (launch.md 3.7).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use super::state::{Child, Task};
use super::token::{ChildKey, Token};
use super::{Daemon, Timer};
use crate::connection::{self, Activity, Reason, Verdict};
use crate::service::{Keepalive, OnDisconnect, Peer, Run, Service};
use crate::sys::poller::Interest;
use crate::sys::process::Kill;
use crate::sys::tcp;

impl Daemon {
    /// A child was made for this connection: keeps the descriptor if there is a use for it, and sets its first timer.
    pub(super) fn watch(&mut self, key: ChildKey, connection: OwnedFd) {
        let Some(child) = self.children.get_mut(key) else {
            return;
        };
        let Some(live) = self.services.get(child.service) else {
            return;
        };
        let rules = &live.service.deadlines;
        // What a worker serves is ended by its descriptor, and by nothing else.
        let passed = matches!(child.task, Task::Passed { .. });
        if passed || is_kept(&live.service, child.peer.as_ref()) {
            if rules.on_disconnect != OnDisconnect::Ignore {
                let silence = match live.service.socket.keepalive {
                    Keepalive::After(time) => time,
                    Keepalive::On | Keepalive::Off => SILENCE,
                };
                let _ = tcp::notice_loss(connection.as_fd(), silence);
                let token = Token::Connection(key).bits();
                child.watched = self
                    .poller
                    .add(connection.as_fd(), Interest::HangUpOnce, token)
                    .is_ok();
            }
            child.connection = Some(connection);
        }
        self.set_first_due(key);
    }

    /// Sets the first timer of a child that has just been made.
    pub(super) fn set_first_due(&mut self, key: ChildKey) {
        let Some(child) = self.children.get(key) else {
            return;
        };
        if let Some(live) = self.services.get(child.service)
            && let Some(first) = child.clock.first(&live.service.deadlines)
        {
            self.set_due(key, Some(first));
        }
    }

    /// Sets the one timer of a connection, in place of the one before.
    pub(super) fn set_due(&mut self, key: ChildKey, at: Option<Instant>) {
        let Some(child) = self.children.get_mut(key) else {
            return;
        };
        if let Some(before) = std::mem::replace(&mut child.due, at) {
            self.timers.cancel(before, Timer::Connection(key));
        }
        if let Some(at) = at {
            self.timers.set(at, Timer::Connection(key));
        }
    }

    /// The timer of a connection: its TERM has had its time, or a deadline may have come.
    pub(super) fn on_due(&mut self, key: ChildKey, now: Instant) {
        let Some(child) = self.children.get_mut(key) else {
            return;
        };
        child.due = None;
        if child.kill_at.is_some() {
            return self.end(key, Reason::Killed, Kill::Kill, now);
        }
        let Some(live) = self.services.get(child.service) else {
            return;
        };
        let activity = child
            .connection
            .as_ref()
            .and_then(|fd| activity(fd.as_fd(), child.header));
        match child.clock.look(&live.service.deadlines, now, activity) {
            Verdict::Wait(at) => self.set_due(key, Some(at)),
            Verdict::Nothing => {}
            Verdict::End(reason) => self.end(key, reason, Kill::Term, now),
        }
    }

    /// A hang-up, told once: the client has vanished, or both directions have been ended in order.
    pub(super) fn on_hang_up(&mut self, key: ChildKey, now: Instant) {
        let Some(child) = self.children.get(key) else {
            return;
        };
        let Some(fd) = child.connection.as_ref().map(AsFd::as_fd) else {
            return;
        };
        let Ok(info) = tcp::info(fd) else {
            return;
        };
        let (queued, ended) = (tcp::unacknowledged(fd), tcp::ended_by_peer(fd));
        if !connection::is_gone(&info, queued, ended, tcp::has_error(fd)) {
            return;
        }
        let rule = self
            .services
            .get(child.service)
            .map(|live| live.service.deadlines.on_disconnect);
        match rule {
            Some(OnDisconnect::Term) => self.end(key, Reason::Gone, Kill::Term, now),
            Some(OnDisconnect::Kill) => self.end(key, Reason::Gone, Kill::Kill, now),
            Some(OnDisconnect::Ignore) | None => {}
        }
    }

    /// Takes the descriptor out of epoll.
    pub(super) fn unwatch(&self, connection: &OwnedFd, watched: bool) {
        if watched {
            self.poller.remove(connection);
        }
    }
}

/// With `on_disconnect` and no time in `keepalive`, a client is asked for a sign of life after this time. One that has
/// vanished without a word is noticed after twice as long.
const SILENCE: Duration = Duration::from_secs(60);

/// True when the daemon keeps its descriptor of a connection of this service.
fn is_kept(service: &Service, peer: Option<&Peer>) -> bool {
    let rules = &service.deadlines;
    let counted = match service.run {
        // A child of ours ends when it has closed, so that keeping costs its client nothing.
        Run::Builtin(_) | Run::Redirect(_) => true,
        Run::Program(_) => rules.linger.is_some(),
    };
    matches!(peer, Some(Peer::Inet(_)))
        && (counted
            || rules.idle.is_some()
            || rules.first_byte.is_some()
            || rules.on_disconnect != OnDisconnect::Ignore)
}

fn activity(fd: BorrowedFd<'_>, header: u64) -> Option<Activity> {
    let info = tcp::info(fd).ok()?;
    Some(Activity {
        received: info.received.saturating_sub(header),
        acked: info.acked,
        since_received: info.since_received,
        since_ack: info.since_ack,
    })
}

/// Bytes from and to the client so far.
pub(super) fn account(child: &Child) -> Option<(u64, u64)> {
    let fd = child.connection.as_ref()?.as_fd();
    let info = tcp::info(fd).ok()?;
    let ended = info.state == tcp::CLOSE && tcp::ended_by_peer(fd);
    let (received, sent) = connection::bytes(&info, tcp::unacknowledged(fd), ended);
    Some((received.saturating_sub(child.header), sent))
}
