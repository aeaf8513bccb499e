//! `oxinetd convert`: the table on standard output, what there is to say on standard error.
//!
//! Invariant: nothing but TOML (or units) goes to standard output, and nothing at all when the exit status is 1.

use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};

use super::{complain, exit};
use crate::cli::Convert;
use crate::config::{Format, Host, Main, load};
use crate::convert::{
    Disk, Kind, Note, OldHost, Options, Outcome, Severity, compare, convert, to_systemd,
};
use crate::service::Service;
use crate::sys::start;
use crate::sys::world::SystemWorld;

/// Converts the files. Returns the exit status: 0 exact, 2 with notes, 1 impossible.
pub fn run(command: &Convert) -> u8 {
    let options = Options {
        from: command.from.as_deref().and_then(Kind::from_word),
        lossy: command.lossy,
        hosts_access: command.hosts_access.as_deref().map(hosts_access),
        services: None,
    };
    match command.to.as_deref() {
        Some([format, name]) if format == "systemd" => units(&options, &command.paths, name),
        Some(_) => {
            complain("error: --to knows one format, systemd: --to systemd NAME\n");
            exit::USAGE
        }
        None => {
            let outcome = convert(&options, &Disk, &command.paths);
            if command.diff && outcome.exit != exit::NO {
                difference(&outcome)
            } else {
                print(&outcome.toml, &said(&outcome), outcome.exit)
            }
        }
    }
}

/// hosts.allow and hosts.deny of a directory.
fn hosts_access(directory: &Path) -> (PathBuf, PathBuf) {
    if directory == Path::new("none") {
        ("/dev/null".into(), "/dev/null".into())
    } else {
        (directory.join("hosts.allow"), directory.join("hosts.deny"))
    }
}

/// Where the table answers other than the original.
fn difference(outcome: &Outcome) -> u8 {
    let services = Path::new("/etc/services");
    match compare(outcome, &OldHost::new(&Disk, services)) {
        Ok(compared) => {
            let mut lines = compared.differences.join("\n");
            if !lines.is_empty() {
                lines.push('\n');
            }
            let report = format!("{}{}\n", said(outcome), compared.summary);
            let differs = !compared.differences.is_empty();
            print(&lines, &report, if differs { 2 } else { outcome.exit })
        }
        Err(report) => {
            complain(&format!(
                "error: the table cannot be loaded to be asked\n{report}"
            ));
            exit::NO
        }
    }
}

/// The notes, and the last line that counts.
fn said(outcome: &Outcome) -> String {
    let mut report = String::new();
    for note in &outcome.notes {
        report.extend([&shown(note), "\n"]);
    }
    report.extend([&outcome.summary, "\n"]);
    report
}

/// The units for a service of a table of ours, or of one that is converted on the way.
fn units(options: &Options, paths: &[PathBuf], name: &str) -> u8 {
    let ours = |path: &PathBuf| path.extension().is_some_and(|e| e == "toml");
    let converted;
    let mut on_the_way = exit::OK;
    let main = match paths {
        [one] if ours(one) => Main::Named(one),
        _ => {
            converted = convert(options, &Disk, paths);
            complain(&said(&converted));
            if converted.exit == 1 {
                return exit::NO;
            }
            on_the_way = converted.exit;
            Main::Text {
                name: "the converted table",
                text: &converted.toml,
            }
        }
    };
    let (user, group) = start::identity();
    let world = SystemWorld::new();
    let loaded = load(&main, &Host::new(user, group, &world));
    let Some(table) = loaded.table else {
        let color = std::io::stderr().is_terminal();
        complain(&loaded.report.render(Format::Human { color }));
        return exit::NO;
    };
    let Some(service) = table.services.iter().find(|s| s.name == name) else {
        let names: Vec<&str> = table.services.iter().map(|s| s.name.as_str()).collect();
        complain(&format!(
            "error: no service is called `{name}`; there are: {}\n",
            names.join(", ")
        ));
        return exit::NO;
    };
    match run_to_systemd(service) {
        exit::OK => on_the_way,
        other => other,
    }
}

/// Writes the units for a service of the table (`--to systemd NAME`).
fn run_to_systemd(service: &Service) -> u8 {
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
