//! The looks for programs: editors, scripts, GitHub.
//!
//! Invariant: one problem is one line.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Diagnostic, Report, Severity};
use crate::config::source::Place;

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

/// `file:line:col: error: text`, as compilers print it.
pub(super) fn short(report: &Report, problem: &Diagnostic) -> String {
    let mut line = String::new();
    if let Some((file, (row, column), _)) = problem.place.and_then(|place| position(report, place))
    {
        let _ = write!(line, "{file}:{row}:{column}: ");
    }
    let _ = write!(
        line,
        "{}: {}",
        word(problem.severity),
        one_line(&problem.title)
    );
    if let Some(help) = &problem.help {
        let _ = write!(line, " ({})", one_line(help));
    }
    line.push('\n');
    line
}

/// One JSON object.
pub(super) fn json(report: &Report, problem: &Diagnostic) -> String {
    let place = |place: Place| -> Value {
        match position(report, place) {
            Some((file, start, end)) => json!({
                "file": file, "line": start.0, "column": start.1, "end_line": end.0, "end_column": end.1,
                "start": place.start, "end": place.end,
            }),
            None => Value::Null,
        }
    };
    let context: Vec<Value> = problem
        .context
        .iter()
        .map(|(at, label)| json!({ "place": place(*at), "label": label }))
        .collect();
    let object = json!({
        "severity": word(problem.severity),
        "code": problem.code.text(),
        "title": problem.title,
        "label": problem.label,
        "place": problem.place.map(place),
        "context": context,
        "help": problem.help,
        "patch": problem.patch.as_ref().map(|patch| json!({ "place": place(patch.place), "text": patch.text })),
    });
    format!("{object}\n")
}

/// A workflow command.
pub(super) fn github(report: &Report, problem: &Diagnostic) -> String {
    let word = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    };
    let mut line = format!("::{word} ");
    if let Some((file, start, end)) = problem.place.and_then(|place| position(report, place)) {
        let file = property(&file);
        let _ = write!(
            line,
            "file={file},line={},col={},endLine={},endColumn={},",
            start.0, start.1, end.0, end.1
        );
    }
    let _ = write!(
        line,
        "title={}::{}",
        property(&problem.code.text()),
        data(&problem.title)
    );
    if let Some(help) = &problem.help {
        let _ = write!(line, "%0A{}", data(help));
    }
    line.push('\n');
    line
}

type Position = (usize, usize);

fn position(report: &Report, place: Place) -> Option<(String, Position, Position)> {
    let file = report.file(place.file)?;
    Some((
        file.name.clone(),
        file.position(place.start),
        file.position(place.end),
    ))
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}

fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::super::{Code, Format};
    use super::*;
    use crate::config::source::SourceFile;

    #[test]
    fn one_problem_is_one_line_in_every_machine_format() {
        let place = Place {
            file: 0,
            start: 2,
            end: 4,
        };
        let problem = Diagnostic::error(Code::Address, place, "a\nb: 10%").help("do,\nthis");
        let report = Report::new(vec![SourceFile::new("x,y.toml", "a\nbc\n")], vec![problem]);
        assert_eq!(
            report.render(Format::Short),
            "x,y.toml:2:1: error: a b: 10% (do, this)\n"
        );
        assert_eq!(
            report.render(Format::Github),
            "::error file=x%2Cy.toml,line=2,col=1,endLine=2,endColumn=3,title=E14::a%0Ab: 10%25%0Ado,%0Athis\n"
        );
        let json: Value = serde_json::from_str(&report.render(Format::Json)).unwrap();
        assert_eq!(json["place"]["line"], 2);
        assert_eq!(json["code"], "E14");
    }
}
