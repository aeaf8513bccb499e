//! A merged xinetd service to a service of ours.

use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;

use super::addresses::{self, Item};
use super::lexer::Block;
use super::limits;
use super::merge::{Record, Word};
use super::socket::{self, Socket};
use crate::convert::access::{MOST_PREFIXES, is_host_name};
use crate::convert::entry::{Entry, Value, base_name, literal};
use crate::convert::files::{decode, reason};
use crate::convert::hosts_access::{Judge, unfold_tcpd};
use crate::convert::note::Place;
use crate::convert::services::is_builtin;
use crate::convert::session::Session;

/// A word for the summary, and the reason.
pub(super) type LeftOut = (String, String);

pub(super) fn why(kind: &str, text: impl Into<String>) -> LeftOut {
    (kind.to_owned(), text.into())
}

/// Translates a service, or says why not.
pub(super) fn service(
    session: &mut Session<'_>,
    name: &str,
    block: &Block,
    record: &Record,
    defaults: &Record,
) {
    match translate(session, name, block, record) {
        Ok(mut entry) => {
            switch(session, &mut entry, name, record, defaults);
            session.entries.push(entry);
        }
        Err((kind, mut text)) => {
            let id = record.one("id").map_or(name, |w| w.text.as_str());
            let listed = |list: &[Word]| list.iter().any(|w| w.text.eq_ignore_ascii_case(id));
            if text.contains("xinetd drops") && defaults.words("enabled").is_some_and(listed) {
                text.push_str(" (being in `enabled` brought it back, without what is wrong in it)");
            }
            session.leave_out(&block.place, &block.original, &kind, &text);
        }
    }
}

fn translate(
    session: &mut Session<'_>,
    name: &str,
    block: &Block,
    record: &Record,
) -> Result<Entry, LeftOut> {
    let upper = |attribute: &str| -> Vec<String> {
        record
            .words(attribute)
            .unwrap_or_default()
            .iter()
            .map(|w| w.text.to_ascii_uppercase())
            .collect()
    };
    let (types, flags) = (upper("type"), upper("flags"));
    let is = |kind: &str| types.iter().any(|t| t == kind);
    if is("RPC") || record.one("rpc_number").is_some() || record.one("rpc_version").is_some() {
        return Err(why(
            "rpc",
            format!("`{name}`: oxinetd does not offer Sun RPC"),
        ));
    }
    if is("TCPMUX") || is("TCPMUXPLUS") {
        return Err(why(
            "tcpmux",
            format!("`{name}`: oxinetd does not offer TCPMUX"),
        ));
    }
    let known_type = |t: &&String| !["INTERNAL", "UNLISTED", "SPECIAL"].contains(&t.as_str());
    if let Some(unknown) = types.iter().find(known_type) {
        return Err(why(
            name,
            format!("`{name}`: `type = {unknown}` is unknown, so xinetd drops it"),
        ));
    }
    let wait = yes(record, "wait").map_err(|text| why(name, text))?;
    let Some(wait) = wait else {
        return Err(why(
            name,
            format!("`{name}` has no `wait`, so xinetd drops it"),
        ));
    };
    let mut entry = Entry::new(
        record.one("id").map_or(name, |w| w.text.as_str()),
        &block.place,
    );
    entry.last_line = block.last_line;
    entry.original.clone_from(&block.original);

    if flags.iter().any(|f| f == "SENSOR") {
        session.notes.loss(
            &block.place,
            "`SENSOR`: who comes here was shut out of all services (`deny_time`)",
        );
        return Err(why("sensor", format!("`{name}`: a sensor runs nothing")));
    }
    let internal = is("INTERNAL");
    if internal && !is_builtin(&name.to_ascii_lowercase()) {
        let kind = if name.to_ascii_lowercase().starts_with("tcpmux") {
            "tcpmux"
        } else {
            name
        };
        return Err(why(
            kind,
            format!("`{name}`: oxinetd has no such INTERNAL service"),
        ));
    }
    let socket = socket::listen(session, &mut entry, name, record, &flags, is("UNLISTED"))?;
    if socket.datagram {
        "udp".clone_into(&mut entry.variant);
        if !wait {
            return Err(why(
                name,
                format!("`{name}`: a datagram service needs `wait = yes`, so xinetd drops it"),
            ));
        }
    }
    let runs = run(session, &mut entry, name, record, &flags, internal, &socket)?;
    if wait && runs == Runs::Program {
        entry.set("wait", true);
    }
    self::flags(session, &mut entry, record, &flags, &socket)?;
    if runs == Runs::Program {
        account(session, &mut entry, name, record)?;
        environment(&mut entry, record, session).map_err(|text| why(name, text))?;
    }
    limits::limits(&mut entry, record, &mut session.notes)
        .map_err(|text| why(name, format!("`{name}`: {text}, so xinetd drops it")))?;
    banners(session, &mut entry, record, socket.datagram);
    log(session, &mut entry, name, record, runs)?;
    let stream_wait = wait && !socket.datagram;
    access(
        session,
        &mut entry,
        name,
        record,
        &flags,
        &socket,
        stream_wait,
    )?;
    Ok(entry)
}

