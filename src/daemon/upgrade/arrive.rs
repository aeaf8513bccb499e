//! The image that comes: from the state that was left to a daemon that serves.
//!
//! Invariant: until it is ready, nothing that was left is closed, unlinked or changed, so that the old image can come back
//! and find all of it.

use std::ffi::OsString;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::super::id::{ConnectionId, ConnectionIds};
use super::super::leaves::Leaves;
use super::super::line::OwnLine;
use super::super::lines::Pace;
use super::super::output::Output;
use super::super::start::{EVENTS, Overrides, Start};
use super::super::state::{
    BackOff, Child, Counters, Held, Launch, Listener, ListenerState, LiveService, Task,
};
use super::super::status::Files;
use super::super::token::{ChildKey, ControlKey, EachKey, ListenerKey, ServiceKey, Token};
use super::super::workers::Worker;
use super::super::{ControlSocket, Daemon, Manager, Source, Timer};
use super::VERSION;
use crate::admission::{Gate, House, Lists, RefusalLog, Tally};
use crate::connection::{Clock, Reason};
use crate::control::Answer;
use crate::event::Event;
use crate::handover::state::{self, Awaited, Definition, Kind};
use crate::handover::{self, Order, READY, State, Unpacker, VARIABLE};
use crate::launch::{Host, Plan};
use crate::listener::{Inherited, Socket};
use crate::service::Service;
use crate::sys::fallback::Fallback;
use crate::sys::image::{self, Image};
use crate::sys::poller::{Interest, Poller};
use crate::sys::signals::Signals;
use crate::sys::{heirloom, memfd, memory, process, signals, start};

/// Of what an image says when it goes back, so much is passed on.
const PROBLEM: usize = 400;

/// Reads the state and checks what can be checked without it; the answer is for standard error.
pub fn rehearse(state: i32) -> io::Result<String> {
    let state = read(heirloom::adopt(state)?)?;
    let host = host(&state)?;
    for service in state.table.services.iter().filter(|one| one.enabled) {
        plan(service, &host)?;
    }
    Ok(format!("{READY} {VERSION}\n"))
}

/// Serves in the place of another image until TERM. Returns only when that is over, or when there is no way on or back.
pub fn take_over(order: &Order) -> io::Result<()> {
    signals::block_all_and_reset()?;
    let (number, old, problem) = match order {
        Order::Rehearse(_) => return Err(io::Error::other("this is a rehearsal")),
        Order::TakeOver { state, image } => (*state, Some(*image), None),
        Order::GoBack { state, problem } => (*state, None, Some(problem.as_str())),
    };
    let record = heirloom::adopt(number)?;
    let old = old
        .map(|number| heirloom::adopt(number).map(Image::inherited))
        .transpose()?;
    let fallback = old.as_ref().map(|old| arm(old, number)).transpose()?;
    let mut daemon = match arrive(&record, old.as_ref(), problem) {
        Ok(daemon) => daemon,
        Err(error) => {
            if let Some(old) = &old {
                return Err(back(old, number, &error));
            }
            return Err(error);
        }
    };
    if let Some(fallback) = fallback {
        fallback.disarm()?;
    }
    drop((record, old));
    start::forget_manager();
    daemon.tell_manager_ready(&[], Instant::now());
    memory::release();
    daemon.serve()
}

/// What a crash of this image does.
fn arm(old: &Image, state: i32) -> io::Result<Fallback> {
    let problem = "the new program crashed".to_owned();
    let order = Order::GoBack { state, problem }.to_string();
    Fallback::arm(old.prepare(&[(VARIABLE, order.into())])?)
}

/// Becomes the old image again. Returns if that fails too.
fn back(old: &Image, state: i32, error: &io::Error) -> io::Error {
    let text = format!("the new program could not take over: {error}");
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let order = Order::GoBack {
        state,
        problem: clean.take(PROBLEM).collect(),
    };
    match old.prepare(&[(VARIABLE, order.to_string().into())]) {
        Ok(exec) => exec.run(),
        Err(error) => error,
    }
}

fn read(record: OwnedFd) -> io::Result<State> {
    handover::decode_state(&memfd::read_sealed(record, handover::LIMIT)?)
}

/// What children get back is what the first image found; what the kernel allows is asked anew.
fn host(state: &State) -> io::Result<Host> {
    let start = &state.start;
    let (soft_open_files, hard_open_files) = start.open_files;
    let text = |bytes: &Vec<u8>| OsString::from_vec(bytes.clone());
    Ok(Host {
        soft_open_files,
        hard_open_files,
        environment: start
            .environment
            .iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect(),
        ignored_signals: start.ignored_signals,
        oom_score_adj: start.oom_score_adj,
        nice: start.nice,
        ..Host::found()?
    })
}

