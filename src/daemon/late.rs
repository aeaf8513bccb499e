//! Addresses that cannot be bound yet: tried again after growing pauses, and at once when an interface or an address
//! comes.
//!
//! Invariant: the kernel is asked to tell of changes only while an address waits for one.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::token::{ListenerKey, Token};
use super::{Daemon, Timer};
use crate::sys::netlink::Changes;
use crate::sys::poller::Interest;
use crate::sys::start;

/// What follows a change within this time belongs to it: an interface comes with several addresses.
const SETTLE: Duration = Duration::from_millis(50);

/// The ear for changes.
#[derive(Debug, Default)]
pub(super) struct Late {
    changes: Option<Changes>,
    /// A look at the addresses is set.
    due: bool,
}

impl Daemon {
    /// An address waits: from now on changes are listened to. Without that its retries must do.
    pub(super) fn expect_changes(&mut self) {
        if self.late.changes.is_some() {
            return;
        }
        let Ok(changes) = Changes::open(start::floor(self.open_files)) else {
            return;
        };
        let token = Token::Network.bits();
        let added = self.poller.add(changes.as_fd(), Interest::Readable, token);
        self.late.changes = added.is_ok().then_some(changes);
    }

    /// Something has changed.
    pub(super) fn on_network(&mut self, now: Instant) {
        let told = self.late.changes.as_ref().is_some_and(Changes::drain);
        if told && !std::mem::replace(&mut self.late.due, true) {
            self.timers.set(now + SETTLE, Timer::Network);
        }
    }

    /// All that wait try again; when nothing waits any more, nothing is listened to.
    pub(super) fn on_network_settled(&mut self, now: Instant) {
        self.late.due = false;
        let waiting = self
            .listeners
            .iter()
            .filter(|(_, one)| one.retry_at.is_some());
        let waiting: Vec<ListenerKey> = waiting.map(|(key, _)| key).collect();
        for key in waiting {
            self.on_bind_again(key, now);
        }
        if self.listeners.values().all(|one| one.retry_at.is_none())
            && let Some(changes) = self.late.changes.take()
        {
            self.poller.remove(&changes);
        }
    }
}
