//! Who the program is and what it finds: [`Process`] from its keys.

use super::account::Who;
use super::reader::{Reader, absolute, unknown_word};
use super::sandbox::{privileges, sandbox};
use crate::config::diagnostic::{Code, Diagnostic, shown};
use crate::config::keys::Key;
use crate::config::values::{Parsed, Problem, template};
use crate::service::{Cgroup, Limit, Process, Resource, Stderr, Stdio, Template};

/// Reads the keys; `who` is `None` when `[defaults]` are read for themselves.
pub(super) fn process(reader: &Reader<'_, '_>, who: Option<Who>) -> Process {
    let is_service = who.is_some();
    let is_root = matches!(&who, Some(Who::Account(identity)) if identity.uid == 0);
    let sandbox = sandbox(reader, is_root);
    let root_directory = reader.absolute_path(Key::RootDirectory);
    if is_service {
        privileges(reader, is_root, sandbox.preset, root_directory.is_some());
    }
    Process {
        identity: match who {
            Some(Who::Account(identity)) => Some(identity),
            Some(Who::Daemon | Who::Unknown) | None => None,
        },
        working_directory: reader
            .absolute_path(Key::WorkingDirectory)
            .unwrap_or_else(|| "/".to_owned()),
        root_directory,
        umask: reader.mode(Key::Umask).unwrap_or(0o022),
        nice: reader
            .integer(Key::Nice)
            .and_then(|nice| i32::try_from(nice).ok())
            .unwrap_or(0),
        env: env(reader),
        pass_env: pass_env(reader),
        oom_score_adj: reader
            .integer(Key::OomScoreAdj)
            .and_then(|score| i32::try_from(score).ok()),
        stdio: reader
            .choice(Key::Stdio, [Stdio::Socket, Stdio::Pipe, Stdio::ListenFds])
            .unwrap_or(Stdio::Socket),
        stderr: stderr(reader).unwrap_or(Stderr::Log),
        limits: limits(reader),
        sandbox,
        cgroup: cgroup(reader),
    }
}
fn env(reader: &Reader<'_, '_>) -> Vec<(String, Template)> {
    if let Some(entry) = reader.entry(Key::Env)
        && !entry.value.get_ref().is_table()
    {
        reader.refuse_type(Key::Env, &entry, "a table: `env = { NAME = \"value\" }`");
        return Vec::new();
    }
    let mut variables = Vec::new();
    for (name, entry) in &reader.section.env {
        let name_error = |what: String| {
            Diagnostic::error(
                Code::Value,
                entry.key,
                format!("{} {what}", reader.subject(Key::Env)),
            )
        };
        if name.is_empty() || name.contains(['=', '\0']) {
            reader.report(
                name_error(format!("has a variable with the name `{}`", shown(name)))
                    .help("names are not empty and have no `=`"),
            );
            continue;
        }
        if name.starts_with("LD_") {
            let title = format!("{} sets `{}`", reader.subject(Key::Env), shown(name));
            reader.report(
                Diagnostic::warning(Code::Suspicious, entry.key, title)
                    .label("changes what code the program runs"),
            );
        }
        let Some(text) = entry.value.get_ref().as_str() else {
            let value = entry.value.get_ref();
            let instead = value
                .as_integer()
                .map(ToString::to_string)
                .or_else(|| value.as_bool().map(|flag| flag.to_string()));
            let title = format!(
                "{}: `{}` is not a string",
                reader.subject(Key::Env),
                shown(name)
            );
            let problem = Diagnostic::error(Code::Type, entry.place(), title)
                .help("write the value in quotes");
            reader.report(match instead {
                Some(text) => problem.patch(entry.place(), format!("\"{text}\"")),
                None => problem,
            });
            continue;
        };
        match template::parse(text) {
            Ok(value) => variables.push(((*name).to_owned(), value)),
            Err(problem) => reader.refuse(Key::Env, entry.place(), problem),
        }
        if text.contains('\n') {
            let title = format!(
                "{}: `{}` holds a line break",
                reader.subject(Key::Env),
                shown(name)
            );
            reader.report(
                Diagnostic::warning(Code::Suspicious, entry.place(), title)
                    .label("many programs read one line"),
            );
        }
    }
    variables
}

