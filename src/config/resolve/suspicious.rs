//! Rules that are valid and probably not meant: limits that never bite, entries that never decide.
//!
//! Invariant: warnings only, from the table alone; what the host says is `check`'s affair.

use ipnet::IpNet;

use super::admission::sources;
use super::reader::Reader;
use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::keys::Key;
use crate::config::source::Place;
use crate::service::{Address, PerSource, Rate, Run, Service, Source};

/// Warns.
pub(super) fn warn(reader: &Reader<'_, '_>, service: &Service) {
    per_source(reader, service);
    rates(reader, service);
    tied(reader, service);
    covered(reader);
    other_family(reader, service);
    always_open(reader, service);
    wrapper(reader, service);
    open_datagrams(reader, service);
}

fn report(reader: &Reader<'_, '_>, key: Key, what: &str, label: &str, help: &str) {
    if let Some(entry) = reader.entry(key) {
        let title = format!("{} {what}", reader.subject(key));
        reader.report(
            Diagnostic::warning(Code::Suspicious, entry.place(), title)
                .label(label)
                .help(help),
        );
    }
}

fn per_source(reader: &Reader<'_, '_>, service: &Service) {
    let admission = &service.admission;
    if let (PerSource::At(one), Some(all)) = (admission.max_per_source, admission.max_connections)
        && one > all
    {
        let label = format!("`max_connections` is {all}");
        report(
            reader,
            Key::MaxPerSource,
            "is above `max_connections` and never decides",
            &label,
            "lower it, or write `\"unlimited\"`",
        );
    }
}

fn rates(reader: &Reader<'_, '_>, service: &Service) {
    let per_second = |rate: Rate| f64::from(rate.count.get()) / rate.per.as_secs_f64();
    if let (Some(all), Some(one)) = (service.admission.rate, service.admission.rate_per_source)
        && per_second(one) > per_second(all)
    {
        report(
            reader,
            Key::RatePerSource,
            "is above `rate`",
            "one source can use up the rate of all",
            "lower it below `rate`",
        );
    }
}

/// A prefix in both lists: the tie refuses, so the entry of `allow` does nothing.
fn tied(reader: &Reader<'_, '_>, service: &Service) {
    if service.admission.deny.is_empty() || service.admission.allow.is_none() {
        return;
    }
    // Written again with places: the lists of the service have none, and most services have no `deny`.
    let quiet = |key| {
        reader
            .entry(key)
            .filter(|entry| !entry.inherited)
            .and_then(|_| sources(reader, key))
    };
    let (Some(allow), Some(deny)) = (quiet(Key::Allow), quiet(Key::Deny)) else {
        return;
    };
    let denied: std::collections::HashMap<String, _> = deny
        .iter()
        .map(|(source, place)| (format!("{source:?}"), *place))
        .collect();
    for (source, place) in &allow {
        let Some(other) = denied
            .get(&format!("{source:?}"))
            .filter(|_| !matches!(source, Source::File(_)))
        else {
            continue;
        };
        let title = format!(
            "{}: an entry is denied as well, and a tie refuses",
            reader.subject(Key::Allow)
        );
        reader.report(
            Diagnostic::warning(Code::Suspicious, *place, title)
                .label("never lets anybody in")
                .context(*other, "denied here")
                .help("leave one of them out"),
        );
    }
}

/// The networks of a list with their places; lists that were inherited have been looked at where they are written.
fn networks(reader: &Reader<'_, '_>, key: Key) -> Vec<(IpNet, Place)> {
    let own = reader.entry(key).filter(|entry| !entry.inherited);
    let sources = own.and_then(|_| sources(reader, key)).unwrap_or_default();
    let network = |(source, place): (Source, Place)| match source {
        Source::Net(net) => Some((net, place)),
        Source::Any
        | Source::Loopback
        | Source::Private
        | Source::Local
        | Source::Uid(_)
        | Source::Gid(_)
        | Source::File(_) => None,
    };
    sources.into_iter().filter_map(network).collect()
}

