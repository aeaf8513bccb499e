//! The validated types: what a service *is*, after every word of the file has been understood.
//!
//! Invariant: no half-valid value exists here. Names are resolved to numbers, "off" and "unlimited" are `None`, ranges
//! are expanded, and a combination that makes no sense has no representation or was refused by `config::resolve`.
//! This module knows nothing of files, sockets or clocks. The types travel from the load child to the daemon (see
//! `handover`), which is why they derive the encoding.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Everything that one load of the configuration produced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// The `[daemon]` section.
    pub settings: Settings,
    /// All services in the order of their definition, disabled ones included.
    pub services: Vec<Rc<Service>>,
    /// The files that were read, main file first. Empty for the embedded table.
    pub files: Vec<PathBuf>,
}

/// `[daemon]`: what concerns the daemon as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Where the control socket listens; `None` for `"off"`.
    pub control: Option<UnixName>,
    /// Group that may ask for status besides root.
    pub control_gid: u32,
    /// Default sink of the log.
    pub log_to: LogTarget,
    /// Events less important than this are not written.
    pub log_level: LogLevel,
    /// Form of the lines on stderr and in files.
    pub log_format: LogFormat,
    /// Syslog facility by its RFC 5424 number (daemon = 3).
    pub syslog_facility: u8,
    /// Address of the OpenMetrics listener.
    pub metrics: Option<Address>,
    /// Connections of all services together; `None`: what descriptors allow.
    pub max_connections: Option<NonZeroU32>,
    /// How long a drain on TERM may take.
    pub shutdown_timeout: Duration,
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
    pub proxy: Option<Proxy>,
    /// Record of both directions of each connection.
    pub transcript: Option<Transcript>,
    /// Events to write.
    pub log: LogSelection,
    /// Identifier of the program's own lines.
    pub log_tag: String,
    /// This service's own sink; `None`: the daemon's.
    pub log_to: Option<LogTarget>,
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
    /// Bytes are passed to the first of these addresses that answers.
    Redirect(Vec<Address>),
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

/// Text with `%{…}` specifiers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template(pub Vec<Piece>);

/// A part of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Piece {
    /// Literal text.
    Text(String),
    /// A value of the connection.
    Specifier(Specifier),
}

/// The values that `%{…}` can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Specifier {
    /// `%{remote_addr}`; `unix` for unix peers.
    RemoteAddr,
    /// `%{remote_port}`; empty for unix peers.
    RemotePort,
    /// `%{service}`.
    Service,
    /// `%{id}`, the connection id of the log.
    Id,
}

impl Template {
    /// The text, when it holds no specifier.
    pub fn literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }
}

impl From<&str> for Template {
    fn from(text: &str) -> Self {
        Self(vec![Piece::Text(text.to_owned())])
    }
}

/// Who the program is and what it finds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// The account; `None`: nothing is changed (the daemon is not root).
    pub identity: Option<Identity>,
    /// Directory after `root_directory`, absolute.
    pub working_directory: String,
    /// New root.
    pub root_directory: Option<String>,
    /// File mode creation mask, 0 to 0o777.
    pub umask: u32,
    /// -20 to 19.
    pub nice: i32,
    /// Variables of `env`, in name order.
    pub env: Vec<(String, Template)>,
    /// Names taken from the daemon's own environment.
    pub pass_env: Vec<String>,
    /// -1000 to 1000; `None`: that of the daemon's start.
    pub oom_score_adj: Option<i32>,
    /// How the connection reaches the program.
    pub stdio: Stdio,
    /// Where fd 2 goes.
    pub stderr: Stderr,
    /// Resource limits, at most one entry a resource.
    pub limits: Vec<Limit>,
    /// Confinement.
    pub sandbox: Sandbox,
    /// Control group limits of each connection; all `None` when not asked for.
    pub cgroup: Cgroup,
}

/// An account, resolved at load. Names do not survive into the launch path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// For USER and LOGNAME; the number as text when the account has no entry.
    pub name: String,
    /// User id, never `u32::MAX`.
    pub uid: u32,
    /// Primary group id, never `u32::MAX`.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// For HOME.
    pub home: String,
    /// For SHELL.
    pub shell: String,
}

/// `stdio`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stdio {
    /// The socket on fds 0 and 1.
    Socket,
    /// Pipes on fds 0 and 1, a relay child between.
    Pipe,
    /// The socket on fd 3, systemd's protocol.
    ListenFds,
}

