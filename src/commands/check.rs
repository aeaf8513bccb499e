//! `oxinetd check`: the loader without binding, and every problem at once.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use super::exit;
use crate::cli::{Check, ReportFormat};
use crate::config::diagnostic::{Format, Report, Severity};
use crate::config::{self, Loaded};
use crate::daemon::Source;

/// Checks the named files, or the table that `run` would serve.
pub fn check(command: &Check) -> u8 {
    let mut files: Vec<Option<&PathBuf>> = command.files.iter().map(Some).collect();
    if files.is_empty() {
        files.push(command.config.config.as_ref());
    }
    let mut worst = exit::OK;
    for file in files {
        let source = file.map_or(Source::Default, |file| Source::Named(file.clone()));
        let loaded = source.load_report();
        show(&loaded.report, command.format);
        if command.format == ReportFormat::Human {
            let _ = writeln!(
                anstream::stdout(),
                "{}",
                summary(file.map(PathBuf::as_path), &loaded)
            );
        }
        let bad = loaded.table.is_none()
            || command.warnings_are_errors && loaded.report.count(Severity::Warning) > 0;
        if bad {
            worst = exit::NO;
        }
    }
    worst
}

fn show(report: &Report, format: ReportFormat) {
    let format = match format {
        ReportFormat::Human => Format::Human {
            color: io::stdout().is_terminal(),
        },
        ReportFormat::Short => Format::Short,
        ReportFormat::Json => Format::Json,
        ReportFormat::Github => Format::Github,
    };
    let _ = anstream::stdout().write_all(report.render(format).as_bytes());
}

/// `etc/oxinetd.toml + 3 drop-ins: 14 services, 0 errors, 2 warnings`.
fn summary(file: Option<&Path>, loaded: &Loaded) -> String {
    let name = match file {
        _ if loaded.embedded => "the table in the binary".to_owned(),
        Some(file) => file.display().to_string(),
        None => config::MAIN_FILE.to_owned(),
    };
    let drop_ins = match loaded.report.files().len().saturating_sub(1) {
        0 => String::new(),
        1 => " + 1 drop-in".to_owned(),
        many => format!(" + {many} drop-ins"),
    };
    let count = |number: usize, word: &str| {
        format!("{number} {word}{}", if number == 1 { "" } else { "s" })
    };
    format!(
        "{name}{drop_ins}: {}, {}, {}",
        count(loaded.services, "service"),
        count(loaded.report.count(Severity::Error), "error"),
        count(loaded.report.count(Severity::Warning), "warning"),
    )
}
