//! The rules one after the other, as `try` tells them.

use std::fmt::Write as _;

use super::Client;
use crate::admission::{Deciding, Refusal, deciding};
use crate::config::keys::Key;
use crate::config::values::prefix;
use crate::config::{Value, Written, place};
use crate::service::{OverLimit, Service, Source, Standing};

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The client is served.
    Start,
    /// It is refused.
    Refuse,
    /// It waits in the kernel's queue.
    Wait,
}

impl Ending {
    /// After "would".
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Start => "START for",
            Self::Refuse => "REFUSE",
            Self::Wait => "let wait in the queue",
        }
    }
}

/// All rules.
pub(super) struct Steps {
    pub(super) ending: Ending,
    /// Key and detail of those that were asked; the last one decides, unless the client is served.
    asked: Vec<(&'static str, String)>,
    /// Those that were not.
    rest: Vec<String>,
}

impl Steps {
    /// A line for each rule.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let last = self.asked.len().saturating_sub(1);
        for (number, (key, detail)) in self.asked.iter().enumerate() {
            let outcome = match self.ending {
                Ending::Refuse if number == last => "HIT ",
                Ending::Wait if number == last => "WAIT",
                Ending::Start | Ending::Refuse | Ending::Wait => "pass",
            };
            let _ = writeln!(text, "  {key:<16} {outcome}   {detail}");
        }
        if !self.rest.is_empty() {
            let _ = writeln!(text, "not reached: {}", self.rest.join(", "));
        }
        text
    }

    /// All in one line.
    pub(super) fn line(&self) -> String {
        let (key, detail) = self
            .asked
            .last()
            .map_or(("", ""), |(key, detail)| (*key, detail.as_str()));
        match self.ending {
            Ending::Start => "START".to_owned(),
            Ending::Refuse => format!("REFUSE  {key} {detail}"),
            Ending::Wait => format!("WAIT    {key} {detail}"),
        }
    }
}

/// Judges: rules without memory by the files, the others by what the daemon counts. `alone` is what counts for somebody who
/// comes first.
pub(super) fn steps(
    client: &Client<'_>,
    service: &Service,
    written: &Written,
    refusals: &[Refusal],
    standing: Option<&Standing>,
    alone: &Standing,
) -> Steps {
    let counted = |rule: Refusal| {
        standing.is_some_and(|standing| standing.refusals.iter().any(|word| word == rule.word()))
    };
    let remembers =
        |rule: Refusal| !matches!(rule, Refusal::Hours | Refusal::Address | Refusal::Load);
    let mut steps = Steps {
        ending: Ending::Start,
        asked: Vec::new(),
        rest: Vec::new(),
    };
    for rule in Refusal::RULES {
        let (key, detail) = detail(rule, client, service, written, standing, alone);
        if steps.ending != Ending::Start {
            // Numbers are worth telling; what a rule that was not asked would say is not.
            let shows = remembers(rule) && standing.is_some() && detail.contains(" of ");
            steps.rest.push(if shows {
                format!("{key} ({detail})")
            } else {
                key.to_owned()
            });
            continue;
        }
        steps.asked.push((key, detail));
        let hit = if remembers(rule) {
            counted(rule)
        } else {
            refusals.contains(&rule)
        };
        if hit {
            let queues = matches!(rule, Refusal::Connections | Refusal::Rate)
                && service.admission.over_limit == OverLimit::Queue;
            steps.ending = if queues { Ending::Wait } else { Ending::Refuse };
        }
    }
    steps
}

