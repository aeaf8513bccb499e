//! Who may come, how many, how fast: [`Admission`], and what stands before a program: the PROXY header, the banner.

use std::time::Duration;

use super::process::table_only;
use super::reader::{Item, Reader};
use crate::config::diagnostic::{Code, Diagnostic, nearest, shown};
use crate::config::files::reason;
use crate::config::keys::Key;
use crate::config::source::Place;
use crate::config::values::{Parsed, Problem, hours, prefix, template};
use crate::config::world::Opened;
use crate::service::{
    Admission, Hours, OverLimit, Penalty, PerSource, ProxyVersion, RefuseWith, Source, Template,
};

const MAX_CONNECTIONS: u32 = 256;

/// Reads the keys.
pub(super) fn admission(reader: &Reader<'_, '_>) -> Admission {
    let max_connections = reader.count(Key::MaxConnections);
    Admission {
        allow: allow(reader),
        deny: plain(sources(reader, Key::Deny).unwrap_or_default()),
        hours: windows(reader),
        timezone: timezone(reader),
        max_load: max_load(reader),
        max_connections: max_connections.unwrap_or(std::num::NonZeroU32::new(MAX_CONNECTIONS)),
        max_per_source: match reader.count(Key::MaxPerSource) {
            None => PerSource::Half,
            Some(None) => PerSource::Unlimited,
            Some(Some(count)) => PerSource::At(count),
        },
        exempt: plain(sources(reader, Key::Exempt).unwrap_or_default()),
        proxy_from: plain(sources(reader, Key::ProxyFrom).unwrap_or_default()),
        source_prefix: source_prefix(reader),
        rate: reader.rate(Key::Rate).flatten(),
        rate_per_source: reader.rate(Key::RatePerSource).flatten(),
        over_limit: reader
            .choice(Key::OverLimit, [OverLimit::Queue, OverLimit::Refuse])
            .unwrap_or(OverLimit::Queue),
        refuse_with: reader
            .choice(
                Key::RefuseWith,
                [RefuseWith::Close, RefuseWith::Reset, RefuseWith::Tarpit],
            )
            .unwrap_or(RefuseWith::Close),
        pause: reader.duration(Key::Pause).flatten(),
        refuse_message: reader.template(Key::RefuseMessage),
        penalty: penalty(reader),
    }
}

/// A list of sources with their places; files are named from the directory of the file that names them.
pub(super) fn sources(reader: &Reader<'_, '_>, key: Key) -> Option<Vec<(Source, Place)>> {
    let sources = reader.list(key, |text| {
        account(reader, text).unwrap_or_else(|| prefix::parse(text))
    })?;
    let beside = |(source, place): (Source, Place)| {
        if let Source::File(path) = &source {
            let path = reader.beside(&Item {
                text: path.to_string_lossy().into_owned(),
                place,
                quoted: true,
            });
            reader.context.read_list(&path, place);
            return (Source::File(path), place);
        }
        (source, place)
    };
    Some(sources.into_iter().map(beside).collect())
}

/// `uid:NAME` and `gid:NAME`; `None` for everything else.
fn account(reader: &Reader<'_, '_>, text: &str) -> Option<Parsed<Source>> {
    let world = reader.context.host.world;
    let is_name =
        |name: &&str| name.starts_with(|first: char| first.is_alphabetic() || first == '_');
    let unknown = |kind: &str, name: &str, names: Vec<String>| {
        let problem = Problem::new(format!("names an unknown {kind} `{}`", shown(name)));
        Err(match nearest(name, names.iter().map(String::as_str)) {
            Some(near) => {
                let instead = format!("{}{near}", text.get(..4).unwrap_or_default());
                problem
                    .help(format!("did you mean `\"{instead}\"`?"))
                    .instead(instead)
            }
            None => problem.help("write the name of one that exists, or its number"),
        })
    };
    if let Some(name) = text.strip_prefix("uid:").filter(is_name) {
        return Some(match world.user(name) {
            Ok(Some(account)) => Ok(Source::Uid(account.uid)),
            Ok(None) => unknown("user", name, world.user_names()),
            Err(error) => Err(looked_up("user", name, &error)),
        });
    }
    let name = text.strip_prefix("gid:").filter(is_name)?;
    Some(match world.group(name) {
        Ok(Some(gid)) => Ok(Source::Gid(gid)),
        Ok(None) => unknown("group", name, world.group_names()),
        Err(error) => Err(looked_up("group", name, &error)),
    })
}

