//! Tables of other super-servers to ours: one reader for each foreign format, one writer for all.
//!
//! Invariant: a conversion is a pure function of the files it is given ([`Files`]), bounded in time and memory, and
//! silent about nothing (see [`note`]). A reader makes `Entry` values, words of our language with their place in the
//! original; `emit` lays them out. A new format is one module and one row in [`FORMATS`].

mod access;
mod collisions;
mod compare;
mod emit;
mod entry;
mod files;
mod hosts_access;
mod inetd;
mod note;
mod old_host;
mod proof;
mod services;
mod session;
mod systemd;
mod tcpserver;
mod to_systemd;
mod xinetd;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use compare::{Answers, Comparison, compare};
pub use files::{Disk, Files, LARGEST, Memory};
pub use inetd::Dialect;
pub use note::{Note, Place, Severity};
pub use old_host::OldHost;
pub use to_systemd::{Unit, to_systemd};

use emit::{Emitted, emit};
use entry::{Entry, Value};
use session::Session;

/// What the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// inetd.conf; `None`: the dialect is read off the file.
    Inetd(Option<Dialect>),
    /// xinetd.conf, or a file or directory of its `includedir`.
    Xinetd,
    /// `.socket` and `@.service` units.
    Systemd,
    /// Command lines of tcpserver and tcpsvd, in run scripts.
    Tcpserver,
}

/// The words for `--from`, each with what it means.
pub const FORMATS: [(&str, Kind, &str); 10] = [
    ("inetd", Kind::Inetd(None), "inetd.conf, dialect detected"),
    (
        "openbsd",
        Kind::Inetd(Some(Dialect::OpenBsd)),
        "inetd.conf of OpenBSD",
    ),
    (
        "debian",
        Kind::Inetd(Some(Dialect::Debian)),
        "inetd.conf of Debian's openbsd-inetd",
    ),
    (
        "freebsd",
        Kind::Inetd(Some(Dialect::FreeBsd)),
        "inetd.conf of FreeBSD",
    ),
    (
        "netbsd",
        Kind::Inetd(Some(Dialect::NetBsd)),
        "inetd.conf of NetBSD, positional and key=value",
    ),
    (
        "inetutils",
        Kind::Inetd(Some(Dialect::Inetutils)),
        "inetd.conf of GNU inetutils",
    ),
    (
        "busybox",
        Kind::Inetd(Some(Dialect::Busybox)),
        "inetd.conf of busybox",
    ),
    ("xinetd", Kind::Xinetd, "xinetd.conf with its includes"),
    ("systemd", Kind::Systemd, ".socket and @.service units"),
    (
        "tcpserver",
        Kind::Tcpserver,
        "command lines of tcpserver and tcpsvd",
    ),
];

impl Kind {
    /// The format of a word for `--from`.
    pub fn from_word(word: &str) -> Option<Self> {
        FORMATS
            .iter()
            .find(|(w, _, _)| *w == word)
            .map(|(_, kind, _)| *kind)
    }
}

/// How to convert.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The format; `None`: detected.
    pub from: Option<Kind>,
    /// Go on without access rules and limits that cannot be kept.
    pub lossy: bool,
    /// hosts.allow and hosts.deny; `None`: those of /etc. `/dev/null` is an empty file.
    pub hosts_access: Option<(PathBuf, PathBuf)>,
    /// Where ports have names; `None`: /etc/services.
    pub services: Option<PathBuf>,
}

/// The result of a conversion.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The table; empty when `exit` is 1.
    pub toml: String,
    /// What there is to say.
    pub notes: Vec<Note>,
    /// `converted 23 entries: 19 exact, 3 with notes, 1 left out (rpc)`
    pub summary: String,
    /// 0: exact; 2: with notes; 1: impossible.
    pub exit: u8,
    /// For each line of `toml` its place in the original.
    pub origins: Vec<Option<Place>>,
    /// What the old server answered, for [`compare`].
    pub answers: Vec<Answers>,
}

