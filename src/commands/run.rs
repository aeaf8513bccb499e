//! `oxinetd run`: the foreground daemon, also what the systemd unit starts.

use std::io::{self, IsTerminal};
use std::os::fd::AsRawFd;
use std::path::Path;

use super::{complain, exit};
use crate::cli::{LogFormatWord, Run};
use crate::control::client;
use crate::daemon::{ControlSocket, Manager, Outcome, Overrides, Source, Start};
use crate::launch;
use crate::listener::Inherited;
use crate::service::LogFormat;
use crate::sys::{image, signals, start};

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
    let log_format = command.log_format.map(|word| match word {
        LogFormatWord::Text => LogFormat::Text,
        LogFormatWord::Json => LogFormat::Json,
    });
    match control_socket(command.control.as_deref()) {
        Ok(control) => serve(
            source,
            Overrides {
                control,
                log_format,
            },
            command.ready_fd,
            command.pid_file.as_deref(),
        ),
        Err(problem) => {
            complain(&format!("oxinetd: --control: {problem}\n"));
            exit::USAGE
        }
    }
}

/// What `--control` or its variable says.
pub(super) fn control_socket(text: Option<&str>) -> Result<ControlSocket, String> {
    match text {
        None => Ok(ControlSocket::OfTable),
        Some("off") => Ok(ControlSocket::Off),
        Some(text) => client::name(Some(text), true).map(ControlSocket::At),
    }
}

/// Serves `source` until TERM.
pub(super) fn serve(
    source: Source,
    overrides: Overrides,
    ready_fd: Option<i32>,
    pid_file: Option<&Path>,
) -> u8 {
    let outcome =
        become_daemon(source, overrides, ready_fd, pid_file).and_then(|start| start.run(complain));
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
    overrides: Overrides,
    ready_fd: Option<i32>,
    pid_file: Option<&Path>,
) -> io::Result<Start> {
    let color = io::stderr().is_terminal();
    let pid_file = pid_file.map(std::path::absolute).transpose()?;
    // Before anything is changed: what children get back is what was found.
    let mut host = launch::Host::found()?;
    let program = image::path();
    signals::block_all_and_reset()?;
    let open_files = start::raise_open_files()?;
    let floor = start::floor(open_files);
    let manager = Manager::find(floor)
        .map_err(|error| io::Error::other(format!("NOTIFY_SOCKET: {error}")))?;
    let passed = start::take_passed(floor)
        .map_err(|error| io::Error::other(format!("LISTEN_FDS: {error}")))?;
    let ready_fd = ready_fd
        .map(|fd| start::take_over(fd, floor))
        .transpose()
        .map_err(|error| {
            io::Error::other(format!(
                "--ready-fd: {error}: give the number of an open descriptor"
            ))
        })?;
    let kept = ready_fd.iter().chain(passed.iter().map(|(_, fd)| fd));
    let kept = kept.map(AsRawFd::as_raw_fd).chain(manager.descriptor());
    start::close_inherited(&kept.collect::<Vec<_>>())?;
    host.environment = start::take_environment();
    start::settle()?;
    Ok(Start {
        source,
        overrides,
        ready_fd,
        pid_file,
        program,
        host,
        open_files,
        manager,
        inherited: Inherited::new(passed),
        color,
    })
}
