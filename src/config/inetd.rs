//! `[daemon] inetd_conf`: an inetd.conf as one more file of the table, through the reader of `convert`.
//!
//! Invariant: whatever is told of it is told at the line of inetd.conf, never at that of the table in between.

use std::io;
use std::path::Path;

use super::diagnostic::{Code, Diagnostic, shown};
use super::files::{LARGEST, reason};
use super::keys::Key;
use super::raw::RawFile;
use super::source::{FileId, Place, SourceFile};
use super::trust;
use super::world::{Host, Opened, World};
use crate::convert::{self, Files, Severity};

/// What was read.
pub(super) struct Inetd {
    /// Its number in the load.
    pub(super) id: FileId,
    /// The table that it means.
    pub(super) table: SourceFile,
    /// The file itself, and those that it includes.
    originals: Vec<SourceFile>,
    notes: Vec<convert::Note>,
}

/// What the main file names; `None`: nothing, or its problems have been told.
pub(super) fn named(
    host: &Host<'_>,
    id: FileId,
    main: &RawFile<'_>,
    directory: &Path,
    problems: &mut Vec<Diagnostic>,
) -> Option<Inetd> {
    let entry = main.daemon.entry(Key::InetdConf)?;
    // Another type is told by the resolver.
    let text = entry.value.get_ref().as_str()?;
    if text.is_empty() || text == "off" {
        return None;
    }
    read(host, id, &directory.join(text), entry.place(), problems)
}

/// Reads the file; `None`: there is none, or its problems have been told. A file that is not there is none: packages make
/// it when they need it.
fn read(
    host: &Host<'_>,
    id: FileId,
    path: &Path,
    asked_at: Place,
    problems: &mut Vec<Diagnostic>,
) -> Option<Inetd> {
    let name = path.to_string_lossy().into_owned();
    let mut refuse = |what: &str| {
        let title = format!("cannot read {}: {what}", shown(&name));
        problems.push(Diagnostic::error(Code::Unreadable, asked_at, title).label("named here"));
    };
    match host.world.read(path, LARGEST) {
        Ok(Opened::Regular { metadata, path, .. }) => {
            if host.is_root() {
                problems.extend(trust::problems(host.world, &path, metadata, false));
            }
        }
        Ok(Opened::Null) => return None,
        Ok(Opened::Other) => {
            refuse("not a regular file");
            return None;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if host.surroundings.is_some() {
                let title = format!(
                    "nothing is served of {}: there is no such file",
                    shown(&name)
                );
                problems.push(Diagnostic::note(Code::World, asked_at, title).label("named here"));
            }
            return None;
        }
        Err(error) => {
            refuse(&reason(&error));
            return None;
        }
    }
    let files = Readable(host.world);
    let outcome = convert::inetd_services(&files, path);
    let mut originals: Vec<SourceFile> = Vec::new();
    let places = outcome
        .origins
        .iter()
        .flatten()
        .chain(outcome.notes.iter().map(|note| &note.place));
    for file in std::iter::once(path).chain(places.map(|place| place.file.as_ref())) {
        let name = file.to_string_lossy();
        if !originals.iter().any(|original| original.name == name) {
            let bytes = files.read(file).unwrap_or_default();
            originals.push(SourceFile::new(name, String::from_utf8_lossy(&bytes)));
        }
    }
    // A line without an origin belongs to the entry above it.
    let mut last = (name.clone(), 1);
    let origins = outcome.origins.iter().map(|origin| {
        if let Some(place) = origin {
            last = (place.file.to_string_lossy().into_owned(), place.line.max(1));
        }
        last.clone()
    });
    Some(Inetd {
        id,
        table: SourceFile::new(name.clone(), outcome.toml).made_of(origins.collect()),
        originals,
        notes: outcome.notes,
    })
}

impl Inetd {
    /// Leads the problems of the table in between back to the original, and adds those of the reader. Answers the files to
    /// show in its place: the first has its number, the others come last, from `next` on.
    pub(super) fn settle(self, next: FileId, problems: &mut Vec<Diagnostic>) -> Vec<SourceFile> {
        for problem in problems.iter_mut() {
            let places = problem.context.iter_mut().map(|(place, _)| place);
            for place in places
                .chain(&mut problem.place)
                .filter(|place| place.file == self.id)
            {
                let (file, line) = self.table.origin(place.start);
                *place = self.place(file, line as usize, next);
            }
            problem.patch = problem
                .patch
                .take()
                .filter(|patch| patch.place.file != self.id);
        }
        let told = self.notes.iter().map(|note| {
            let place = self.place(
                &note.place.file.to_string_lossy(),
                note.place.line as usize,
                next,
            );
            let (text, lost) = match note.text.split_once("; --lossy") {
                Some((text, _)) => (text, true),
                None => (note.text.as_str(), false),
            };
            let text = text.to_owned();
            match note.severity {
                Severity::Note => Diagnostic::note(Code::ForeignWord, place, text),
                Severity::Error if lost => Diagnostic::error(Code::ForeignWord, place, text).help(
                    "write this service into the table as you want it, and take the line out",
                ),
                Severity::Error => Diagnostic::error(Code::ForeignWord, place, text),
            }
        });
        problems.extend(told.collect::<Vec<_>>());
        self.originals
    }

    /// A line of an original.
    fn place(&self, file: &str, line: usize, next: FileId) -> Place {
        let index = self
            .originals
            .iter()
            .position(|original| original.name == file)
            .unwrap_or(0);
        let id = match FileId::try_from(index) {
            Ok(0) | Err(_) => self.id,
            Ok(index) => next + index - 1,
        };
        let line = line.max(1);
        let window = self
            .originals
            .get(index)
            .map_or(0..0, |original| original.window(line, line));
        Place::new(id, window)
    }
}

/// The files of the host for the reader.
struct Readable<'a>(&'a dyn World);

impl Files for Readable<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.0.read(path, LARGEST)? {
            Opened::Regular { bytes, .. } if bytes.len() > LARGEST => {
                Err(io::Error::other("larger than 4 MiB"))
            }
            Opened::Regular { bytes, .. } => Ok(bytes),
            Opened::Null => Ok(Vec::new()),
            Opened::Other => Err(io::Error::other("not a regular file")),
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names: Vec<String> = self
            .0
            .list(path)?
            .into_iter()
            .filter_map(|name| name.into_string().ok())
            .collect();
        names.sort();
        Ok(names)
    }
}
