//! What the daemon keeps of each service, listener and child while they live.

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::cached::{Cached, Run};
use super::headers::Proxied;
use super::id::ConnectionId;
use super::line::OwnLine;
use super::lines::Pace;
use super::output::Output;
use super::queue::Queueing;
use super::recent::Recent;
use super::token::{ChildKey, EachKey, ListenerKey, ServiceKey};
use super::workers::Worker;
use crate::admission::{Gate, RefusalLog, Tally, Ticket};
use crate::connection::{Clock, Reason};
use crate::launch::{Connection, Plan};
use crate::listener::{Mark, Socket};
use crate::relay;
use crate::service::{Address, Local, Peer, Service};
use crate::sys::socket;

/// A service of the live table, or one that a reload removed while its children still run.
#[derive(Debug)]
pub(super) struct LiveService {
    pub service: Rc<Service>,
    pub plan: Rc<Plan>,
    pub gate: Gate,
    pub listeners: Vec<ListenerKey>,
    /// Those of them that are not polled until something changes.
    pub waiting: OwnLine,
    /// Children that have not been reaped.
    pub children: u32,
    /// Who gets the connections that are accepted now.
    pub worker: Option<ChildKey>,
    /// Connections that wait for their PROXY header.
    pub headers: u32,
    pub cached: Cached,
    pub back_off: BackOff,
    pub paused_until: Option<Instant>,
    /// Paused or drained by command.
    pub held_off: bool,
    pub draining: bool,
    /// Why its program did not start the last time.
    pub failure: Option<String>,
    pub output: Option<Output>,
    /// Of the lines of all its programs.
    pub pace: Pace,
    pub counters: Counters,
    /// What the log got of it last. In a cell, as whoever tells an event only looks at the service.
    pub recent: RefCell<Recent>,
    pub refusal_log: RefusalLog,
    /// Clients wait in the kernel's queue.
    pub queueing: Option<Queueing>,
    /// True after a reload without it: it goes when its last child has gone.
    pub removed: bool,
}

/// Totals since the start, kept over reloads.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    pub served: u64,
    pub refused: Tally,
    /// For how long clients had to wait in the kernel's queue, without the time that lasts.
    pub queued: Duration,
    pub failed: u64,
    pub last: super::status::Last,
}

/// The growing pause of a service whose program does not start (reliability P4).
#[derive(Clone, Debug, Default)]
pub(super) struct BackOff {
    failures: u32,
}

impl BackOff {
    /// Failures in a row that are let pass.
    const PATIENCE: u32 = 5;
    const LONGEST: Duration = Duration::from_secs(60);

    /// Counts a failure and tells how long the service shall pause.
    pub(super) fn failed(&mut self) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        let doublings = self.failures.checked_sub(Self::PATIENCE)?.min(6);
        Some(Duration::from_secs(1 << doublings).min(Self::LONGEST))
    }

    /// Failures in a row, for a successor of this process.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Goes on with so many.
    pub(super) fn resume(failures: u32) -> Self {
        Self { failures }
    }

    /// A program started: all is forgotten. True if the service had been backing off.
    pub(super) fn succeeded(&mut self) -> bool {
        std::mem::take(&mut self.failures) >= Self::PATIENCE
    }
}

/// A socket of a service.
#[derive(Debug)]
pub(super) struct Listener {
    pub service: ServiceKey,
    pub asked: Address,
    /// `None` while it could not be opened; it is tried again.
    pub socket: Option<Socket>,
    pub state: ListenerState,
    /// A connection whose child could not be made for lack of descriptors, memory or processes. It is not lost: it
    /// waits here until there is room.
    pub held: Option<Held>,
    /// The address of a socket that broke: it is opened there again.
    pub lost: Option<Address>,
    /// Attempts to open it that failed in a row.
    pub attempts: u32,
    /// Why the last one did.
    pub problem: Option<String>,
    /// When the next one is.
    pub retry_at: Option<Instant>,
    /// Counts the children in a row that ended without taking anything from the socket that they were lent.
    pub fruitless: BackOff,
}

impl Listener {
    /// One that is not open yet.
    pub(super) fn new(service: ServiceKey, asked: Address) -> Self {
        Self {
            service,
            asked,
            socket: None,
            state: ListenerState::Closed,
            held: None,
            lost: None,
            attempts: 0,
            problem: None,
            retry_at: None,
            fruitless: BackOff::default(),
        }
    }
}

/// Whether epoll watches a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListenerState {
    /// Watched for connections.
    Polling,
    /// Not watched, until the cause is gone.
    Waiting,
    /// Not open.
    Closed,
    /// Lent to this child, and not watched until its end.
    HandedTo(ChildKey),
}

impl ListenerState {
    /// True while a child owns the socket.
    pub(super) fn is_handed_over(self) -> bool {
        matches!(self, Self::HandedTo(_))
    }
}

/// An admitted connection without a child.
#[derive(Debug)]
pub(super) struct Held {
    pub connection: OwnedFd,
    pub peer: Peer,
    pub ticket: Ticket,
    pub since: Instant,
    /// What a PROXY header said of it.
    pub proxied: Option<Box<Proxied>>,
    /// It has had its banner.
    pub greeted: bool,
}

