//! Rules that are valid and probably not meant: limits that never bite, entries that never decide.
//!
//! Invariant: warnings only, from the table alone; what the host says is `check`'s affair.

use super::admission::sources;
use super::reader::Reader;
use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::keys::Key;
use crate::service::{Address, PerSource, Rate, Run, Service, Source};

/// Warns.
pub(super) fn warn(reader: &Reader<'_, '_>, service: &Service) {
    per_source(reader, service);
    rates(reader, service);
    tied(reader, service);
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
