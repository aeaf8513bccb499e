//! What serves a connection: exactly one of `command`, `builtin`, `redirect`, and the rules among them.

use super::listen;
use super::program::program;
use super::reader::{Item, Reader};
use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::keys::Key;
use crate::config::source::Place;
use crate::config::values::Problem;
use crate::config::values::address::{self, Host, Port, Written};
use crate::service::{
    Address, Builtin, BuiltinKind, Cgroup, HeaderVersion, Model, Protocol, Redirect, Run, Service,
    Stdio, UnixKind,
};
/// Reads the three keys; `None`: an error has been reported.
pub(super) fn run(reader: &Reader<'_, '_>, service: Place) -> Option<Run> {
    let model = model(reader);
    let allow_reflection = reader.boolean(Key::AllowReflection).unwrap_or(false);
    let entries = [Key::Command, Key::Builtin, Key::Redirect].map(|key| reader.entry(key));
    let written: Vec<Place> = entries.iter().flatten().map(|entry| entry.key).collect();
    match written.as_slice() {
        [] => {
            let title = format!("{} does not say what to run", reader.owner);
            reader.report_missing(&[Key::Command, Key::Builtin, Key::Redirect],
                Diagnostic::error(Code::Missing, service, title)
                    .label("needs `command`, `builtin` or `redirect`")
                    .help("add for example `command = \"/usr/bin/prog --flag\"` or `builtin = \"echo\"`"),
            );
        }
        [_] => {}
        [first, rest @ ..] => {
            let title = format!(
                "{} has more than one of `command`, `builtin` and `redirect`",
                reader.owner
            );
            let problem = Diagnostic::error(Code::Conflict, *first, title)
                .label("this one")
                .help("leave one of them");
            reader.report(rest.iter().fold(problem, |problem, place| {
                problem.context(*place, "or this one")
            }));
        }
    }
    let [command, builtin, redirect] = entries;
    let program = command.and_then(|_| program(reader));
    let builtin = builtin.and_then(|_| kind(reader)).map(|kind| Builtin {
        kind,
        model,
        allow_reflection,
    });
    let redirect = redirect.and_then(|_| self::redirect(reader));
    program
        .map(Run::Program)
        .or(builtin.map(Run::Builtin))
        .or(redirect.map(Run::Redirect))
}

/// `model`.
pub(super) fn model(reader: &Reader<'_, '_>) -> Model {
    reader
        .choice(Key::Model, [Model::Process, Model::Event, Model::Thread])
        .unwrap_or(Model::Process)
}
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Echo,
    Discard,
    Chargen,
    Daytime,
    Time,
    Qotd,
    Health,
    Tarpit,
}

/// The built-ins in the order of the key table.
const NAMES: [Name; 8] = [
    Name::Echo,
    Name::Discard,
    Name::Chargen,
    Name::Daytime,
    Name::Time,
    Name::Qotd,
    Name::Health,
    Name::Tarpit,
];

fn kind(reader: &Reader<'_, '_>) -> Option<BuiltinKind> {
    let entry = reader.entry(Key::Builtin)?;
    if !reader.written(Key::BuiltinName) {
        let title = format!("{} does not say which", reader.subject(Key::Builtin));
        reader.report_missing(
            &[Key::BuiltinName],
            Diagnostic::error(Code::Missing, entry.key, title)
                .label("needs `name`")
                .help("add for example `name = \"echo\"`"),
        );
    }
    let file = reader.path(Key::BuiltinFile);
    let body = reader.text(Key::BuiltinBody).map(|item| item.text);
    let needs_file = || {
        if !reader.written(Key::BuiltinFile) {
            let title = format!(
                "{}: `qotd` needs a file of quotes",
                reader.subject(Key::Builtin)
            );
            reader.report_missing(
                &[Key::BuiltinFile],
                Diagnostic::error(Code::Missing, entry.key, title)
                    .label("needs `file`")
                    .help("write `builtin = { name = \"qotd\", file = \"/path/of/quotes\" }`"),
            );
        }
    };
    let name = reader.choice(Key::BuiltinName, NAMES)?;
    for (key, fits) in [
        (Key::BuiltinFile, name == Name::Qotd),
        (Key::BuiltinBody, name == Name::Health),
    ] {
        if let Some(entry) = reader.entry(key).filter(|_| !fits) {
            let title = format!("{} has no effect on this built-in", reader.subject(key));
            reader.report(
                Diagnostic::warning(Code::NoEffect, entry.key, title).label("not an option of it"),
            );
        }
    }
    Some(match name {
        Name::Echo => BuiltinKind::Echo,
        Name::Discard => BuiltinKind::Discard,
        Name::Chargen => BuiltinKind::Chargen,
        Name::Daytime => BuiltinKind::Daytime,
        Name::Time => BuiltinKind::Time,
        Name::Qotd => {
            needs_file();
            BuiltinKind::Qotd { file: file? }
        }
        Name::Health => BuiltinKind::Health {
            body: body.unwrap_or_else(|| "ok\n".to_owned()),
        },
        Name::Tarpit => BuiltinKind::Tarpit,
    })
}