fn pass_env(reader: &Reader<'_, '_>) -> Vec<String> {
    let name = |text: &str| {
        if text.is_empty() || text.contains(['=', '\0']) {
            return Err(Problem::new(format!(
                "has a name that no variable has: `{}`",
                shown(text)
            ))
            .help("write names alone; `env` sets values"));
        }
        Ok(text.to_owned())
    };
    let names = reader.list(Key::PassEnv, name).unwrap_or_default();
    names.into_iter().map(|(name, _)| name).collect()
}

fn stderr(reader: &Reader<'_, '_>) -> Option<Stderr> {
    const WORDS: [&str; 6] = ["log", "log-each", "client", "null", "inherit", "file:/path"];
    let item = reader.text_as(Key::Stderr, &format!("one of {}", super::one_of(&WORDS)))?;
    let parse = |text: &str| -> Parsed<Stderr> {
        Ok(match text {
            "log" => Stderr::Log,
            "log-each" => Stderr::LogEach,
            "client" => Stderr::Client,
            "null" => Stderr::Null,
            "inherit" => Stderr::Inherit,
            _ => match text.strip_prefix("file:") {
                Some(path) => {
                    absolute(path)?;
                    Stderr::File(template::parse(path)?)
                }
                None => return Err(unknown_word(text, &WORDS)),
            },
        })
    };
    reader.parsed(Key::Stderr, &item, parse)
}

fn limits(reader: &Reader<'_, '_>) -> Vec<Limit> {
    table_only(reader, Key::Limits, "limits = { open_files = 100 }");
    let count = |key| {
        reader
            .integer(key)
            .and_then(|number| u64::try_from(number).ok())
            .map(Some)
    };
    let bytes = |key| reader.size(key);
    let seconds = || {
        let time = reader.duration(Key::LimitsCpuTime)?;
        // The kernel counts whole seconds; a started one is granted.
        Some(time.map(|time| time.as_secs() + u64::from(time.subsec_nanos() > 0)))
    };
    [
        (Resource::OpenFiles, count(Key::LimitsOpenFiles)),
        (Resource::Processes, count(Key::LimitsProcesses)),
        (Resource::CpuTime, seconds()),
        (Resource::AddressSpace, bytes(Key::LimitsAddressSpace)),
        (Resource::Data, bytes(Key::LimitsData)),
        (Resource::Stack, bytes(Key::LimitsStack)),
        (Resource::FileSize, bytes(Key::LimitsFileSize)),
        (Resource::Core, bytes(Key::LimitsCore)),
        (Resource::LockedMemory, bytes(Key::LimitsLockedMemory)),
    ]
    .into_iter()
    .filter_map(|(resource, value)| value.map(|value| Limit { resource, value }))
    .collect()
}

/// Reports a scalar where only a table makes sense.
pub(super) fn table_only(reader: &Reader<'_, '_>, key: Key, example: &str) {
    if let Some(entry) = reader.entry(key)
        && !entry.value.get_ref().is_table()
    {
        reader.refuse_type(key, &entry, &format!("a table: `{example}`"));
    }
}
fn cgroup(reader: &Reader<'_, '_>) -> Cgroup {
    table_only(reader, Key::Cgroup, "cgroup = { memory_max = \"64M\" }");
    let bytes = |key| reader.size(key).flatten();
    let number = |key| {
        reader
            .integer(key)
            .and_then(|number| u32::try_from(number).ok())
    };
    Cgroup {
        memory_max: bytes(Key::CgroupMemoryMax),
        memory_high: bytes(Key::CgroupMemoryHigh),
        swap_max: bytes(Key::CgroupSwapMax),
        tasks_max: number(Key::CgroupTasksMax),
        cpu_quota: reader.percent(Key::CgroupCpuQuota),
        cpu_weight: number(Key::CgroupCpuWeight),
        io_weight: number(Key::CgroupIoWeight),
    }
}