/// What `defaults` says, as values for `[defaults]`: for files whose services are elsewhere.
pub(super) fn defaults(session: &mut Session<'_>, record: &Record) -> Vec<(&'static str, Value)> {
    let place = record
        .place()
        .cloned()
        .unwrap_or_else(|| Place::file(Path::new("defaults")));
    let mut entry = Entry::new("defaults", &place);
    let families = crate::convert::access::Families { v4: true, v6: true };
    let socket = Socket {
        datagram: false,
        families,
    };
    let flags = ["NOLIBWRAP".to_owned()];
    let done = limits::limits(&mut entry, record, &mut session.notes)
        .map_err(|text| why("defaults", text))
        .and_then(|()| log(session, &mut entry, "defaults", record, Runs::Redirect))
        .and_then(|()| {
            access(
                session, &mut entry, "defaults", record, &flags, &socket, false,
            )
        });
    if let Err((_, text)) = done {
        session
            .notes
            .error(&place, format!("{text}: xinetd does not start with it"));
    }
    entry.keys().to_vec()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runs {
    Program,
    Builtin,
    Redirect,
}

/// `yes` or `no`.
fn yes(record: &Record, attribute: &str) -> Result<Option<bool>, String> {
    match record.one(attribute) {
        None => Ok(None),
        Some(w) if w.text.eq_ignore_ascii_case("yes") => Ok(Some(true)),
        Some(w) if w.text.eq_ignore_ascii_case("no") => Ok(Some(false)),
        Some(w) => Err(format!(
            "`{attribute} = {}` is neither yes nor no, so xinetd drops the service",
            w.text
        )),
    }
}

fn run(
    session: &mut Session<'_>,
    entry: &mut Entry,
    name: &str,
    record: &Record,
    flags: &[String],
    internal: bool,
    socket: &Socket,
) -> Result<Runs, LeftOut> {
    if internal {
        let builtin = name.to_ascii_lowercase();
        if socket.datagram && ["chargen", "daytime", "time"].contains(&builtin.as_str()) {
            entry.set("allow_reflection", true);
        }
        entry.set("builtin", builtin);
        return Ok(Runs::Builtin);
    }
    if let Some([host, port]) = record.words("redirect") {
        if socket.datagram {
            return Err(why(
                name,
                format!("`{name}`: datagrams cannot be redirected, so xinetd drops it"),
            ));
        }
        entry.set("redirect", target(session, name, host, port)?);
        return Ok(Runs::Redirect);
    }
    let Some(server) = record.one("server").map(|w| w.text.clone()) else {
        return Err(why(
            name,
            format!("`{name}` has no `server`, so xinetd drops it"),
        ));
    };
    if !server.starts_with('/') || server.contains("%{") {
        return Err(why(
            name,
            format!("`{name}`: `{server}` is no absolute path"),
        ));
    }
    let args: Vec<String> = record
        .words("server_args")
        .unwrap_or_default()
        .iter()
        .map(|w| w.text.clone())
        .collect();
    if !flags.iter().any(|f| f == "NAMEINARGS") {
        if base_name(&server) == "tcpd" {
            let text = "tcpd needs `flags = NAMEINARGS` to learn which program to run; it was taken over as it is";
            session.notes.note(&entry.place, text);
        }
        entry.set_command(&server, base_name(&server), &args);
        return Ok(Runs::Program);
    }
    let [argv0, rest @ ..] = args.as_slice() else {
        return Err(why(
            name,
            format!("`{name}` has NAMEINARGS and no `server_args`, so xinetd drops it"),
        ));
    };
    match unfold_tcpd(&server, argv0) {
        Some(program) => entry.set_command(&program, base_name(&program), rest),
        None => entry.set_command(&server, argv0, rest),
    }
    Ok(Runs::Program)
}

/// `redirect = HOST PORT`, as an address of ours.
fn target(
    session: &mut Session<'_>,
    name: &str,
    host: &Word,
    port: &Word,
) -> Result<String, LeftOut> {
    let port = session
        .port(&port.text, "tcp", &port.place)
        .map_err(|text| why(name, format!("`{name}`: `redirect`: {text}")))?;
    let text = host.text.as_str();
    let address = text.split('%').next().unwrap_or_default();
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) => Ok(format!("[{text}]:{port}")),
        Ok(IpAddr::V4(_)) if address == text => Ok(format!("{text}:{port}")),
        Err(_) if is_host_name(text) => Ok(format!("{text}:{port}")),
        _ => Err(why(
            name,
            format!("`{name}`: `redirect`: `{text}` is no host, so xinetd drops it"),
        )),
    }
}