/// `stderr`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stderr {
    /// One pipe for the service, its lines tagged with the service.
    Log,
    /// A pipe for each connection, its lines tagged with the id.
    LogEach,
    /// The connection itself.
    Client,
    /// `/dev/null`.
    Null,
    /// The daemon's own.
    Inherit,
    /// A file, opened as the service's user.
    File(Template),
}

/// One resource limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Which.
    pub resource: Resource,
    /// Soft and hard value in the resource's unit (bytes, seconds, counts); `None`: unlimited.
    pub value: Option<u64>,
}

/// The resources of setrlimit(2) that the table names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Resource {
    /// RLIMIT_NOFILE.
    OpenFiles,
    /// RLIMIT_NPROC, counted per uid.
    Processes,
    /// RLIMIT_CPU, seconds.
    CpuTime,
    /// RLIMIT_AS, bytes.
    AddressSpace,
    /// RLIMIT_DATA, bytes.
    Data,
    /// RLIMIT_STACK, bytes.
    Stack,
    /// RLIMIT_FSIZE, bytes.
    FileSize,
    /// RLIMIT_CORE, bytes.
    Core,
    /// RLIMIT_MEMLOCK, bytes.
    LockedMemory,
}

/// `sandbox`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// The starting point.
    pub preset: Preset,
    /// Paths that stay readable.
    pub read_only: Vec<String>,
    /// Paths that stay writable.
    pub read_write: Vec<String>,
    /// Paths that disappear.
    pub hide: Vec<String>,
    /// False: a network namespace of its own, empty.
    pub network: bool,
    /// Kept capabilities, by number.
    pub capabilities: Vec<u8>,
    /// System calls of 32-bit programs pass the filter.
    pub allow_32bit: bool,
}

/// The presets of LANGUAGE 4.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Preset {
    /// Nothing.
    None,
    /// no_new_privs, no capabilities.
    Basic,
    /// Basic, and file system, system calls and namespaces confined.
    Strict,
    /// Strict, and an own root, user and network namespace.
    Jail,
}

/// `cgroup`: limits of each connection (cgroup v2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// memory.max, bytes.
    pub memory_max: Option<u64>,
    /// memory.high, bytes.
    pub memory_high: Option<u64>,
    /// memory.swap.max, bytes.
    pub swap_max: Option<u64>,
    /// pids.max.
    pub tasks_max: Option<u32>,
    /// cpu.max, percent of one processor.
    pub cpu_quota: Option<u32>,
    /// cpu.weight, 1 to 10000.
    pub cpu_weight: Option<u32>,
    /// io.weight, 1 to 10000.
    pub io_weight: Option<u32>,
}

/// Who may come, how many, how fast, and what the others get.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Admission {
    /// `None`: everybody, unless `deny` says otherwise.
    pub allow: Option<Vec<Source>>,
    /// Who may not.
    pub deny: Vec<Source>,
    /// Windows of local time; empty: always.
    pub hours: Vec<Hours>,
    /// IANA name for `hours`; `None`: local.
    pub timezone: Option<String>,
    /// Refuse above this 1-minute load.
    pub max_load: Option<f64>,
    /// Connections at once; `None`: unlimited.
    pub max_connections: Option<NonZeroU32>,
    /// Connections at once from one source.
    pub max_per_source: PerSource,
    /// Sources that no per-source rule counts.
    pub exempt: Vec<Source>,
    /// Prefix lengths (v4, v6) by which peers are grouped to sources.
    pub source_prefix: (u8, u8),
    /// Starts of the service.
    pub rate: Option<Rate>,
    /// Starts for one source.
    pub rate_per_source: Option<Rate>,
    /// What happens at `max_connections` and `rate`.
    pub over_limit: OverLimit,
    /// How a refusal looks.
    pub refuse_with: RefuseWith,
    /// Stop accepting this long after `rate` was hit.
    pub pause: Option<Duration>,
    /// Sent before a refused connection is closed.
    pub refuse_message: Option<Template>,
    /// Bans of sources that keep being refused.
    pub penalty: Option<Penalty>,
}

/// `max_per_source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PerSource {
    /// Not written: half of `max_connections`, at least 1, not for loopback and unix peers.
    Half,
    /// Written: for every source.
    At(NonZeroU32),
    /// Written `"unlimited"`.
    Unlimited,
}

