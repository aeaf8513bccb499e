//! The rows. See the parent for what reads them.

use super::Kind::{
    Address, Addresses, Bool, Choice, Choices, Count, Duration, DurationOrBool, Group, Hours,
    Integer, Mode, Number, Path, Percent, Prefixes, Rate, Sink, Size, Table, Template, Text, User,
    Variables, Words,
};
use super::{KeyInfo, Scope};

macro_rules! keys {
    ($($later:ident $key:ident $name:literal $scope:ident $kind:expr, $default:literal, $meaning:literal,
       $xinetd:literal, $systemd:literal;)*) => {
        /// A key of the language.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Key {
            $(#[doc = concat!("`", $name, "`: ", $meaning)] $key,)*
        }

        pub(crate) const ALL: &[Key] = &[$(Key::$key,)*];

        /// How many keys there are.
        pub const COUNT: usize = ALL.len();

        /// The rows, in the order of [`Key`].
        pub static KEYS: [KeyInfo; COUNT] = [$(KeyInfo {
            name: $name,
            scope: Scope::$scope,
            kind: $kind,
            default: $default,
            meaning: $meaning,
            xinetd: $xinetd,
            systemd: $systemd,
            later: later!($later),
        },)*];
    };
}

macro_rules! later {
    (now) => {
        false
    };
    (later) => {
        true
    };
}

const BYTES: super::Kind = Size { zero: false };
const BYTES_OR_NONE: super::Kind = Size { zero: true };

/// A table whose sub-keys replace those of the defaults as a whole.
const fn whole(scalar: Option<Key>) -> super::Kind {
    Table {
        merges: false,
        scalar,
    }
}

/// A table that merges with that of the defaults.
const fn merged(scalar: Option<Key>) -> super::Kind {
    Table {
        merges: true,
        scalar,
    }
}

