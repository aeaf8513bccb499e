//! A new table takes the place of the old one, whole or not at all.
//!
//! Sockets that the new table asks for in the same way are kept as they are: nobody in their queue notices. What is new
//! is bound before anything is changed; if that fails, nothing was. Children of changed and removed services live on and
//! stay counted.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::cached::Cached;
use super::line::{Obstacle, OwnLine};
use super::lines::Pace;
use super::loading::LoadChild;
use super::state::{BackOff, Counters, LiveService};
use super::status::Files;
use super::token::{ControlKey, ListenerKey, ServiceKey, Token};
use super::{Daemon, Phase, Timer};
use crate::admission::{Gate, Lists, RefusalLog};
use crate::control::{Answer, Diff};
use crate::event::Event;
use crate::handover::{self, Loaded};
use crate::launch::Plan;
use crate::listener::{self, Socket};
use crate::service::{Address, LogLevel, Service, Table};
use crate::sys::poller::Interest;

/// A load may take this long; then the old table stays.
const LOAD_AT_MOST: Duration = Duration::from_secs(30);

/// A load in progress.
#[derive(Debug)]
pub(super) struct Loading {
    child: LoadChild,
    started: Instant,
    /// Control clients that wait for its end.
    clients: Vec<ControlKey>,
    /// Another was asked for meanwhile, by these clients: the files may have changed since this one read them.
    again: Option<Vec<ControlKey>>,
}

impl Loading {
    /// The load child.
    pub(super) fn pid(&self) -> i32 {
        self.child.pid()
    }
}

/// What a reload will do, all of it possible.
struct Change {
    /// The enabled services in the order of the table.
    services: Vec<Planned>,
    /// Sockets that nobody asks for any more.
    closing: Vec<ListenerKey>,
}

/// One service of the new table.
struct Planned {
    service: Rc<Service>,
    /// `None`: nothing about it has changed.
    plan: Option<Rc<Plan>>,
    /// Sockets that it takes over from the old table.
    kept: Vec<ListenerKey>,
    /// Sockets that were opened for it.
    opened: Vec<Socket>,
}

/// The old sockets that are still to be had.
struct Stock(HashMap<Address, Vec<ListenerKey>>);

impl Stock {
    /// Takes the socket for `address`, one of `service` first (port 0 may have been asked for several times).
    fn take(
        &mut self,
        daemon: &Daemon,
        address: &Address,
        service: &Service,
    ) -> Option<ListenerKey> {
        let keys = self.0.get_mut(address)?;
        let owner = |key: &ListenerKey| {
            daemon
                .listeners
                .get(*key)
                .and_then(|listener| daemon.services.get(listener.service))
        };
        let serves = |key: &ListenerKey| {
            owner(key).is_some_and(|live| live.service.socket == service.socket)
        };
        let own =
            |key: &ListenerKey| owner(key).is_some_and(|live| live.service.name == service.name);
        let index = keys
            .iter()
            .position(|key| serves(key) && own(key))
            .or_else(|| keys.iter().position(serves))?;
        Some(keys.swap_remove(index))
    }
}

impl Daemon {
    /// Reads the table again: for HUP, or for a control client that waits for the end.
    pub(super) fn start_loading(&mut self, now: Instant, client: Option<ControlKey>) {
        if self.phase != Phase::Serving {
            return self.answer_all(client, &Answer::Error("the daemon is ending".to_owned()));
        }
        if self.put_off_reload(client) {
            return;
        }
        if let Some(loading) = self.loading.as_mut() {
            loading.again.get_or_insert_default().extend(client);
            return;
        }
        self.start_load_child(now, client.into_iter().collect());
    }

    pub(super) fn start_load_child(&mut self, now: Instant, clients: Vec<ControlKey>) {
        self.tell_manager_reloading();
        let started = LoadChild::start(&self.source, false).and_then(|child| {
            self.poller
                .add(child.as_fd(), Interest::Readable, Token::Loading.bits())?;
            Ok(child)
        });
        match started {
            Ok(child) => {
                self.loading = Some(Loading {
                    child,
                    started: now,
                    clients,
                    again: None,
                });
                self.timers.set(now + LOAD_AT_MOST, Timer::Loading);
            }
            Err(error) => {
                let problem = format!("the load child cannot be made: {error}");
                self.end_reload(Err(problem), clients);
            }
        }
    }

