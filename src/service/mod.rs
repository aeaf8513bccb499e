//! The validated types: what a service *is*, after every word of the file has been understood.
//!
//! Invariant: no half-valid value exists here. Names are resolved to numbers, "off" and "unlimited" are `None`, ranges
//! are expanded, and a combination that makes no sense has no representation or was refused by `config::resolve`.
//! This module knows nothing of files, sockets or clocks. The types travel from the load child to the daemon (see
//! `handover`), which is why they derive the encoding.

mod address;
mod admission;
mod budget;
mod process;
mod settings;
mod socket;
mod standing;
mod template;

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use address::{Address, Local, Peer, Protocol, UnixKind, UnixName};
pub use admission::{Admission, Hours, OverLimit, Penalty, PerSource, Rate, RefuseWith, Source};
pub use budget::{Budget, low_descriptors, most_lingering};
pub use process::{Cgroup, Identity, Limit, Preset, Process, Resource, Sandbox, Stderr, Stdio};
pub use settings::{LogFormat, LogLevel, LogSelection, LogTarget, Settings};
pub use socket::{Keepalive, SocketOptions};
pub use standing::Standing;
pub use template::{Piece, Specifier, Template};

/// Everything that one load of the configuration produced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// The `[daemon]` section.
    pub settings: Settings,
    /// All services in the order of their definition, disabled ones included. Behind them what serves `[daemon] metrics`,
    /// if there is any; its name is [`METRICS`].
    pub services: Vec<Rc<Service>>,
    /// The files that were read, main file first. Empty for the embedded table.
    pub files: Vec<PathBuf>,
    /// The lists that `@/path/list` entries name, each once.
    pub lists: Vec<List>,
}

/// The name of what serves `[daemon] metrics`: no service can have it.
pub const METRICS: &str = "*metrics";

/// The contents of a `@/path/list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// The file.
    pub path: PathBuf,
    /// Its entries; none of them is a file.
    pub sources: Vec<Source>,
}

/// One service of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// The key under `[service]`; printable, at most 64 characters, also the log tag.
    pub name: String,
    /// Where it was defined.
    pub origin: Origin,
    /// Free text for `status`.
    pub description: String,
    /// False: checked, shown, not bound.
    pub enabled: bool,
    /// The addresses, one per socket: ranges and names are already expanded.
    pub listen: Vec<Address>,
    /// What serves a connection.
    pub run: Run,
    /// True: one program gets the listening (or datagram) socket and owns it until it exits.
    pub wait: bool,
    /// Who the program is and what it finds.
    pub process: Process,
    /// Who may come, how many, how fast.
    pub admission: Admission,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// Options of the listening and the accepted sockets.
    pub socket: SocketOptions,
    /// Bytes sent before the program starts.
    pub banner: Option<Template>,
    /// One run answers all clients within this time.
    pub cache: Option<Duration>,
    /// The PROXY header expected from the peer.
    pub proxy: Option<ProxyVersion>,
    /// Record of both directions of each connection.
    pub transcript: Option<Transcript>,
    /// Events to write.
    pub log: LogSelection,
    /// Identifier of the program's own lines.
    pub log_tag: String,
    /// This service's own sink; `None`: the daemon's.
    pub log_to: Option<LogTarget>,
}

impl Service {
    /// True when its clients share the runs of its program.
    pub fn is_cached(&self) -> bool {
        self.cache.is_some() && matches!(self.run, Run::Program(_))
    }

    /// True when one worker serves all its stream connections.
    pub fn has_worker(&self) -> bool {
        matches!(&self.run, Run::Builtin(builtin) if builtin.model != Model::Process)
    }
}

/// The place of a definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The file; `<embedded>` for the table in the binary, `<command line>` for `oxinetd serve`.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: u32,
}

/// What serves a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Run {
    /// A program, started for each connection (or once, with `wait`).
    Program(Program),
    /// A service of our own.
    Builtin(Builtin),
    /// Bytes are passed to another server.
    Redirect(Redirect),
}

/// `redirect`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// The first of these that answers is taken.
    pub to: Vec<Address>,
    /// The PROXY header that tells it who came.
    pub header: Option<HeaderVersion>,
}

/// Versions of a PROXY header that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeaderVersion {
    /// Text.
    V1,
    /// Binary.
    V2,
}

/// `command`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Absolute path.
    pub path: String,
    /// What the program sees as its name.
    pub argv0: String,
    /// The words after the first.
    pub arguments: Vec<Template>,
}

/// `builtin`, `model`, `allow_reflection`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Builtin {
    /// Which one.
    pub kind: BuiltinKind,
    /// How it serves many stream clients.
    pub model: Model,
    /// Datagram replies may be longer than requests.
    pub allow_reflection: bool,
}

/// The built-in services, with the options that they take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BuiltinKind {
    /// RFC 862.
    Echo,
    /// RFC 863.
    Discard,
    /// RFC 864.
    Chargen,
    /// RFC 867.
    Daytime,
    /// RFC 868.
    Time,
    /// RFC 865; a fortune file, entries separated by lines of a single `%`.
    Qotd {
        /// The file of quotes.
        file: PathBuf,
    },
    /// Answers 200 to an HTTP request.
    Health {
        /// The body of the answer.
        body: String,
    },
    /// Keeps a client busy with a slow, endless banner.
    Tarpit,
    /// `[daemon] metrics`: answers 200 to an HTTP request. No service can ask for it.
    Metrics {
        /// OpenMetrics, made for each connection.
        text: String,
    },
}

/// The three textbook ways to serve many clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Model {
    /// A child for each client.
    Process,
    /// One child, epoll.
    Event,
    /// One child, a thread for each client.
    Thread,
}

/// How long things may take; `None`: for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadlines {
    /// The whole connection.
    pub timeout: Option<Duration>,
    /// No bytes either way.
    pub idle: Option<Duration>,
    /// Silent clients.
    pub first_byte: Option<Duration>,
    /// The client has vanished.
    pub on_disconnect: OnDisconnect,
    /// A reload has removed the service.
    pub on_remove: OnRemove,
    /// Lingering close after the program's end.
    pub linger: Option<Duration>,
    /// Bytes of input discarded meanwhile, besides those that were unread at the end.
    pub linger_max: u64,
    /// TERM to KILL.
    pub stop: Duration,
}

/// `on_disconnect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnDisconnect {
    /// Nothing.
    Ignore,
    /// TERM, later KILL.
    Term,
    /// KILL.
    Kill,
}

/// `on_remove`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnRemove {
    /// Live connections go on.
    Keep,
    /// TERM, later KILL.
    Drain,
    /// KILL.
    Kill,
}

/// `proxy_protocol`: the versions of the PROXY header that are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProxyVersion {
    /// Text.
    V1,
    /// Binary.
    V2,
    /// Either.
    Any,
}

/// `transcript`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcript {
    /// The file.
    pub path: Template,
    /// Bytes after which the record stops.
    pub max: u64,
}
