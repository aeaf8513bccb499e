//! From TOML files to a [`Table`], or a report of every problem in them.
//!
//! ```text
//! files --read, trust--> text --parse--> DeTable --raw::walk--> sections of known keys --resolve--> Table
//! ```
//!
//! Invariant: a table comes out only when no file of it has an error, and then every value in it is valid. What the host
//! knows is asked through [`World`]; no system call is made here.

pub mod diagnostic;
#[cfg(test)]
pub(crate) mod fake;
mod files;
mod foreign;
#[cfg(test)]
mod golden;
mod inetd;
pub mod keys;
pub mod list;
mod not_yet;
mod raw;
mod resolve;
pub mod shown;
pub mod source;
pub mod surroundings;
mod syntax;
#[cfg(test)]
mod tests;
mod trust;
pub mod values;
pub mod world;

use std::io;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeTable;

use crate::service::Table;
use diagnostic::{Code, Diagnostic};
pub use diagnostic::{Format, Report};
use keys::Key;
use raw::RawFile;
pub use resolve::written::{Value, Written, place};
use source::{FileId, Place, SourceFile};
use syntax::parse;
pub use world::{Host, World};

/// The file that is read when none is named.
pub const MAIN_FILE: &str = "/etc/oxinetd.toml";
/// The files that are included when the main file does not say otherwise.
pub const INCLUDE: [&str; 2] = ["/usr/lib/oxinetd.d/*.toml", "/etc/oxinetd.d/*.toml"];
/// The shipped table, which is served when there is no file at all.
const EMBEDDED: &str = include_str!("../../etc/oxinetd.toml");
/// The account of the embedded table, by number: a container may have no user database.
const EMBEDDED_USER: (&str, &str) = ("\"nobody\"", "\"65534\"");

/// Where the table comes from.
#[derive(Clone, Copy, Debug)]
pub enum Main<'a> {
    /// This file; a foreign owner is a warning.
    Named(&'a Path),
    /// [`MAIN_FILE`], or the embedded table when there is none.
    Default,
    /// A text, without includes.
    Text {
        /// As messages name it.
        name: &'a str,
        /// The table.
        text: &'a str,
    },
}

/// What a load produced.
#[derive(Debug)]
pub struct Loaded {
    /// `None` when there was an error.
    pub table: Option<Table>,
    /// What there is to tell.
    pub report: Report,
    /// True for the embedded table.
    pub embedded: bool,
    /// How many services the files define, valid or not.
    pub services: usize,
    /// What is written and where, for [`explain`]: `[daemon]` first, then the services in their order.
    pub written: Vec<Written>,
}

/// Loads, and keeps what was written.
pub fn explain(main: &Main<'_>, host: &Host<'_>) -> Loaded {
    let host = Host {
        explains: true,
        ..*host
    };
    load(main, &host)
}

/// Reads, checks and resolves a table. Blocks as long as files and name services do.
pub fn load(main: &Main<'_>, host: &Host<'_>) -> Loaded {
    let mut problems = Vec::new();
    let mut embedded = false;
    let main_file = match main {
        Main::Named(path) => files::read(host, path, true, None, &mut problems),
        Main::Text { name, text } => Some(SourceFile::new(*name, *text)),
        Main::Default => match host.world.read(Path::new(MAIN_FILE), 0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                embedded = true;
                let (name, number) = EMBEDDED_USER;
                Some(SourceFile::new(
                    "<embedded>",
                    EMBEDDED.replace(name, number),
                ))
            }
            _ => files::read(host, Path::new(MAIN_FILE), false, None, &mut problems),
        },
    };
    if main_file.is_none() && problems.is_empty() {
        problems.push(
            Diagnostic::error(Code::Unreadable, None, "the table is /dev/null").help("name a file"),
        );
    }
    let has_includes = !embedded && !matches!(main, Main::Text { .. });
    let Some(main_file) = main_file else {
        return Loaded {
            table: None,
            report: Report::new(Vec::new(), problems),
            embedded,
            services: 0,
            written: Vec::new(),
        };
    };
    assemble(host, main_file, has_includes, embedded, problems)
}

