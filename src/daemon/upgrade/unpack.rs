//! From the state that was left to the parts of a daemon.
//!
//! Invariant: whatever is taken has its place before the next thing that can fail, because an image that goes back needs all
//! of it open.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Instant;

use super::super::cached::Cached;
use super::super::id::{ConnectionId, ConnectionIds};
use super::super::leaves::Leaves;
use super::super::line::OwnLine;
use super::super::lines::Pace;
use super::super::output::Output;
use super::super::recent::Recent;
use super::super::state::{
    BackOff, Child, Counters, Held, Launch, Lent, Listener, ListenerState, LiveService, Task,
};
use super::super::status::Files;
use super::super::token::{ChildKey, ControlKey, EachKey, ListenerKey, ServiceKey, Token};
use super::super::workers::Worker;
use super::super::{Daemon, Timer};
use crate::admission::{Gate, House, Lists, RefusalLog, Tally};
use crate::connection::{Clock, Reason};
use crate::handover::state::{self, Awaited, Definition, Kind};
use crate::handover::{State, Unpacker};
use crate::launch::{Host, Plan};
use crate::listener::{Passed, Socket};
use crate::service::{Run, Service};
use crate::sys::poller::Interest;
use crate::sys::{process, start};

impl Daemon {
    /// Takes everything over. Returns the control clients that wait.
    pub(super) fn unpack(
        &mut self,
        state: State,
        unpacker: &mut Unpacker,
    ) -> io::Result<Vec<(ControlKey, Awaited)>> {
        let now = Instant::now();
        self.log.unpack(state.log);
        self.started = unpacker.at(state.started);
        self.house = House::going_on(&state.sources, unpacker);
        self.house.set_max(state.max_connections);
        self.ids = ConnectionIds::unpack(&state.ids);
        self.leaves = Leaves::unpack(state.leaves);
        self.files = Files::unpack(state.files, state.loaded_at);
        self.longest_turn = state.longest_turn;
        self.set_lists(Lists::new(&state.table), now);
        self.table = state.table.services;
        self.passed = Passed::unpack(&state.passed, unpacker)?;
        let mut keys = Vec::with_capacity(state.services.len());
        for live in state.services {
            keys.push(self.unpack_service(live, unpacker, now)?);
        }
        let service = |index: usize| keys.get(index).copied().ok_or_else(broken);
        let mut each = Vec::with_capacity(state.each.len());
        for record in state.each {
            let service = service(record.service)?;
            each.push(self.unpack_each(record, service, unpacker)?);
        }
        // Workers before their connections.
        let mut children: Vec<Option<ChildKey>> = vec![None; state.children.len()];
        let is_passed = |child: &state::Child| matches!(child.task, state::Task::Passed { .. });
        for passed in [false, true] {
            for (index, child) in state.children.iter().enumerate() {
                if is_passed(child) == passed {
                    let service = service(child.service)?;
                    let key = self.unpack_child(child, service, &each, &children, unpacker)?;
                    if let Some(place) = children.get_mut(index) {
                        *place = Some(key);
                    }
                    if let Some((owner, place)) = child.lent {
                        let owner = keys.get(owner).copied().ok_or_else(broken)?;
                        self.unpack_lent(key, owner, place).ok_or_else(broken)?;
                    }
                }
            }
        }
        for one in &state.lingering {
            self.unpack_lingering(one, unpacker)?;
        }
        for one in &state.refused {
            self.unpack_refused(one, unpacker, now)?;
        }
        for one in &state.remains {
            self.unpack_remains(one, unpacker)?;
        }
        self.house.unpack(&state.sources);
        if let Some(queueing) = &state.queueing {
            self.unpack_queueing(None, queueing, unpacker);
        }
        if let Some(exhausted) = state.exhausted {
            self.unpack_exhausted(exhausted, unpacker, now);
        }
        if self.leaves.are_stale() {
            self.timers.set(now, Timer::Leaves);
        }
        if start::adopts_orphans() {
            self.on_child_signal(now);
        }
        self.unpack_manager(state.manager);
        self.unpack_control(state.control, unpacker)
    }