fn looked_up(kind: &str, name: &str, error: &std::io::Error) -> Problem {
    Problem::new(format!(
        "names a {kind} that cannot be looked up: `{}` ({})",
        shown(name),
        reason(error)
    ))
    .help("write its number")
}

fn plain(sources: Vec<(Source, Place)>) -> Vec<Source> {
    sources.into_iter().map(|(source, _)| source).collect()
}

/// Reports a list that is written and has no entry.
fn refuse_empty(reader: &Reader<'_, '_>, key: Key, what: &str, help: &str) {
    if let Some(entry) = reader.entry(key)
        && entry
            .value
            .get_ref()
            .as_array()
            .is_some_and(|array| array.is_empty())
    {
        reader.refuse(key, entry.place(), Problem::new(what).help(help));
    }
}

fn allow(reader: &Reader<'_, '_>) -> Option<Vec<Source>> {
    let sources = sources(reader, Key::Allow)?;
    refuse_empty(
        reader,
        Key::Allow,
        "is empty and would let nobody in",
        "write `deny = \"any\"` to mean that, or leave `allow` out to let everybody in",
    );
    Some(plain(sources))
}

fn windows(reader: &Reader<'_, '_>) -> Vec<Hours> {
    let Some(windows) = reader.list(Key::Hours, hours::parse) else {
        return Vec::new();
    };
    refuse_empty(
        reader,
        Key::Hours,
        "is empty and would never let anybody in",
        "write `enabled = false` to mean that, or leave `hours` out to serve all day",
    );
    windows.into_iter().map(|(window, _)| window).collect()
}

fn timezone(reader: &Reader<'_, '_>) -> Option<String> {
    let item = reader.text(Key::Timezone)?;
    if item.text == "local" {
        return None;
    }
    if reader.context.host.world.has_timezone(&item.text) {
        return Some(item.text);
    }
    let problem = Problem::new(format!("is unknown to this host: `{}`", shown(&item.text)));
    reader.refuse(
        Key::Timezone,
        item.place,
        problem.help("write a name of /usr/share/zoneinfo, for example `\"Europe/Berlin\"`"),
    );
    None
}

fn max_load(reader: &Reader<'_, '_>) -> Option<f64> {
    let entry = reader.entry(Key::MaxLoad)?;
    let value = entry.value.get_ref();
    if value.as_str() == Some("off") {
        return None;
    }
    let number = value
        .as_integer()
        .map(toml::de::DeInteger::as_str)
        .or_else(|| value.as_float().map(toml::de::DeFloat::as_str))
        .and_then(|text| text.parse::<f64>().ok());
    match number {
        None => reader.refuse_type(Key::MaxLoad, &entry, "a number: `8` or `2.5`, or `\"off\"`"),
        Some(load) if load > 0.0 && load.is_finite() => return Some(load),
        Some(_) => reader.refuse(
            Key::MaxLoad,
            entry.place(),
            Problem::new("is not above 0").help("write a number: `8` or `2.5`, or `\"off\"`"),
        ),
    }
    None
}

fn source_prefix(reader: &Reader<'_, '_>) -> (u8, u8) {
    table_only(
        reader,
        Key::SourcePrefix,
        "source_prefix = { v4 = 24, v6 = 56 }",
    );
    let length = |key, built_in| {
        reader
            .integer(key)
            .and_then(|length| u8::try_from(length).ok())
            .unwrap_or(built_in)
    };
    (
        length(Key::SourcePrefixV4, 32),
        length(Key::SourcePrefixV6, 64),
    )
}