fn detail(
    rule: Refusal,
    client: &Client<'_>,
    service: &Service,
    written: &Written,
    standing: Option<&Standing>,
    alone: &Standing,
) -> (&'static str, String) {
    let admission = &service.admission;
    let value = |key: Key| written.values.iter().find(|value| value.key == key);
    let set = |key: Key| value(key).map_or_else(|| format!("no {} set", key.info().name), shown);
    let used = |(live, max): (u32, Option<u32>), by: &str| {
        let max = max.map_or_else(|| "unlimited".to_owned(), |max| max.to_string());
        if standing.is_some() {
            format!("{live} of {max} used{by}")
        } else {
            format!("at most {max}{by}")
        }
    };
    match rule {
        Refusal::Hours => ("hours", set(Key::Hours)),
        Refusal::Banned => {
            let text = match standing.and_then(|standing| standing.banned) {
                Some(seconds) => format!("banned for {seconds} s more"),
                None if admission.penalty.is_none() => "no penalty set".to_owned(),
                None if standing.is_some() => "not banned".to_owned(),
                None => "not known to be banned".to_owned(),
            };
            ("penalty", text)
        }
        Refusal::Address => access(client, service, written),
        Refusal::Load => (
            "max_load",
            match admission.max_load {
                Some(max) => format!("{} now, at most {max}", client.moment.load),
                None => "no max_load set".to_owned(),
            },
        ),
        Refusal::PerSource => {
            let standing = standing.unwrap_or(alone);
            let text = if standing.exempt {
                format!("{} is exempt", standing.source)
            } else if standing.of_source.1.is_none() {
                "no limit for this source".to_owned()
            } else {
                used(standing.of_source, &format!(" by {}", standing.source))
            };
            ("max_per_source", text)
        }
        Refusal::RatePerSource => ("rate_per_source", set(Key::RatePerSource)),
        Refusal::Connections => (
            "max_connections",
            used(standing.unwrap_or(alone).of_service, ""),
        ),
        Refusal::Rate => ("rate", set(Key::Rate)),
        Refusal::ProxyFrom | Refusal::ProxyHeader => ("proxy_protocol", set(Key::ProxyProtocol)),
    }
}

/// A value with its place.
fn shown(value: &Value) -> String {
    format!("{}   {}", value.text, place(&value.origin))
}

/// `allow` and `deny`.
fn access(client: &Client<'_>, service: &Service, written: &Written) -> (&'static str, String) {
    let admission = &service.admission;
    let Some(Deciding {
        denied,
        entry,
        listed,
    }) = deciding(admission, &client.lists, &client.arrival())
    else {
        return match &admission.allow {
            Some(_) => ("allow", "no entry matches".to_owned()),
            None if admission.deny.is_empty() => ("allow", "no allow or deny set".to_owned()),
            None => ("deny", "no entry matches".to_owned()),
        };
    };
    let key = if denied { Key::Deny } else { Key::Allow };
    let values = written.values.iter().filter(|value| value.key == key);
    let item = values
        .flat_map(|value| &value.items)
        .find(|(text, _)| prefix::parse(text).as_ref() == Ok(entry));
    let (text, at) = match listed {
        Some((path, source)) => (word(source), in_list(path, source)),
        None => (
            item.map_or_else(|| word(entry), |(text, _)| text.clone()),
            item.map_or_else(String::new, |(_, origin)| place(origin)),
        ),
    };
    (key.info().name, format!("{text}   {at}   (longest match)"))
}

/// The line of a list that has this entry.
fn in_list(path: &std::path::Path, source: &Source) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let is_it = |line: &str| {
        let entry = line.split('#').next().unwrap_or_default().trim();
        prefix::parse(entry).as_ref() == Ok(source)
    };
    match text.trim_start_matches('\u{feff}').lines().position(is_it) {
        Some(line) => format!("{}:{}", path.display(), line + 1),
        None => path.display().to_string(),
    }
}

fn word(source: &Source) -> String {
    match source {
        Source::Net(net) => net.to_string(),
        Source::Any => "any".to_owned(),
        Source::Loopback => "loopback".to_owned(),
        Source::Private => "private".to_owned(),
        Source::Local => "local".to_owned(),
        Source::Uid(uid) => format!("uid:{uid}"),
        Source::Gid(gid) => format!("gid:{gid}"),
        Source::File(path) => format!("@{}", path.display()),
    }
}