    fn unpack_service(
        &mut self,
        record: state::Live,
        unpacker: &mut Unpacker,
        now: Instant,
    ) -> io::Result<ServiceKey> {
        let (service, removed) = match record.definition {
            Definition::Table(index) => {
                (Rc::clone(self.table.get(index).ok_or_else(broken)?), false)
            }
            Definition::Removed(service) => (service, true),
        };
        let mut gate = Gate::new(&self.house, &service.admission, &self.lists.lists, now);
        gate.unpack(&self.house, &record.gate, now);
        let name = service.name.clone();
        let key = self.services.insert(LiveService {
            plan: plan(&service, &self.host)?,
            service,
            gate,
            listeners: Vec::new(),
            waiting: OwnLine::default(),
            children: 0,
            headers: 0,
            cached: Cached::default(),
            worker: None,
            back_off: BackOff::resume(record.start_failures),
            paused_until: record.paused_until.map(|until| unpacker.at(until)),
            held_off: record.held_off,
            draining: record.draining,
            failure: record.failure,
            output: None,
            pace: Pace::unpack(record.pace, unpacker),
            counters: Counters {
                served: record.served,
                refused: Tally::from_words(&record.refused),
                queued: record.queued,
                failed: record.failed,
                last: record.last.map(|(peer, at)| (peer, unpacker.at(at))),
            },
            refusal_log: RefusalLog::unpack(&record.refusal_log, unpacker),
            queueing: None,
            recent: RefCell::new(Recent::unpack(record.recent)),
            removed,
        });
        if !removed {
            self.names.insert(name, key);
        }
        if let Some(output) = record.output {
            let output = Output::unpack(output, unpacker)?;
            if let Some(live) = self.services.get_mut(key) {
                let output = live.output.insert(output);
                let token = Token::Output(key).bits();
                self.poller
                    .add(output.reader(), Interest::Readable, token)?;
            }
        }
        for listener in record.listeners {
            self.unpack_listener(key, listener, unpacker, now)?;
        }
        if let Some(queueing) = &record.queueing {
            self.unpack_queueing(Some(key), queueing, unpacker);
        }
        self.set_timers(key);
        Ok(key)
    }

    fn set_timers(&mut self, key: ServiceKey) {
        let Some(live) = self.services.get(key) else {
            return;
        };
        for (at, timer) in [
            (live.paused_until, Timer::Wake(key)),
            (live.refusal_log.due(), Timer::Refusals(key)),
            (live.pace.due(), Timer::Output(key)),
        ] {
            if let Some(at) = at {
                self.timers.set(at, timer);
            }
        }
    }

    fn unpack_listener(
        &mut self,
        service: ServiceKey,
        record: state::Listener,
        unpacker: &mut Unpacker,
        now: Instant,
    ) -> io::Result<()> {
        let key = self.listeners.insert(Listener {
            lost: record.lost,
            attempts: record.attempts,
            retry_at: record.socket.is_none().then_some(now),
            ..Listener::new(service, record.asked)
        });
        if let Some(live) = self.services.get_mut(service) {
            live.listeners.push(key);
        }
        match &record.socket {
            Some(socket) => self.take_listener(key, socket, unpacker)?,
            None => self.timers.set(now, Timer::Bind(key)),
        }
        if let Some(held) = &record.held {
            self.unpack_held(key, service, held, unpacker)?;
        }
        Ok(())
    }

    fn take_listener(
        &mut self,
        key: ListenerKey,
        record: &state::Socket,
        unpacker: &mut Unpacker,
    ) -> io::Result<()> {
        let Some(listener) = self.listeners.get_mut(key) else {
            return Ok(());
        };
        listener.state = ListenerState::Polling;
        let socket = listener.socket.insert(Socket::unpack(record, unpacker)?);
        let token = Token::Listener(key).bits();
        self.poller.add(socket.as_fd(), Interest::Readable, token)
    }

    /// It is tried again with everything else that waits for the daemon.
    fn unpack_held(
        &mut self,
        key: ListenerKey,
        service: ServiceKey,
        record: &state::Held,
        unpacker: &mut Unpacker,
    ) -> io::Result<()> {
        let gate = self.services.get(service).map(|live| &live.gate);
        let ticket = gate
            .and_then(|gate| gate.readmit(&self.house, record.ticket))
            .ok_or_else(broken)?;
        if let Some(listener) = self.listeners.get_mut(key) {
            listener.held = Some(Held {
                connection: unpacker.fd(&record.connection, Kind::Socket)?,
                peer: record.peer.clone(),
                ticket,
                since: unpacker.at(record.since),
                proxied: None,
                greeted: record.greeted,
            });
        }
        self.rest(key);
        Ok(())
    }