fn penalty(reader: &Reader<'_, '_>) -> Option<Penalty> {
    const FIRST: Duration = Duration::from_secs(30);
    const MAX: Duration = Duration::from_secs(600);
    let entry = reader.entry(Key::Penalty)?;
    let value = entry.value.get_ref();
    if value.as_str() == Some("off") {
        return None;
    }
    if !value.is_table() {
        reader.refuse_type(Key::Penalty, &entry, "a table: `penalty = { after = \"10/min\", for = \"30s\", max = \"10min\" }`, or `\"off\"`");
        return None;
    }
    let first = reader.limited_duration(Key::PenaltyFor).unwrap_or(FIRST);
    let max = reader.limited_duration(Key::PenaltyMax);
    if let Some(max) = max
        && max < first
        && let Some(entry) = reader.entry(Key::PenaltyMax)
    {
        reader.refuse(
            Key::PenaltyMax,
            entry.place(),
            Problem::new("is shorter than `for`").help("write at least the time of `for`"),
        );
    }
    if !reader.written(Key::PenaltyAfter) {
        let title = format!(
            "{} does not say after how many refusals",
            reader.subject(Key::Penalty)
        );
        reader.report_missing(
            &[Key::PenaltyAfter],
            Diagnostic::error(Code::Missing, entry.key, title)
                .label("needs `after`")
                .help("add for example `after = \"10/min\"`"),
        );
    }
    let after = reader.rate(Key::PenaltyAfter)?;
    if after.is_none()
        && let Some(entry) = reader.entry(Key::PenaltyAfter)
    {
        reader.refuse(
            Key::PenaltyAfter,
            entry.place(),
            Problem::new("cannot be off").help("write `penalty = \"off\"`"),
        );
    }
    Some(Penalty {
        after: after?,
        first,
        max: max.unwrap_or(MAX).max(first),
    })
}

/// `proxy_protocol`, and that there is a `proxy_from` with it.
pub(super) fn proxy(reader: &Reader<'_, '_>) -> Option<ProxyVersion> {
    let versions = [
        None,
        Some(ProxyVersion::V1),
        Some(ProxyVersion::V2),
        Some(ProxyVersion::Any),
    ];
    let version = reader.choice(Key::ProxyProtocol, versions).flatten()?;
    let entry = reader.entry(Key::ProxyProtocol)?;
    if !reader.written(Key::ProxyFrom) && !entry.inherited {
        let title = format!("{} does not say who may send the header", reader.owner);
        reader.report_missing(&[Key::ProxyFrom],
            Diagnostic::error(Code::Missing, entry.key, title)
                .label("needs `proxy_from`")
                .help("add for example `proxy_from = [\"loopback\"]`: whoever may send the header may claim any address"),
        );
    }
    Some(version)
}

/// `banner`: the text, or that of the file after `@`. It is short enough for the send buffer of a new connection.
pub(super) fn banner(reader: &Reader<'_, '_>) -> Option<Template> {
    const LONGEST: usize = 16 << 10;
    let item = reader.text(Key::Banner)?;
    let Some(file) = item.text.strip_prefix('@') else {
        if item.text.len() > LONGEST {
            let problem = Problem::new("is longer than 16 KiB").help("write a shorter text");
            reader.refuse(Key::Banner, item.place, problem);
        }
        return reader.parsed(Key::Banner, &item, template::parse);
    };
    let path = reader.beside(&Item {
        text: file.to_owned(),
        place: item.place,
        quoted: true,
    });
    let refused = |what: &str| {
        let problem = Problem::new(format!(
            "names a file that {what}: `{}`",
            shown(&path.to_string_lossy())
        ));
        reader.refuse(
            Key::Banner,
            item.place,
            problem.help("name a readable text file of at most 16 KiB"),
        );
    };
    match reader.context.host.world.read(&path, LONGEST) {
        Ok(Opened::Regular { bytes, .. }) if bytes.len() > LONGEST => {
            refused("is larger than 16 KiB");
        }
        Ok(Opened::Regular { bytes, .. }) => match String::from_utf8(bytes) {
            Ok(text) => return reader.parsed(Key::Banner, &item, |_| template::parse(&text)),
            Err(_) => refused("is not UTF-8"),
        },
        Ok(Opened::Null | Opened::Other) => refused("is not a regular file"),
        Err(error) => refused(&format!("cannot be read ({})", reason(&error))),
    }
    None
}
