//! What is wrong with a table, and where: the problems of one load and their order.
//!
//! Invariant: one problem for one cause at one place, sorted by file and position, whatever order they were found in.
//! How they look is `human` and `machine`.

mod human;
mod machine;

use serde::{Deserialize, Serialize};

use super::source::{FileId, Place, SourceFile};

/// How much a problem matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The table is refused.
    Error,
    /// The table is served, and something in it may not do what was meant.
    Warning,
    /// Something worth knowing.
    Note,
}

/// Which kind of problem; the number is stable and printed as `E14`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Code {
    /// The text is not TOML.
    Syntax = 1,
    /// A file cannot be read.
    Unreadable = 2,
    /// Somebody else may write a file.
    Untrusted = 3,
    /// A table that the language does not have.
    Shape = 4,
    /// An unknown key.
    UnknownKey = 5,
    /// A word of another program.
    ForeignWord = 6,
    /// A key in a section where it does not belong.
    WrongSection = 7,
    /// A value of another type.
    Type = 8,
    /// A value that means nothing.
    Value = 9,
    /// Something required is not there.
    Missing = 10,
    /// Keys that exclude each other.
    Conflict = 11,
    /// No such user or group.
    Account = 12,
    /// The same name twice.
    Duplicate = 13,
    /// Two services want one address.
    Address = 14,
    /// A feature that a later version brings.
    NotYet = 15,
    /// The daemon's own account does not allow it.
    Privilege = 16,
    /// A value without effect.
    NoEffect = 17,
    /// Valid, and probably not meant.
    Suspicious = 18,
    /// A `@/path/list` that cannot be taken.
    List = 19,
    /// Something that the service needs is not on the host now.
    World = 20,
}

impl Code {
    /// `E14`.
    pub fn text(self) -> String {
        format!("E{:02}", self as u8)
    }
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// Which kind.
    pub code: Code,
    /// Where it is; `None`: not in any text.
    pub place: Option<Place>,
    /// What is wrong, in the user's words.
    pub title: String,
    /// What to say at the caret.
    pub label: String,
    /// Other places that belong to it.
    pub context: Vec<(Place, String)>,
    /// What to do.
    pub help: Option<String>,
    /// The text to write.
    pub patch: Option<Patch>,
}

/// A text to write instead of what stands at a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// What to replace.
    pub place: Place,
    /// By this.
    pub text: String,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: Code, place: impl Into<Option<Place>>, title: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            place: place.into(),
            title: title.into(),
            label: String::new(),
            context: Vec::new(),
            help: None,
            patch: None,
        }
    }

    /// A warning.
    pub fn warning(code: Code, place: impl Into<Option<Place>>, title: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, place, title)
        }
    }

    /// A note.
    pub fn note(code: Code, place: impl Into<Option<Place>>, title: impl Into<String>) -> Self {
        Self {
            severity: Severity::Note,
            ..Self::error(code, place, title)
        }
    }

    /// With words at the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With another place.
    #[must_use]
    pub fn context(mut self, place: Place, label: impl Into<String>) -> Self {
        self.context.push((place, label.into()));
        self
    }

    /// With what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With the text to write.
    #[must_use]
    pub fn patch(mut self, place: Place, text: impl Into<String>) -> Self {
        self.patch = Some(Patch {
            place,
            text: text.into(),
        });
        self
    }
}

/// All problems of one load, with the text that they point into.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    files: Vec<SourceFile>,
    problems: Vec<Diagnostic>,
}

/// The looks of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// With the text and carets.
    Human {
        /// With colours.
        color: bool,
    },
    /// `file:line:col: error: text`.
    Short,
    /// One object a line.
    Json,
    /// Workflow commands of GitHub.
    Github,
}

impl Report {
    /// Puts the problems in order; what was found twice is kept once.
    pub fn new(files: Vec<SourceFile>, mut problems: Vec<Diagnostic>) -> Self {
        let order = |problem: &Diagnostic| {
            let place = problem
                .place
                .map_or((0, 0, 0), |place| (place.file, place.start, place.end));
            (place, problem.severity, problem.code)
        };
        problems.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.title.cmp(&b.title)));
        // A value in [defaults] is read for every service: the first of them speaks for all.
        problems.dedup_by(|a, b| {
            a.place.is_some() && order(a) == order(b) && a.label == b.label && a.help == b.help
        });
        Self { files, problems }
    }

    /// The problems in the order of their places.
    pub fn problems(&self) -> &[Diagnostic] {
        &self.problems
    }

    /// The files of the load, the main one first.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// How many problems are this bad.
    pub fn count(&self, severity: Severity) -> usize {
        self.problems
            .iter()
            .filter(|problem| problem.severity == severity)
            .count()
    }

    /// True when the table must not be served.
    pub fn has_errors(&self) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.severity == Severity::Error)
    }

    /// The whole report; empty when there is nothing to tell, else it ends with a newline.
    pub fn render(&self, format: Format) -> String {
        let texts = self.problems.iter().map(|problem| match format {
            Format::Human { color } => human::render(self, problem, color),
            Format::Short => machine::short(self, problem),
            Format::Json => machine::json(self, problem),
            Format::Github => machine::github(self, problem),
        });
        texts.collect()
    }

    fn file(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(id as usize)
    }
}

/// A text of the user as it may stand in a message: on one line, escaped, not endless.
pub fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut escaped = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == LONGEST {
            escaped.push('…');
            break;
        }
        if character.is_control() {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// The word of `known` that `written` was probably meant to be.
///
/// Dashes, blanks and capitals do not count as differences: `MaxConnections` is near `max_connections`.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |word: &str| -> String {
        let letters = word.chars().filter(|c| c.is_alphanumeric());
        letters.flat_map(char::to_lowercase).take(64).collect()
    };
    let wanted = plain(written);
    // Of two letters everything is near.
    if wanted.chars().count() < 3 {
        return None;
    }
    let limit = 1 + wanted.chars().count() / 4;
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&wanted, &plain(word)), word))
        .filter(|(distance, word)| *distance <= limit && *distance < plain(word).len().max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_sorted_and_told_once() {
        let at = |file, start| Place {
            file,
            start,
            end: start + 1,
        };
        let problem = |file, start| Diagnostic::error(Code::Value, at(file, start), "x");
        let report = Report::new(
            Vec::new(),
            vec![problem(1, 0), problem(0, 9), problem(0, 3), problem(0, 9)],
        );
        let starts: Vec<_> = report
            .problems()
            .iter()
            .map(|p| p.place.unwrap().start)
            .collect();
        assert_eq!(starts, [3, 9, 0]);
    }

    #[test]
    fn nearest_sees_through_spelling() {
        let known = ["max_connections", "user", "listen", "env"];
        for (written, expected) in [
            ("MaxConnections", Some("max_connections")),
            ("max-connection", Some("max_connections")),
            ("usr", Some("user")),
            ("listne", Some("listen")),
            ("zzz", None),
            ("x", None),
        ] {
            assert_eq!(nearest(written, known), expected, "{written}");
        }
    }

    #[test]
    fn user_text_is_shown_on_one_line() {
        assert_eq!(shown("a\n\u{1b}[0m"), "a\\n\\u{1b}[0m");
        assert_eq!(shown(&"x".repeat(100)).chars().count(), 61);
    }
}
