//! `.socket` units with their `@.service` or `.service`.
//!
//! Invariant: a setting is carried over, known to be without meaning here, or told; confinement that has no counterpart
//! is a loss.

mod socket;
mod unit;

use unit::{Setting, Unit};

use super::Format;
use super::entry::{Entry, Value, base_name, literal};
use super::inetd::split_like_systemd;
use super::note::Place;
use super::session::{Session, Source};

/// Reads the sockets and finds the service of each.
pub(super) fn read(session: &mut Session<'_>, sources: &[Source]) -> Format {
    let units: Vec<Unit> = sources
        .iter()
        .map(|s| Unit::parse(&s.path, &s.text.lines))
        .collect();
    let mut served: Vec<String> = Vec::new();
    for socket in units.iter().filter(|u| u.is_socket()) {
        served.extend(pair(session, socket, &units));
    }
    for service in units
        .iter()
        .filter(|u| !u.is_socket() && !served.contains(&u.name))
    {
        let stem = service
            .name
            .trim_end_matches(".service")
            .trim_end_matches('@');
        let path = service.path.with_file_name(format!("{stem}.socket"));
        let found = session.files.read(&path).is_ok();
        if let Some(source) = found.then(|| session.read(&path, None)).flatten() {
            pair(
                session,
                &Unit::parse(&source.path, &source.text.lines),
                &units,
            );
        } else {
            let text = format!("{} has no socket unit beside it", service.name);
            let place = Place::file(&service.path);
            session.notes.left_out(&place, &service.name, text);
        }
    }
    let mut baseline: Vec<(&'static str, Value)> = vec![
        ("sandbox", "none".into()),
        ("max_per_source", "unlimited".into()),
        ("over_limit", "refuse".into()),
    ];
    if session.entries.is_empty() {
        baseline.clear();
    }
    Format {
        name: "systemd units".to_owned(),
        baseline,
        remarks: &[
            "A socket unit fails for good when too many come at once (TriggerLimit); a service here never does.",
        ],
        later_wins: false,
    }
}

/// Converts a socket unit; returns the name of the service unit that it used.
fn pair(session: &mut Session<'_>, socket: &Unit, units: &[Unit]) -> Option<String> {
    let stem = socket.name.trim_end_matches(".socket").to_owned();
    let accept = socket
        .last("Socket", "Accept")
        .is_some_and(|s| yes(&s.value));
    let name = match socket.last("Socket", "Service") {
        Some(setting) if !accept => setting.value.clone(),
        _ if accept => format!("{stem}@.service"),
        _ => format!("{stem}.service"),
    };
    let place = Place::file(&socket.path);
    let beside = socket.path.with_file_name(&name);
    let found = units.iter().find(|u| u.name == name).cloned();
    let service = found.or_else(|| {
        session.files.read(&beside).ok()?;
        let source = session.read(&beside, None)?;
        Some(Unit::parse(&source.path, &source.text.lines))
    });
    let Some(service) = service else {
        session.notes.left_out(
            &place,
            &stem,
            format!("`{name}` is not beside {}", socket.name),
        );
        return None;
    };
    let mut entry = Entry::new(&stem, &Place::new(&place.file, 1));
    entry.last_line = socket.lines;
    entry.also = Some(Place::file(&service.path).file);
    entry.original.clone_from(&socket.original);
    entry.original.push(String::new());
    entry.original.extend(service.original.iter().cloned());
    if let Some(setting) = socket
        .last("Unit", "Description")
        .or_else(|| service.last("Unit", "Description"))
    {
        entry.set("description", setting.value.clone());
    }
    let complete = socket::socket(session, &mut entry, socket, accept)
        && program(session, &mut entry, &service, accept);
    if complete {
        session.entries.push(entry);
    }
    Some(name)
}

/// `yes`, `true`, `on`, `1`.
fn yes(text: &str) -> bool {
    ["yes", "true", "on", "1", "y", "t"].contains(&text.to_ascii_lowercase().as_str())
}

/// Settings that say nothing about the program itself, or what oxinetd does anyway.
const WITHOUT_MEANING: [&str; 17] = [
    "Type",
    "Restart",
    "RestartSec",
    "RemainAfterExit",
    "KillMode",
    "KillSignal",
    "SendSIGKILL",
    "SuccessExitStatus",
    "StandardInput",
    "StandardOutput",
    "IgnoreSIGPIPE",
    "TTYReset",
    "SyslogLevelPrefix",
    "SyslogFacility",
    "TimeoutStartSec",
    "NonBlocking",
    "NotifyAccess",
];

