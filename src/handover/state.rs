//! Everything that an image leaves to its successor, as plain records.
//!
//! Invariant: nothing in here was chosen by a peer or a child without being escaped by the encoding and bounded by
//! [`State::check`]; indices lead somewhere, descriptors are named once. What a descriptor is and whose child a process is
//! is asked of the kernel when it is taken over, not believed.
//!
//! A field that a later version adds has a default, so that it reads the state of an earlier one.

use std::collections::HashSet;
use std::io;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::service::{Address, LogFormat, LogLevel, LogTarget, Peer, Service, Table, UnixName};

/// A moment: ns of CLOCK_MONOTONIC, which is the same for all processes of a boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp(pub u64);

/// A descriptor that goes over: its number, and what it is recognized by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Its number, in both images.
    pub number: i32,
    /// Device of the open file.
    pub device: u64,
    /// Inode of the open file.
    pub inode: u64,
    /// What it is.
    pub kind: Kind,
}

/// What a descriptor leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A socket.
    Socket,
    /// One end of a pipe.
    Pipe,
    /// A regular file.
    File,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The version of the program that wrote it.
    pub program: String,
    /// When it stopped to serve.
    pub left: Stamp,
    /// When the first image began to serve.
    pub started: Stamp,
    /// When the one that wrote this did.
    pub image_started: Stamp,
    /// What the process was started with.
    pub start: Start,
    /// The table in force, with the lists as they are in force.
    pub table: Table,
    /// What the files of the table looked like when they were read: inode, size, time.
    pub files: Vec<(PathBuf, Option<Fingerprint>)>,
    /// When that was.
    pub loaded_at: SystemTime,
    /// The limit over all services.
    pub max_connections: Option<NonZeroU32>,
    /// Services that are served, or were and have children.
    pub services: Vec<Live>,
    /// Live children.
    pub children: Vec<Child>,
    /// Connections whose programs have ended.
    pub lingering: Vec<Lingering>,
    /// Stderr pipes of single connections.
    pub each: Vec<Each>,
    /// Dead leaders whose trees may live.
    pub remains: Vec<Remains>,
    /// Refused connections that are not closed yet.
    pub refused: Vec<Refused>,
    /// What is remembered of sources.
    pub sources: Sources,
    /// Clients wait for the limit of the whole daemon.
    pub queueing: Option<Queueing>,
    /// Descriptors, memory or processes were used up: when it was told, and when it was met last.
    pub exhausted: Option<(Option<Stamp>, Option<Stamp>)>,
    /// The first part of connection ids, and how many there were.
    pub ids: (String, u64),
    /// Control groups.
    pub leaves: Leaves,
    /// The control socket.
    pub control: Control,
    /// The log.
    pub log: Log,
    /// What the service manager is still to be told.
    pub manager: Manager,
    /// The longest turn of the loop.
    pub longest_turn: Duration,
    /// A reload was asked for while the upgrade was under way.
    pub reload: bool,
}

/// What a file looked like: inode, size, time of the last change.
pub type Fingerprint = (u64, u64, SystemTime);

/// What the process was started with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// Where the table comes from.
    pub source: Source,
    /// What the command line says of the control socket.
    pub control: ControlWord,
    /// What the command line says of the form of the log.
    pub log_format: Option<LogFormat>,
    /// Removed at the end.
    pub pid_file: Option<PathBuf>,
    /// Where the program is.
    pub image: PathBuf,
    /// What children get back: soft and hard limit of open files, ignored signals, oom_score_adj, nice.
    pub open_files: (u64, u64),
    /// Bit n - 1: signal n.
    pub ignored_signals: u64,
    /// -1000 to 1000.
    pub oom_score_adj: i32,
    /// -20 to 19.
    pub nice: i32,
    /// The environment that was found, as bytes.
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Where the table comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// A file that was named.
    Named(PathBuf),
    /// The default file, or the table in the program.
    Default,
    /// The command line: what messages call it, and its text.
    Text(String, String),
}

/// What the command line says of the control socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlWord {
    /// Nothing.
    OfTable,
    /// There is none.
    Off,
    /// It is here.
    At(UnixName),
}

