//! Workers: one child serves all stream connections of a service with `model = "event"` or `"thread"`.
//!
//! The daemon accepts and admits as always, and keeps every connection in its books ([`Child`]), with its ticket, its
//! deadlines, and its own descriptor. Connections are passed on at the end of a turn, many in one record, and their ends
//! come back as records (`builtin::worker`). To end one, the daemon shuts it down, whoever serves it.
//!
//! Invariant: the daemon waits for no worker, and believes none what its books do not allow. A worker that takes nothing
//! leaves its clients in the queue of the kernel; one that tells nonsense, or does not end what is to end, is killed, and
//! its connections end with it. Both are the business of one service.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::accept::NotMade;
use super::state::{Child, Held, Launch, Task};
use super::token::{ChildKey, ServiceKey, Token};
use super::{Daemon, Timer, watch};
use crate::builtin::worker::{ENDS, End, MOST, ends, passing};
use crate::builtin::{self, UNUSABLE};
use crate::connection::Reason;
use crate::event::{self, Event};
use crate::handover::state::{self as handover, Kind};
use crate::handover::{Packer, Unpacker};
use crate::launch::Connection;
use crate::service::{Local, LogLevel, Run, UnixName};
use crate::sys::poller::Interest;
use crate::sys::process::{self, Dead, Kill};
use crate::sys::{pass, socket};

/// Records taken from one worker in one turn.
const BATCH: usize = 16;
/// A worker that has lived this long has started: its end is not counted with those before.
const PROVEN: Duration = Duration::from_secs(10);
/// How soon a worker is tried again to whom nothing could be passed for want of memory.
const RETRY: Duration = Duration::from_millis(100);

/// A worker, beside what every child has.
#[derive(Debug)]
pub(super) struct Worker {
    /// Our end of the pair.
    pair: OwnedFd,
    /// Its connections that have not ended, by their numbers.
    clients: BTreeMap<u64, ChildKey>,
    /// The number of the next one.
    next: u64,
    /// Those from this number on have not been passed yet.
    passed: u64,
    standing: Standing,
    /// It takes nothing for the moment.
    full: bool,
}

/// How the daemon stands to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It gets the connections of its service.
    Serving,
    /// It gets no more, and ends with its last one.
    Retired,
    /// It is being killed, and not listened to.
    Distrusted,
}

impl Worker {
    fn new(pair: OwnedFd) -> Self {
        Self {
            pair,
            clients: BTreeMap::new(),
            next: 0,
            passed: 0,
            standing: Standing::Serving,
            full: false,
        }
    }

    /// A connection is to be passed on.
    fn add(&mut self, client: ChildKey) {
        self.clients.insert(self.next, client);
        self.next += 1;
    }

    /// Takes out what has ended, if that may be true.
    fn remove(&mut self, number: u64) -> Option<ChildKey> {
        let was_passed = number < self.passed;
        self.clients.remove(&number).filter(|_| was_passed)
    }

    /// True when so many wait that one record is full.
    fn is_loaded(&self) -> bool {
        !self.full && self.next - self.passed >= MOST as u64
    }
}

impl Worker {
    /// For the next image.
    pub(super) fn pack(&self, packer: &mut Packer) -> io::Result<handover::Worker> {
        Ok(handover::Worker {
            pair: packer.fd(self.pair.as_fd())?,
            next: self.next,
            passed: self.passed,
            retired: self.standing == Standing::Retired,
            distrusted: self.standing == Standing::Distrusted,
        })
    }

    /// As the last image left it. Its connections follow.
    pub(super) fn unpack(record: &handover::Worker, unpacker: &mut Unpacker) -> io::Result<Self> {
        let pair = unpacker.fd(&record.pair, Kind::Socket)?;
        Ok(Self {
            next: record.next,
            passed: record.passed.min(record.next),
            standing: match (record.retired, record.distrusted) {
                (_, true) => Standing::Distrusted,
                (true, false) => Standing::Retired,
                (false, false) => Standing::Serving,
            },
            ..Self::new(pair)
        })
    }
}