fn program(session: &mut Session<'_>, entry: &mut Entry, service: &Unit, accept: bool) -> bool {
    let standard_input = service
        .last("Service", "StandardInput")
        .map(|s| s.value.as_str());
    let on_stdio = standard_input == Some("socket");
    if !on_stdio {
        entry.set("stdio", "listen_fds");
    }
    if !accept {
        entry.set("wait", true);
    }
    entry.set("user", "root");
    // Without StandardError= it goes where stdout goes: to the client.
    entry.set("stderr", if on_stdio { "client" } else { "log" });
    let Some(start) = service.last("Service", "ExecStart") else {
        let text = format!("{} has no ExecStart=", service.name);
        session
            .notes
            .left_out(&Place::file(&service.path), &entry.name, text);
        return false;
    };
    if !command(session, entry, service, start) {
        return false;
    }
    for setting in service.settings("Service") {
        if setting.key != "ExecStart" && !WITHOUT_MEANING.contains(&setting.key.as_str()) {
            let place = service.place(setting);
            if let Err(text) = self::setting(entry, setting) {
                match text {
                    Unkept::Note(text) => session.notes.note(&place, text),
                    Unkept::Loss(text) => session.notes.loss(&place, text),
                }
            }
        }
    }
    true
}

fn command(session: &mut Session<'_>, entry: &mut Entry, unit: &Unit, start: &Setting) -> bool {
    let place = unit.place(start);
    let text = start.value.as_str();
    let prefix: String = text.chars().take_while(|c| "-@:+!".contains(*c)).collect();
    if prefix.contains(['+', '!']) {
        let text = format!("`{prefix}` before the program: its rights are those of `user` here");
        session.notes.note(&place, text);
    }
    let words = match split_like_systemd(&text[prefix.len()..]) {
        Ok(words) => words,
        Err(why) => {
            session
                .notes
                .left_out(&place, &entry.name, format!("ExecStart=: {why}"));
            return false;
        }
    };
    let mut words = words
        .into_iter()
        .map(|w| w.replace("%%", "%").replace("$$", "$"));
    let (Some(path), rest) = (words.next(), words.collect::<Vec<_>>()) else {
        session
            .notes
            .left_out(&place, &entry.name, "ExecStart= is empty");
        return false;
    };
    if rest.iter().any(|w| w.contains('%')) || path.contains('%') {
        let text =
            "a `%` specifier of systemd has no counterpart: the word is written as it stands";
        session.notes.note(&place, text);
    }
    if !prefix.contains(':') && rest.iter().any(|w| w.contains('$')) {
        session.notes.note(
            &place,
            "systemd expands `$` in words, oxinetd does not: they are written as they stand",
        );
    }
    if path.contains("%{") {
        session
            .notes
            .left_out(&place, &entry.name, "a program's path cannot hold `%{`");
        return false;
    }
    match rest.split_first().filter(|_| prefix.contains('@')) {
        Some((argv0, rest)) => entry.set_command(&path, argv0, rest),
        None => entry.set_command(&path, base_name(&path), &rest),
    }
    true
}

enum Unkept {
    Note(String),
    Loss(String),
}