/// What a reader says of its format as a whole.
#[derive(Debug, Default)]
struct Format {
    /// For the head of the table.
    name: String,
    /// What the old server did for every service.
    baseline: Vec<(&'static str, Value)>,
    /// What is different for every service, for the head of the table.
    remarks: &'static [&'static str],
    /// Of two services on one socket the later one is served.
    later_wins: bool,
}

/// Converts files, or directories of files, to a table.
pub fn convert(options: &Options, files: &dyn Files, paths: &[PathBuf]) -> Outcome {
    let mut session = Session::new(options, files);
    let sources = session.sources(paths);
    let mut kinds: Vec<Kind> = Vec::new();
    for source in &sources {
        let kind = options
            .from
            .or_else(|| detect(&source.path, &source.text.lines));
        match kind {
            // Units of both kinds belong together, and so do several inetd.conf; the rest of `Kind` does not matter.
            Some(kind)
                if kinds
                    .iter()
                    .all(|k| std::mem::discriminant(k) == std::mem::discriminant(&kind)) =>
            {
                kinds.push(kind);
            }
            Some(_) => {
                let place = Place::file(&source.path);
                session.notes.error(
                    &place,
                    "is of another format than the files before it: convert it apart",
                );
            }
            None => {
                let words: Vec<&str> = FORMATS.iter().map(|(w, _, _)| *w).collect();
                let text = format!(
                    "is of no known format; say which with --from ({})",
                    words.join(", ")
                );
                session.notes.error(&Place::file(&source.path), text);
            }
        }
    }
    let format = match kinds.first() {
        _ if session.notes.failed() => Format::default(),
        Some(Kind::Inetd(dialect)) => inetd::read(&mut session, sources, *dialect),
        Some(Kind::Xinetd) => xinetd::read(&mut session, &sources),
        Some(Kind::Systemd) => systemd::read(&mut session, &sources),
        Some(Kind::Tcpserver) => tcpserver::read(&mut session, sources),
        None => {
            let place = Place::file(Path::new("oxinetd convert"));
            session.notes.error(&place, "no input");
            Format::default()
        }
    };
    finish(session, &format, paths)
}

/// The services of an inetd.conf, to be served beside the table: `[daemon] inetd_conf`.
///
/// The text is one more file for the loader; `origins` leads from its lines back to those of inetd.conf. The dialect is
/// Debian's unless the file shows another, because that is where the file lives on Linux.
pub fn inetd_services(files: &dyn Files, path: &Path) -> Outcome {
    let options = Options {
        from: Some(Kind::Inetd(None)),
        ..Options::default()
    };
    let mut session = Session::new(&options, files);
    let sources = session.sources(&[path.to_owned()]);
    let seen = sources.first().and_then(|s| inetd::dialect(&s.text.lines));
    let format = inetd::read(&mut session, sources, Some(seen.unwrap_or(Dialect::Debian)));
    finish(session, &format, &[path.to_owned()])
}

/// Lays out the entries and counts.
fn finish(mut session: Session<'_>, format: &Format, paths: &[PathBuf]) -> Outcome {
    collisions::settle(
        &mut session.entries,
        &session.services,
        format.later_wins,
        &mut session.notes,
    );
    let emitted = write(&mut session, format, paths);
    if session.entries.is_empty() && session.notes.left_out_any() {
        let text = "none of its entries can be converted";
        session.notes.error(&first(paths), text);
    }
    let summary = summary(&session);
    if session.notes.failed() {
        return Outcome {
            toml: String::new(),
            notes: session.notes.into_list(),
            summary: format!("nothing converted; without the errors: {summary}"),
            exit: 1,
            origins: Vec::new(),
            answers: Vec::new(),
        };
    }
    let answers = session
        .entries
        .iter()
        .zip(&emitted.names)
        .filter(|(entry, _)| entry.enabled);
    let answers = answers.map(|(entry, name)| Answers {
        service: name.clone(),
        place: entry.place.clone(),
        asked: entry.asked.clone(),
    });
    let answers = answers.collect();
    let notes = session.notes.into_list();
    Outcome {
        toml: emitted.toml,
        summary,
        exit: if notes.is_empty() { 0 } else { 2 },
        notes,
        origins: emitted.origins,
        answers,
    }
}