/// A service with its counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// Which it is.
    pub definition: Definition,
    /// Its sockets.
    pub listeners: Vec<Listener>,
    /// Its gate.
    pub gate: Gate,
    /// Programs in a row that did not start.
    pub start_failures: u32,
    /// Paused after those.
    pub paused_until: Option<Stamp>,
    /// Paused by command.
    pub held_off: bool,
    /// Drained by command.
    pub draining: bool,
    /// Why its program did not start the last time.
    pub failure: Option<String>,
    /// The stderr pipe of its programs.
    pub output: Option<Output>,
    /// The pace of their lines: the second, and lines told and left out in it.
    pub pace: (Option<Stamp>, u32, u64),
    /// Connections served.
    pub served: u64,
    /// Refusals by word.
    pub refused: Vec<(String, u64)>,
    /// For how long clients waited.
    pub queued: Duration,
    /// Programs that did not start.
    pub failed: u64,
    /// Who came last, and when.
    pub last: Option<(Peer, Stamp)>,
    /// What the log was told of refusals.
    pub refusal_log: RefusalLog,
    /// Clients wait in the kernel's queue.
    pub queueing: Option<Queueing>,
}

/// Which service it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Definition {
    /// The one of the table with this index.
    Table(usize),
    /// One that a reload removed.
    Removed(Rc<Service>),
}

/// An address of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// As the table has it.
    pub asked: Address,
    /// Its socket, if it is open.
    pub socket: Option<Socket>,
    /// An admitted connection without a child.
    pub held: Option<Held>,
    /// The address of a socket that broke.
    pub lost: Option<Address>,
    /// Attempts to open it that failed in a row.
    pub attempts: u32,
}

/// A listening socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Socket {
    /// The descriptor.
    pub fd: Descriptor,
    /// As the table has it.
    pub asked: Address,
    /// As the kernel has it.
    pub bound: Address,
    /// Its file, if it is unlinked at the end.
    pub path: Option<OwnPath>,
}

/// A unix socket's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnPath {
    /// Where.
    pub path: PathBuf,
    /// The file of the lock.
    pub lock_path: PathBuf,
    /// Device and inode of the socket's file.
    pub inode: (u64, u64),
    /// The lock.
    pub lock: Descriptor,
}

/// A connection without a child.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The connection.
    pub connection: Descriptor,
    /// Who came.
    pub peer: Peer,
    /// What it counts for.
    pub ticket: SourceKey,
    /// Since when.
    pub since: Stamp,
}

/// The state of a gate: times are ns of the house's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Its number, which keys of sources have.
    pub number: u32,
    /// When the bucket of `rate` is full.
    pub bucket: u64,
    /// The same for datagrams.
    pub datagram_bucket: u64,
    /// The end of a `pause`.
    pub paused_until: u64,
}

/// A source at one gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceKey(
    /// The gate.
    pub u32,
    /// The family.
    pub u8,
    /// The length of the prefix.
    pub u8,
    /// Its upper and lower bits.
    pub u64,
    /// See above.
    pub u64,
);

/// What is remembered of a source; times are ns of the house's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory(
    /// Which.
    pub SourceKey,
    /// Refusals.
    pub u32,
    /// When the bucket of starts is full.
    pub u64,
    /// When the bucket of refusals is.
    pub u64,
    /// When it was banned.
    pub u64,
    /// Until when.
    pub u64,
    /// Bans in a row.
    pub u8,
);

/// What is remembered of sources, those that were idle for longest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    /// When the house's clock began.
    pub clock: Stamp,
    /// The number of the next gate.
    pub next_gate: u32,
    /// Of connections.
    pub streams: Vec<Memory>,
    /// Of datagrams.
    pub datagrams: Vec<Memory>,
}

/// Lines that are put together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    /// The line so far.
    pub line: Vec<u8>,
    /// Its rest is passed over.
    pub cut: bool,
}

/// The stderr pipe of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The end that is read.
    pub reader: Descriptor,
    /// The end that programs get.
    pub writer: Descriptor,
    /// What was read of a line.
    pub lines: Lines,
}

/// The stderr pipe of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Each {
    /// The end that is read.
    pub reader: Descriptor,
    /// What was read of a line.
    pub lines: Lines,
    /// The service, by its index.
    pub service: usize,
    /// The connection's id.
    pub id: String,
    /// When it is closed.
    pub over: Option<Stamp>,
}