    pub(super) fn on_load_overdue(&mut self, now: Instant) {
        let overdue = |loading: &Loading| now.duration_since(loading.started) >= LOAD_AT_MOST;
        if self.loading.as_ref().is_some_and(overdue)
            && let Some(loading) = self.loading.take()
        {
            self.poller.remove(&loading.child);
            loading.child.abandon();
            let problem =
                "reading the table took over 30 s: is a directory service or file system stuck?";
            self.end_reload(Err(problem.to_owned()), loading.clients);
            self.go_on_with_upgrade(now);
        }
    }

    pub(super) fn on_loaded(&mut self, now: Instant) {
        let Some(loading) = self.loading.take() else {
            return;
        };
        self.poller.remove(&loading.child);
        let record = loading.child.finish();
        let result = match record.and_then(|bytes| handover::decode(&bytes)) {
            Ok(loaded) => self.adopt(loaded),
            Err(error) => Err(error.to_string()),
        };
        self.end_reload(result, loading.clients);
        match loading.again {
            Some(clients) => self.start_load_child(now, clients),
            None => self.go_on_with_upgrade(now),
        }
    }

    /// Tells everybody how a reload went.
    fn end_reload(&mut self, result: Result<Diff, String>, clients: Vec<ControlKey>) {
        let answer = match result {
            Ok(diff) => {
                self.log.write(
                    &Event::Reloaded {
                        added: diff.added.len(),
                        changed: diff.changed.len(),
                        removed: diff.removed.len(),
                        kept: diff.kept,
                    },
                    None,
                );
                Answer::Reloaded(diff)
            }
            Err(problem) => {
                let first = problem.lines().next().unwrap_or_default();
                let text = format!("reload refused, the old table stays in force: {first}");
                self.note(LogLevel::Error, None, &text);
                Answer::Rejected(problem)
            }
        };
        self.answer_all(clients, &answer);
        self.tell_manager_reloaded();
    }

    pub(super) fn answer_all(
        &mut self,
        clients: impl IntoIterator<Item = ControlKey>,
        answer: &Answer,
    ) {
        for client in clients {
            self.answer_control_client(client, answer);
        }
    }

    /// Puts a loaded table in force, or says why not.
    fn adopt(&mut self, loaded: Loaded) -> Result<Diff, String> {
        let level = if loaded.table.is_some() {
            LogLevel::Warning
        } else {
            LogLevel::Error
        };
        for line in loaded.brief.lines() {
            self.note(level, None, line);
        }
        let Some(table) = loaded.table else {
            return Err(loaded.report);
        };
        let change = self.prepare(&table)?;
        Ok(Diff {
            report: loaded.report,
            ..self.commit(change, table)
        })
    }

    /// Does everything that can fail, and changes nothing that serves. Where a new socket wants the place of one that
    /// goes, the old one is closed for it, and bound again if the rest fails.
    fn prepare(&mut self, table: &Table) -> Result<Change, String> {
        self.leaves.prepare(table)?;
        let mut stock = Stock(HashMap::new());
        for (key, listener) in &self.listeners {
            stock.0.entry(listener.asked.clone()).or_default().push(key);
        }
        let mut services = Vec::with_capacity(table.services.len());
        let mut missing: Vec<(usize, Address)> = Vec::new();
        for service in table.services.iter().filter(|service| service.enabled) {
            let plan = self.plan_if_changed(service)?;
            let mut kept = Vec::new();
            for address in &service.listen {
                match stock.take(self, address, service) {
                    Some(key) => kept.push(key),
                    None => missing.push((services.len(), address.clone())),
                }
            }
            services.push(Planned {
                service: Rc::clone(service),
                plan,
                kept,
                opened: Vec::new(),
            });
        }
        let closing: Vec<ListenerKey> = stock.0.into_values().flatten().collect();
        let mut replaced = Vec::new();
        for (index, address) in missing {
            let Some(planned) = services.get_mut(index) else {
                continue;
            };
            match self.bind_for(&address, &planned.service, &closing, &mut replaced) {
                Ok(socket) => planned.opened.push(socket),
                Err(problem) => {
                    drop(services);
                    self.restore(replaced);
                    return Err(problem);
                }
            }
        }
        Ok(Change { services, closing })
    }