fn flags(
    session: &mut Session<'_>,
    entry: &mut Entry,
    record: &Record,
    flags: &[String],
    socket: &Socket,
) -> Result<(), LeftOut> {
    let place = record
        .one("flags")
        .map_or(&entry.place, |w| &w.place)
        .clone();
    for flag in flags {
        match flag.as_str() {
            "KEEPALIVE" if !socket.datagram => entry.set("keepalive", true),
            "NODELAY" if !socket.datagram => entry.set("nodelay", true),
            "KEEPALIVE" | "NODELAY" | "IPV4" | "IPV6" | "NAMEINARGS" | "NOLIBWRAP" | "REUSE"
            | "NORETRY" => {}
            "INTERCEPT" => {
                let rules = ["only_from", "no_access", "access_times"]
                    .iter()
                    .any(|a| record.words(a).is_some());
                let text = "`INTERCEPT`: each packet was checked on its way to the program; here only the first is";
                if rules {
                    session.notes.loss(&place, text);
                } else {
                    session.notes.note(&place, text);
                }
            }
            "IDONLY" => session.notes.loss(
                &place,
                "`IDONLY`: only clients that answer an ident query were served",
            ),
            "LABELED" => session.notes.loss(
                &place,
                "`LABELED`: the program ran in the SELinux context of its peer",
            ),
            _ => {
                return Err(why(
                    &entry.name,
                    format!("`flags = {flag}` is unknown, so xinetd drops the service"),
                ));
            }
        }
    }
    Ok(())
}

fn account(
    session: &mut Session<'_>,
    entry: &mut Entry,
    name: &str,
    record: &Record,
) -> Result<(), LeftOut> {
    let Some(user) = record.one("user") else {
        return Err(why(
            name,
            format!("`{name}` has no `user`, so xinetd drops it"),
        ));
    };
    entry.set("user", user.text.clone());
    let digits = !user.text.is_empty() && user.text.chars().all(|c| c.is_ascii_digit());
    match record.one("group") {
        Some(group) => entry.set("group", group.text.clone()),
        // A user by number gets the group of the same number.
        None if digits => entry.set("group", user.text.clone()),
        None => {}
    }
    if !yes(record, "groups")
        .map_err(|text| why(name, text))?
        .unwrap_or(false)
    {
        entry.set("supplementary_groups", Value::List(Vec::new()));
    }
    if let Some(word) = record.one("umask") {
        let mode = u32::from_str_radix(&word.text, 8)
            .ok()
            .filter(|m| *m <= 0o777);
        let mode = mode.ok_or_else(|| {
            why(
                name,
                format!("`umask = {}` is no mask, so xinetd drops it", word.text),
            )
        })?;
        entry.set("umask", format!("{mode:04o}"));
    }
    if let Some(word) = record.one("nice") {
        let nice: i64 = word
            .text
            .parse()
            .map_err(|_| why(name, format!("`nice = {}` is no number", word.text)))?;
        let root = ["root", "0"].contains(&user.text.as_str());
        if nice < 0 && !root {
            let text = format!(
                "`nice = {nice}`: xinetd asks for it as `{}`, who may not, so it had no effect: left out",
                user.text
            );
            session.notes.note(&word.place, text);
            return Ok(());
        }
        if !(-20..=19).contains(&nice) {
            let text = format!("`nice = {nice}` is cut to what the kernel knows, -20 to 19");
            session.notes.note(&word.place, text);
        }
        entry.set("nice", Value::Number(nice.clamp(-20, 19)));
    }
    Ok(())
}