/// What the log was told of refusals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalLog {
    /// The minute.
    pub minute: Option<Stamp>,
    /// Told in full in it, by word.
    pub told: Vec<(String, u64)>,
    /// Held back in it, by word.
    pub held_back: Vec<(String, u64)>,
}

/// Clients wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queueing {
    /// Since when.
    pub since: Stamp,
    /// When a client last met the limit.
    pub met: Stamp,
    /// When it was told.
    pub told: Stamp,
    /// The word of the limit.
    pub reason: String,
}

/// A live child.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Child {
    /// Its service, by its index.
    pub service: usize,
    /// Its process id, or that of its worker. It is not reaped, so the number is its own.
    pub pid: i32,
    /// Its connection's id.
    pub id: String,
    /// What it is.
    #[serde(default)]
    pub task: Task,
    /// Who came; `None`: it serves no single client.
    pub peer: Option<Peer>,
    /// What it counts for.
    pub ticket: Option<SourceKey>,
    /// When it began.
    pub started: Stamp,
    /// Its program did not start, and the log has it.
    pub failed: bool,
    /// The daemon's own descriptor of the connection.
    pub connection: Option<Descriptor>,
    /// The loss of the client is watched for.
    pub watched: bool,
    /// The last activity, and the bytes received and acknowledged by then.
    pub active: (Stamp, u64, u64),
    /// When it is looked at.
    pub due: Option<Stamp>,
    /// Why the daemon ended it, in a word.
    pub reason: Option<String>,
    /// When KILL follows.
    pub kill_at: Option<Stamp>,
    /// It has a control group.
    pub leaf: bool,
    /// Its own stderr pipe, by its index.
    pub each: Option<usize>,
}

/// What a child is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// A process with one connection.
    #[default]
    Own,
    /// A worker of a service.
    Worker(Worker),
    /// A connection of a worker.
    Passed {
        /// The worker, by its index among the children.
        worker: usize,
        /// How the worker calls the connection.
        number: u64,
    },
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// The daemon's end of the pair.
    pub pair: Descriptor,
    /// The number of the next connection.
    pub next: u64,
    /// Those from this number on have not been passed.
    pub passed: u64,
    /// It gets no more connections.
    pub retired: bool,
    /// It is being killed.
    pub distrusted: bool,
}

/// A connection whose program has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lingering {
    /// The connection.
    pub connection: Descriptor,
    /// Until when.
    pub until: Stamp,
    /// Bytes that may still be discarded.
    pub left: u64,
}

/// A dead leader of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remains {
    /// Its process id; it is a zombie.
    pub pid: i32,
    /// Its connection's id.
    pub id: String,
    /// It had a control group.
    pub leaf: bool,
    /// When the tree is killed.
    pub kill_at: Stamp,
}

/// A refused connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The connection.
    pub connection: Descriptor,
    /// Bytes that may be discarded while its message is under way; `None`: it is in the tarpit.
    pub left: Option<usize>,
}

/// Control groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaves {
    /// Where they are made.
    pub base: Option<PathBuf>,
    /// Controllers that are passed on.
    pub controllers: Vec<String>,
    /// It was tried, and refused.
    pub refused: bool,
    /// Groups that outlive their connections.
    pub stale: Vec<String>,
}

/// The control socket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// It.
    pub socket: Option<Socket>,
    /// Its clients.
    pub clients: Vec<ControlClient>,
}

/// A client of the control socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlClient {
    /// The connection.
    pub fd: Descriptor,
    /// May it change things?
    pub may_change: bool,
    /// May it ask for status?
    pub may_read: bool,
    /// What it said so far.
    pub request: Vec<u8>,
    /// What is left of its answer.
    pub answer: Option<Vec<u8>>,
    /// Since when.
    pub since: Stamp,
    /// Until when.
    pub deadline: Stamp,
    /// What it waits for.
    pub waits_for: Option<Awaited>,
}

/// What a control client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Awaited {
    /// The end of a reload, which the new image is to begin.
    Reload,
    /// The end of this upgrade.
    Upgrade,
}

/// What the service manager is still to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manager {
    /// Messages, in their order.
    pub texts: Vec<String>,
    /// Sockets are to be stored: which ones is not known any more, so all of them are, and those that it has it knows.
    pub store: bool,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The level in force.
    pub level: LogLevel,
    /// Lines that were lost.
    pub lost: u64,
    /// Sinks that have not taken all lines.
    pub stuck: Vec<Stuck>,
}

