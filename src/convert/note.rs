//! What a conversion has to say, each with its place in the original.
//!
//! Invariant: nothing is lost without a word. A reader that cannot carry something over calls exactly one of
//! [`Notes::note`] (differs, harmless), [`Notes::loss`] (an access rule or a limit: an error unless `--lossy`),
//! [`Notes::left_out`] (the whole entry) or [`Notes::error`] (the input cannot be read). Text of the input is escaped
//! here, so a file cannot write to the terminal.

use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Where something stands in the original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Rc<Path>,
    /// Line, from 1; 0 for the file as a whole.
    pub line: u32,
}

impl Place {
    /// A line of a file.
    pub fn new(file: &Rc<Path>, line: u32) -> Self {
        Self {
            file: Rc::clone(file),
            line,
        }
    }

    /// A file as a whole.
    pub fn file(path: &Path) -> Self {
        Self {
            file: Rc::from(path),
            line: 0,
        }
    }
}

/// `FILE:LINE`, or `FILE` alone.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.file.to_string_lossy()))?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        Ok(())
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The output differs from the original in a way that is told.
    Note,
    /// There is no output.
    Error,
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// How bad.
    pub severity: Severity,
    /// Where.
    pub place: Place,
    /// What, and what it means, in one line.
    pub text: String,
}

/// `note: /etc/xinetd.d/ftp:9: …`
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Note => "note",
            Severity::Error => "error",
        };
        write!(f, "{word}: {}: {}", self.place, printable(&self.text))
    }
}

/// Collects what the readers have to say.
#[derive(Debug, Default)]
pub(super) struct Notes {
    list: Vec<Note>,
    lossy: bool,
    left_out: Vec<LeftOut>,
    dropped: usize,
}

/// An entry of the original that has no counterpart in the output.
#[derive(Debug)]
pub(super) struct LeftOut {
    /// For the summary: `rpc`, `tcpmux`, …
    pub(super) name: String,
}

/// More notes than these are counted, not kept: junk must not fill the memory or the screen.
const MOST_NOTES: usize = 1000;

impl Notes {
    /// An empty collection.
    pub(super) fn new(lossy: bool) -> Self {
        Self {
            lossy,
            ..Self::default()
        }
    }

    /// Something is not the same here as it was there.
    pub(super) fn note(&mut self, place: &Place, text: impl Into<String>) {
        self.push(Severity::Note, place, text.into());
    }

    /// An access rule or a limit cannot be kept.
    pub(super) fn loss(&mut self, place: &Place, text: impl Into<String>) {
        let text = text.into();
        if self.lossy {
            self.push(Severity::Note, place, format!("{text}: lost (--lossy)"));
        } else {
            let text = format!(
                "{text}: an access rule or limit would be lost; --lossy goes on without it"
            );
            self.push(Severity::Error, place, text);
        }
    }

    /// A whole entry has no counterpart.
    pub(super) fn left_out(&mut self, place: &Place, name: &str, text: impl fmt::Display) {
        self.left_out.push(LeftOut {
            name: name.to_owned(),
        });
        self.push(Severity::Note, place, format!("{text}: left out"));
    }

    /// There can be no output.
    pub(super) fn error(&mut self, place: &Place, text: impl Into<String>) {
        self.push(Severity::Error, place, text.into());
    }

    /// The entries without a counterpart.
    pub(super) fn entries_left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// True when there are such entries.
    pub(super) fn left_out_any(&self) -> bool {
        !self.left_out.is_empty()
    }

    /// True when there can be no output.
    pub(super) fn failed(&self) -> bool {
        self.list.iter().any(|n| n.severity == Severity::Error)
    }

    /// True when something was said about these lines.
    pub(super) fn touch(&self, file: &Path, lines: (u32, u32)) -> bool {
        self.list
            .iter()
            .any(|n| n.place.line >= lines.0 && n.place.line <= lines.1 && *n.place.file == *file)
    }

    /// Everything, in the order of files as they were read and of lines within each.
    pub(super) fn into_list(mut self) -> Vec<Note> {
        let mut files: Vec<Rc<Path>> = Vec::new();
        for note in &self.list {
            if !files.contains(&note.place.file) {
                files.push(Rc::clone(&note.place.file));
            }
        }
        let rank = |n: &Note| files.iter().position(|f| *f == n.place.file);
        self.list.sort_by_key(|n| (rank(n), n.place.line));
        if self.dropped > 0 {
            let place = Place::file(&PathBuf::from("(all files)"));
            let text = format!("and {} more of these", self.dropped);
            self.list.push(Note {
                severity: Severity::Note,
                place,
                text,
            });
        }
        self.list
    }

    /// Errors are always kept while there is none yet: the exit code hangs on them.
    fn push(&mut self, severity: Severity, place: &Place, text: String) {
        let note = Note {
            severity,
            place: place.clone(),
            text,
        };
        if self.list.contains(&note) {
            return;
        }
        if self.list.len() >= MOST_NOTES && (severity == Severity::Note || self.failed()) {
            self.dropped += 1;
            return;
        }
        self.list.push(note);
    }
}

/// Text of the input, safe for a terminal and for a TOML comment: control characters become escapes, and what is
/// longer than a screen is cut.
pub(super) fn printable(text: &str) -> String {
    const LONGEST: usize = 2000;
    let mut out = String::with_capacity(text.len().min(LONGEST));
    for (n, c) in text.chars().enumerate() {
        if n == LONGEST {
            out.push('…');
            break;
        }
        if c == '\t' {
            out.push(' ');
        } else if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: u32) -> Place {
        Place::new(&Rc::from(Path::new("/etc/inetd.conf")), line)
    }

    #[test]
    fn a_lost_limit_is_an_error_unless_lossy() {
        let mut strict = Notes::new(false);
        strict.loss(&place(3), "login class");
        assert!(strict.failed());
        let mut lossy = Notes::new(true);
        lossy.loss(&place(3), "login class");
        assert!(!lossy.failed());
        assert_eq!(lossy.into_list().len(), 1);
    }

    #[test]
    fn text_of_the_input_cannot_write_to_the_terminal() {
        let mut notes = Notes::new(false);
        notes.note(&place(1), "name `\x1b[2J`\n");
        let shown = notes.into_list()[0].to_string();
        assert!(!shown.chars().any(char::is_control), "{shown}");
        assert!(shown.starts_with("note: /etc/inetd.conf:1: "), "{shown}");
    }

    #[test]
    fn junk_gives_a_bounded_number_of_notes_and_never_hides_an_error() {
        let mut notes = Notes::new(false);
        for line in 1..5000 {
            notes.note(&place(line), format!("line {line}"));
        }
        notes.error(&place(5000), "unreadable");
        assert!(notes.failed());
        assert!(notes.into_list().len() <= MOST_NOTES + 2);
    }
}
