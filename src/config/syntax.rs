//! From text to the tree of a TOML file, or every reason why it is none.
//!
//! Invariant: with one error there is no tree; what the parser guessed after it would only make noise.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, Error};

use super::diagnostic::{Code, Diagnostic, shown};
use super::source::{FileId, Place, SourceFile};

/// The tree of a file; `None` when it is not TOML, and every reason has been told.
pub(super) fn parse<'a>(
    id: FileId,
    file: &'a SourceFile,
    problems: &mut Vec<Diagnostic>,
) -> Option<Spanned<DeTable<'a>>> {
    let (table, errors) = DeTable::parse_recoverable(&file.text);
    // The keys below a header that stands twice are all twice: the header says it.
    let mut repeated_until = 0;
    for error in &errors {
        let end = file.text.len();
        let span = error.span().unwrap_or(end..end);
        let place = Place::new(id, span.clone());
        if !error.message().starts_with("duplicate key") {
            problems.push(other(place, error));
            continue;
        }
        if span.start < repeated_until {
            continue;
        }
        let (line, _) = file.position(place.start);
        let is_header = file
            .text
            .get(file.window(line, line))
            .is_some_and(|line| line.trim_start().starts_with('['));
        if is_header {
            let rest = file.text.get(span.end..).unwrap_or_default();
            repeated_until = rest.find("\n[").map_or(end, |next| span.end + next);
        }
        let name = file
            .text
            .get(span.clone())
            .unwrap_or_default()
            .trim_matches(['"', '\'']);
        let title = format!("`{}` is defined twice", shown(name));
        let problem = Diagnostic::error(Code::Duplicate, place, title)
            .label("here")
            .help("leave one of them out, or rename it");
        let first = before(table.get_ref(), name, span.start)
            .or_else(|| same_header(file, line, span.clone()))
            .or_else(|| same_key(file, line, name));
        problems.push(match first {
            Some(first) => problem.context(Place::new(id, first), "and here"),
            None => problem,
        });
    }
    errors.is_empty().then_some(table)
}

fn other(place: Place, error: &Error) -> Diagnostic {
    let message = shown(error.message().lines().next().unwrap_or_default());
    Diagnostic::error(Code::Syntax, place, format!("not TOML: {message}")).label("here")
}

/// The place of the same words in an equal line above: the tree keeps the later one of two headers.
fn same_header(file: &SourceFile, line: usize, span: Range<usize>) -> Option<Range<usize>> {
    let window = file.window(line, line);
    let wanted = file.text.get(window.clone())?.trim();
    let above = (1..line).rev().map(|line| file.window(line, line));
    let equal =
        |window: &Range<usize>| file.text.get(window.clone()).map(str::trim) == Some(wanted);
    let first = above.into_iter().find(equal)?;
    let start = first.start + (span.start - window.start);
    Some(start..start + span.len())
}

/// The place of `name =` in a line above: the tree has lost a table that a header opens again.
fn same_key(file: &SourceFile, line: usize, name: &str) -> Option<Range<usize>> {
    let above = (1..line).rev().map(|line| file.window(line, line));
    above.into_iter().find_map(|window| {
        let text = file.text.get(window.clone())?;
        let key = text.trim_start();
        let start = window.start + text.len() - key.len();
        let rest = key.strip_prefix(name)?;
        rest.trim_start()
            .starts_with('=')
            .then_some(start..start + name.len())
    })
}

/// Where a key of this name stands last before a byte: the first of two.
fn before(table: &DeTable<'_>, name: &str, end: usize) -> Option<Range<usize>> {
    let own = table
        .keys()
        .filter(|key| key.get_ref() == name)
        .map(Spanned::span);
    let inner = table
        .values()
        .filter_map(|value| before(value.get_ref().as_table()?, name, end));
    own.chain(inner)
        .filter(|span| span.start < end)
        .max_by_key(|span| span.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<(String, Vec<usize>)> {
        let file = SourceFile::new("x", text);
        let mut problems = Vec::new();
        assert!(parse(0, &file, &mut problems).is_none());
        let line = |place: Place| file.position(place.start).0;
        let of = |problem: &Diagnostic| {
            problem
                .place
                .into_iter()
                .chain(problem.context.iter().map(|(place, _)| *place))
                .map(line)
                .collect()
        };
        problems
            .iter()
            .map(|problem| (problem.title.clone(), of(problem)))
            .collect()
    }

    #[test]
    fn both_places_of_a_duplicate_are_shown() {
        let twice =
            |name: &str, lines: [usize; 2]| (format!("`{name}` is defined twice"), lines.to_vec());
        assert_eq!(
            places("[a.x]\nk = 1\nl = 1\n\n[a.x]\nk = 2\nl = 2\n[b]\nk=1\nk=2\n"),
            [twice("x", [5, 1]), twice("k", [10, 9])]
        );
        assert_eq!(
            places("[s]\nx = { l = 1 }\n\n[s.x]\nl = 2\n"),
            [twice("x", [4, 2])]
        );
    }
}