/// A sink that has not taken all lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stuck {
    /// Which.
    pub target: LogTarget,
    /// What is left of each record.
    pub records: Vec<Vec<u8>>,
    /// Lines lost after these.
    pub lost: u64,
}

impl State {
    /// Every descriptor in it.
    pub fn descriptors(&self) -> Vec<Descriptor> {
        let mut all = Vec::new();
        let mut socket = |socket: &Socket| {
            all.push(socket.fd);
            all.extend(socket.path.iter().map(|path| path.lock));
        };
        let listeners = || self.services.iter().flat_map(|live| &live.listeners);
        listeners()
            .filter_map(|listener| listener.socket.as_ref())
            .chain(&self.control.socket)
            .for_each(&mut socket);
        all.extend(listeners().filter_map(|listener| Some(listener.held.as_ref()?.connection)));
        for output in self.services.iter().filter_map(|live| live.output.as_ref()) {
            all.extend([output.reader, output.writer]);
        }
        all.extend(self.children.iter().filter_map(|child| child.connection));
        all.extend(self.children.iter().filter_map(|child| match &child.task {
            Task::Worker(worker) => Some(worker.pair),
            Task::Own | Task::Passed { .. } => None,
        }));
        all.extend(self.lingering.iter().map(|one| one.connection));
        all.extend(self.each.iter().map(|each| each.reader));
        all.extend(self.refused.iter().map(|one| one.connection));
        all.extend(self.control.clients.iter().map(|client| client.fd));
        all
    }

    /// Looks whether all of it can be true together, without a look at the world.
    pub fn check(&self) -> io::Result<()> {
        let sane = |good: bool, what: &str| {
            if good {
                return Ok(());
            }
            let text = format!("the state contradicts itself: {what}");
            Err(io::Error::new(io::ErrorKind::InvalidData, text))
        };
        let mut numbers = HashSet::new();
        let once = |fd: &Descriptor| fd.number > 2 && numbers.insert(fd.number);
        sane(self.descriptors().iter().all(once), "descriptors")?;
        let mut seen = HashSet::new();
        let mut gates = HashSet::new();
        for live in &self.services {
            if let Definition::Table(index) = live.definition {
                let enabled = self
                    .table
                    .services
                    .get(index)
                    .is_some_and(|one| one.enabled);
                sane(enabled && seen.insert(index), "services")?;
            }
            sane(gates.insert(live.gate.number), "gates")?;
        }
        let served = |service: &Rc<Service>| service.enabled;
        let enabled = self.table.services.iter().filter(|one| served(one)).count();
        sane(seen.len() == enabled, "services of the table")?;
        let services = self.services.len();
        let mut pids = HashSet::new();
        for child in &self.children {
            sane(child.service < services, "the service of a child")?;
            let passed = matches!(child.task, Task::Passed { .. });
            let own = passed || pids.insert(child.pid);
            sane(child.pid > 1 && own, "process ids")?;
            sane(self.is_with_its_worker(child), "a connection of a worker")?;
            let each = child.each.is_none_or(|each| each < self.each.len());
            sane(each && is_id(&child.id), "a child")?;
        }
        for one in &self.remains {
            sane(one.pid > 1 && pids.insert(one.pid), "process ids")?;
            sane(is_id(&one.id), "an id")?;
        }
        for each in &self.each {
            sane(each.service < services && is_id(&each.id), "a pipe")?;
        }
        sane(
            self.leaves.stale.iter().all(|id| is_id(id)),
            "control groups",
        )?;
        sane(self.ids.0.len() == 7 && is_id(&self.ids.0), "ids")
    }

    /// True for a connection of a worker that there is, and for all that is none.
    fn is_with_its_worker(&self, child: &Child) -> bool {
        let Task::Passed { worker, number } = child.task else {
            return true;
        };
        self.children.get(worker).is_some_and(|other| {
            let known = matches!(&other.task, Task::Worker(worker) if number < worker.next);
            known && other.service == child.service && child.connection.is_some()
        })
    }
}

/// True for what can be a connection's id: it becomes a word of log lines and the name of a directory.
fn is_id(text: &str) -> bool {
    (1..=21).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
