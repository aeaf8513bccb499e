//! The way out: a service of ours as a `.socket` with its `@.service` or `.service`.
//!
//! Invariant: what systemd cannot do is told, one line for each key; the units never serve somebody whom the table
//! refuses without such a line.

use std::fmt::Write as _;
use std::time::Duration;

use crate::service::{
    Address, Cgroup, Keepalive, LogTarget, PerSource, Piece, Preset, Process, Program, Protocol,
    Resource, Run, Service, Source, Specifier, Stderr, Stdio, Template, UnixKind, UnixName,
};

/// A unit file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its name: `ssh.socket`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// The units for a service, and what they do not do. No units: it cannot be done at all.
pub fn to_systemd(service: &Service) -> (Vec<Unit>, Vec<String>) {
    let mut writer = Writer {
        socket: String::new(),
        program: String::new(),
        notes: Vec::new(),
    };
    let program = match &service.run {
        Run::Program(program) => program,
        Run::Builtin(_) => {
            return (
                Vec::new(),
                vec!["a built-in has no program that systemd could start".to_owned()],
            );
        }
        Run::Redirect(_) => {
            let text = "write a pair with systemd-socket-proxyd by hand: it takes one connection for all clients";
            return (Vec::new(), vec![text.to_owned()]);
        }
    };
    writer.socket(service);
    writer.admission(service);
    writer.program(service, program);
    writer.process(&service.process);
    writer.rest(service);
    let name = &service.name;
    let (accept, template) = if service.wait {
        ("no", "")
    } else {
        ("yes", "@")
    };
    let description = if service.description.is_empty() {
        name
    } else {
        &service.description
    };
    let description = description.replace(['\n', '\r'], " ").replace('%', "%%");
    let socket = format!(
        "[Unit]\nDescription={description}\n\n[Socket]\n{}Accept={accept}\n\n[Install]\nWantedBy=sockets.target\n",
        writer.socket
    );
    let collect = if service.wait {
        ""
    } else {
        "CollectMode=inactive-or-failed\n"
    };
    let program = format!(
        "[Unit]\nDescription={description}\n{collect}\n[Service]\n{}",
        writer.program
    );
    let units = vec![
        Unit {
            name: format!("{name}.socket"),
            text: socket,
        },
        Unit {
            name: format!("{name}{template}.service"),
            text: program,
        },
    ];
    (units, writer.notes)
}

struct Writer {
    socket: String,
    program: String,
    notes: Vec<String>,
}