/// Writes the table, without the entries that the loader refuses.
fn write(session: &mut Session<'_>, format: &Format, paths: &[PathBuf]) -> Emitted {
    // Without the refused the others are as they were, so once is enough, but for entries that refer to each other.
    const MOST_ROUNDS: usize = 4;
    let shown: Vec<String> = paths
        .iter()
        .take(8)
        .map(|p| p.display().to_string())
        .collect();
    let mut head = vec![
        format!("Converted by oxinetd from {} ({}).", shown.join(", "), format.name),
        "What the old server did for every service stands in [defaults]; a service says what differs.".to_owned(),
    ];
    head.extend(format.remarks.iter().map(ToString::to_string));
    let world = OldHost::with(session.services.clone());
    for _ in 0..MOST_ROUNDS {
        let emitted = emit(
            &head,
            &format.baseline,
            &session.entries,
            &session.leftovers,
        );
        let faults = proof::faults(&emitted, &world);
        if let Some(text) = faults.other {
            session.notes.error(&first(paths), text);
        } else if !faults.entries.is_empty() {
            session.take_out(faults.entries);
            continue;
        }
        return emitted;
    }
    let text = "what was written is no table of ours, whatever is left out";
    session.notes.error(&first(paths), text);
    Emitted::default()
}

/// Where something stands that concerns the input as a whole.
fn first(paths: &[PathBuf]) -> Place {
    Place::file(paths.first().map_or(Path::new("input"), PathBuf::as_path))
}

/// `converted 23 entries: 19 exact, 3 with notes, 1 left out (rpc)`
fn summary(session: &Session<'_>) -> String {
    let notes = &session.notes;
    let touched = |e: &&Entry| {
        let also = e.also.as_ref();
        also.is_some_and(|file| notes.touch(file, (1, u32::MAX)))
            || notes.touch(&e.place.file, (e.place.line, e.last_line))
    };
    let left_out = notes.entries_left_out();
    let with_notes = session.entries.iter().filter(touched).count();
    let exact = session.entries.len() - with_notes;
    let entries = session.entries.len() + left_out.len();
    let noun = if entries == 1 { "entry" } else { "entries" };
    let mut text = format!("converted {entries} {noun}: {exact} exact");
    if with_notes > 0 {
        text = format!("{text}, {with_notes} with notes");
    }
    if !left_out.is_empty() {
        let mut names: Vec<String> = left_out.iter().map(|l| note::printable(&l.name)).collect();
        names.sort();
        names.dedup();
        names.truncate(10);
        let (count, names) = (left_out.len(), names.join(", "));
        text = format!("{text}, {count} left out ({names})");
    }
    match session.commented_out {
        0 => text,
        1 => format!("{text}; 1 more is commented out and stays behind"),
        n => format!("{text}; {n} more are commented out and stay behind"),
    }
}

/// The format of a file, by its name and its first lines that mean something.
fn detect(path: &Path, lines: &[String]) -> Option<Kind> {
    let extension = path
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default();
    if ["socket", "service"].contains(&extension) {
        return Some(Kind::Systemd);
    }
    let lines = || {
        lines
            .iter()
            .map(|l| l.trim())
            .filter(|l| !l.is_empty() && !l.starts_with('#'))
    };
    if lines().any(|l| l == "[Socket]" || l == "[Unit]") {
        return Some(Kind::Systemd);
    }
    let keyword = |line: &str| {
        let word = line
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        ["service", "defaults", "include", "includedir", "{"].contains(&word.as_str())
            && !inetd::looks_like_entry(line)
    };
    if lines().next().is_some_and(keyword) {
        return Some(Kind::Xinetd);
    }
    if lines().any(tcpserver::looks_like_command) {
        return Some(Kind::Tcpserver);
    }
    if lines().next().is_none() || lines().any(inetd::looks_like_entry) {
        return Some(Kind::Inetd(None));
    }
    None
}
