//! The command: parse the words, dispatch, one exit code.

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use oxinetd::cli::{Cli, Command};
use oxinetd::commands::{check, exit, run, serve};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::from(exit::OK),
                _ => ExitCode::from(exit::USAGE),
            };
        }
    };
    ExitCode::from(match cli.command {
        Command::Run(command) => run::run(&command),
        Command::Serve(command) => serve::serve(&command),
        Command::Check(command) => check::check(&command),
    })
}