impl Daemon {
    /// True when a worker can be given another connection.
    pub(super) fn takes(&mut self, key: ChildKey) -> bool {
        if self.worker(key).is_some_and(Worker::is_loaded) {
            self.pass_on(key);
        }
        self.worker(key).is_some_and(|worker| !worker.full)
    }

    /// Gives an admitted connection to the worker of its service. Without a worker it is given back.
    pub(super) fn give(
        &mut self,
        service: ServiceKey,
        held: Held,
        now: Instant,
    ) -> Result<(), (Held, NotMade)> {
        let key = match self.worker_of(service, now) {
            Ok(key) => key,
            Err(error) => return Err((held, error)),
        };
        let pid = self.children.get(key).map_or(0, |child| child.pid);
        let id = self.ids.next();
        let (peer, ticket) = (Some(held.peer), Some(held.ticket));
        let number = self.worker(key).map_or(0, |worker| worker.next);
        let client = self.children.insert(Child {
            task: Task::Passed {
                worker: key,
                number,
            },
            launch: Launch::Done,
            header: held.proxied.map_or(0, |proxied| proxied.length),
            ..Child::new(service, (pid, None), id, peer, ticket, now)
        });
        if let Some(worker) = self.worker_mut(key) {
            worker.add(client);
        }
        self.passing.push(key);
        let peer = self
            .children
            .get(client)
            .and_then(|child| child.peer.clone());
        self.on_launched(service, client);
        self.count_served(service, peer, now);
        self.watch(client, held.connection);
        Ok(())
    }

    /// The worker that serves, or a new one.
    fn worker_of(&mut self, service: ServiceKey, now: Instant) -> Result<ChildKey, NotMade> {
        let Some(live) = self.services.get(service) else {
            return Err(NotMade::of("service", &io::Error::other("gone")));
        };
        if let Some(key) = live.worker {
            return Ok(key);
        }
        let rules = Rc::clone(&live.service);
        let (ours, theirs) = pass::pair().map_err(|error| NotMade::of("socketpair", &error))?;
        let id = self.ids.next();
        let nowhere = Local::Unix(UnixName::Abstract(String::new()));
        let connection = Connection {
            socket: theirs.as_fd(),
            stderr: None,
            peer: None,
            local: &nowhere,
            id: id.as_str(),
            cookie: 0,
            concurrency: 0,
            proxied_from: None,
            cgroup: None,
        };
        let body = |fd| {
            process::set_name(&format!("worker: {}", rules.name));
            match &rules.run {
                Run::Builtin(builtin) => builtin::serve(builtin, fd),
                Run::Program(_) | Run::Redirect(_) => UNUSABLE,
            }
        };
        let key = self.make_child(service, id, connection, &body, now)?;
        let token = Token::Worker(key).bits();
        let _ = self.poller.add(ours.as_fd(), Interest::Readable, token);
        if let Some(child) = self.children.get_mut(key) {
            child.task = Task::Worker(Box::new(Worker::new(ours)));
        }
        if let Some(live) = self.services.get_mut(service) {
            live.worker = Some(key);
            live.children += 1;
        }
        self.timers.set(now + PROVEN, Timer::Worker(key));
        Ok(key)
    }

    /// All workers get what has come for them in this turn.
    pub(super) fn pass_all_on(&mut self) {
        self.passing.dedup();
        while let Some(key) = self.passing.pop() {
            self.pass_on(key);
        }
    }

    /// Passes on what waits for a worker, as far as it takes it.
    fn pass_on(&mut self, key: ChildKey) {
        let Some(worker) = self.worker(key) else {
            return;
        };
        if worker.standing == Standing::Distrusted {
            return;
        }
        let (passed, outcome) = self.send_waiting(worker);
        let (full, was_full) = (outcome.is_err(), worker.full);
        // A broken pair is that of a worker that is dying: its exit tells the rest.
        let waits = outcome.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        if full || was_full {
            let interest = if waits {
                Interest::Both
            } else {
                Interest::Readable
            };
            let token = Token::Worker(key).bits();
            let _ = self.poller.modify(worker.pair.as_fd(), interest, token);
        }
        if worker.standing == Standing::Retired && passed == worker.next {
            pass::end(worker.pair.as_fd());
        }
        if full && !waits {
            self.timers.set(Instant::now() + RETRY, Timer::Worker(key));
        }
        let Some(child) = self.children.get_mut(key) else {
            return;
        };
        let service = child.service;
        if let Task::Worker(worker) = &mut child.task {
            (worker.passed, worker.full) = (passed, full);
        }
        if was_full && !full {
            self.wake_service(service);
        }
    }

