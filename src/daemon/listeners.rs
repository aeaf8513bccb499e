//! Opening and closing the sockets of services while the daemon runs.

use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::state::{Listener, ListenerState};
use super::token::{ListenerKey, ServiceKey, Token};
use super::{Daemon, Timer};
use crate::builtin;
use crate::event::Event;
use crate::listener::{BindError, Socket};
use crate::service::{Address, Builtin, LogLevel, Run, Service};
use crate::sys::errno;
use crate::sys::poller::Interest;

/// The longest pause between two attempts to bind an address.
const LONGEST: Duration = Duration::from_secs(30);

impl Daemon {
    /// Opens an address of a service, or takes the socket that the service manager passed for it.
    pub(super) fn open(
        &mut self,
        address: &Address,
        service: &Service,
    ) -> Result<Socket, BindError> {
        let socket = self.passed.open(address, &service.socket)?;
        if let Some(problem) = misfit(&socket, service) {
            self.passed.give_back(socket);
            return Err(problem);
        }
        Ok(socket)
    }

    /// The other sockets that an address means: several may have been passed under one name.
    pub(super) fn open_more(&mut self, address: &Address, service: &Service) -> Vec<Socket> {
        let mut more = Vec::new();
        while self.passed.has_more(address)
            && let Ok(socket) = self.open(address, service)
        {
            more.push(socket);
        }
        more
    }

    /// Tells of the sockets that the service manager passed in vain.
    pub(super) fn tell_unused(&mut self) {
        let unused: Vec<String> = self
            .passed
            .unused()
            .map(|(name, bound)| {
                format!(
                    "the service manager passed {bound} as `{name}`, which no service asks for: write `listen = \"fd:{name}\"`"
                )
            })
            .collect();
        for text in unused {
            self.note(LogLevel::Warning, None, &text);
        }
    }

    /// Adds a socket that is open.
    pub(super) fn add_listener(&mut self, service: ServiceKey, socket: Socket) {
        let key = self
            .listeners
            .insert(Listener::new(service, socket.asked.clone()));
        if let Some(live) = self.services.get_mut(service) {
            live.listeners.push(key);
        }
        self.open_listener(key, socket);
    }

    /// Starts to poll a socket.
    fn open_listener(&mut self, key: ListenerKey, socket: Socket) {
        let Some(listener) = self.listeners.get_mut(key) else {
            return;
        };
        if let Err(error) = self.poller.add(
            socket.as_fd(),
            Interest::Readable,
            Token::Listener(key).bits(),
        ) {
            let text = format!("{} is open, but epoll refuses it: {error}", socket.bound);
            return self.note(LogLevel::Error, None, &text);
        }
        listener.state = ListenerState::Polling;
        listener.attempts = 0;
        listener.lost = None;
        listener.problem = None;
        if let Some(at) = listener.retry_at.take() {
            self.timers.cancel(at, Timer::Bind(key));
        }
        if let Some(live) = self.services.get(listener.service) {
            let event = Event::Listen {
                service: &live.service.name,
                address: &socket.bound,
            };
            Self::tell(&mut self.log, Some(live), &event);
        }
        listener.socket = Some(socket);
        self.store_listener(key);
    }

    /// Adds an address that could not be opened: told, and tried again.
    pub(super) fn add_unbound(
        &mut self,
        service: ServiceKey,
        asked: &Address,
        error: &BindError,
        now: Instant,
    ) {
        let key = self.listeners.insert(Listener::new(service, asked.clone()));
        if let Some(live) = self.services.get_mut(service) {
            live.listeners.push(key);
        }
        self.on_bind_failed(key, error, now);
    }

    fn on_bind_failed(&mut self, key: ListenerKey, error: &BindError, now: Instant) {
        let Some(listener) = self.listeners.get_mut(key) else {
            return;
        };
        let pause = Duration::from_secs(1 << listener.attempts.min(5)).min(LONGEST);
        listener.attempts += 1;
        listener.problem = Some(error.brief());
        if let Some(at) = listener.retry_at.replace(now + pause) {
            self.timers.cancel(at, Timer::Bind(key));
        }
        self.timers.set(now + pause, Timer::Bind(key));
        // The first failure is told, and every longest pause again; not each attempt between.
        if (listener.attempts == 1 || pause == LONGEST)
            && let Some(live) = self.services.get(listener.service)
        {
            let reason = error.to_string();
            let event = Event::ListenFailed {
                service: &live.service.name,
                address: &listener.asked,
                reason: &reason,
            };
            Self::tell(&mut self.log, Some(live), &event);
        }
        self.expect_changes();
    }