/// An entry of `allow`, `deny`, `exempt`, `proxy_from`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// A network, host bits zero, v4-mapped ones already IPv4.
    Net(IpNet),
    /// `any`.
    Any,
    /// `loopback`.
    Loopback,
    /// `private`: RFC 1918, ULA, link-local.
    Private,
    /// `local`: loopback, unix, vsock host.
    Local,
    /// `uid:N`, unix peers.
    Uid(u32),
    /// `gid:N`, unix peers.
    Gid(u32),
    /// `@/path/list`: one prefix a line, reread on change.
    File(PathBuf),
}

/// A window of `hours`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    /// Bit 0 is Monday: the days on which the window opens.
    pub days: u8,
    /// Minutes after midnight, 0 to 1439.
    pub from: u16,
    /// Minutes after midnight, 1 to 1440; not above `from`: the window ends on the next day.
    pub to: u16,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Tokens added…
    pub count: NonZeroU32,
    /// …in this time.
    pub per: Duration,
    /// Size of the bucket.
    pub burst: NonZeroU32,
}

/// `over_limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OverLimit {
    /// Leave the client in the kernel's queue.
    Queue,
    /// Accept and refuse.
    Refuse,
}

/// `refuse_with`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefuseWith {
    /// An orderly close.
    Close,
    /// RST.
    Reset,
    /// Held, silent, bounded.
    Tarpit,
}

/// `penalty`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Penalty {
    /// Refusals that lead to a ban.
    pub after: Rate,
    /// The first ban.
    pub first: Duration,
    /// The longest ban.
    pub max: Duration,
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
    /// Lingering close after the program's end.
    pub linger: Option<Duration>,
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

/// Options of the listening and the accepted sockets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketOptions {
    /// listen(2)'s second argument.
    pub backlog: u32,
    /// SO_BINDTODEVICE.
    pub bind_device: Option<String>,
    /// IP_FREEBIND; `None`: when the address is not local.
    pub freebind: Option<bool>,
    /// IP_TRANSPARENT.
    pub transparent: bool,
    /// SO_REUSEPORT.
    pub reuse_port: bool,
    /// SO_KEEPALIVE and TCP_KEEPIDLE.
    pub keepalive: Keepalive,
    /// TCP_NODELAY.
    pub nodelay: bool,
    /// TCP_DEFER_ACCEPT.
    pub defer_accept: Option<Duration>,
    /// IP_TOS and IPV6_TCLASS, shifted by two; 0 to 63.
    pub dscp: Option<u8>,
    /// SO_MARK.
    pub mark: Option<u32>,
    /// SO_RCVBUF, bytes.
    pub receive_buffer: Option<u64>,
    /// SO_SNDBUF, bytes.
    pub send_buffer: Option<u64>,
    /// Owner of a unix socket's file; `None`: the daemon's user.
    pub owner: Option<u32>,
    /// Group of a unix socket's file; `None`: the daemon's group.
    pub group: Option<u32>,
    /// Mode of a unix socket's file, 0 to 0o777.
    pub mode: u32,
}

/// `keepalive`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keepalive {
    /// Off.
    Off,
    /// On, with the kernel's times.
    On,
    /// On, first probe after this time.
    After(Duration),
}

/// `proxy_protocol` and `proxy_from`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    /// Accepted versions.
    pub version: ProxyVersion,
    /// Who may send the header.
    pub from: Vec<Source>,
}

/// Versions of the PROXY header.
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

/// `log`: the events to write; errors always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSelection {
    /// START lines.
    pub start: bool,
    /// EXIT lines.
    pub exit: bool,
    /// FAIL lines.
    pub refuse: bool,
}

/// `log_to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogTarget {
    /// Journal, terminal, syslog or plain stderr, by what there is.
    Auto,
    /// The daemon's stderr.
    Stderr,
    /// The journal's native protocol.
    Journal,
    /// /dev/log.
    Syslog,
    /// RFC 5424 over UDP.
    SyslogUdp(SocketAddr),
    /// A file, reopened at reload.
    File(PathBuf),
}

/// `log_level`, most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something may fail.
    Warning,
    /// The life of services and connections.
    Info,
    /// Everything.
    Debug,
}