    /// Sends the connections that wait. Answers how far that came, and why it ended.
    fn send_waiting(&self, worker: &Worker) -> (u64, io::Result<()>) {
        let mut passed = worker.passed;
        while passed < worker.next {
            let end = worker.next.min(passed + MOST as u64);
            // Each is in the books and has a descriptor, as its end cannot have been told.
            let fd = |number| {
                let client = self.children.get(*worker.clients.get(&number)?)?;
                client.connection.as_ref().map(AsFd::as_fd)
            };
            let fds: Vec<BorrowedFd<'_>> = (passed..end).filter_map(fd).collect();
            if let Err(error) = pass::send(worker.pair.as_fd(), &passing(passed..end), &fds) {
                return (passed, Err(error));
            }
            passed = end;
        }
        (passed, Ok(()))
    }

    /// A worker has told something, or takes something again.
    pub(super) fn on_worker(&mut self, key: ChildKey, now: Instant) {
        for _ in 0..BATCH {
            let Some(worker) = self.worker(key) else {
                return;
            };
            let mut record = [0; ENDS];
            let length = match pass::receive_words(worker.pair.as_fd(), &mut record) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return self.distrust(key, "told something that is no record", now),
            };
            if length == 0 {
                // Its end of the pair is closed: it has exited, as its pidfd will tell, or it is no worker any more.
                self.poller.remove(&worker.pair);
                if worker.standing == Standing::Serving {
                    self.distrust(key, "hung up", now);
                }
                return;
            }
            let told = ends(record.get(..length).unwrap_or_default());
            let Some(told) = told else {
                return self.distrust(key, "told something that is no record", now);
            };
            for End { number, status } in told {
                let client = self.worker_mut(key).and_then(|it| it.remove(number));
                let Some(client) = client else {
                    let what = "told the end of a connection that it does not have";
                    return self.distrust(key, what, now);
                };
                self.on_passed_end(client, event::End::Status(status.into()), now);
            }
        }
        if self.worker(key).is_some_and(|worker| worker.full) {
            self.pass_on(key);
        }
    }

    /// A worker has lived for a while, or may take something again.
    pub(super) fn on_worker_due(&mut self, key: ChildKey, now: Instant) {
        let Some(child) = self.children.get(key) else {
            return;
        };
        let service = child.service;
        let is_proven = now.saturating_duration_since(child.started) >= PROVEN;
        let serves = self
            .services
            .get(service)
            .is_some_and(|live| live.worker == Some(key));
        if is_proven && serves {
            self.on_program_started(service);
        }
        if self.worker(key).is_some_and(|worker| worker.full) {
            self.pass_on(key);
        }
    }

    /// A connection that was passed on is over: told, closed, released.
    fn on_passed_end(&mut self, key: ChildKey, end: event::End, now: Instant) {
        let Some(child) = self.release(key) else {
            return;
        };
        let Some(live) = self.services.get(child.service) else {
            return;
        };
        if live.service.log.exit {
            let event = Event::Exit {
                service: &live.service.name,
                pid: child.pid,
                end,
                duration: now.saturating_duration_since(child.started),
                bytes: watch::account(&child),
                cpu: None,
                max_rss: None,
                reason: child.reason.map(Reason::word),
                id: child.id.as_str(),
            };
            Self::tell(&mut self.log, Some(live), &event);
        }
        // Whoever still holds a descriptor of it, it ends here.
        if let Some(connection) = child.connection.as_ref().map(AsFd::as_fd) {
            socket::shut_down(connection);
        }
    }

    /// A worker is dead, and out of the books: its connections end with it.
    pub(super) fn on_worker_exit(
        &mut self,
        key: ChildKey,
        child: &Child,
        dead: &Dead,
        now: Instant,
    ) {
        let Task::Worker(worker) = &child.task else {
            return;
        };
        for client in worker.clients.values() {
            self.on_passed_end(*client, dead.end, now);
        }
        self.poller.remove(&worker.pair);
        let Some(live) = self.services.get_mut(child.service) else {
            return;
        };
        if live.worker == Some(key) {
            live.worker = None;
        }
        let as_told = match worker.standing {
            Standing::Serving | Standing::Distrusted => false,
            Standing::Retired => dead.end == event::End::Status(0) || child.reason.is_some(),
        };
        if as_told || child.launch == Launch::Failed {
            return;
        }
        let how = match dead.end {
            event::End::Status(status) => format!("exited with status {status}"),
            event::End::Signal(signal) => format!("was ended by signal {signal}"),
        };
        let text = format!(
            "the worker (pid {}) {how}, and {} connections with it; the next connection starts another",
            child.pid,
            worker.clients.len()
        );
        live.failure = Some(format!("its worker {how}"));
        self.note_worker(child.service, &text);
        self.back_off(child.service, now);
    }

    /// A worker gets no more connections, and ends with its last one.
    pub(super) fn retire(&mut self, key: ChildKey) {
        if let Some(worker) = self.worker_mut(key)
            && worker.standing == Standing::Serving
        {
            worker.standing = Standing::Retired;
        }
        self.dismiss(key);
        self.pass_on(key);
    }

    /// The service gives this worker nothing any more.
    fn dismiss(&mut self, key: ChildKey) {
        let service = self.children.get(key).map(|child| child.service);
        if let Some(live) = service.and_then(|service| self.services.get_mut(service))
            && live.worker == Some(key)
        {
            live.worker = None;
        }
    }

    /// Kills a worker that does not do what it should. Its service starts another with its next connection.
    pub(super) fn distrust(&mut self, key: ChildKey, what: &str, now: Instant) {
        let Some(child) = self.children.get_mut(key) else {
            return;
        };
        let (service, pid) = (child.service, child.pid);
        let Task::Worker(worker) = &mut child.task else {
            return;
        };
        if worker.standing == Standing::Distrusted {
            return;
        }
        worker.standing = Standing::Distrusted;
        self.poller.remove(&worker.pair);
        self.dismiss(key);
        let text = format!("the worker (pid {pid}) {what}: it is killed");
        self.note_worker(service, &text);
        self.end(key, Reason::Killed, Kill::Kill, now);
    }

    fn note_worker(&mut self, service: ServiceKey, text: &str) {
        let live = self.services.get(service);
        let event = Event::Note {
            level: LogLevel::Warning,
            service: live.map(|live| live.service.name.as_str()),
            text,
        };
        Self::tell(&mut self.log, live, &event);
    }

    /// A worker that the last image left is served, and serves, as before.
    pub(super) fn resume_worker(&mut self, key: ChildKey) -> io::Result<()> {
        let (Some(child), Some(worker)) = (self.children.get(key), self.worker(key)) else {
            return Ok(());
        };
        let (service, standing) = (child.service, worker.standing);
        if standing != Standing::Distrusted {
            let token = Token::Worker(key).bits();
            self.poller
                .add(worker.pair.as_fd(), Interest::Readable, token)?;
        }
        self.timers.set(child.started + PROVEN, Timer::Worker(key));
        self.passing.push(key);
        if standing == Standing::Serving
            && let Some(live) = self.services.get_mut(service)
        {
            live.worker = Some(key);
        }
        Ok(())
    }

    /// The same for one of its connections.
    pub(super) fn resume_passed(&mut self, key: ChildKey, worker: ChildKey, number: u64) {
        if let Some(worker) = self.worker_mut(worker) {
            worker.clients.insert(number, key);
        }
    }

    fn worker(&self, key: ChildKey) -> Option<&Worker> {
        match &self.children.get(key)?.task {
            Task::Worker(worker) => Some(worker),
            Task::Own | Task::Passed { .. } => None,
        }
    }

    fn worker_mut(&mut self, key: ChildKey) -> Option<&mut Worker> {
        match &mut self.children.get_mut(key)?.task {
            Task::Worker(worker) => Some(worker),
            Task::Own | Task::Passed { .. } => None,
        }
    }
}
