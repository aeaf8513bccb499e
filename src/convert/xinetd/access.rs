//! Who may come: `only_from` and `no_access`, and what libwrap says.

use ipnet::IpNet;

use super::addresses::{self, Item};
use super::merge::Record;
use super::socket::Socket;
use super::translate::{LeftOut, why};
use crate::convert::access::MOST_PREFIXES;
use crate::convert::entry::{Entry, base_name};
use crate::convert::hosts_access::Judge;
use crate::convert::session::Session;

pub(super) fn access(
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