/// Carries one setting of `[Service]` over.
fn setting(entry: &mut Entry, setting: &Setting) -> Result<(), Unkept> {
    let value = setting.value.trim();
    let shown = format!("`{}={value}`", setting.key);
    let bad = || Unkept::Note(format!("{shown} is not understood: left out"));
    let number = || value.parse::<i64>().map_err(|_| bad());
    match setting.key.as_str() {
        "User" => entry.set("user", value),
        "Group" => entry.set("group", value),
        "SupplementaryGroups" => {
            let groups: Vec<String> = value.split_whitespace().map(str::to_owned).collect();
            entry.set("supplementary_groups", groups);
            let text =
                format!("{shown} adds to the user's own groups in systemd; here the list is all");
            return Err(Unkept::Note(text));
        }
        "Environment" => {
            for word in split_like_systemd(value).map_err(|_| bad())? {
                let (name, value) = word.split_once('=').ok_or_else(bad)?;
                entry.set_in("env", name, literal(value));
            }
        }
        "PassEnvironment" => {
            entry.set(
                "pass_env",
                value
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>(),
            );
        }
        "WorkingDirectory" if value.starts_with('/') => {
            entry.set("working_directory", literal(value));
        }
        "RootDirectory" => entry.set("root_directory", value),
        "UMask" => {
            let mode = u32::from_str_radix(value, 8)
                .ok()
                .filter(|m| *m <= 0o777)
                .ok_or_else(bad)?;
            entry.set("umask", format!("{mode:04o}"));
        }
        "Nice" => entry.set("nice", Value::Number(number()?)),
        "OOMScoreAdjust" => entry.set("oom_score_adj", Value::Number(number()?)),
        "SyslogIdentifier" => entry.set("log_tag", value),
        "StandardError" => match value {
            "journal" | "syslog" | "journal+console" | "kmsg" => entry.set("stderr", "log"),
            "null" => entry.set("stderr", "null"),
            "inherit" | "socket" => entry.set("stderr", "client"),
            _ => match value.split_once(':') {
                Some(("file" | "append" | "truncate", path)) => {
                    entry.set("stderr", format!("file:{}", literal(path)));
                }
                _ => return Err(bad()),
            },
        },
        "RuntimeMaxSec" => entry.set("timeout", time(value).ok_or_else(bad)?),
        "TimeoutStopSec" => entry.set("stop_timeout", time(value).ok_or_else(bad)?),
        "NoNewPrivileges" if yes(value) => {
            entry.set("sandbox", "basic");
            let text =
                format!("{shown} is `sandbox = \"basic\"`, which drops all capabilities as well");
            return Err(Unkept::Note(text));
        }
        "NoNewPrivileges" => {}
        key => return other(entry, key, value, &shown),
    }
    Ok(())
}

/// Limits, control groups, and what has no counterpart.
fn other(entry: &mut Entry, key: &str, value: &str, shown: &str) -> Result<(), Unkept> {
    let loss = || Unkept::Loss(format!("{shown} has no counterpart"));
    let number = |text: &str| text.parse::<i64>().map(Value::Number).map_err(|_| loss());
    if let Some(limit) = key.strip_prefix("Limit") {
        let (name, kind) = match limit {
            "NOFILE" => ("open_files", 'n'),
            "NPROC" => ("processes", 'n'),
            "CPU" => ("cpu_time", 't'),
            "AS" => ("address_space", 's'),
            "DATA" => ("data", 's'),
            "STACK" => ("stack", 's'),
            "FSIZE" => ("file_size", 's'),
            "CORE" => ("core", 's'),
            "MEMLOCK" => ("locked_memory", 's'),
            _ => return Err(loss()),
        };
        let (soft, hard) = value.split_once(':').unwrap_or((value, value));
        if soft == "infinity" {
            return Err(Unkept::Note(format!(
                "{shown} raises nothing here: left out"
            )));
        }
        entry.set_in(
            "limits",
            name,
            match kind {
                'n' => number(soft)?,
                't' => time(soft).ok_or_else(loss)?.into(),
                _ => size(soft).ok_or_else(loss)?.into(),
            },
        );
        if soft != hard {
            return Err(Unkept::Note(format!(
                "{shown}: hard and soft limit are one here, the soft one"
            )));
        }
        return Ok(());
    }
    let (name, value) = match key {
        "MemoryMax" => ("memory_max", size(value).ok_or_else(loss)?.into()),
        "MemoryHigh" => ("memory_high", size(value).ok_or_else(loss)?.into()),
        "MemorySwapMax" => ("swap_max", size(value).ok_or_else(loss)?.into()),
        "TasksMax" => ("tasks_max", number(value)?),
        "CPUQuota" => ("cpu_quota", value.into()),
        "CPUWeight" => ("cpu_weight", number(value)?),
        "IOWeight" => ("io_weight", number(value)?),
        _ => {
            let confines = [
                "Protect",
                "Private",
                "Restrict",
                "ReadOnly",
                "Inaccessible",
                "NoExec",
                "SystemCall",
                "IPAddress",
            ];
            let also = [
                "CapabilityBoundingSet",
                "AmbientCapabilities",
                "DynamicUser",
                "PAMName",
                "DeviceAllow",
                "DevicePolicy",
            ];
            let more = [
                "MemoryDenyWriteExecute",
                "LockPersonality",
                "SELinuxContext",
                "AppArmorProfile",
                "TasksMax",
            ];
            if confines.iter().any(|c| key.starts_with(c))
                || also.contains(&key)
                || more.contains(&key)
            {
                return Err(loss());
            }
            return Err(Unkept::Note(format!(
                "{shown} has no counterpart: left out"
            )));
        }
    };
    entry.set_in("cgroup", name, value);
    Ok(())
}