fn environment(
    entry: &mut Entry,
    record: &Record,
    session: &mut Session<'_>,
) -> Result<(), String> {
    for word in record.words("env").unwrap_or_default() {
        let Some((variable, value)) = word.text.split_once('=') else {
            return Err(format!(
                "`env = {}` has no `=`, so xinetd drops the service",
                word.text
            ));
        };
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if variable.is_empty() || !variable.chars().all(valid) {
            let text = format!(
                "`env = {}`: xinetd knows no quotes, so the variable was called `{variable}`, which no program asks \
                 for: left out",
                word.text
            );
            session.notes.note(&word.place, text);
            continue;
        }
        entry.set_in("env", variable, literal(value));
    }
    if let Some(words) = record.words("passenv") {
        entry.set(
            "pass_env",
            words.iter().map(|w| w.text.clone()).collect::<Vec<_>>(),
        );
    }
    Ok(())
}

fn banners(session: &mut Session<'_>, entry: &mut Entry, record: &Record, datagram: bool) {
    let [always, success, fail] =
        ["banner", "banner_success", "banner_fail"].map(|a| record.one(a));
    if datagram {
        for word in [always, success, fail].into_iter().flatten() {
            session
                .notes
                .note(&word.place, "a banner on datagrams: left out");
        }
        return;
    }
    match (always, success) {
        (Some(file), None) | (None, Some(file)) => {
            entry.set("banner", format!("@{}", literal(&file.text)));
        }
        (Some(one), Some(two)) => {
            if let (Some(one), Some(two)) = (content(session, one), content(session, two)) {
                entry.set("banner", literal(&format!("{one}{two}")));
            }
        }
        (None, None) => {}
    }
    // The refused saw `banner` as well.
    let refused: Vec<String> = [always, fail]
        .into_iter()
        .flatten()
        .filter_map(|w| content(session, w))
        .collect();
    if !refused.is_empty() {
        entry.set("refuse_message", literal(&refused.concat()));
    }
}

/// A banner's text; why it cannot be had is a note.
fn content(session: &mut Session<'_>, word: &Word) -> Option<String> {
    const LONGEST: usize = 4096;
    let text = match session.files.read(Path::new(&word.text)) {
        Ok(bytes) if bytes.len() > LONGEST => Err("is longer than 4 KiB".to_owned()),
        Ok(bytes) => match (decode(&bytes), String::from_utf8(bytes)) {
            (Ok(_), Ok(text)) => Ok(text),
            _ => Err("is no UTF-8 text".to_owned()),
        },
        Err(error) => Err(format!("cannot be read here ({})", reason(&error))),
    };
    match text {
        Ok(text) => {
            let said = format!("the text of {} was taken over as it is now", word.text);
            session.notes.note(&word.place, said);
            Some(text)
        }
        Err(reason) => {
            let said = format!("{} {reason}: refused clients do not get it", word.text);
            session.notes.note(&word.place, said);
            None
        }
    }
}

