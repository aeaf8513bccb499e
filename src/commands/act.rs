//! The commands that change a running daemon: one request, one answer, one exit code (0, 1 refused, 3 not running).

use std::fmt::Write as _;
use std::io::Write as _;

use super::{complain, exit};
use crate::cli::{Control, Kill, Level, LogLevelWord, Named, Unban};
use crate::control::client::{self, ClientError};
use crate::control::{Answer, Diff, Request};
use crate::service::LogLevel;
use crate::sys::start;

/// `oxinetd reload`: waits for the end, and prints what changed or every problem.
pub fn reload(control: &Control) -> u8 {
    act(control, &Request::Reload)
}

/// `oxinetd upgrade`: waits for the end, and tells which program serves now.
pub fn upgrade(control: &Control) -> u8 {
    act(control, &Request::Upgrade)
}

/// `oxinetd pause NAME`.
pub fn pause(command: Named) -> u8 {
    act(&command.control, &Request::Pause(command.name))
}

/// `oxinetd resume NAME`.
pub fn resume(command: Named) -> u8 {
    act(&command.control, &Request::Resume(command.name))
}

/// `oxinetd drain NAME`.
pub fn drain(command: Named) -> u8 {
    act(&command.control, &Request::Drain(command.name))
}

/// `oxinetd kill ID`, `oxinetd kill --service NAME`.
pub fn kill(command: Kill) -> u8 {
    let request = match (command.id, command.service) {
        (Some(id), _) => Request::Kill(id),
        (None, name) => Request::KillService(name.unwrap_or_default()),
    };
    act(&command.control, &request)
}

/// `oxinetd unban SOURCE`.
pub fn unban(command: Unban) -> u8 {
    act(&command.control, &Request::Unban(command.source))
}

/// `oxinetd log-level LEVEL`.
pub fn log_level(command: &Level) -> u8 {
    let level = match command.level {
        LogLevelWord::Error => LogLevel::Error,
        LogLevelWord::Warning => LogLevel::Warning,
        LogLevelWord::Info => LogLevel::Info,
        LogLevelWord::Debug => LogLevel::Debug,
    };
    act(&command.control, &Request::LogLevel(level))
}

fn act(control: &Control, request: &Request) -> u8 {
    match ask(control, request) {
        Ok(Answer::Done(text)) => {
            print(&format!("{text}\n"));
            exit::OK
        }
        Ok(Answer::Reloaded(diff)) => {
            complain(&diff.report);
            print(&changes(&diff));
            exit::OK
        }
        Ok(Answer::Rejected(report)) => {
            complain(&report);
            complain("oxinetd: the reload was refused, the old table stays in force\n");
            exit::NO
        }
        Ok(Answer::Error(problem)) => {
            complain(&format!("oxinetd: {problem}\n"));
            exit::NO
        }
        Ok(Answer::Status(_) | Answer::Standing(_)) => {
            complain("oxinetd: the daemon answered something else\n");
            exit::NO
        }
        Err(code) => code,
    }
}

/// Asks the daemon; when there is no answer, says why and returns the exit code.
pub(super) fn ask(control: &Control, request: &Request) -> Result<Answer, u8> {
    let name =
        client::name(control.control.as_deref(), start::identity().0 == 0).map_err(|problem| {
            complain(&format!("oxinetd: {problem}\n"));
            exit::USAGE
        })?;
    client::ask(&name, request).map_err(|error| {
        complain(&format!("oxinetd: {error}\n"));
        match error {
            ClientError::NotRunning(_) => exit::NOT_RUNNING,
            ClientError::Failed(_) => exit::NO,
        }
    })
}

/// The diff of a reload: a line for each change, and a line that counts.
fn changes(diff: &Diff) -> String {
    let mut text = String::new();
    for (sign, names) in [
        ("+", &diff.added),
        ("~", &diff.changed),
        ("-", &diff.removed),
    ] {
        for name in names {
            let _ = writeln!(text, "{sign} {name}");
        }
    }
    let _ = writeln!(
        text,
        "reloaded: {} added, {} changed, {} removed, {} kept",
        diff.added.len(),
        diff.changed.len(),
        diff.removed.len(),
        diff.kept
    );
    text
}

/// Writes to standard output. A reader that has gone is no problem of ours; false tells of it.
pub(super) fn print(text: &str) -> bool {
    let mut out = anstream::stdout();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_shows_what_changed() {
        let diff = Diff {
            added: vec!["a".to_owned()],
            changed: vec!["b".to_owned(), "c".to_owned()],
            removed: Vec::new(),
            kept: 7,
            report: String::new(),
        };
        assert_eq!(
            changes(&diff),
            "+ a\n~ b\n~ c\nreloaded: 1 added, 2 changed, 0 removed, 7 kept\n"
        );
    }
}