/// A time of systemd's as ours: bare numbers are seconds.
fn time(text: &str) -> Option<String> {
    let text = text.trim();
    if text == "infinity" || text == "0" {
        return Some("off".to_owned());
    }
    if text.chars().all(|c| c.is_ascii_digit()) && text.len() < 10 {
        return Some(format!("{text}s"));
    }
    let known = |word: &str| {
        let unit = word.trim_start_matches(|c: char| c.is_ascii_digit());
        unit.len() < word.len() && ["ms", "s", "min", "h", "d"].contains(&unit)
    };
    text.split_whitespace().all(known).then(|| text.to_owned())
}

/// A size of systemd's as ours.
fn size(text: &str) -> Option<String> {
    let digits = text.trim_end_matches(['K', 'M', 'G']);
    let good = !digits.is_empty()
        && text.len() - digits.len() <= 1
        && digits.chars().all(|c| c.is_ascii_digit());
    good.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use crate::convert::{Memory, Options, Outcome, convert};

    fn run(socket: &str, service: &str, accept: bool) -> Outcome {
        let name = if accept {
            "/u/x@.service"
        } else {
            "/u/x.service"
        };
        let files = Memory::default()
            .with("/u/x.socket", socket)
            .with(name, service);
        convert(&Options::default(), &files, &[PathBuf::from("/u/x.socket")])
    }

    #[test]
    fn a_pair_becomes_a_service() {
        let out = run(
            "[Unit]\nDescription=Shell\n[Socket]\nListenStream=22\nListenStream=127.0.0.1:23\nAccept=yes\nMaxConnections=10\nKeepAlive=yes\n[Install]\nWantedBy=sockets.target\n",
            "[Service]\nExecStart=-/usr/sbin/sshd -i \\\n  \"-o A B\"\nStandardInput=socket\nStandardError=journal\nUser=ssh\nRuntimeMaxSec=1h\nLimitNOFILE=64\nMemoryMax=64M\nEnvironment=\"A=b c\" D=e\n",
            true,
        );
        assert_eq!(out.exit, 0, "{:?}", out.notes);
        for line in [
            "listen = [\"22\", \"127.0.0.1:23\"]",
            "command = [\"/usr/sbin/sshd\", \"-i\", \"-o A B\"]",
            "max_connections = 10",
            "keepalive = true",
            "stderr = \"log\"",
            "user = \"ssh\"",
            "timeout = \"1h\"",
            "limits = { open_files = 64 }",
            "cgroup = { memory_max = \"64M\" }",
            "env = { A = \"b c\", D = \"e\" }",
            "description = \"Shell\"",
        ] {
            assert!(out.toml.contains(line), "{line}\n{}", out.toml);
        }
    }

    #[test]
    fn accept_no_is_wait_and_stdio_tells_the_protocol() {
        let out = run(
            "[Socket]\nListenDatagram=69\n",
            "[Service]\nExecStart=/bin/x\n",
            false,
        );
        assert!(
            out.toml.contains("wait = true") && out.toml.contains("stdio = \"listen_fds\""),
            "{}",
            out.toml
        );
    }

    #[test]
    fn confinement_without_counterpart_is_a_loss_and_the_rest_a_note() {
        let socket = "[Socket]\nListenStream=1\nAccept=yes\n";
        for (line, exit) in [
            ("ProtectSystem=strict", 1),
            ("CapabilityBoundingSet=", 1),
            ("NoNewPrivileges=yes", 2),
            ("ExecStartPre=/bin/true", 2),
            ("Type=simple", 0),
            ("LimitNICE=1", 1),
        ] {
            let service = format!("[Service]\nStandardInput=socket\nExecStart=/bin/x\n{line}\n");
            assert_eq!(run(socket, &service, true).exit, exit, "{line}");
        }
        let alone = convert(
            &Options::default(),
            &Memory::default().with("/u/x.socket", socket),
            &["/u/x.socket".into()],
        );
        assert_eq!(alone.exit, 1);
    }
}
