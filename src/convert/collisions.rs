//! Two services on one socket: the old server bound one of them, and so does the table.
//!
//! Invariant: of the enabled entries no two want addresses that Linux refuses to the second (the same address, or a
//! wildcard of the family on the same port); the loser is kept as `enabled = false`, with a note.

use std::collections::HashMap;
use std::net::IpAddr;

use super::entry::{Entry, Value};
use super::note::Notes;
use super::services::{Port, Services};

/// A socket of one family.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Claim {
    /// `tcp4`, `udp6`, `unix`, …
    kind: String,
    port: String,
    /// `None`: all addresses.
    host: Option<String>,
}

/// The address that is taken, and by whom.
type Holder = (Option<String>, String);

/// Switches the losers off. `later_wins`: of two entries with the very same address the later one replaces the earlier,
/// as in the BSD inetds; else, and where addresses merely overlap, the first one has it.
pub(super) fn settle(
    entries: &mut [Entry],
    services: &Services,
    later_wins: bool,
    notes: &mut Notes,
) {
    for entry in entries.iter_mut() {
        repeated(entry);
    }
    if later_wins {
        replaced(entries, notes);
    }
    // By kind and port: who has all addresses, and who has which.
    let mut taken: HashMap<(String, String), Vec<Holder>> = HashMap::new();
    for entry in entries.iter_mut().filter(|e| e.enabled) {
        let claims: Vec<Claim> = listed(entry)
            .iter()
            .flat_map(|l| claims(l, services))
            .collect();
        let holder = claims.iter().find_map(|claim| {
            let others = taken.get(&(claim.kind.clone(), claim.port.clone()))?;
            // An entry per address of a port at most: the wildcard among them is at the front.
            let overlaps =
                |(host, _): &&Holder| host.is_none() || claim.host.is_none() || *host == claim.host;
            others.iter().find(overlaps).map(|(_, name)| name.clone())
        });
        if let Some(holder) = holder {
            entry.enabled = false;
            let text =
                format!("`{holder}` before it has the same socket: written as `enabled = false`");
            notes.note(&entry.place, text);
            continue;
        }
        for claim in claims {
            let others = taken.entry((claim.kind, claim.port)).or_default();
            others.push((claim.host, entry.name.clone()));
        }
    }
}

/// One address twice in a list.
fn repeated(entry: &mut Entry) {
    if let Some(Value::List(list)) = entry.get("listen") {
        let mut seen: Vec<String> = Vec::new();
        for place in list {
            if !seen.contains(place) {
                seen.push(place.clone());
            }
        }
        match <[String; 1]>::try_from(seen) {
            Ok([one]) => entry.set("listen", one),
            Err(many) => entry.set("listen", many),
        }
    }
}

fn replaced(entries: &mut [Entry], notes: &mut Notes) {
    let mut last: HashMap<Vec<String>, u32> = HashMap::new();
    for entry in entries.iter_mut().rev().filter(|e| e.enabled) {
        let listen = listed(entry);
        if let Some(line) = last.get(&listen) {
            entry.enabled = false;
            let text = format!(
                "line {line} has the same socket and replaces this one: written as `enabled = false`"
            );
            notes.note(&entry.place, text);
        } else {
            last.insert(listen, entry.place.line);
        }
    }
}

fn listed(entry: &Entry) -> Vec<String> {
    match entry.get("listen") {
        Some(Value::Text(one)) => vec![one.clone()],
        Some(Value::List(many)) => many.clone(),
        _ => Vec::new(),
    }
}

/// The sockets behind a value of `listen`; none for port 0, which is any free one.
fn claims(listen: &str, services: &Services) -> Vec<Claim> {
    let (kind, place) = match listen.split_once(':') {
        Some((kind, place)) if ["tcp", "udp"].iter().any(|k| kind.starts_with(k)) => (kind, place),
        Some((kind, place)) if kind.starts_with("unix") || kind == "vsock" => {
            let (kind, port, host) = (kind.to_owned(), String::new(), Some(place.to_owned()));
            return vec![Claim { kind, port, host }];
        }
        _ => ("tcp", listen),
    };
    let (base, family) = kind.split_at(3.min(kind.len()));
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) => (
            Some(host.trim_start_matches('[').trim_end_matches(']')),
            port,
        ),
        None => (None, place),
    };
    let port = match services.port(port, base) {
        Port::Listed(number) | Port::Assigned(number) => number.to_string(),
        Port::Unknown => port.to_owned(),
    };
    if port == "0" {
        return Vec::new();
    }
    let address = host.and_then(|h| h.parse::<IpAddr>().ok());
    let wildcard = address.is_some_and(|a| a.is_unspecified());
    let families: &[&str] = match (address, family) {
        (Some(IpAddr::V4(_)), _) | (None, "4") => &["4"],
        (Some(IpAddr::V6(_)), _) | (None, "6") => &["6"],
        (None, _) => &["4", "6"],
    };
    let claim = |family: &&str| Claim {
        kind: format!("{base}{family}"),
        port: port.clone(),
        host: host
            .filter(|_| !wildcard)
            .map(|h| address.map_or(h.to_owned(), |a| a.to_string())),
    };
    families.iter().map(claim).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::convert::files::Memory;
    use crate::convert::note::Place;

    fn enabled(listens: &[&str], later_wins: bool) -> Vec<bool> {
        let files = Memory::default().with("/s", "ftp 21/tcp\n");
        let services = Services::read(&files, Path::new("/s"));
        let mut entries: Vec<Entry> = listens
            .iter()
            .map(|l| {
                let mut entry = Entry::new(l, &Place::file(Path::new("f")));
                entry.set("listen", *l);
                entry
            })
            .collect();
        let mut notes = Notes::new(false);
        settle(&mut entries, &services, later_wins, &mut notes);
        entries.iter().map(|e| e.enabled).collect()
    }

    #[test]
    fn only_one_of_two_services_has_a_socket() {
        for (listens, later_wins, expected) in [
            (["ftp", "21"], false, [true, false]),
            (["ftp", "ftp"], true, [false, true]),
            (["ftp", "21"], true, [true, false]),
            (["tcp4:21", "tcp6:21"], false, [true, true]),
            (["21", "tcp6:21"], false, [true, false]),
            (["127.0.0.1:21", "10.0.0.1:21"], false, [true, true]),
            (["127.0.0.1:21", "0.0.0.0:21"], false, [true, false]),
            (["127.0.0.1:21", "[::1]:21"], false, [true, true]),
            (["udp:21", "21"], false, [true, true]),
            (["0", "0"], false, [true, true]),
            (["unix:/a", "unix:/a"], false, [true, false]),
        ] {
            assert_eq!(enabled(&listens, later_wins), expected, "{listens:?}");
        }
    }
}
