//! From a loaded table to a daemon that serves it: first everything that can fail, then everything that cannot.
//!
//! Sockets that the new table asks for in the same way are kept as they are: nobody in their queue notices. What is new
//! is bound before anything is changed; if that fails, nothing was. Children of changed and removed services live on and
//! stay counted, unless `on_remove` says otherwise.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Instant;

use super::Daemon;
use super::cached::Cached;
use super::control_socket::Moved;
use super::line::{Obstacle, OwnLine};
use super::lines::Pace;
use super::state::{BackOff, Counters, LiveService};
use super::status::Files;
use super::token::{ListenerKey, ServiceKey};
use crate::admission::{Gate, Lists, RefusalLog};
use crate::connection::Reason;
use crate::control::Diff;
use crate::event::Event;
use crate::launch::Plan;
use crate::listener::Socket;
use crate::service::{Address, OnRemove, Service, Table};
use crate::sys::process::Kill;

/// What a reload will do, all of it possible.
pub(super) struct Change {
    /// The enabled services in the order of the table.
    services: Vec<Planned>,
    /// The control socket.
    control: Moved,
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
#[derive(Default)]
struct Stock {
    /// Of each service: port 0 may have been asked for by many.
    own: HashMap<(ServiceKey, Address), Vec<ListenerKey>>,
    /// Those that have gone to an address of the new table.
    taken: HashSet<ListenerKey>,
    all: HashMap<Address, Vec<ListenerKey>>,
}

impl Stock {
    fn of(daemon: &Daemon) -> Self {
        let mut stock = Self::default();
        for (key, listener) in &daemon.listeners {
            let asked = &listener.asked;
            let own = stock.own.entry((listener.service, asked.clone()));
            own.or_default().push(key);
            stock.all.entry(asked.clone()).or_default().push(key);
        }
        stock
    }

    /// Takes the socket for `address`, one of `service` first.
    fn take(
        &mut self,
        daemon: &Daemon,
        address: &Address,
        service: &Service,
    ) -> Option<ListenerKey> {
        let serves = |key: &ListenerKey| {
            let listener = daemon.listeners.get(*key);
            let owner = listener.and_then(|listener| daemon.services.get(listener.service));
            owner.is_some_and(|live| live.service.socket == service.socket)
        };
        let name = daemon.names.get(&service.name);
        let own = name.and_then(|name| self.own.get_mut(&(*name, address.clone())));
        let own = own.and_then(|keys| keys.pop_if(|key| !self.taken.contains(key) && serves(key)));
        let key = own.or_else(|| {
            let mut all = self.all.get(address)?.iter();
            all.find(|key| !self.taken.contains(key) && serves(key))
                .copied()
        })?;
        self.taken.insert(key);
        Some(key)
    }

