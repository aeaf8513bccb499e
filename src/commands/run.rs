//! `oxinetd run`: the foreground daemon, also what the systemd unit starts.

use std::io::{self, IsTerminal};
use std::path::Path;

use super::{complain, exit};
use crate::cli::Run;
use crate::control::client;
use crate::daemon::{ControlSocket, Outcome, Source, Start};
use crate::launch;
use crate::sys::{signals, start};

/// Serves the table until TERM.
pub fn run(command: &Run) -> u8 {
    let source = match command.config.config.as_deref().map(std::path::absolute) {
        None => Source::Default,
        Some(Ok(path)) => Source::Named(path),
        Some(Err(error)) => {
            complain(&format!("oxinetd: --config: {error}\n"));
            return exit::USAGE;
        }
    };
    let control = match command.control.as_deref() {
        None => ControlSocket::OfTable,
        Some("off") => ControlSocket::Off,
        Some(text) => match client::name(Some(text), true) {
            Ok(name) => ControlSocket::At(name),
            Err(problem) => {
                complain(&format!("oxinetd: --control: {problem}\n"));
                return exit::USAGE;
            }
        },
    };
    serve(
        source,
        control,
        command.ready_fd,
        command.pid_file.as_deref(),
    )
}

/// Serves `source` until TERM.
pub(super) fn serve(
    source: Source,
    control: ControlSocket,
    ready_fd: Option<i32>,
    pid_file: Option<&Path>,
) -> u8 {
    let outcome =
        become_daemon(source, control, ready_fd, pid_file).and_then(|start| start.run(complain));
    match outcome {
        Ok(Outcome::Drained | Outcome::Stopped) => exit::OK,
        Ok(Outcome::BadTable(report)) => {
            complain(&report);
            complain("oxinetd: the table has errors, nothing is served\n");
            exit::CONFIG
        }
        Ok(Outcome::NothingBound) => {
            complain("oxinetd: no address of the table could be bound\n");
            exit::UNAVAILABLE
        }
        Err(error) => {
            complain(&format!("oxinetd: {error}\n"));
            exit::SYSTEM
        }
    }
}

/// Makes this process a daemon: what it inherited is looked at, and then gone.
fn become_daemon(
    source: Source,
    control: ControlSocket,
    ready_fd: Option<i32>,
    pid_file: Option<&Path>,
) -> io::Result<Start> {
    let color = io::stderr().is_terminal();
    let pid_file = pid_file.map(std::path::absolute).transpose()?;
    // Before anything is changed: what children get back is what was found.
    let mut host = launch::Host::found()?;
    signals::block_all_and_reset()?;
    let open_files = start::raise_open_files()?;
    let ready_fd = ready_fd
        .map(|fd| start::take_over(fd, start::floor(open_files)))
        .transpose()
        .map_err(|error| {
            io::Error::other(format!(
                "--ready-fd: {error}: give the number of an open descriptor"
            ))
        })?;
    start::close_inherited(
        &ready_fd
            .iter()
            .map(std::os::fd::AsRawFd::as_raw_fd)
            .collect::<Vec<_>>(),
    )?;
    host.environment = start::take_environment();
    start::settle()?;
    Ok(Start {
        source,
        control,
        ready_fd,
        pid_file,
        host,
        open_files,
        color,
    })
}
