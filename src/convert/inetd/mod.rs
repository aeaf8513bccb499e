//! inetd.conf in six dialects.
//!
//! The same word means different things in them (`tcp`, `nowait.40`, a missing argv0), so everything that differs is a
//! row of [`Traits`]. A dialect that cannot be told is read so that nobody is served who was not before.

mod address;
mod fields;
mod keyvalue;
mod lines;
mod listen;
mod program;
mod record;
#[cfg(test)]
mod tests;
mod translate;

use super::Format;
use super::entry::Value;
use super::note::Place;
use super::session::{Session, Source};

/// Whose inetd.conf it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// OpenBSD.
    OpenBsd,
    /// Debian's openbsd-inetd.
    Debian,
    /// FreeBSD.
    FreeBsd,
    /// NetBSD, with its key=value entries.
    NetBsd,
    /// GNU inetutils.
    Inetutils,
    /// busybox.
    Busybox,
}

/// How words are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quoting {
    /// At blanks; quotes are data.
    None,
    /// A token wholly within quotes.
    Whole,
    /// Quotes anywhere in a token.
    Shell,
    /// A quote at the start of a word ends it at the next one, and a double quote ends a word before it; backslashes are
    /// data. So the argcv of GNU inetutils 2.4 does it, whatever its manual says.
    Argcv,
    /// Quotes and backslash: systemd, and a plain line of a shell.
    ShellEscapes,
}

/// What differs between the dialects. `None` for the dialect itself: it is not known.
#[derive(Clone, Copy, Debug)]
struct Traits {
    dialect: Option<Dialect>,
    name: &'static str,
    quoting: Quoting,
    /// A line that begins with a blank goes on with the one before.
    continuation: bool,
    /// The program gets at most this many words, its name included.
    most_words: Option<usize>,
    /// Starts of a service within a minute, unless its line says otherwise.
    starts_per_minute: Option<u32>,
    /// What happened at that limit.
    at_the_limit: &'static str,
}

impl Traits {
    fn of(dialect: Option<Dialect>) -> Self {
        let ten_minutes = "closed the service for 10 minutes";
        let bsd = Self {
            dialect,
            name: "inetd.conf, dialect not recognised",
            quoting: Quoting::None,
            continuation: true,
            most_words: Some(20),
            starts_per_minute: Some(256),
            at_the_limit: ten_minutes,
        };
        match dialect {
            None => bsd,
            Some(Dialect::OpenBsd) => Self {
                name: "inetd.conf of OpenBSD",
                ..bsd
            },
            Some(Dialect::Debian) => Self {
                name: "inetd.conf of Debian's openbsd-inetd",
                ..bsd
            },
            Some(Dialect::FreeBsd) => Self {
                name: "inetd.conf of FreeBSD",
                quoting: Quoting::Whole,
                ..bsd
            },
            Some(Dialect::NetBsd) => Self {
                name: "inetd.conf of NetBSD",
                quoting: Quoting::Shell,
                starts_per_minute: Some(40),
                ..bsd
            },
            Some(Dialect::Inetutils) => Self {
                name: "inetd.conf of GNU inetutils",
                quoting: Quoting::Argcv,
                continuation: false,
                most_words: None,
                starts_per_minute: Some(1000),
                at_the_limit: "closed the service until a restart",
                ..bsd
            },
            Some(Dialect::Busybox) => Self {
                name: "inetd.conf of busybox",
                continuation: false,
                starts_per_minute: None,
                at_the_limit: "closed the service for a minute",
                ..bsd
            },
        }
    }

    fn is(&self, dialect: Dialect) -> bool {
        self.dialect == Some(dialect)
    }
}

/// Words of a command line with quotes and backslashes: systemd's ExecStart, a plain line of a shell.
pub(super) fn split_like_systemd(line: &str) -> Result<Vec<String>, &'static str> {
    lines::split(line, Quoting::ShellEscapes)
}

