//! What the daemon and the service manager that started it tell each other (sd_notify(3)): ready, reloading, a line of
//! state, signs of life, and the listening sockets, which the manager keeps over a crash.
//!
//! Invariant: signs of life come from the loop and from nowhere else, so a loop that hangs is a dead one. No message is
//! lost and none is waited for: what a busy manager does not take stays in its order.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt::Write;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::{Duration, Instant};

use super::token::ListenerKey;
use super::{Daemon, Phase, Timer};
use crate::handover::state;
use crate::listener::Socket;
use crate::sys::manager;

/// How soon a busy manager is asked again.
const RETRY: Duration = Duration::from_millis(10);
/// How often the line of state is brought up to date.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// The service manager; without one everything here does nothing.
#[derive(Debug, Default)]
pub struct Manager {
    link: Option<Link>,
}

#[derive(Debug)]
struct Link {
    socket: manager::Manager,
    /// NOTIFY_SOCKET.
    name: OsString,
    /// WATCHDOG_USEC: signs of life must not be further apart.
    watchdog: Option<Duration>,
    waiting: VecDeque<Message>,
    /// The line of state that was told last.
    status: String,
    retrying: bool,
}

#[derive(Debug)]
enum Message {
    Text(String),
    /// This socket is to be kept, if it is still there.
    Store(ListenerKey),
}

impl Manager {
    /// The manager that the environment names, if any. To be called before the environment is taken away.
    pub fn find(floor: RawFd) -> io::Result<Self> {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET") else {
            return Ok(Self::default());
        };
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|micros| ours && *micros > 0);
        Ok(Self {
            link: Some(Link {
                socket: manager::Manager::at(&name)?.above(floor)?,
                name,
                watchdog: watchdog.map(Duration::from_micros),
                waiting: VecDeque::new(),
                status: String::new(),
                retrying: false,
            }),
        })
    }

    /// The variables by which a successor of this process finds the manager.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let Some(link) = &self.link else {
            return Vec::new();
        };
        let watchdog = link.watchdog.map(|time| {
            let micros = time.as_micros().to_string();
            ("WATCHDOG_USEC", micros.into())
        });
        let name = ("NOTIFY_SOCKET", link.name.clone());
        std::iter::once(name).chain(watchdog).collect()
    }

    /// The descriptor that leads to it.
    pub fn descriptor(&self) -> Option<RawFd> {
        self.link.as_ref().map(|link| link.socket.as_raw_fd())
    }

    /// What it has not taken yet, for a successor of this process.
    pub(super) fn pack(&self) -> state::Manager {
        let waiting = || self.link.iter().flat_map(|link| &link.waiting);
        let text = |message: &Message| match message {
            Message::Text(text) => Some(text.clone()),
            Message::Store(_) => None,
        };
        state::Manager {
            texts: waiting().filter_map(text).collect(),
            store: waiting().any(|message| matches!(message, Message::Store(_))),
        }
    }

    /// How often it is told something: signs of life twice as often as it wants them.
    fn period(&self) -> Option<Duration> {
        let link = self.link.as_ref()?;
        let period = link.watchdog.map_or(STATUS_EVERY, |time| time / 2);
        Some(period.min(STATUS_EVERY))
    }
}

impl Daemon {
    /// All sockets listen. What the manager had stored and nobody asked for is forgotten.
    pub(super) fn tell_manager_ready(&mut self, unwanted: &[String], now: Instant) {
        let Some(period) = self.manager.period() else {
            return;
        };
        // First of all: the manager counts the time until it comes.
        self.tell_manager("READY=1\n");
        self.tell_manager_status();
        for name in unwanted {
            self.forget_stored(name);
        }
        self.timers.set(now + period, Timer::Manager);
    }

    /// The predecessor was not told everything that it had to tell.
    pub(super) fn unpack_manager(&mut self, record: state::Manager) {
        for text in record.texts {
            self.queue_for_manager(Message::Text(text));
        }
        let keys = record.store.then(|| self.listeners.keys());
        for key in keys.into_iter().flatten().collect::<Vec<_>>() {
            self.store_listener(key);
        }
    }

    /// A sign of life, and a new line of state if there is one.
    pub(super) fn on_manager_due(&mut self, now: Instant) {
        let Some(period) = self.manager.period() else {
            return;
        };
        self.timers.set(now + period, Timer::Manager);
        if self
            .manager
            .link
            .as_ref()
            .is_some_and(|link| link.watchdog.is_some())
        {
            self.tell_manager("WATCHDOG=1\n");
        }
        if self.phase == Phase::Serving && self.loading.is_none() {
            self.tell_manager_status();
        }
    }