    /// Tries again to bind an address.
    pub(super) fn on_bind_again(&mut self, key: ListenerKey, now: Instant) {
        let Some(listener) = self.listeners.get(key) else {
            return;
        };
        let Some(live) = self.services.get(listener.service) else {
            return;
        };
        if listener.socket.is_some() {
            return;
        }
        let asked = listener.asked.clone();
        let address = listener.lost.as_ref().unwrap_or(&asked).clone();
        let service = Rc::clone(&live.service);
        match self.open(&address, &service) {
            Ok(mut socket) => {
                socket.asked = asked;
                self.open_listener(key, socket);
            }
            Err(error) => self.on_bind_failed(key, &error, now),
        }
    }

    /// A listener was killed under us: open it anew.
    pub(super) fn reopen(&mut self, key: ListenerKey, error: &io::Error, now: Instant) {
        self.unstore_listener(key);
        let Some(listener) = self.listeners.get_mut(key) else {
            return;
        };
        listener.state = ListenerState::Closed;
        let Some(socket) = listener.socket.take() else {
            return;
        };
        self.poller.remove(&socket);
        // The address that it had, not the one that was asked for: port 0 would be another one now.
        listener.lost = Some(socket.bound.clone());
        drop(socket);
        let (service, asked) = (listener.service, listener.asked.clone());
        let name = self
            .services
            .get(service)
            .map(|live| live.service.name.clone());
        let errno = errno::describe(error.raw_os_error().unwrap_or(0));
        let text = format!("the socket {asked} broke: {errno}; it is opened anew");
        self.note(LogLevel::Warning, name.as_deref(), &text);
        self.on_bind_again(key, now);
    }

    /// Closes a socket of a service that lives on, or of one that goes.
    pub(super) fn close_listener(&mut self, key: ListenerKey) {
        self.end_stored_listener(key);
        let Some(listener) = self.forget_listener(key) else {
            return;
        };
        let Some(socket) = listener.socket else {
            return;
        };
        self.poller.remove(&socket);
        if let Some(live) = self.services.get(listener.service) {
            let event = Event::Close {
                service: &live.service.name,
                address: &socket.bound,
            };
            Self::tell(&mut self.log, Some(live), &event);
        }
        self.passed.give_back(socket);
    }

    /// Takes a listener out of the books without closing its socket.
    pub(super) fn forget_listener(&mut self, key: ListenerKey) -> Option<Listener> {
        let listener = self.listeners.remove(key)?;
        if let Some(at) = listener.retry_at {
            self.timers.cancel(at, Timer::Bind(key));
        }
        if let Some(live) = self.services.get_mut(listener.service) {
            live.listeners.retain(|other| *other != key);
        }
        // In the lines its key means nobody from now on.
        Some(listener)
    }
}

/// What a passed socket is, is known only now: the rules of the table about datagrams hold for it, too.
fn misfit(socket: &Socket, service: &Service) -> Option<BindError> {
    if !socket.is_passed() || !socket.is_datagram() {
        return None;
    }
    let problem = |what: &str, help: &str| {
        Some(BindError::found(
            format!("{} carries datagrams, and {what}", socket.bound),
            help,
        ))
    };
    match &service.run {
        Run::Program(_) if !service.wait => {
            problem("the program does not own it", "add `wait = true`")
        }
        Run::Redirect(_) => problem("they cannot be redirected", "pass a stream socket"),
        Run::Builtin(Builtin { kind, .. }) if !builtin::entry(kind).serves_datagrams() => {
            problem("the built-in serves streams only", "pass a stream socket")
        }
        Run::Builtin(Builtin {
            kind,
            allow_reflection: false,
            ..
        }) if builtin::entry(kind).reflects => problem(
            "the replies are longer than the requests (CVE-1999-0103)",
            "add `allow_reflection = true`",
        ),
        Run::Program(_) | Run::Builtin(_) => None,
    }
}
