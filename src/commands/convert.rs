//! `oxinetd convert`: the table on standard output, what there is to say on standard error.
//!
//! Invariant: nothing but TOML (or units) goes to standard output, and nothing at all when the exit status is 1.

use std::io::Write;
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};

use crate::convert::{Disk, Note, Options, Severity, convert, to_systemd};
use crate::service::Service;

/// Converts the files. Returns the exit status: 0 exact, 2 with notes, 1 impossible.
pub fn run(options: &Options, paths: &[PathBuf]) -> u8 {
    let outcome = convert(options, &Disk, paths);
    let mut report = String::new();
    for note in &outcome.notes {
        report.push_str(&shown(note));
        report.push('\n');
    }
    report.push_str(&outcome.summary);
    report.push('\n');
    print(&outcome.toml, &report, outcome.exit)
}

/// Writes the units for a service of the table (`--to systemd NAME`).
pub fn run_to_systemd(service: &Service) -> u8 {
    let (units, notes) = to_systemd(service);
    let mut text = String::new();
    for unit in &units {
        text.extend(["# ", &unit.name, "\n", &unit.text, "\n"]);
    }
    let severity = if units.is_empty() {
        Severity::Error
    } else {
        Severity::Note
    };
    let mut report = String::new();
    for note in &notes {
        report.extend([
            &word(severity),
            ": service ",
            &service.name,
            ": ",
            note,
            "\n",
        ]);
    }
    let exit = match (units.is_empty(), notes.is_empty()) {
        (true, _) => 1,
        (false, true) => 0,
        (false, false) => 2,
    };
    print(&text, &report, exit)
}

/// A closed output is a failure like any other: the table did not arrive.
fn print(output: &str, report: &str, exit: u8) -> u8 {
    let mut stdout = std::io::stdout().lock();
    let written = stdout
        .write_all(output.as_bytes())
        .and_then(|()| stdout.flush());
    // Where the report cannot go, the exit status still tells.
    let _ = anstream::stderr().lock().write_all(report.as_bytes());
    if written.is_err() { 1 } else { exit }
}

/// A note as its `Display` has it, the first word in colour.
fn shown(note: &Note) -> String {
    let plain = note.to_string();
    let rest = plain.split_once(':').map_or("", |(_, rest)| rest);
    format!("{}:{rest}", word(note.severity))
}

fn word(severity: Severity) -> String {
    let (word, color) = match severity {
        Severity::Note => ("note", AnsiColor::Green),
        Severity::Error => ("error", AnsiColor::Red),
    };
    let style = Style::new().bold().fg_color(Some(color.into()));
    format!("{style}{word}{style:#}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::Place;

    #[test]
    fn a_note_has_its_word_in_colour_and_is_otherwise_itself() {
        let note = Note {
            severity: Severity::Note,
            place: Place::file(std::path::Path::new("/etc/inetd.conf")),
            text: "a: b".to_owned(),
        };
        let plain = anstream::adapter::strip_str(&shown(&note)).to_string();
        assert_eq!(plain, "note: /etc/inetd.conf: a: b");
    }
}