/// Reads all files.
pub(super) fn read(
    session: &mut Session<'_>,
    sources: Vec<Source>,
    dialect: Option<Dialect>,
) -> Format {
    let seen = || sources.iter().find_map(|s| self::dialect(&s.text.lines));
    let traits = Traits::of(dialect.or_else(seen));
    for source in sources {
        if traits.is(Dialect::FreeBsd) {
            let text = "inetd's own options are not in this file; FreeBSD starts it with `-wW -C 60`: write \
                        `rate_per_source = \"60/min\"`, and `allow` and `deny` as in hosts.allow, if yours did";
            session.notes.note(&Place::file(&source.path), text);
        }
        let raws = lines::read(session, &source.path, &source.text, traits, 0);
        let paired = translate::has_ipv6_lines(&raws);
        let mut translator =
            translate::Translator::new(session, traits, source.text.latin1, paired);
        for raw in &raws {
            translator.entry(raw);
        }
    }
    let rate = traits
        .starts_per_minute
        .map_or("off".to_owned(), |n| format!("{n}/min"));
    // FreeBSD leaves clients in the queue, all others close what they cannot serve.
    let over_limit = if traits.is(Dialect::FreeBsd) {
        "queue"
    } else {
        "refuse"
    };
    let mut baseline: Vec<(&'static str, Value)> = vec![
        ("sandbox", "none".into()),
        ("stderr", "client".into()),
        ("max_connections", "unlimited".into()),
        ("max_per_source", "unlimited".into()),
        ("rate", rate.into()),
        ("over_limit", over_limit.into()),
    ];
    if session.entries.iter().any(|e| e.get("user").is_none()) {
        // Built-ins ran within inetd, as root; here they run in a child that needs no rights.
        baseline.insert(0, ("user", "nobody".into()));
    }
    Format {
        name: traits.name.to_owned(),
        baseline,
        remarks: &[
            "inetd handed its own environment to every program; here it is a clean one (`pass_env`).",
        ],
        later_wins: true,
    }
}

/// The dialect, when the file shows it.
pub(super) fn dialect(lines: &[String]) -> Option<Dialect> {
    let any = |f: &dyn Fn(&str) -> bool| lines.iter().any(|l| f(l));
    for (mark, dialect) in [
        ("$FreeBSD", Dialect::FreeBsd),
        ("$NetBSD", Dialect::NetBsd),
        ("$OpenBSD", Dialect::OpenBsd),
        ("#<off>#", Dialect::Debian),
        ("update-inetd", Dialect::Debian),
        ("#:INTERNAL:", Dialect::Debian),
        ("#:OTHER:", Dialect::Debian),
    ] {
        if any(&|l| l.starts_with('#') && l.contains(mark)) {
            return Some(dialect);
        }
    }
    if any(&|l| l.trim_start().starts_with(".include")) || any(&|l| keyvalue::starts(l)) {
        return Some(Dialect::NetBsd);
    }
    lines
        .iter()
        .filter(|l| looks_like_entry(l))
        .find_map(|line| {
            let mut words = line.split_whitespace().skip(2);
            let (protocol, wait, user) = (words.next()?, words.next()?, words.next()?);
            if wait.contains('/') || user.contains('/') {
                Some(Dialect::FreeBsd)
            } else if wait.contains(':') {
                Some(Dialect::NetBsd)
            } else if protocol.ends_with("6only") {
                Some(Dialect::Inetutils)
            } else {
                None
            }
        })
}

/// A positional or key=value entry, or the `address:` line.
pub(super) fn looks_like_entry(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let first = words.next().unwrap_or_default();
    let second = words.next().unwrap_or_default();
    let third = words.next().unwrap_or_default();
    let fourth = words.next().unwrap_or_default();
    let socket_type = ["stream", "dgram", "raw", "rdm", "seqpacket"]
        .iter()
        .any(|t| {
            second == *t
                || second
                    .strip_prefix(t)
                    .is_some_and(|rest| rest.starts_with([',', ':']))
        });
    let wait = fourth.starts_with("wait") || fourth.starts_with("nowait");
    (socket_type && !third.is_empty() && wait)
        || keyvalue::starts(line)
        || (second.is_empty() && first.len() > 1 && first.ends_with(':'))
        || first == ".include"
}