    fn plan_if_changed(&self, service: &Rc<Service>) -> Result<Option<Rc<Plan>>, String> {
        let before = self
            .names
            .get(&service.name)
            .and_then(|key| self.services.get(*key));
        if before.is_some_and(|live| live.service == *service) {
            return Ok(None);
        }
        let plan = Plan::prepare(service, &self.host)
            .map_err(|error| format!("service {}: {error}", service.name))?;
        Ok(Some(Rc::new(plan)))
    }

    /// Binds a new address. If one of our own that goes is in its place, that is closed first.
    fn bind_for(
        &mut self,
        address: &Address,
        service: &Service,
        closing: &[ListenerKey],
        replaced: &mut Vec<ListenerKey>,
    ) -> Result<Socket, String> {
        let error = match listener::bind(address, &service.socket) {
            Ok(socket) => return Ok(socket),
            Err(error) => error,
        };
        let mut freed = false;
        for key in closing {
            if !self
                .listeners
                .get(*key)
                .is_some_and(|listener| overlaps(&listener.asked, address))
            {
                continue;
            }
            self.end_stored_listener(*key);
            if let Some(listener) = self.listeners.get_mut(*key)
                && let Some(socket) = listener.socket.take()
            {
                self.poller.remove(&socket);
                drop(socket);
                replaced.push(*key);
                freed = true;
            }
        }
        if freed && let Ok(socket) = listener::bind(address, &service.socket) {
            return Ok(socket);
        }
        Err(format!("service {}: {address}: {error}", service.name))
    }

    /// Opens again what was closed for a reload that failed after all.
    fn restore(&mut self, replaced: Vec<ListenerKey>) {
        let now = Instant::now();
        for key in replaced {
            self.on_bind_again(key, now);
        }
    }

    /// Puts the new table in force. Nothing here can fail.
    fn commit(&mut self, change: Change, table: Table) -> Diff {
        self.set_lists(Lists::new(&table), Instant::now());
        let mut names = HashMap::with_capacity(change.services.len());
        let mut diff = Diff::default();
        let mut opened = Vec::new();
        for key in change.closing {
            self.close_listener(key);
        }
        for planned in change.services {
            let Some(key) = self.enter(&planned.service, planned.plan, &mut diff) else {
                continue;
            };
            for listener in planned.kept {
                self.move_listener(listener, key);
            }
            opened.extend(planned.opened.into_iter().map(|socket| (key, socket)));
            names.insert(planned.service.name.clone(), key);
        }
        for (key, socket) in opened {
            self.add_listener(key, socket);
        }
        for key in std::mem::replace(&mut self.names, names).into_values() {
            if let Some(live) = self.services.get_mut(key) {
                live.removed = true;
                diff.removed.push(live.service.name.clone());
            }
            self.forget_if_gone(key);
        }
        // What serves from now on has read everything anew.
        let workers: Vec<_> = self
            .services
            .values()
            .filter_map(|live| live.worker)
            .collect();
        for worker in workers {
            self.retire(worker);
        }
        self.settings = self.overrides.over(table.settings);
        self.log.reopen(&self.settings);
        self.files = Files::look(&table.files);
        self.table = table.services;
        self.set_budget();
        self.open_control();
        self.wake_all();
        diff
    }

