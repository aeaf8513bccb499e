//! A merged xinetd service to a service of ours.

use std::path::Path;

use super::access::access;
use super::banners::banners;
use super::lexer::Block;
use super::limits;
use super::log::log;
use super::merge::{Record, Word};
use super::program::{account, environment, run};
use super::socket::{self, Socket};
use crate::convert::entry::{Entry, Value};
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
pub(super) enum Runs {
    Program,
    Builtin,
    Redirect,
}

/// `yes` or `no`.
pub(super) fn yes(record: &Record, attribute: &str) -> Result<Option<bool>, String> {
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