fn redirect(reader: &Reader<'_, '_>) -> Option<Redirect> {
    let header = reader.choice(
        Key::RedirectProxyProtocol,
        [None, Some(HeaderVersion::V1), Some(HeaderVersion::V2)],
    );
    let entry = reader.entry(Key::Redirect)?;
    if !reader.written(Key::RedirectTo) {
        let title = format!("{} does not say where to", reader.subject(Key::Redirect));
        reader.report_missing(
            &[Key::RedirectTo],
            Diagnostic::error(Code::Missing, entry.key, title)
                .label("needs `to`")
                .help("add for example `to = \"10.0.0.1:80\"`"),
        );
    }
    let items = reader.items(Key::RedirectTo, false)?;
    if let Some(entry) = reader.entry(Key::RedirectTo)
        && entry
            .value
            .get_ref()
            .as_array()
            .is_some_and(|array| array.is_empty())
    {
        let problem = Problem::new("is an empty list").help("write an address");
        reader.refuse(Key::RedirectTo, entry.place(), problem);
    }
    let mut to = Vec::new();
    for item in &items {
        to.extend(target(reader, item)?);
    }
    (!to.is_empty()).then_some(Redirect {
        to,
        header: header.flatten(),
    })
}

/// The addresses of one word of `redirect`; `None`: an error has been reported.
fn target(reader: &Reader<'_, '_>, item: &Item) -> Option<Vec<Address>> {
    const KEY: Key = Key::RedirectTo;
    if let [host, port] = item.text.split_whitespace().collect::<Vec<_>>().as_slice() {
        let instead = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        let problem = Problem::new("is two words")
            .help(format!("write `\"{instead}\"`"))
            .instead(instead);
        reader.refuse(KEY, item.place, problem);
        return None;
    }
    let written = reader.parsed(KEY, item, address::parse)?;
    let refused = match &written {
        Written::Inet(inet) if inet.protocol == Protocol::Udp => {
            Some("cannot be a datagram address")
        }
        Written::Inet(inet) if inet.host == Host::All => Some("names no host"),
        Written::Inet(inet) => match inet.port {
            Port::Range(0, _) => Some("needs a port"),
            Port::Range(first, last) if first != last => Some("cannot be a range of ports"),
            Port::Range(..) | Port::Name(_) => None,
        },
        Written::Vsock(u32::MAX, _) => Some("names no context id"),
        Written::Unix(UnixKind::Stream, _) | Written::Vsock(..) => None,
        Written::Unix(..) => Some("must be a stream socket"),
        Written::Inherited(_) => Some("cannot be a socket of the service manager"),
    };
    if let Some(what) = refused {
        reader.refuse(
            KEY,
            item.place,
            Problem::new(what)
                .help("write for example `\"10.0.0.1:80\"` or `\"unix:/run/x.sock\"`"),
        );
        return None;
    }
    let addresses = listen::lookup(reader, KEY, item, &written, None);
    (!addresses.is_empty()).then_some(addresses)
}