impl Held {
    /// Our end: the address that the client meant, where a PROXY header names it.
    pub(super) fn local(&self, listener: &Socket) -> Local {
        match self.proxied.as_ref().and_then(|proxied| proxied.local) {
            Some(address) => Local::Inet(address),
            None => listener.local_of(self.connection.as_fd()),
        }
    }

    /// What a child of ours is given to serve it.
    pub(super) fn task<'a>(
        &'a self,
        service: &'a Service,
        socket: RawFd,
        local: &'a Local,
        id: &'a ConnectionId,
    ) -> relay::Task<'a> {
        relay::Task {
            service,
            socket,
            peer: &self.peer,
            local,
            id: id.as_str(),
        }
    }

    /// What its child is told of it, with `socket` as what it serves.
    pub(super) fn given<'a>(
        &'a self,
        socket: BorrowedFd<'a>,
        local: &'a Local,
        id: &'a ConnectionId,
    ) -> Connection<'a> {
        Connection {
            socket,
            stderr: None,
            peer: Some(&self.peer),
            local,
            id: id.as_str(),
            cookie: socket::cookie(self.connection.as_fd()),
            concurrency: self.ticket.of_source(),
            proxied_from: self.proxied.as_ref().map(|proxied| &proxied.from),
            cgroup: None,
        }
    }
}

/// A live child, or a connection that one serves beside others.
#[derive(Debug)]
pub(super) struct Child {
    pub service: ServiceKey,
    pub task: Task,
    pub pid: i32,
    /// `None`: it has no process of its own.
    pub pidfd: Option<OwnedFd>,
    pub id: ConnectionId,
    /// Who came; `None`: it serves no single client.
    pub peer: Option<Peer>,
    /// Dropped when the child is released, and with nothing else.
    pub ticket: Option<Ticket>,
    pub started: Instant,
    pub launch: Launch,
    /// The daemon's own descriptor of the connection (see `connection`).
    pub connection: Option<OwnedFd>,
    /// epoll tells when its client vanishes.
    pub watched: bool,
    pub clock: Clock,
    /// When its timer is set to.
    pub due: Option<Instant>,
    /// Why the daemon ended it, if it did.
    pub reason: Option<Reason>,
    /// After TERM: when KILL follows.
    pub kill_at: Option<Instant>,
    /// Bytes of a PROXY header before the client's.
    pub header: u64,
    /// It runs for all clients of its time.
    pub run: Option<Run>,
    /// It has a control group of its own.
    pub leaf: bool,
    /// Its own stderr pipe.
    pub each: Option<EachKey>,
    /// The socket that it owns until its end.
    pub lent: Option<Lent>,
}

/// A socket in the hands of a child.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lent {
    pub listener: ListenerKey,
    /// Where its queue stood; `None`: not known.
    pub mark: Option<Mark>,
    /// The child answers datagrams for a built-in.
    pub is_worker: bool,
}

/// What an entry of the books stands for.
#[derive(Debug)]
pub(super) enum Task {
    /// A process of its own, and its one connection.
    Own,
    /// A worker of a service.
    Worker(Box<Worker>),
    /// A connection that a worker serves.
    Passed {
        /// Which.
        worker: ChildKey,
        /// How the worker calls the connection.
        number: u64,
    },
}

impl Child {
    /// A child that has just been made, or (without a pidfd) a connection that one has been given.
    pub(super) fn new(
        service: ServiceKey,
        (pid, pidfd): (i32, Option<OwnedFd>),
        id: ConnectionId,
        peer: Option<Peer>,
        ticket: Option<Ticket>,
        now: Instant,
    ) -> Self {
        Self {
            service,
            task: Task::Own,
            pid,
            pidfd,
            id,
            peer,
            ticket,
            started: now,
            launch: Launch::Running,
            connection: None,
            watched: false,
            clock: Clock::new(now),
            due: None,
            reason: None,
            kill_at: None,
            header: 0,
            run: None,
            leaf: false,
            each: None,
            lent: None,
        }
    }

    /// True for what a client is served by: everything but a worker.
    pub(super) fn is_connection(&self) -> bool {
        !matches!(self.task, Task::Worker(_))
    }
}

/// How far the launch of a child has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Launch {
    /// Between clone and exec.
    Running,
    /// The program runs.
    Done,
    /// A step failed, and the log has it: the exit that follows is no news.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_starts_at_the_fifth_failure_doubles_and_ends_at_a_minute() {
        let mut back_off = BackOff::default();
        let pauses: Vec<_> = (0..13)
            .map(|_| back_off.failed().map(|time| time.as_secs()))
            .collect();
        let late = [
            Some(1),
            Some(2),
            Some(4),
            Some(8),
            Some(16),
            Some(32),
            Some(60),
            Some(60),
            Some(60),
        ];
        assert_eq!(pauses, [&[None; 4][..], &late].concat());
        assert!(back_off.succeeded());
        assert!(!back_off.succeeded());
        assert_eq!(back_off.failed(), None);
    }
}