    /// A reload begins.
    pub(super) fn tell_manager_reloading(&mut self) {
        let micros = manager::monotonic_micros();
        self.tell_manager(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\n"));
    }

    /// A reload is over.
    pub(super) fn tell_manager_reloaded(&mut self) {
        self.tell_manager("READY=1\n");
        self.tell_manager_status();
    }

    /// The daemon ends.
    pub(super) fn tell_manager_stopping(&mut self) {
        let text = format!(
            "STOPPING=1\nSTATUS=stopping, {} connections are told to end\n",
            self.house.live()
        );
        self.tell_manager(&text);
    }

    fn tell_manager_status(&mut self) {
        let text = self.state_line();
        if let Some(link) = self.manager.link.as_mut()
            && link.status != text
        {
            let message = format!("STATUS={text}\n");
            link.status = text;
            self.tell_manager(&message);
        }
    }

    /// `14 services, 37 connections, 120912 served, 318 refused, failing: git`
    fn state_line(&self) -> String {
        let mut text = format!(
            "{} services, {} connections, {} served, {} refused",
            self.names.len(),
            self.house.live(),
            self.served(),
            self.refusals()
        );
        let now = Instant::now();
        let mut word = ", failing: ";
        for live in self.services.values().filter(|live| self.fails(live, now)) {
            let _ = write!(text, "{word}{}", live.service.name);
            word = ", ";
        }
        text
    }

    /// The manager is to keep this socket, in case that this process ends unexpectedly.
    pub(super) fn store_listener(&mut self, key: ListenerKey) {
        let socket = self.listeners.get(key).and_then(|it| it.socket.as_ref());
        if socket.is_some_and(Socket::is_passed) {
            // It comes from the manager, and is passed again at every start.
            return;
        }
        self.queue_for_manager(Message::Store(key));
    }

    /// The manager is to forget this socket.
    pub(super) fn unstore_listener(&mut self, key: ListenerKey) {
        if self.manager.link.is_some()
            && let Some(listener) = self.listeners.get(key)
            && let Some(socket) = &listener.socket
            && let Some(live) = self.services.get(listener.service)
        {
            let name = socket.stored_name(&live.service.name, &live.service.socket);
            self.forget_stored(&name);
        }
    }

    /// The same before the socket is closed for good: it must not listen on in the manager's hands. The program of a
    /// `wait` service may still own it.
    pub(super) fn end_stored_listener(&mut self, key: ListenerKey) {
        self.unstore_listener(key);
        if self.manager.link.is_some()
            && let Some(listener) = self.listeners.get(key)
            && let Some(socket) = &listener.socket
            && self
                .services
                .get(listener.service)
                .is_some_and(|live| !live.service.wait)
            && !socket.is_passed()
        {
            socket.stop_listening();
        }
    }

    fn forget_stored(&mut self, name: &str) {
        self.tell_manager(&format!("FDSTOREREMOVE=1\nFDNAME={name}\n"));
    }

    fn tell_manager(&mut self, text: &str) {
        self.queue_for_manager(Message::Text(text.to_owned()));
    }

    fn queue_for_manager(&mut self, message: Message) {
        if let Some(link) = self.manager.link.as_mut() {
            link.waiting.push_back(message);
            self.flush_manager(Instant::now());
        }
    }

    /// The manager may have room again.
    pub(super) fn on_manager_retry(&mut self, now: Instant) {
        if let Some(link) = self.manager.link.as_mut() {
            link.retrying = false;
        }
        self.flush_manager(now);
    }

    fn flush_manager(&mut self, now: Instant) {
        let Some(link) = self.manager.link.as_mut().filter(|link| !link.retrying) else {
            return;
        };
        while let Some(message) = link.waiting.front() {
            let sent = match message {
                Message::Text(text) => link.socket.send(text, None),
                Message::Store(key) => {
                    let listener = self.listeners.get(*key);
                    let socket = listener.and_then(|listener| listener.socket.as_ref());
                    let live = listener.and_then(|one| self.services.get(one.service));
                    socket.zip(live).map_or(Ok(()), |(socket, live)| {
                        let name = socket.stored_name(&live.service.name, &live.service.socket);
                        let text = format!("FDSTORE=1\nFDNAME={name}\n");
                        link.socket.send(&text, Some(socket.as_fd()))
                    })
                }
            };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    link.retrying = true;
                    self.timers.set(now + RETRY, Timer::ManagerRetry);
                    return;
                }
                // Taken; or nobody is there any more, and nobody will miss it.
                Ok(()) | Err(_) => link.waiting.pop_front(),
            };
        }
    }
}
