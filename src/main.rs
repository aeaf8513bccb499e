//! The command: read the words, dispatch, one exit code.

use std::process::ExitCode;

use oxinetd::cli::{Cli, Command};
use oxinetd::commands::{act, check, convert, habit, run, serve, show, status, takeover, trial};

fn main() -> ExitCode {
    if let Some(code) = takeover::obey() {
        return ExitCode::from(code);
    }
    if let Some(code) = habit::answer(std::env::args().skip(1)) {
        return ExitCode::from(code);
    }
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(code) => return ExitCode::from(code),
    };
    ExitCode::from(match cli.command {
        Command::Run(command) => run::run(&command),
        Command::Serve(command) => serve::serve(&command),
        Command::Check(command) => check::check(&command),
        Command::Show(command) => show::show(&command),
        Command::Try(command) => trial::trial(&command),
        Command::Convert(command) => convert::run(&command),
        Command::Status(command) => status::status(&command),
        Command::Reload(control) => act::reload(&control),
        Command::Upgrade(control) => act::upgrade(&control),
        Command::Pause(command) => act::pause(command),
        Command::Resume(command) => act::resume(command),
        Command::Drain(command) => act::drain(command),
        Command::Kill(command) => act::kill(command),
        Command::Unban(command) => act::unban(command),
        Command::LogLevel(command) => act::log_level(&command),
    })
}