/// What datagrams and `wait` ask of a service.
pub(super) fn rules(reader: &Reader<'_, '_>, service: &Service, name: Place) {
    let listen = reader
        .entry(Key::Listen)
        .map_or(name, |entry| entry.place());
    let datagram = service.listen.iter().any(Address::is_datagram);
    let problem = |code, place, what: &str| {
        Diagnostic::error(code, place, format!("{} {what}", reader.owner))
    };
    let limits = &service.process.cgroup;
    if service.enabled
        && *limits != Cgroup::default()
        && let Some(text) = reader.context.host.world.cgroup_problem(limits)
    {
        let place = reader
            .entry(Key::Cgroup)
            .map_or(name, |entry| entry.place());
        let title = format!("{} cannot be limited: {text}", reader.owner);
        reader.report(Diagnostic::error(Code::Privilege, place, title).label("asked for here"));
    }
    match &service.run {
        Run::Program(_) if datagram && !service.wait => reader.report(
            problem(
                Code::Conflict,
                listen,
                "serves datagrams with a program that does not own the socket",
            )
            .label("datagrams")
            .help("add `wait = true`: the program gets the socket itself, as inetd's wait"),
        ),
        Run::Redirect(_) if datagram => {
            reader.report(
                problem(Code::Conflict, listen, "cannot redirect datagrams")
                    .label("datagrams")
                    .help("listen on a stream address"),
            );
        }
        Run::Builtin(Builtin {
            kind: BuiltinKind::Health { .. } | BuiltinKind::Tarpit,
            ..
        }) if datagram => reader.report(
            problem(
                Code::Conflict,
                listen,
                "has a built-in that serves streams only",
            )
            .label("datagrams")
            .help("listen on a stream address"),
        ),
        Run::Builtin(Builtin {
            kind:
                BuiltinKind::Chargen
                | BuiltinKind::Daytime
                | BuiltinKind::Time
                | BuiltinKind::Qotd { .. },
            allow_reflection: false,
            ..
        }) if datagram => reader.report(
            problem(
                Code::Conflict,
                listen,
                "would answer forged datagrams with longer ones (CVE-1999-0103)",
            )
            .label("datagrams")
            .help("leave the datagram address out, or add `allow_reflection = true`"),
        ),
        Run::Program(_) | Run::Builtin(_) | Run::Redirect(_) => {}
    }
    if let Some(entry) = reader.entry(Key::Model).filter(|entry| !entry.inherited)
        && let Some((what, label)) = without_model(service)
    {
        reader.report(
            problem(Code::Conflict, entry.key, what)
                .label(label)
                .help("leave it out"),
        );
    }
    exclusive(reader, service, name);
    if service.wait
        && !matches!(service.run, Run::Program(_))
        && let Some(entry) = reader.entry(Key::Wait).filter(|entry| !entry.inherited)
    {
        let what = "has `wait`, which is for programs";
        reader.report(
            problem(Code::Conflict, entry.key, what)
                .label("not with `builtin` or `redirect`")
                .help("leave it out"),
        );
    }
}

/// Why a service can have no `model`.
fn without_model(service: &Service) -> Option<(&'static str, &'static str)> {
    match service.run {
        Run::Program(_) => Some((
            "has a `model`, which is for built-ins",
            "a program serves its one client, in a process of its own",
        )),
        Run::Redirect(_) => Some((
            "has a `model`, which is for built-ins",
            "not with `redirect`",
        )),
        Run::Builtin(_) if service.listen.iter().all(Address::is_datagram) => Some((
            "has a `model`, which is for streams",
            "one process answers all datagrams, which have no connection",
        )),
        Run::Builtin(_) => None,
    }
}

/// What cannot go with `cache`, whose program has its output collected by the daemon, and with `transcript`, whose
/// program has a relay before it.
fn exclusive(reader: &Reader<'_, '_>, service: &Service, name: Place) {
    let wait = (Key::Wait, service.wait, "`wait`");
    let stdio = service.process.stdio != Stdio::Socket;
    let stdio = (Key::Stdio, stdio, "another `stdio` than \"socket\"");
    let is_tcp = |address: &Address| {
        matches!(address, Address::Inet { .. } | Address::Inherited { .. })
            && !address.is_datagram()
    };
    let not_tcp = !service.listen.iter().all(is_tcp);
    let not_tcp = (Key::Listen, not_tcp, "an address other than TCP");
    let cache = (Key::Cache, service.cache.is_some(), "`cache`");
    for (key, is_used, others) in [
        (Key::Cache, service.cache.is_some(), &[wait, stdio][..]),
        (
            Key::Transcript,
            service.transcript.is_some() && matches!(service.run, Run::Program(_)),
            &[wait, stdio, not_tcp, cache][..],
        ),
    ] {
        let Some(entry) = reader.entry(key).filter(|_| is_used) else {
            continue;
        };
        for (other, _, what) in others.iter().filter(|(_, is_used, _)| *is_used) {
            let other = reader.entry(*other).map_or(name, |entry| entry.key);
            let word = key.info().name;
            let title = format!("{} has `{word}`, which cannot go with {what}", reader.owner);
            reader.report(
                Diagnostic::error(Code::Conflict, entry.key, title)
                    .label("this one")
                    .context(other, "or this one")
                    .help("leave one of them out"),
            );
        }
    }
}
