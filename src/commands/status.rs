//! `oxinetd status`: the daemon's state as a table, as JSON or as metrics; exit 0 fine, 1 something fails, 3 not running.

mod table;
mod watch;

use super::act::{ask, print};
use super::{complain, exit};
use crate::cli::{Status as Command, StatusFormat};
use crate::control::status::{State, Status};
use crate::control::{Answer, Request, metrics};

/// Shows the state.
pub fn status(command: &Command) -> u8 {
    if command.watch {
        return watch::watch(command);
    }
    let status = match fetch(command) {
        Ok(status) => status,
        Err(code) => return code,
    };
    if !command.quiet {
        print(&match command.format {
            StatusFormat::Table => table::render(&status, command.name.is_some()),
            StatusFormat::Json => json(&status),
            StatusFormat::Prometheus => metrics::render(&status),
        });
    }
    code(&status)
}

/// Asks once.
fn fetch(command: &Command) -> Result<Status, u8> {
    match ask(&command.control, &Request::Status(command.name.clone()))? {
        Answer::Status(status) => Ok(*status),
        Answer::Error(problem) => {
            complain(&format!("oxinetd: {problem}\n"));
            Err(exit::NO)
        }
        Answer::Done(_) | Answer::Reloaded(_) | Answer::Rejected(_) | Answer::Standing(_) => {
            complain("oxinetd: the daemon answered something else\n");
            Err(exit::NO)
        }
    }
}

/// Paused by a limit is fine; failing is not.
fn code(status: &Status) -> u8 {
    let failing = status
        .services
        .iter()
        .any(|service| service.state == State::Failing);
    if failing { exit::NO } else { exit::OK }
}

fn json(status: &Status) -> String {
    let mut text = serde_json::to_string_pretty(status).unwrap_or_default();
    text.push('\n');
    text
}