fn plan(service: &Rc<Service>, host: &Host) -> io::Result<Rc<Plan>> {
    match Plan::prepare(service, host) {
        Ok(plan) => Ok(Rc::new(plan)),
        Err(error) => Err(io::Error::other(format!(
            "service {}: {error}",
            service.name
        ))),
    }
}

/// Makes the daemon. `problem`: this image comes back because another could not take over.
fn arrive(record: &OwnedFd, old: Option<&Image>, problem: Option<&str>) -> io::Result<Daemon> {
    let state = read(record.try_clone()?)?;
    image::set_name(&state.start.image);
    let kept = state.descriptors().into_iter().map(|one| one.number);
    let own = [record.as_raw_fd()].into_iter();
    let kept: Vec<i32> = kept.chain(own).chain(old.map(Image::number)).collect();
    start::close_inherited(&kept)?;
    let mut unpacker = Unpacker::new(&state)?;
    let mut daemon = assemble(&state)?;
    let left = unpacker.at(state.left);
    let from = state.program.clone();
    let reload = state.reload;
    match daemon.unpack(state, &mut unpacker) {
        Ok(clients) => {
            unpacker.found().keep();
            daemon.tell_arrival(&from, left, problem, &clients, reload);
            Ok(daemon)
        }
        Err(error) => {
            // Its descriptors stay open: the old image needs them.
            mem::forget(daemon);
            Err(error)
        }
    }
}

/// A daemon that has nothing yet.
fn assemble(state: &State) -> io::Result<Daemon> {
    let open_files = start::raise_open_files()?;
    let poller = Poller::new(EVENTS)?;
    let signals = Signals::open(start::adopts_orphans())?;
    poller.add(signals.as_fd(), Interest::Readable, Token::Signals.bits())?;
    let start = Start {
        source: match &state.start.source {
            state::Source::Named(path) => Source::Named(path.clone()),
            state::Source::Default => Source::Default,
            state::Source::Text(name, text) => Source::Text {
                name: name.clone(),
                text: text.clone(),
            },
        },
        overrides: Overrides {
            control: match &state.start.control {
                state::ControlWord::OfTable => ControlSocket::OfTable,
                state::ControlWord::Off => ControlSocket::Off,
                state::ControlWord::At(name) => ControlSocket::At(name.clone()),
            },
            log_format: state.start.log_format,
        },
        ready_fd: None,
        pid_file: state.start.pid_file.clone(),
        program: Ok(state.start.image.clone()),
        host: host(state)?,
        open_files,
        manager: Manager::find(start::floor(open_files))?,
        inherited: Inherited::default(),
        color: false,
    };
    start.assemble(poller, signals, state.table.settings.clone())
}

impl Daemon {
    /// Takes everything over. Returns the control clients that wait. Whatever is taken has its place before the next thing
    /// that can fail.
    fn unpack(
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
            service,
            asked: record.asked,
            socket: None,
            state: ListenerState::Closed,
            held: None,
            lost: record.lost,
            attempts: record.attempts,
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
            });
        }
        self.rest(key);
        Ok(())
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

    /// Tells how it went, and answers who waited for it.
    fn tell_arrival(
        &mut self,
        from: &str,
        left: Instant,
        problem: Option<&str>,
        clients: &[(ControlKey, Awaited)],
        reload: bool,
    ) {
        let waiting = |what: Awaited| {
            let those = clients.iter().filter(move |(_, awaited)| *awaited == what);
            those.map(|(key, _)| *key).collect::<Vec<_>>()
        };
        let now = Instant::now();
        let away = now.duration_since(left);
        match problem {
            Some(problem) => self.tell_failed_upgrade(problem, waiting(Awaited::Upgrade)),
            None => self.tell_upgrade(from, away, waiting(Awaited::Upgrade)),
        }
        if reload {
            self.start_load_child(now, waiting(Awaited::Reload));
        }
        self.log.flush(now);
    }

    fn tell_upgrade(&mut self, from: &str, away: Duration, clients: Vec<ControlKey>) {
        let connections = self.house.live();
        let event = Event::Upgraded {
            from,
            to: VERSION,
            away,
            connections,
        };
        Self::tell(&mut self.log, None, &event);
        let text = format!(
            "upgraded from version {from} to {VERSION}: away for {} ms, {connections} connections live on",
            away.as_millis()
        );
        self.answer_all(clients, &Answer::Done(text));
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
