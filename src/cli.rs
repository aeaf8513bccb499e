//! The command line: definitions only. What the words mean is in `commands`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// The inetd-style super-server.
#[derive(Debug, Parser)]
#[command(
    name = "oxinetd",
    version,
    about,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the table in the foreground until TERM
    Run(Run),
    /// Serve one service from the command line: oxinetd serve --listen 7007 --builtin echo
    #[command(
        override_usage = "oxinetd serve --listen ADDRESS [--KEY VALUE]... (--builtin NAME | -- PROGRAM [ARGUMENT]...)",
        after_help = SERVE_HELP
    )]
    Serve(Serve),
    /// Check a table without serving it, and tell every problem
    Check(Check),
}

const SERVE_HELP: &str = "\
Every key of [service.NAME] is an option, with dashes for underscores: --max-connections 50, --user nobody,
--limits.open-files 64, --nodelay. A key that takes a list may be given several times.

Examples:
  oxinetd serve --listen 7007 --builtin echo
  oxinetd serve --listen 127.0.0.1:8000 --timeout 10s -- /usr/bin/date -u
  oxinetd serve --listen /tmp/cat.sock --user root -- cat";

/// Where the table is.
#[derive(Debug, Args)]
pub struct Config {
    /// The main file [default: /etc/oxinetd.toml, without it the table in the binary]
    #[arg(long, value_name = "FILE", env = "OXINETD_CONFIG")]
    pub config: Option<PathBuf>,
}

/// `oxinetd run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The table.
    #[command(flatten)]
    pub config: Config,
    /// Write a newline to this descriptor when the daemon serves
    #[arg(long, value_name = "N")]
    pub ready_fd: Option<i32>,
    /// Write the pid to this file when the daemon serves
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
}

/// `oxinetd serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Keys and values of the service, then -- and the program
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true,
        value_name = "OPTION"
    )]
    pub words: Vec<String>,
}

/// `oxinetd check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The table.
    #[command(flatten)]
    pub config: Config,
    /// Main files to check instead
    pub files: Vec<PathBuf>,
    /// Warnings are errors
    #[arg(short = 'W')]
    pub warnings_are_errors: bool,
    /// The form of the report
    #[arg(long, value_enum, default_value_t = ReportFormat::Human)]
    pub format: ReportFormat,
}

/// Forms of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// With source lines and carets
    Human,
    /// One line a problem, for editors
    Short,
    /// For programs
    Json,
    /// For GitHub's annotations
    Github,
}