impl Writer {
    fn on_socket(&mut self, key: &str, value: impl std::fmt::Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.socket, "{key}={value}");
    }

    fn on_program(&mut self, key: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.program, "{key}={value}");
    }

    fn lost(&mut self, key: &str) {
        self.notes
            .push(format!("`{key}` has no counterpart in systemd: left out"));
    }

    fn socket(&mut self, service: &Service) {
        let mut v6_only = None;
        for address in &service.listen {
            let (key, place) = match address {
                Address::Inet {
                    protocol,
                    socket,
                    dual_stack,
                } => {
                    if socket.is_ipv6() && socket.ip().is_unspecified() {
                        v6_only = Some(v6_only.unwrap_or(false) || !dual_stack);
                    }
                    let key = if *protocol == Protocol::Tcp {
                        "ListenStream"
                    } else {
                        "ListenDatagram"
                    };
                    (key, socket.to_string())
                }
                Address::Unix { kind, name } => {
                    let key = match kind {
                        UnixKind::Stream => "ListenStream",
                        UnixKind::Datagram => "ListenDatagram",
                        UnixKind::SeqPacket => "ListenSequentialPacket",
                    };
                    let place = match name {
                        UnixName::Path(path) => path.display().to_string(),
                        UnixName::Abstract(name) => format!("@{name}"),
                    };
                    (key, place)
                }
                Address::Vsock {
                    cid: u32::MAX,
                    port,
                } => ("ListenStream", format!("vsock::{port}")),
                Address::Vsock { cid, port } => ("ListenStream", format!("vsock:{cid}:{port}")),
                Address::Inherited { name } => {
                    self.lost(&format!("listen = \"fd:{name}\""));
                    continue;
                }
            };
            self.on_socket(key, place.replace('%', "%%"));
        }
        if let Some(only) = v6_only {
            self.on_socket("BindIPv6Only", if only { "ipv6-only" } else { "both" });
        }
        let options = &service.socket;
        let yes = |on: bool| on.then_some("yes");
        for (key, value) in [
            ("FreeBind", yes(options.freebind == Some(true))),
            ("Transparent", yes(options.transparent)),
            ("ReusePort", yes(options.reuse_port)),
            ("NoDelay", yes(options.nodelay)),
            ("KeepAlive", yes(options.keepalive != Keepalive::Off)),
        ] {
            if let Some(value) = value {
                self.on_socket(key, value);
            }
        }
        if let Keepalive::After(time) = options.keepalive {
            self.on_socket("KeepAliveTimeSec", seconds(time));
        }
        self.on_socket("Backlog", options.backlog);
        for (key, value) in [
            ("BindToDevice", options.bind_device.clone()),
            ("DeferAcceptSec", options.defer_accept.map(seconds)),
            (
                "IPTOS",
                options.dscp.map(|d| (u32::from(d) * 4).to_string()),
            ),
            ("Mark", options.mark.map(|m| m.to_string())),
            (
                "ReceiveBuffer",
                options.receive_buffer.map(|b| b.to_string()),
            ),
            ("SendBuffer", options.send_buffer.map(|b| b.to_string())),
            ("SocketUser", options.owner.map(|o| o.to_string())),
            ("SocketGroup", options.group.map(|g| g.to_string())),
        ] {
            if let Some(value) = value {
                self.on_socket(key, value);
            }
        }
        if service
            .listen
            .iter()
            .any(|a| matches!(a, Address::Unix { .. }))
        {
            self.on_socket("SocketMode", format!("{:04o}", options.mode));
        }
    }

    fn admission(&mut self, service: &Service) {
        let admission = &service.admission;
        if !service.wait {
            // systemd has no "unlimited", and stops the unit when too many are triggered.
            let most = admission.max_connections.map_or(1_000_000, u32::from);
            self.on_socket("MaxConnections", most);
            match admission.max_per_source {
                PerSource::At(n) => self.on_socket("MaxConnectionsPerSource", n),
                PerSource::Half => self.on_socket("MaxConnectionsPerSource", (most / 2).max(1)),
                PerSource::Unlimited => {}
            }
        }
        self.on_socket("TriggerLimitIntervalSec", 0);
        if let Some(rate) = admission.rate {
            self.on_socket("PollLimitIntervalSec", seconds(rate.per));
            self.on_socket("PollLimitBurst", rate.burst);
        }
        if admission.allow.is_some() || !admission.deny.is_empty() {
            self.addresses(admission.allow.as_deref(), &admission.deny);
        }
        for (key, given) in [
            ("hours", !admission.hours.is_empty()),
            ("max_load", admission.max_load.is_some()),
            ("exempt", !admission.exempt.is_empty()),
            (
                "source_prefix",
                admission.source_prefix != (32, 128)
                    && admission.max_per_source != PerSource::Unlimited,
            ),
            ("rate_per_source", admission.rate_per_source.is_some()),
            ("pause", admission.pause.is_some()),
            ("refuse_message", admission.refuse_message.is_some()),
            ("penalty", admission.penalty.is_some()),
        ] {
            if given {
                self.lost(key);
            }
        }
    }

    /// systemd's allow wins over its deny, whatever is longer; so only one of the two can be written exactly.
    fn addresses(&mut self, allow: Option<&[Source]>, deny: &[Source]) {
        let mut words = |list: &[Source]| -> String {
            let mut words = Vec::new();
            for source in list {
                match source {
                    Source::Net(net) => words.push(net.to_string()),
                    Source::Any => words.push("any".to_owned()),
                    Source::Loopback => words.push("localhost".to_owned()),
                    Source::Private => words.push(
                        "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7 link-local".to_owned(),
                    ),
                    Source::Local | Source::Uid(_) | Source::Gid(_) | Source::File(_) => {
                        self.notes.push("`allow` or `deny` by uid, gid, list file or `local` cannot be written: left out".to_owned());
                    }
                }
            }
            words.join(" ")
        };
        let (allowed, denied) = (words(allow.unwrap_or_default()), words(deny));
        match (allow.is_some(), denied.is_empty()) {
            (true, true) => {
                self.on_socket("IPAddressDeny", "any");
                self.on_socket("IPAddressAllow", allowed);
            }
            (false, _) => self.on_socket("IPAddressDeny", denied),
            (true, false) => {
                self.on_socket("IPAddressDeny", "any");
                self.on_socket("IPAddressAllow", allowed);
                let text = "`deny` beside `allow` is not kept: in systemd what is allowed is so whatever is denied";
                self.notes.push(text.to_owned());
            }
        }
    }

    fn program(&mut self, service: &Service, program: &Program) {
        let base = program.path.rsplit('/').next().unwrap_or_default();
        // `:` keeps systemd from expanding `$`; `-`: a status other than 0 is no failure of the service.
        let at = if program.argv0 == base || program.argv0 == program.path {
            ""
        } else {
            "@"
        };
        let mut line = format!("-:{at}{}", word(&program.path));
        if !at.is_empty() {
            let _ = write!(line, " {}", word(&program.argv0));
        } else if program.argv0 == base {
            // systemd passes the whole path.
            line = format!("-:@{} {}", word(&program.path), word(base));
        }
        for argument in &program.arguments {
            let text = self.template(argument, "command");
            let _ = write!(line, " {}", word(&text));
        }
        self.on_program("ExecStart", line);
        match service.process.stdio {
            Stdio::Socket => self.on_program("StandardInput", "socket"),
            Stdio::ListenFds => {}
            Stdio::Pipe => {
                self.on_program("StandardInput", "socket");
                self.lost("stdio = \"pipe\"");
            }
        }
        let stderr = match &service.process.stderr {
            Stderr::Log | Stderr::LogEach | Stderr::Inherit => "journal".to_owned(),
            Stderr::Client => "inherit".to_owned(),
            Stderr::Null => "null".to_owned(),
            Stderr::File(path) => format!("append:{}", self.template(path, "stderr")),
        };
        self.on_program("StandardError", stderr);
    }

    fn template(&mut self, template: &Template, key: &str) -> String {
        let mut text = String::new();
        for piece in &template.0 {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Specifier(specifier) => {
                    let name = match specifier {
                        Specifier::RemoteAddr => "remote_addr",
                        Specifier::RemotePort => "remote_port",
                        Specifier::Service => "service",
                        Specifier::Id => "id",
                    };
                    self.lost(&format!("%{{{name}}} in {key}"));
                }
            }
        }
        text
    }

    fn process(&mut self, process: &Process) {
        if let Some(identity) = &process.identity {
            self.on_program("User", identity.uid);
            self.on_program("Group", identity.gid);
            let groups: Vec<String> = identity.groups.iter().map(ToString::to_string).collect();
            if !groups.is_empty() {
                self.on_program("SupplementaryGroups", groups.join(" "));
            }
        }
        if process.working_directory != "/" {
            self.on_program(
                "WorkingDirectory",
                process.working_directory.replace('%', "%%"),
            );
        }
        if let Some(root) = &process.root_directory {
            self.on_program("RootDirectory", root.replace('%', "%%"));
        }
        self.on_program("UMask", format!("{:04o}", process.umask));
        if process.nice != 0 {
            self.on_program("Nice", process.nice);
        }
        for (name, value) in &process.env {
            let value = self.template(value, "env");
            self.on_program("Environment", word(&format!("{name}={value}")));
        }
        if !process.pass_env.is_empty() {
            self.on_program("PassEnvironment", process.pass_env.join(" "));
        }
        if let Some(score) = process.oom_score_adj {
            self.on_program("OOMScoreAdjust", score);
        }
        for limit in &process.limits {
            let key = match limit.resource {
                Resource::OpenFiles => "LimitNOFILE",
                Resource::Processes => "LimitNPROC",
                Resource::CpuTime => "LimitCPU",
                Resource::AddressSpace => "LimitAS",
                Resource::Data => "LimitDATA",
                Resource::Stack => "LimitSTACK",
                Resource::FileSize => "LimitFSIZE",
                Resource::Core => "LimitCORE",
                Resource::LockedMemory => "LimitMEMLOCK",
            };
            let value = limit.value.map_or("infinity".to_owned(), |v| v.to_string());
            self.on_program(key, value);
        }
        self.cgroup(&process.cgroup);
        self.sandbox(process);
    }

    fn cgroup(&mut self, cgroup: &Cgroup) {
        let number = |v: Option<u32>| v.map(|v| v.to_string());
        for (key, value) in [
            ("MemoryMax", cgroup.memory_max.map(|v| v.to_string())),
            ("MemoryHigh", cgroup.memory_high.map(|v| v.to_string())),
            ("MemorySwapMax", cgroup.swap_max.map(|v| v.to_string())),
            ("TasksMax", number(cgroup.tasks_max)),
            ("CPUQuota", cgroup.cpu_quota.map(|v| format!("{v}%"))),
            ("CPUWeight", number(cgroup.cpu_weight)),
            ("IOWeight", number(cgroup.io_weight)),
        ] {
            if let Some(value) = value {
                self.on_program(key, value);
            }
        }
    }

    fn sandbox(&mut self, process: &Process) {
        let sandbox = &process.sandbox;
        if sandbox.preset >= Preset::Basic {
            self.on_program("NoNewPrivileges", "yes");
            self.on_program("CapabilityBoundingSet", "");
        }
        if sandbox.preset >= Preset::Strict {
            for (key, value) in [
                ("ProtectSystem", "strict"),
                ("ProtectHome", "read-only"),
                ("PrivateTmp", "yes"),
                ("PrivateDevices", "yes"),
                ("PrivateIPC", "yes"),
                ("ProtectProc", "invisible"),
                ("SystemCallFilter", "@system-service"),
            ] {
                self.on_program(key, value);
            }
            if !sandbox.allow_32bit {
                self.on_program("SystemCallArchitectures", "native");
            }
            let name = if sandbox.preset == Preset::Jail {
                "jail"
            } else {
                "strict"
            };
            self.notes.push(format!(
                "`sandbox = \"{name}\"` is written as systemd's nearest settings: compare them"
            ));
        }
        for (key, paths) in [
            ("ReadOnlyPaths", &sandbox.read_only),
            ("ReadWritePaths", &sandbox.read_write),
            ("InaccessiblePaths", &sandbox.hide),
        ] {
            for path in paths {
                self.on_program(key, word(path));
            }
        }
        if !sandbox.network {
            self.on_program("PrivateNetwork", "yes");
        }
        if !sandbox.capabilities.is_empty() {
            self.lost("sandbox.capabilities");
        }
    }

    fn rest(&mut self, service: &Service) {
        let deadlines = &service.deadlines;
        if let Some(time) = deadlines.timeout {
            self.on_program("RuntimeMaxSec", seconds(time));
        }
        self.on_program("TimeoutStopSec", seconds(deadlines.stop));
        if service.log_tag != service.name {
            self.on_program("SyslogIdentifier", word(&service.log_tag));
        }
        for (key, given) in [
            ("idle_timeout", deadlines.idle.is_some()),
            ("first_byte_timeout", deadlines.first_byte.is_some()),
            (
                "on_disconnect",
                deadlines.on_disconnect != crate::service::OnDisconnect::Ignore,
            ),
            ("linger", deadlines.linger.is_some()),
            ("banner", service.banner.is_some()),
            ("cache", service.cache.is_some()),
            ("proxy_protocol", service.proxy.is_some()),
            ("transcript", service.transcript.is_some()),
            (
                "log_to",
                service
                    .log_to
                    .as_ref()
                    .is_some_and(|t| *t != LogTarget::Journal),
            ),
            ("enabled = false", !service.enabled),
        ] {
            if given {
                self.lost(key);
            }
        }
    }
}

fn seconds(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        format!("{}s", time.as_secs())
    } else {
        format!("{}ms", time.as_millis())
    }
}

/// A word for a setting of words: quoted where it must be, `%` doubled.
fn word(text: &str) -> String {
    let text = text.replace('%', "%%");
    let plain = !text.is_empty()
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "'\"\\;".contains(c));
    if plain {
        return text;
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_systemd() {
        for (text, expected) in [
            ("/bin/x", "/bin/x"),
            ("a b", "\"a b\""),
            ("50%", "50%%"),
            ("", "\"\""),
            ("a\"b\\", "\"a\\\"b\\\\\""),
            ("a\u{1}", "\"a\\x01\""),
        ] {
            assert_eq!(word(text), expected);
        }
    }
}