#[rustfmt::skip]
mod rows {
    #[allow(clippy::wildcard_imports, reason = "the words of the rows")]
    use super::*;
keys! {
    now Listen "listen" Service Addresses, "required", "where to listen", "port, protocol, socket_type, bind, flags IPv4/IPv6", "ListenStream=, ListenDatagram=, ListenSequentialPacket=";
    now Command "command" Service Words, "-", "program and words, no shell", "server, server_args", "ExecStart=";
    now Builtin "builtin" Service whole(Some(Key::BuiltinName)), "-", "a service of our own, by name or as a table with options", "type = INTERNAL", "-";
    now BuiltinName "builtin.name" Service Choice(&["echo", "discard", "chargen", "daytime", "time", "qotd", "health", "tarpit"]), "required", "which built-in service", "type = INTERNAL", "-";
    now BuiltinFile "builtin.file" Service Path, "required by qotd", "the fortune file of `qotd`, entries between lines of a single %", "-", "-";
    now BuiltinBody "builtin.body" Service Text, "\"ok\\n\"", "what `health` answers", "-", "-";
    now Model "model" Both Choice(&["process", "event", "thread"]), "\"process\"", "how a built-in stream service serves many clients", "-", "-";
    now AllowReflection "allow_reflection" Both Bool, "false", "needed for `chargen`, `daytime`, `time` and `qotd` over UDP, whose replies are longer than requests", "-", "-";
    now Redirect "redirect" Service whole(Some(Key::RedirectTo)), "-", "pass bytes to another address, or as a table with options", "redirect", "systemd-socket-proxyd";
    now RedirectTo "redirect.to" Service Addresses, "required", "where to; of several the first that answers is taken", "redirect", "-";
    now RedirectProxyProtocol "redirect.proxy_protocol" Service Choice(&["off", "v1", "v2"]), "\"off\"", "tell the target who came, by a PROXY header", "-", "-";
    now Enabled "enabled" Service Bool, "true", "false: checked, but not bound", "disable (inverted), enabled", "systemctl enable/disable";
    now Description "description" Service Text, "\"\"", "shown by `status`", "-", "Description=";
    now Wait "wait" Both Bool, "false", "true: one program gets the listening (or UDP) socket and owns it until it exits; required for a UDP command", "wait", "Accept=no";
    now Argv0 "argv0" Both Text, "base name", "what the program sees as its name", "flags NAMEINARGS", "ExecStart=@";

    now User "user" Both User, "required when root", "account of the program", "user", "User=";
    now Group "group" Both Group, "the user's", "primary group", "group", "Group=";
    now SupplementaryGroups "supplementary_groups" Both Words, "the user's groups", "further groups; `[]` drops all", "groups", "SupplementaryGroups=";
    later UserPool "user_pool" Both Text, "-", "own uid for every connection, \"lo-hi\"", "-", "DynamicUser= (per unit only)";
    now WorkingDirectory "working_directory" Both Path, "\"/\"", "directory in which the program starts, after `root_directory`", "-", "WorkingDirectory=";
    now RootDirectory "root_directory" Both Path, "-", "new root: chroot, or pivot_root when `sandbox` has a mount namespace; refused for a root service without that", "-", "RootDirectory=";
    now Umask "umask" Both Mode, "\"0022\"", "file mode creation mask", "umask", "UMask=";
    now Nice "nice" Both Integer(-20, 19), "0", "scheduling priority", "nice", "Nice=";
    now Env "env" Both Variables, "{}", "added variables, may use %{...}", "env", "Environment=";
    now PassEnv "pass_env" Both Words, "[]", "variables taken from the daemon's environment", "passenv", "PassEnvironment=";
    now OomScoreAdj "oom_score_adj" Both Integer(-1000, 1000), "0", "how soon the kernel kills it when memory is short", "-", "OOMScoreAdjust=";
    now Stdio "stdio" Both Choice(&["socket", "pipe", "listen_fds"]), "\"socket\"", "pipe: for programs that dislike sockets; listen_fds: fd 3 with LISTEN_FDS", "-", "StandardInput=socket";
    now Stderr "stderr" Both Text, "\"log\"", "where fd 2 goes: \"log\", \"log-each\", \"client\", \"null\", \"inherit\", \"file:/path\"", "- (client)", "StandardError=";

    now Allow "allow" Both Prefixes, "[\"any\"]", "who may come; the longest matching prefix decides, a tie refuses", "only_from", "IPAddressAllow=";
    now Deny "deny" Both Prefixes, "[]", "who may not come", "no_access", "IPAddressDeny=";
    now Hours "hours" Both Hours, "always", "windows of local time", "access_times", "-";
    now Timezone "timezone" Both Text, "local", "zone name for `hours`", "-", "-";
    now MaxLoad "max_load" Both Number, "off", "refuse above this 1-minute load", "max_load", "-";
    now ProxyProtocol "proxy_protocol" Both Choice(&["off", "v1", "v2", "any"]), "\"off\"", "expect the PROXY header; the peer is then the one that it names", "-", "-";
    now ProxyFrom "proxy_from" Both Prefixes, "required with proxy_protocol", "who may send the header", "-", "-";

    now MaxConnections "max_connections" Both Count, "256", "connections at once", "instances", "MaxConnections= (64)";
    now MaxPerSource "max_per_source" Both Count, "half of max_connections", "connections at once from one source; the default does not count loopback and unix peers", "per_source", "MaxConnectionsPerSource=";
    now Exempt "exempt" Both Prefixes, "[]", "sources that no per-source rule counts", "-", "-";
    now SourcePrefix "source_prefix" Both whole(None), "{ v4 = 32, v6 = 64 }", "how sources are grouped", "-", "- (per address)";
    now SourcePrefixV4 "source_prefix.v4" Both Integer(1, 32), "32", "prefix length of an IPv4 source", "-", "-";
    now SourcePrefixV6 "source_prefix.v6" Both Integer(1, 128), "64", "prefix length of an IPv6 source", "-", "-";
    now Rate "rate" Both Rate, "\"off\"", "starts of the service", "cps (1st)", "PollLimitBurst/IntervalSec=, TriggerLimit*=";
    now RatePerSource "rate_per_source" Both Rate, "\"off\"", "starts for one source", "- (rlinetd cpm)", "-";
    now OverLimit "over_limit" Both Choice(&["queue", "refuse"]), "\"queue\"", "at `max_connections` or `rate`: leave in the kernel queue, or accept and refuse", "refuse", "refuse";
    now RefuseWith "refuse_with" Both Choice(&["close", "reset", "tarpit"]), "\"close\"", "how a refusal looks", "-", "-";
    now Pause "pause" Both Duration, "\"off\"", "stop accepting this long after `rate` is hit, then go on", "cps (2nd), 10 s", "- (socket fails)";
    now RefuseMessage "refuse_message" Both Template, "none", "sent before a refused connection is closed", "banner_fail", "-";
    now Penalty "penalty" Both whole(None), "off", "a source that keeps being refused is banned for a growing, expiring time", "-", "-";
    now PenaltyAfter "penalty.after" Both Rate, "required", "refusals that lead to a ban", "-", "-";
    now PenaltyFor "penalty.for" Both Duration, "\"30s\"", "the first ban", "-", "-";
    now PenaltyMax "penalty.max" Both Duration, "\"10min\"", "the longest ban", "-", "-";
    now Banner "banner" Both Template, "none", "sent before the program starts; \"@file\" takes it from a file", "banner, banner_success", "-";
    now Timeout "timeout" Both Duration, "\"off\"", "the whole connection", "-", "RuntimeMaxSec=";
    now IdleTimeout "idle_timeout" Both Duration, "\"off\"", "no bytes either way", "-", "--exit-idle-time (proxyd)";
    now FirstByteTimeout "first_byte_timeout" Both Duration, "\"off\"", "silent clients", "-", "DeferAcceptSec= (nearly)";
    now OnDisconnect "on_disconnect" Both Choice(&["ignore", "term", "kill"]), "\"ignore\"", "what happens when the client has vanished; a FIN alone is a half-close", "-", "-";
    now OnRemove "on_remove" Both Choice(&["keep", "drain", "kill"]), "\"keep\"", "what becomes of live connections when a reload removes the service", "-", "-";
    now Linger "linger" Both merged(Some(Key::LingerTime)), "\"2s\" for nowait TCP programs", "unread input is drained after the program ended, so that its reply arrives; \"off\": the textbook close", "-", "-";
    now LingerTime "linger.time" Both Duration, "\"2s\"", "how long", "-", "-";
    now LingerMax "linger.max" Both BYTES, "\"64K\"", "bytes drained, besides those that were unread at the program's end", "-", "-";
    now StopTimeout "stop_timeout" Both Duration, "\"5s\"", "TERM to KILL of the whole tree", "-", "TimeoutStopSec=";
    now Cache "cache" Both Duration, "\"off\"", "one run answers all clients within this time", "-", "-";

    now Sandbox "sandbox" Both merged(Some(Key::SandboxPreset)), "\"basic\"; \"none\" for root services", "confinement: a preset, or a table that starts from one", "-", "NoNewPrivileges=, Protect*=, Private*=, SystemCallFilter=";
    now SandboxPreset "sandbox.preset" Both Choice(&["none", "basic", "strict", "jail"]), "\"basic\"", "where to start from", "-", "-";
    now SandboxReadOnly "sandbox.read_only" Both Words, "[]", "paths that stay readable", "-", "ReadOnlyPaths=";
    now SandboxReadWrite "sandbox.read_write" Both Words, "[]", "paths that stay writable", "-", "ReadWritePaths=";
    now SandboxHide "sandbox.hide" Both Words, "[]", "paths that disappear", "-", "InaccessiblePaths=";
    now SandboxNetwork "sandbox.network" Both Choice(&["host", "none"]), "by preset", "none: an empty network namespace", "-", "PrivateNetwork=";
    now SandboxCapabilities "sandbox.capabilities" Both Words, "[]", "kept capabilities", "-", "AmbientCapabilities=";
    now SandboxAllow32bit "sandbox.allow_32bit" Both Bool, "false in strict, true in jail", "system calls of 32-bit programs pass", "-", "SystemCallArchitectures=";
    now Limits "limits" Both merged(None), "inherited", "resource limits of the program", "rlimit_*", "Limit*=";
    now LimitsOpenFiles "limits.open_files" Both Integer(1, 1 << 30), "inherited soft 1024", "descriptors", "rlimit_files", "LimitNOFILE=";
    now LimitsProcesses "limits.processes" Both Integer(1, 1 << 30), "inherited", "processes of the uid", "-", "LimitNPROC=";
    now LimitsCpuTime "limits.cpu_time" Both Duration, "inherited", "processor time", "rlimit_cpu", "LimitCPU=";
    now LimitsAddressSpace "limits.address_space" Both BYTES, "inherited", "address space", "rlimit_as", "LimitAS=";
    now LimitsData "limits.data" Both BYTES, "inherited", "data segment", "rlimit_data", "LimitDATA=";
    now LimitsStack "limits.stack" Both BYTES, "inherited", "stack", "rlimit_stack", "LimitSTACK=";
    now LimitsFileSize "limits.file_size" Both BYTES_OR_NONE, "inherited", "largest file that it writes", "-", "LimitFSIZE=";
    now LimitsCore "limits.core" Both BYTES_OR_NONE, "inherited", "core dump", "-", "LimitCORE=";
    now LimitsLockedMemory "limits.locked_memory" Both BYTES_OR_NONE, "inherited", "locked memory", "-", "LimitMEMLOCK=";
    now Cgroup "cgroup" Both merged(None), "none", "control group limits of each connection (cgroup v2)", "-", "-";
    now CgroupMemoryMax "cgroup.memory_max" Both BYTES, "none", "memory of a connection", "- (rlimit_rss)", "MemoryMax=";
    now CgroupMemoryHigh "cgroup.memory_high" Both BYTES, "none", "memory above which it is slowed", "-", "MemoryHigh=";
    now CgroupSwapMax "cgroup.swap_max" Both BYTES_OR_NONE, "none", "swap of a connection", "-", "MemorySwapMax=";
    now CgroupTasksMax "cgroup.tasks_max" Both Integer(1, 1 << 22), "none", "processes and threads of a connection", "-", "TasksMax=";
    now CgroupCpuQuota "cgroup.cpu_quota" Both Percent, "none", "share of one processor", "-", "CPUQuota=";
    now CgroupCpuWeight "cgroup.cpu_weight" Both Integer(1, 10_000), "100", "weight among those who want the processor", "-", "CPUWeight=";
    now CgroupIoWeight "cgroup.io_weight" Both Integer(1, 10_000), "100", "weight among those who want the disk", "-", "IOWeight=";

    now Backlog "backlog" Both Integer(1, 1 << 30), "4096 (capped by somaxconn)", "connections that may wait in the kernel", "- (64)", "Backlog=";
    now DualStack "dual_stack" Both Bool, "true for wildcard", "one socket for IPv4 and IPv6", "v6only (inverted)", "BindIPv6Only=";
    now BindDevice "bind_device" Both Text, "-", "only through this interface", "bind/interface", "BindToDevice=";
    now Freebind "freebind" Both Bool, "true for non-local addresses", "bind before the address exists", "-", "FreeBind=";
    now Transparent "transparent" Both Bool, "false", "bind to addresses of others", "-", "Transparent=";
    now ReusePort "reuse_port" Both Bool, "false", "several sockets may bind the same address", "flags REUSE is default", "ReusePort=";
    now Keepalive "keepalive" Both DurationOrBool, "false", "probe silent clients, first after this time", "flags KEEPALIVE", "KeepAlive=, KeepAliveTimeSec=";
    now Nodelay "nodelay" Both Bool, "false", "send small segments at once", "flags NODELAY", "NoDelay=";
    now DeferAccept "defer_accept" Both Duration, "\"off\"", "the kernel keeps a connection back until data arrives", "-", "DeferAcceptSec=";
    now Dscp "dscp" Both Integer(0, 63), "-", "differentiated services code point", "-", "IPTOS=";
    now Mark "mark" Both Integer(0, 4_294_967_295), "-", "firewall mark", "-", "Mark=";
    now ReceiveBuffer "receive_buffer" Both BYTES, "kernel", "socket buffer", "-", "ReceiveBuffer=";
    now SendBuffer "send_buffer" Both BYTES, "kernel", "socket buffer", "-", "SendBuffer=";
    now SocketUser "socket_user" Both User, "the daemon's", "owner of a unix socket", "-", "SocketUser=";
    now SocketGroup "socket_group" Both Group, "the daemon's", "group of a unix socket", "-", "SocketGroup=";
    now SocketMode "socket_mode" Both Mode, "\"0666\"", "mode of a unix socket", "-", "SocketMode=";

    now Log "log" Both Choices(&["start", "exit", "refuse"]), "[\"start\", \"exit\", \"refuse\"]", "events to write; errors always are", "log_on_success, log_on_failure", "LogLevelMax=";
    now LogTag "log_tag" Both Text, "service name", "identifier of stderr lines and in the journal", "id", "SyslogIdentifier=";
    now LogTo "log_to" Both Sink, "the daemon's", "this service's own sink", "log_type FILE", "-";
    now Transcript "transcript" Both whole(Some(Key::TranscriptPath)), "-", "record of the bytes of both directions, with times", "-", "-";
    now TranscriptPath "transcript.path" Both Template, "required", "the file", "-", "-";
    now TranscriptMax "transcript.max" Both BYTES, "\"10M\"", "bytes after which the record stops", "-", "-";

    now Include "include" Daemon Words, "[\"/usr/lib/oxinetd.d/*.toml\", \"/etc/oxinetd.d/*.toml\"]", "further files; in the main file only", "includedir", "-";
    now InetdConf "inetd_conf" Daemon Path, "off", "also serve an inetd.conf", "-inetd_compat", "-";
    now Control "control" Daemon Path, "\"/run/oxinetd/control.sock\"", "socket for status, reload and the like: a path, \"@abstract\" or \"off\"", "-", "-";
    now ControlGroup "control_group" Daemon Group, "\"root\"", "who else may ask for status", "-", "-";
    now DaemonLogTo "log_to" Daemon Sink, "\"auto\"", "\"auto\", \"stderr\", \"journal\", \"syslog\", \"syslog:udp:HOST:PORT\" or \"file:/path\"", "log_type", "-";
    now LogLevel "log_level" Daemon Choice(&["error", "warning", "info", "debug"]), "\"info\"", "less important lines are not written", "-", "LogLevelMax=";
    now LogFormat "log_format" Daemon Choice(&["text", "json"]), "\"text\"", "form of the lines on stderr and in files", "-", "-";
    now SyslogFacility "syslog_facility" Daemon Choice(&["kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"]), "\"daemon\"", "syslog facility", "log_type SYSLOG x", "-";
    now Metrics "metrics" Daemon Address, "off", "OpenMetrics text over HTTP", "-", "-";
    now DaemonMaxConnections "max_connections" Daemon Count, "what descriptors and processes allow", "all services together", "defaults instances", "TasksMax=";
    now ShutdownTimeout "shutdown_timeout" Daemon Duration, "\"30s\"", "drain on TERM", "-", "TimeoutStopSec=";
}
}

pub(crate) use rows::ALL;
pub use rows::{COUNT, KEYS, Key};