/// `log_format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogFormat {
    /// `START: echo pid=…`
    Text,
    /// One object a line.
    Json,
}

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Address {
    /// TCP or UDP.
    Inet {
        /// Which of the two.
        protocol: Protocol,
        /// Address and port; the scope id of `%iface` is inside.
        socket: SocketAddr,
        /// One socket for IPv4 and IPv6; only with an unspecified IPv6 address.
        dual_stack: bool,
    },
    /// A unix socket.
    Unix {
        /// Its type.
        kind: UnixKind,
        /// Its name.
        name: UnixName,
    },
    /// A virtual machine socket.
    Vsock {
        /// Context id; `u32::MAX` is any.
        cid: u32,
        /// Port.
        port: u32,
    },
    /// A socket passed by the service manager under this name.
    Inherited {
        /// FileDescriptorName=.
        name: String,
    },
}

/// Transport of an [`Address::Inet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
}

/// Type of an [`Address::Unix`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UnixKind {
    /// SOCK_STREAM.
    Stream,
    /// SOCK_DGRAM.
    Datagram,
    /// SOCK_SEQPACKET.
    SeqPacket,
}

/// Name of a unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UnixName {
    /// In the file system, absolute, at most 107 bytes.
    Path(PathBuf),
    /// In the abstract namespace, without the leading NUL or `@`.
    Abstract(String),
}

impl Address {
    /// True for sockets that carry datagrams and are never accepted on.
    pub fn is_datagram(&self) -> bool {
        match self {
            Self::Inet { protocol, .. } => *protocol == Protocol::Udp,
            Self::Unix { kind, .. } => *kind == UnixKind::Datagram,
            Self::Vsock { .. } | Self::Inherited { .. } => false,
        }
    }
}

/// As `ss` prints it: `tcp *:79` (dual), `tcp [::]:79`, `udp 0.0.0.0:69`, `unix /run/x.sock`, `vsock *:22`, `fd ssh`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet {
                protocol,
                socket,
                dual_stack,
            } => {
                f.write_str(match protocol {
                    Protocol::Tcp => "tcp ",
                    Protocol::Udp => "udp ",
                })?;
                if *dual_stack {
                    write!(f, "*:{}", socket.port())
                } else {
                    write!(f, "{socket}")
                }
            }
            Self::Unix { kind, name } => {
                f.write_str(match kind {
                    UnixKind::Stream => "unix ",
                    UnixKind::Datagram => "unix-dgram ",
                    UnixKind::SeqPacket => "unix-seqpacket ",
                })?;
                write!(f, "{name}")
            }
            Self::Vsock {
                cid: u32::MAX,
                port,
            } => write!(f, "vsock *:{port}"),
            Self::Vsock { cid, port } => write!(f, "vsock {cid}:{port}"),
            Self::Inherited { name } => write!(f, "fd {name}"),
        }
    }
}

impl fmt::Display for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

/// The other end of a connection, as accept(2) told it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Peer {
    /// TCP or UDP; v4-mapped addresses are already IPv4.
    Inet(SocketAddr),
    /// A unix client, by SO_PEERCRED (taken at its connect).
    Unix {
        /// Effective uid.
        uid: u32,
        /// Effective gid.
        gid: u32,
        /// Process id, 0 when in another pid namespace.
        pid: i32,
    },
    /// A virtual machine.
    Vsock {
        /// Context id.
        cid: u32,
        /// Port.
        port: u32,
    },
}

impl Peer {
    /// The address for rules about networks.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Inet(address) => Some(address.ip()),
            Self::Unix { .. } | Self::Vsock { .. } => None,
        }
    }

    /// The port, where the family has one.
    pub fn port(&self) -> Option<u32> {
        match self {
            Self::Inet(address) => Some(u32::from(address.port())),
            Self::Vsock { port, .. } => Some(*port),
            Self::Unix { .. } => None,
        }
    }
}

/// This end of a connection (or the listening socket of a `wait` service).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Local {
    /// TCP; v4-mapped addresses are already IPv4.
    Inet(SocketAddr),
    /// UDP.
    Udp(SocketAddr),
    /// A unix socket.
    Unix(UnixName),
    /// A virtual machine socket.
    Vsock {
        /// Context id.
        cid: u32,
        /// Port.
        port: u32,
    },
}

/// The address alone, as logs, `%{remote_addr}` and REMOTE_ADDR have it: `192.0.2.7`, `unix`, `vsock:3`.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => write!(f, "{}", address.ip()),
            Self::Unix { .. } => f.write_str("unix"),
            Self::Vsock { cid, .. } => write!(f, "vsock:{cid}"),
        }
    }
}