    /// It owns the socket with this index in its service.
    fn unpack_lent(&mut self, key: ChildKey, service: ServiceKey, index: usize) -> Option<()> {
        let live = self.services.get(service)?;
        let listener = *live.listeners.get(index)?;
        let entry = self.listeners.get_mut(listener)?;
        self.poller.remove(entry.socket.as_ref()?);
        entry.state = ListenerState::HandedTo(key);
        self.children.get_mut(key)?.lent = Some(Lent {
            listener,
            mark: None,
            is_worker: !matches!(live.service.run, Run::Program(_)),
        });
        Some(())
    }

    /// A child is ours if the kernel lets us wait for it. Its number is its own, because nobody has reaped it.
    fn unpack_child(
        &mut self,
        record: &state::Child,
        service: ServiceKey,
        each: &[EachKey],
        children: &[Option<ChildKey>],
        unpacker: &mut Unpacker,
    ) -> io::Result<ChildKey> {
        let (task, pidfd) = match &record.task {
            state::Task::Own => (Task::Own, Some(own_child(record.pid)?)),
            state::Task::Worker(worker) => {
                let pidfd = own_child(record.pid)?;
                let worker = Worker::unpack(worker, unpacker)?;
                (Task::Worker(Box::new(worker)), Some(pidfd))
            }
            state::Task::Passed { worker, number } => {
                let worker = children.get(*worker).copied().flatten();
                let (worker, number) = (worker.ok_or_else(broken)?, *number);
                (Task::Passed { worker, number }, None)
            }
        };
        let live = self.services.get_mut(service).ok_or_else(broken)?;
        let ticket = match record.ticket {
            Some(source) => Some(live.gate.readmit(&self.house, source).ok_or_else(broken)?),
            None => None,
        };
        live.children += 1;
        let started = unpacker.at(record.started);
        let (active, received, acked) = record.active;
        let key = self.children.insert(Child {
            launch: if record.failed {
                Launch::Failed
            } else {
                Launch::Done
            },
            clock: Clock::resume(started, (unpacker.at(active), received, acked)),
            reason: record.reason.as_deref().and_then(Reason::from_word),
            kill_at: record.kill_at.map(|at| unpacker.at(at)),
            header: record.header,
            leaf: record.leaf,
            each: record.each.and_then(|index| each.get(index).copied()),
            watched: record.watched,
            task,
            ..Child::new(
                service,
                (record.pid, pidfd),
                ConnectionId::from_text(&record.id),
                record.peer.clone(),
                ticket,
                started,
            )
        });
        self.set_due(key, record.due.map(|due| unpacker.at(due)));
        match record.task {
            state::Task::Own => {}
            state::Task::Worker(_) => self.resume_worker(key)?,
            state::Task::Passed { worker, number } => {
                let worker = children.get(worker).copied().flatten();
                self.resume_passed(key, worker.ok_or_else(broken)?, number);
            }
        }
        let Some(child) = self.children.get_mut(key) else {
            return Ok(key);
        };
        if let Some(pidfd) = &child.pidfd {
            let token = Token::Child(key).bits();
            self.poller.add(pidfd.as_fd(), Interest::Readable, token)?;
        }
        if let Some(connection) = &record.connection {
            let connection = child
                .connection
                .insert(unpacker.fd(connection, Kind::Socket)?);
            if child.watched {
                let token = Token::Connection(key).bits();
                self.poller
                    .add(connection.as_fd(), Interest::HangUpOnce, token)?;
            }
        }
        Ok(key)
    }

    fn unpack_remains(&mut self, record: &state::Remains, unpacker: &Unpacker) -> io::Result<()> {
        let pidfd = own_child(record.pid)?;
        self.take_remains(record, pidfd, unpacker);
        Ok(())
    }
}

fn own_child(pid: i32) -> io::Result<OwnedFd> {
    let wrong = |error: io::Error| io::Error::other(format!("pid {pid} is no child: {error}"));
    let pidfd = process::open(pid).map_err(wrong)?;
    process::peek(pidfd.as_fd()).map_err(wrong)?;
    Ok(pidfd)
}

/// `State::check` has seen to it.
fn broken() -> io::Error {
    io::Error::other("the state contradicts itself")
}

/// The plan of a service.
pub(super) fn plan(service: &Rc<Service>, host: &Host) -> io::Result<Rc<Plan>> {
    match Plan::prepare(service, host) {
        Ok(plan) => Ok(Rc::new(plan)),
        Err(error) => Err(io::Error::other(format!(
            "service {}: {error}",
            service.name
        ))),
    }
}
