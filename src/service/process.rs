//! Who the program is, what it finds, and how it is confined.
//!
//! Only values that make sense; see the parent module for the invariant.

use serde::{Deserialize, Serialize};

use super::Template;

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
