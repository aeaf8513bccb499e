//! `oxinetd check`: the loader without the daemon. Every problem of every file, and a last line that counts.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use super::{complain, exit};
use crate::cli::{Check, ReportFormat};
use crate::config::diagnostic::Severity;
use crate::config::{self, Format, Host, Loaded, MAIN_FILE, Main};
use crate::sys::start;
use crate::sys::surroundings::SystemSurroundings;
use crate::sys::world::SystemWorld;

/// Checks the named tables, or the one that `run` would serve.
pub fn check(command: &Check) -> u8 {
    let color = io::stderr().is_terminal();
    let format = match command.format {
        ReportFormat::Human => Format::Human { color },
        ReportFormat::Short => Format::Short,
        ReportFormat::Json => Format::Json,
        ReportFormat::Github => Format::Github,
    };
    let named = if command.files.is_empty() {
        command.config.config.as_slice()
    } else {
        &command.files
    };
    run(named, format, command.warnings_are_errors)
}

/// Checks `files`; none of them: the default table.
pub fn run(files: &[PathBuf], format: Format, warnings_are_errors: bool) -> u8 {
    let (user, group) = start::identity();
    let world = SystemWorld::new();
    let surroundings = SystemSurroundings::default();
    let host = Host::new(user, group, &world).looking_at(&surroundings);
    let mut code = exit::OK;
    let mains: Vec<Main<'_>> = if files.is_empty() {
        vec![Main::Default]
    } else {
        files.iter().map(|file| Main::Named(file)).collect()
    };
    for main in mains {
        let loaded = config::load(&main, &host);
        tell(&loaded.report.render(format), format);
        // What a program reads is the report alone.
        if matches!(format, Format::Human { .. } | Format::Short) {
            complain(&format!("{}\n", summary(&main, &loaded)));
        }
        let report = &loaded.report;
        if report.has_errors() || (warnings_are_errors && report.count(Severity::Warning) > 0) {
            code = exit::NO;
        }
    }
    code
}

/// Reports for programs are output; those for people are messages.
fn tell(text: &str, format: Format) {
    match format {
        Format::Human { .. } | Format::Short => complain(text),
        Format::Json | Format::Github => {
            let _ = io::stdout().write_all(text.as_bytes());
        }
    }
}

/// `etc/oxinetd.toml + 3 drop-ins: 14 services, 0 errors, 2 warnings`
fn summary(main: &Main<'_>, loaded: &Loaded) -> String {
    let name = match main {
        Main::Named(path) => path.display().to_string(),
        Main::Default if loaded.embedded => {
            "the table in the binary (no /etc/oxinetd.toml)".to_owned()
        }
        Main::Default => MAIN_FILE.to_owned(),
        Main::Text { name, .. } => (*name).to_owned(),
    };
    let drop_ins = match loaded.report.files().len().saturating_sub(1) {
        0 => String::new(),
        count => format!(" + {}", counted(count, "drop-in")),
    };
    let report = &loaded.report;
    format!(
        "{name}{drop_ins}: {}, {}, {}",
        counted(loaded.services, "service"),
        counted(report.count(Severity::Error), "error"),
        counted(report.count(Severity::Warning), "warning"),
    )
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts() {
        let world = SystemWorld::new();
        let main = Main::Text {
            name: "x",
            text: "[service.a]\nlisten = 7007\nbuiltin = \"echo\"\n[service.b]\n",
        };
        let loaded = config::load(&main, &Host::new(7, 7, &world));
        assert_eq!(
            summary(&main, &loaded),
            "x: 2 services, 2 errors, 0 warnings"
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error() {
        let missing = PathBuf::from("/nonexistent/oxinetd.toml");
        assert_eq!(run(&[missing], Format::Short, false), exit::NO);
    }
}