fn log(
    session: &mut Session<'_>,
    entry: &mut Entry,
    name: &str,
    record: &Record,
    runs: Runs,
) -> Result<(), LeftOut> {
    let [success, failure] = ["log_on_success", "log_on_failure"].map(|a| record.words(a));
    for (attribute, words, known) in [
        (
            "log_on_success",
            success,
            &["PID", "HOST", "USERID", "EXIT", "DURATION", "TRAFFIC"][..],
        ),
        (
            "log_on_failure",
            failure,
            &["HOST", "USERID", "ATTEMPT", "RECORD"][..],
        ),
    ] {
        for word in words.unwrap_or_default() {
            match word.text.to_ascii_uppercase().as_str() {
                "USERID" => {
                    let text = format!(
                        "`{attribute}` with USERID needs an ident look-up, which oxinetd does not do: left out"
                    );
                    session.notes.note(&word.place, text);
                }
                "TRAFFIC" if runs != Runs::Redirect => {
                    return Err(why(
                        name,
                        format!("`{name}`: TRAFFIC is for `redirect` only, so xinetd drops it"),
                    ));
                }
                "RECORD" => session.notes.note(
                    &word.place,
                    "`RECORD` is no longer known to xinetd: left out",
                ),
                other if !known.contains(&other) => {
                    return Err(why(
                        name,
                        format!("`{name}`: `{attribute}` knows no `{other}`, so xinetd drops it"),
                    ));
                }
                _ => {}
            }
        }
    }
    let mut events: Vec<String> = Vec::new();
    let has = |wanted: &[&str]| {
        success
            .unwrap_or_default()
            .iter()
            .any(|w| wanted.is_empty() || wanted.contains(&w.text.to_ascii_uppercase().as_str()))
    };
    for (event, on) in [
        ("start", has(&[])),
        ("exit", has(&["EXIT", "DURATION", "TRAFFIC"])),
        ("refuse", failure.is_some_and(|f| !f.is_empty())),
    ] {
        if on {
            events.push(event.to_owned());
        }
    }
    if success.is_some() || failure.is_some() {
        entry.set("log", events);
    }
    log_type(session, entry, name, record)
}

fn log_type(
    session: &mut Session<'_>,
    entry: &mut Entry,
    name: &str,
    record: &Record,
) -> Result<(), LeftOut> {
    let Some(words) = record.words("log_type") else {
        return Ok(());
    };
    let text = |n: usize| words.get(n).map(|w| w.text.as_str());
    let Some(place) = words.first().map(|w| w.place.clone()) else {
        return Err(why(
            name,
            "`log_type` is empty, so xinetd drops the service",
        ));
    };
    match text(0).unwrap_or_default().to_ascii_uppercase().as_str() {
        "FILE" => match text(1) {
            Some("/dev/null") => entry.set("log", Value::List(Vec::new())),
            Some(path) => {
                entry.set("log_to", format!("file:{path}"));
                if words.len() > 2 {
                    let text = format!(
                        "{path} fell silent at its size limit; here it grows: let logrotate see to it"
                    );
                    session.notes.note(&place, text);
                }
            }
            None => {
                return Err(why(
                    name,
                    "`log_type = FILE` names no file, so xinetd drops the service",
                ));
            }
        },
        "SYSLOG" => {
            let facility = text(1).unwrap_or("daemon");
            if !facility.eq_ignore_ascii_case("daemon") {
                let text = format!(
                    "facility `{facility}`: write `syslog_facility = \"{facility}\"` in [daemon], for all services"
                );
                session.notes.note(&place, text);
            }
            if let Some(level) = text(2).filter(|l| !l.eq_ignore_ascii_case("info")) {
                session.notes.note(
                    &place,
                    format!("level `{level}`: the lines have the level of their event here"),
                );
            }
        }
        other => {
            return Err(why(
                name,
                format!("`log_type = {other}` is unknown, so xinetd drops the service"),
            ));
        }
    }
    Ok(())
}