fn assemble(
    host: &Host<'_>,
    main_file: SourceFile,
    has_includes: bool,
    embedded: bool,
    mut problems: Vec<Diagnostic>,
) -> Loaded {
    let main_table = parse(0, &main_file, &mut problems);
    let main_raw = main_table
        .as_ref()
        .map(|table| raw::walk(0, table.get_ref(), &mut problems));
    let directory = Path::new(&main_file.name)
        .parent()
        .unwrap_or(Path::new(""))
        .to_owned();
    let mut drop_ins: Vec<SourceFile> = Vec::new();
    if has_includes && let Some(main_raw) = &main_raw {
        let patterns = patterns(main_raw, &mut problems);
        for (path, place) in files::included(host, &directory, &patterns, &mut problems) {
            drop_ins.extend(files::read(host, &path, false, place, &mut problems));
        }
    }
    let inetd_id = FileId::try_from(drop_ins.len()).unwrap_or(FileId::MAX) + 1;
    let inetd = main_raw
        .as_ref()
        .and_then(|main_raw| inetd::named(host, inetd_id, main_raw, &directory, &mut problems));
    drop_ins.extend(inetd.as_ref().map(|inetd| inetd.table.clone()));
    let tables: Vec<Option<Spanned<DeTable<'_>>>> = (1..)
        .zip(&drop_ins)
        .map(|(id, file)| parse(id, file, &mut problems))
        .collect();
    let mut raws: Vec<RawFile<'_>> = main_raw.into_iter().collect();
    for (id, table) in (1..).zip(&tables) {
        raws.extend(
            table
                .as_ref()
                .map(|table| raw::walk(id, table.get_ref(), &mut problems)),
        );
    }
    let services = raws.iter().map(|raw| raw.services.len()).sum();
    let files: Vec<&SourceFile> = std::iter::once(&main_file).chain(&drop_ins).collect();
    let context = resolve::Context::new(host, &files);
    // Of a file that is no TOML the rest is guesswork: whatever else would be found is noise.
    let whole = raws.len() == files.len();
    let resolved = whole.then(|| resolve::resolve(&context, &raws));
    let lists = context.take_lists();
    let written = context.take_written();
    problems.extend(context.into_problems());
    drop(raws);
    drop(tables);
    let names = |file: &SourceFile| PathBuf::from(&file.name);
    let read = if embedded {
        Vec::new()
    } else {
        std::iter::once(&main_file)
            .chain(&drop_ins)
            .map(names)
            .collect()
    };
    drop(main_table);
    if let Some(inetd) = inetd {
        drop_ins.pop();
        drop_ins.extend(inetd.settle(inetd_id + 1, &mut problems));
    }
    let report = Report::new(
        std::iter::once(main_file).chain(drop_ins).collect(),
        problems,
    );
    let table = resolved
        .filter(|_| !report.has_errors())
        .map(|(settings, services)| Table {
            settings,
            services,
            files: read,
            lists,
        });
    Loaded {
        table,
        report,
        embedded,
        services,
        written,
    }
}

/// The values of `include`.
fn patterns(main: &RawFile<'_>, problems: &mut Vec<Diagnostic>) -> Vec<(String, Option<Place>)> {
    let Some(entry) = main.daemon.entry(Key::Include) else {
        return INCLUDE
            .iter()
            .map(|pattern| ((*pattern).to_owned(), None))
            .collect();
    };
    let value = entry.value.get_ref();
    if let Some(pattern) = value.as_str() {
        return vec![(pattern.to_owned(), Some(entry.place()))];
    }
    let mut patterns = Vec::new();
    let items = value
        .as_array()
        .map(|array| array.iter().collect::<Vec<_>>())
        .unwrap_or_default();
    let mut valid = value.is_array();
    for item in items {
        match item.get_ref().as_str() {
            Some(pattern) => patterns.push((pattern.to_owned(), Some(Place::new(0, item.span())))),
            None => valid = false,
        }
    }
    if !valid {
        let title = "`include` in [daemon] is not a list of file patterns";
        problems.push(
            Diagnostic::error(Code::Type, entry.place(), title)
                .help("write `include = [\"/etc/oxinetd.d/*.toml\"]`"),
        );
    }
    patterns
}