/// An entry whose every address belongs to tighter entries of the other list, and one that a wider entry of its own list
/// already says.
fn covered(reader: &Reader<'_, '_>) {
    let lists = [networks(reader, Key::Allow), networks(reader, Key::Deny)];
    // Comparing everything with everything is for lists that people write; long ones come from files.
    if lists.iter().any(|list| list.len() > 200) {
        return;
    }
    let [allow, deny] = &lists;
    for (key, mine, other, words) in [
        (Key::Allow, allow, deny, "denied"),
        (Key::Deny, deny, allow, "allowed"),
    ] {
        for (net, place) in mine {
            let tighter: Vec<IpNet> = other
                .iter()
                .map(|(other, _)| *other)
                .filter(|other| net.contains(other) && other != net)
                .collect();
            if IpNet::aggregate(&tighter) == [*net] {
                let what = format!(
                    "{}: an entry never decides, as tighter ones cover all of it",
                    reader.subject(key)
                );
                let label = format!("every address is {words} by a longer prefix");
                reader.report(
                    Diagnostic::warning(Code::Suspicious, *place, what)
                        .label(label)
                        .help("leave it out, or the entries that cover it"),
                );
            }
            let wider = mine
                .iter()
                .filter(|(wider, _)| wider.contains(net) && wider != net);
            let Some((wider, at)) = wider.max_by_key(|(wider, _)| wider.prefix_len()) else {
                continue;
            };
            let decides_between =
                |(other, _): &(IpNet, Place)| wider.contains(other) && other.contains(net);
            if !other.iter().any(decides_between) {
                let what = format!("{}: an entry says nothing new", reader.subject(key));
                reader.report(
                    Diagnostic::warning(Code::Suspicious, *place, what)
                        .label(format!("part of {wider}"))
                        .context(*at, "said here")
                        .help("leave it out"),
                );
            }
        }
    }
}

/// Networks of a family in which nobody can come.
fn other_family(reader: &Reader<'_, '_>, service: &Service) {
    let inet = service.listen.iter().filter_map(|address| match address {
        Address::Inet {
            socket, dual_stack, ..
        } => Some((socket.is_ipv4() || *dual_stack, socket.is_ipv6())),
        Address::Unix { .. } | Address::Vsock { .. } | Address::Inherited { .. } => None,
    });
    let inet: Vec<(bool, bool)> = inet.collect();
    if inet.len() != service.listen.len() || inet.is_empty() {
        return;
    }
    let (v4, v6) = (inet.iter().any(|it| it.0), inet.iter().any(|it| it.1));
    for key in [Key::Allow, Key::Deny, Key::Exempt] {
        for (net, place) in networks(reader, key) {
            let matches = if net.addr().is_ipv4() { v4 } else { v6 };
            if !matches {
                let (family, only) = if v4 {
                    ("IPv6", "IPv4")
                } else {
                    ("IPv4", "IPv6")
                };
                let what = format!("{}: an entry can never match", reader.subject(key));
                reader.report(
                    Diagnostic::warning(Code::Suspicious, place, what)
                        .label(format!("{family}, and `listen` has {only} alone"))
                        .help("leave it out, or listen on that family too"),
                );
            }
        }
    }
}

/// `hours` that hold at every minute of the week.
fn always_open(reader: &Reader<'_, '_>, service: &Service) {
    const DAY: usize = 24 * 60;
    let mut open = vec![false; 7 * DAY];
    for window in &service.admission.hours {
        let (from, to) = (usize::from(window.from), usize::from(window.to));
        let length = if from < to {
            to - from
        } else {
            to + DAY - from
        };
        for day in (0..7).filter(|day| window.days & (1 << day) != 0) {
            for minute in 0..length {
                if let Some(place) = open.get_mut((day * DAY + from + minute) % (7 * DAY)) {
                    *place = true;
                }
            }
        }
    }
    if open.iter().all(|open| *open) {
        report(
            reader,
            Key::Hours,
            "hold all day and all week",
            "never refuse anybody",
            "leave them out",
        );
    }
}

fn wrapper(reader: &Reader<'_, '_>, service: &Service) {
    if let Run::Program(program) = &service.run
        && program.path.ends_with("/tcpd")
    {
        let help = "write the program itself, and `allow` and `deny` in the service";
        report(
            reader,
            Key::Command,
            "runs the program through tcpd",
            "one exec more for each connection",
            help,
        );
    }
}

fn open_datagrams(reader: &Reader<'_, '_>, service: &Service) {
    let reflects = matches!(&service.run, Run::Builtin(builtin) if builtin.allow_reflection);
    let open = service
        .admission
        .allow
        .as_ref()
        .is_none_or(|allow| allow.contains(&Source::Any));
    if reflects && open && service.listen.iter().any(Address::is_datagram) {
        let help = "add `allow = [\"private\", \"loopback\"]`";
        report(
            reader,
            Key::AllowReflection,
            "is open to the whole world",
            "forged senders make it attack others",
            help,
        );
    }
}