    /// Those that nobody took.
    fn rest(self) -> Vec<ListenerKey> {
        let all = self.all.into_values().flatten();
        all.filter(|key| !self.taken.contains(key)).collect()
    }
}

impl Daemon {
    /// Does everything that can fail, and changes nothing that serves. Where a new socket wants the place of one that
    /// goes, the old one is closed for it, and bound again if the rest fails.
    pub(super) fn prepare(&mut self, table: &Table) -> Result<Change, String> {
        self.leaves.prepare(table)?;
        let mut stock = Stock::of(self);
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
                // Several sockets of the service manager may have one name.
                while matches!(address, Address::Inherited { .. })
                    && let Some(key) = stock.take(self, address, service)
                {
                    kept.push(key);
                }
            }
            services.push(Planned {
                service: Rc::clone(service),
                plan,
                kept,
                opened: Vec::new(),
            });
        }
        let closing = stock.rest();
        let mut replaced = Vec::new();
        for (index, address) in missing {
            let Some(planned) = services.get_mut(index) else {
                continue;
            };
            match self.bind_for(&address, &planned.service, &closing, &mut replaced) {
                Ok(socket) => planned.opened.push(socket),
                Err(problem) => {
                    self.give_back(services);
                    self.restore(replaced);
                    return Err(problem);
                }
            }
            let service = Rc::clone(&planned.service);
            planned.opened.extend(self.open_more(&address, &service));
        }
        let settings = self.overrides.over(table.settings.clone());
        match self.prepare_control(&settings) {
            Ok(control) => Ok(Change {
                services,
                control,
                closing,
            }),
            Err(error) => {
                self.give_back(services);
                self.restore(replaced);
                Err(format!("the control socket: {error}"))
            }
        }
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
        let error = match self.open(address, service) {
            Ok(socket) => return Ok(socket),
            Err(error) => error,
        };
        let mut freed = false;
        for key in closing {
            let Some(listener) = self.listeners.get(*key) else {
                continue;
            };
            if !overlaps(&listener.asked, address) {
                continue;
            }
            if let Some((_, pid)) = self.owner_of(*key) {
                let owner = self.services.get(listener.service);
                let owner = owner.map_or("", |live| &live.service.name);
                return Err(format!(
                    "service {}: {address} is held by pid {pid} of service {owner}: end it with `oxinetd kill --service {owner}`, then reload again",
                    service.name
                ));
            }
            self.end_stored_listener(*key);
            if let Some(listener) = self.listeners.get_mut(*key)
                && let Some(socket) = listener.socket.take()
            {
                self.poller.remove(&socket);
                self.passed.give_back(socket);
                replaced.push(*key);
                freed = true;
            }
        }
        if freed && let Ok(socket) = self.open(address, service) {
            return Ok(socket);
        }
        Err(format!("service {}: {address}: {error}", service.name))
    }

    /// Closes what was opened for a reload that failed after all; what the service manager passed is kept.
    fn give_back(&mut self, services: Vec<Planned>) {
        for socket in services.into_iter().flat_map(|planned| planned.opened) {
            self.passed.give_back(socket);
        }
    }

    /// Opens again what was closed for a reload that failed after all.
    fn restore(&mut self, replaced: Vec<ListenerKey>) {
        let now = Instant::now();
        for key in replaced {
            self.on_bind_again(key, now);
        }
    }

    /// Puts the new table in force. Nothing here can fail.
    pub(super) fn commit(&mut self, change: Change, table: Table) -> Diff {
        let now = Instant::now();
        let ports = self.datagram_ports();
        self.set_lists(Lists::new(&table), now);
        let mut names = HashMap::with_capacity(change.services.len());
        let mut diff = Diff::default();
        let mut opened = Vec::new();
        for key in change.closing {
            self.end_owner(key, now);
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
        if self.datagram_ports() != ports {
            self.end_workers(None, now);
        }
        self.tell_unused();
        for key in std::mem::replace(&mut self.names, names).into_values() {
            if let Some(live) = self.services.get_mut(key) {
                live.removed = true;
                diff.removed.push(live.service.name.clone());
                match live.service.deadlines.on_remove {
                    OnRemove::Keep => {}
                    OnRemove::Drain => drop(self.end_service(key, Reason::Drained, Kill::Term)),
                    OnRemove::Kill => drop(self.end_service(key, Reason::Removed, Kill::Kill)),
                }
            }
            self.forget_if_gone(key);
        }
        // What serves from now on has read everything anew.
        let workers = self.services.values().filter_map(|live| live.worker);
        for worker in workers.collect::<Vec<_>>() {
            self.retire(worker);
        }
        self.settings = self.overrides.over(table.settings);
        self.log.reopen(&self.settings);
        self.files = Files::look(&table.files);
        self.table = table.services;
        self.set_budget();
        self.move_control(change.control);
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
        self.end_workers(Some(key), now);
    }

    /// A socket that stays may serve another service from now on.
    fn move_listener(&mut self, listener: ListenerKey, service: ServiceKey) {
        if self
            .listeners
            .get(listener)
            .is_some_and(|entry| entry.service != service)
        {
            self.unstore_listener(listener);
            self.end_owner(listener, Instant::now());
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
            recent: RefCell::default(),
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