    /// The place of a service of the new table. A plan is only left out for one that is there.
    fn enter(
        &mut self,
        service: &Rc<Service>,
        plan: Option<Rc<Plan>>,
        diff: &mut Diff,
    ) -> Option<ServiceKey> {
        match (self.names.remove(&service.name), plan) {
            (Some(key), None) => {
                diff.kept += 1;
                Some(key)
            }
            (Some(key), Some(plan)) => {
                diff.changed.push(service.name.clone());
                self.change_service(key, service, plan);
                Some(key)
            }
            (None, Some(plan)) => {
                diff.added.push(service.name.clone());
                Some(self.services.insert(self.new_service(service, plan)))
            }
            (None, None) => None,
        }
    }

    fn change_service(&mut self, key: ServiceKey, service: &Rc<Service>, plan: Rc<Plan>) {
        let now = Instant::now();
        let Some(live) = self.services.get_mut(key) else {
            return;
        };
        let (house, lists) = (&self.house, &self.lists.lists);
        if live.gate.change(house, &service.admission, lists, now) {
            let gate = &live.gate;
            for child in self
                .children
                .values_mut()
                .filter(|child| child.service == key)
            {
                if let (Some(ticket), Some(peer)) = (&mut child.ticket, &child.peer) {
                    ticket.regroup(gate, peer);
                }
            }
            for key in &live.listeners {
                if let Some(held) = self.listeners.get_mut(*key).and_then(|it| it.held.as_mut()) {
                    held.ticket.regroup(gate, &held.peer);
                }
            }
        }
        if live.service.process != service.process {
            live.back_off = BackOff::default();
            live.paused_until = None;
        }
        let same_output = live.service.process.stderr == service.process.stderr
            && live.service.process.identity == service.process.identity;
        live.service = Rc::clone(service);
        live.plan = plan;
        live.cached.forget();
        if !same_output {
            self.close_output(key);
        }
    }

    /// A socket that stays may serve another service from now on.
    fn move_listener(&mut self, listener: ListenerKey, service: ServiceKey) {
        if self
            .listeners
            .get(listener)
            .is_some_and(|entry| entry.service != service)
        {
            self.unstore_listener(listener);
        }
        let Some(entry) = self.listeners.get_mut(listener) else {
            return;
        };
        let before = std::mem::replace(&mut entry.service, service);
        if before != service {
            if let Some(live) = self.services.get_mut(before) {
                live.listeners.retain(|other| *other != listener);
                live.waiting.remove(listener);
            }
            if let Some(live) = self.services.get_mut(service) {
                live.listeners.push(listener);
                if let Some(socket) = &entry.socket {
                    let event = Event::Listen {
                        service: &live.service.name,
                        address: &socket.bound,
                    };
                    Self::tell(&mut self.log, Some(live), &event);
                }
            }
            self.store_listener(listener);
            // Whether it can be served there is seen when the lines move.
            self.suspend(listener, Obstacle::Service);
        }
    }

    /// A service that has just come into the table.
    pub(super) fn new_service(&self, service: &Rc<Service>, plan: Rc<Plan>) -> LiveService {
        let (lists, now) = (&self.lists.lists, Instant::now());
        LiveService {
            service: Rc::clone(service),
            plan,
            gate: Gate::new(&self.house, &service.admission, lists, now),
            listeners: Vec::new(),
            waiting: OwnLine::default(),
            children: 0,
            worker: None,
            headers: 0,
            cached: Cached::default(),
            back_off: BackOff::default(),
            paused_until: None,
            held_off: false,
            draining: false,
            failure: None,
            output: None,
            pace: Pace::default(),
            counters: Counters::default(),
            refusal_log: RefusalLog::default(),
            queueing: None,
            removed: false,
        }
    }

    /// Limits may have changed: everybody who waits looks again.
    fn wake_all(&mut self) {
        let keys: Vec<ServiceKey> = self.services.keys().collect();
        for key in keys {
            self.wake_service(key);
        }
    }
}

/// True when two addresses cannot be bound at once.
fn overlaps(one: &Address, other: &Address) -> bool {
    match (one, other) {
        (
            Address::Inet {
                protocol, socket, ..
            },
            Address::Inet {
                protocol: other_protocol,
                socket: other,
                ..
            },
        ) => protocol == other_protocol && socket.port() == other.port(),
        (one, other) => one == other,
    }
}