fn access(
    session: &mut Session<'_>,
    entry: &mut Entry,
    name: &str,
    record: &Record,
    flags: &[String],
    socket: &Socket,
    stream_wait: bool,
) -> Result<(), LeftOut> {
    let mapped = socket.families.v4 && socket.families.v6;
    let only_from = list(session, name, record, "only_from", mapped)?;
    let no_access = list(session, name, record, "no_access", mapped)?;
    let judge = if flags.iter().any(|f| f == "NOLIBWRAP") || stream_wait {
        Judge::default()
    } else {
        let daemon = daemon(name, entry, record, flags);
        let place = entry.place.clone();
        session.judge(&daemon, &place)
    };
    let denied = no_access.clone().unwrap_or_default();
    let mut prefixes = denied.clone();
    prefixes.extend(only_from.iter().flatten());
    let decide = |net: &IpNet| {
        let listed = only_from
            .as_ref()
            .is_none_or(|list| list.iter().any(|n| n.contains(net)));
        listed && !denied.iter().any(|n| n.contains(net))
    };
    let lost = if prefixes.len() > MOST_PREFIXES {
        Some(format!("`{name}`: more than {MOST_PREFIXES} addresses"))
    } else if stream_wait && (only_from.is_some() || no_access.is_some()) {
        let text = "the addresses of a stream service with `wait` cannot be judged";
        Some(format!("`{name}`: {text}"))
    } else {
        None
    };
    if let Some(text) = lost {
        session.notes.loss(&entry.place, text);
        Session::ask(entry, socket.families, &prefixes, decide);
        return Ok(());
    }
    shadowed(session, entry, record, only_from.as_deref(), &denied);
    Session::restrict(entry, socket.families, (&prefixes, &decide), &judge);
    Ok(())
}

/// Says which items of `only_from` are of no use beside `no_access`.
fn shadowed(
    session: &mut Session<'_>,
    entry: &Entry,
    record: &Record,
    only_from: Option<&[IpNet]>,
    no_access: &[IpNet],
) {
    let words = record.words("only_from").unwrap_or_default();
    let place = words.first().map_or(&entry.place, |w| &w.place);
    let refused = |net: &&IpNet| no_access.iter().any(|d| d.contains(*net));
    for net in only_from.unwrap_or_default().iter().filter(refused) {
        let text = format!(
            "`{net}` is in `no_access` too, which always wins (whatever the manual says): left out"
        );
        session.notes.note(place, text);
    }
}

/// The name by which libwrap knows the service.
fn daemon(name: &str, entry: &Entry, record: &Record, flags: &[String]) -> String {
    if let Some(word) = record.one("libwrap") {
        return word.text.clone();
    }
    let program = if flags.iter().any(|f| f == "NAMEINARGS") {
        record.one("server_args")
    } else {
        record.one("server")
    };
    match program {
        Some(word) if entry.get("command").is_some() => base_name(&word.text).to_owned(),
        _ => name.to_owned(),
    }
}

/// A list of addresses; `None`: the attribute is not there.
fn list(
    session: &mut Session<'_>,
    name: &str,
    record: &Record,
    attribute: &str,
    mapped: bool,
) -> Result<Option<Vec<IpNet>>, LeftOut> {
    let Some(words) = record.words(attribute) else {
        return Ok(None);
    };
    let mut nets = Vec::new();
    for word in words {
        match addresses::item(&word.text, mapped) {
            Item::Nets(list) => nets.extend(list),
            Item::Odd(list, text) => {
                session.notes.note(&word.place, text);
                nets.extend(list);
            }
            Item::Name => {
                let text = format!(
                    "`{attribute}`: `{}` is a name, and clients are not looked up here",
                    word.text
                );
                session.notes.loss(&word.place, text);
            }
            Item::Ignored(text) => {
                session.notes.note(
                    &word.place,
                    format!("`{attribute}`: {text}; xinetd passes over it"),
                );
            }
            Item::Refused(text) => {
                return Err(why(
                    name,
                    format!("`{name}`: `{attribute}`: {text}, so xinetd drops the service"),
                ));
            }
        }
    }
    Ok(Some(nets))
}

/// `disable`, and the lists `enabled` and `disabled` of the defaults.
fn switch(
    session: &mut Session<'_>,
    entry: &mut Entry,
    name: &str,
    record: &Record,
    defaults: &Record,
) {
    match yes(record, "disable") {
        Ok(Some(true)) => entry.enabled = false,
        Ok(_) => {}
        Err(text) => {
            entry.enabled = false;
            session.notes.note(&entry.place, text);
        }
    }
    let id = record.one("id").map_or(name, |w| w.text.as_str());
    let listed = |list: &[Word]| list.iter().any(|w| w.text.eq_ignore_ascii_case(id));
    if defaults.words("enabled").is_some_and(|list| !listed(list)) {
        entry.enabled = false;
    }
    if defaults.words("disabled").is_some_and(listed) {
        entry.enabled = false;
    }
}
