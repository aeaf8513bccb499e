//! The command line: definitions only. What the words mean is in `commands`.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::convert::FORMATS;

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

impl Cli {
    /// Reads the command line. When there is nothing to do but to show help or a problem, that is done, and `Err` holds
    /// the exit code: 0, or 64 (EX_USAGE).
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other kind is wrong usage"
    )]
    pub fn read() -> Result<Self, u8> {
        Self::try_parse().map_err(|error| {
            let _ = error.print();
            match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
                _ => 64,
            }
        })
    }
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
    /// Read the table again, and tell what changed
    Reload(Control),
    /// Go on as the program that is now installed, without losing a connection
    Upgrade(Control),
    /// Show what the daemon does: every service, or one in detail
    Status(Status),
    /// Stop accepting connections of a service until `resume`
    Pause(Named),
    /// Accept connections of a service again, whatever stopped it
    Resume(Named),
    /// Stop accepting connections of a service and tell the live ones to end
    Drain(Named),
    /// End one connection by its id, or all of a service
    Kill(Kill),
    /// Lift the ban of a source
    Unban(Unban),
    /// Change how much the daemon logs, until the next reload
    LogLevel(Level),
    /// Check a table without serving it, and tell every problem
    Check(Check),
    /// Show the values that are in force, and where each comes from
    Show(Show),
    /// Tell what would happen to a client, and which rule decides
    #[command(after_help = TRY_HELP)]
    Try(Try),
    /// Turn the table of inetd, xinetd, systemd or tcpserver into ours, on standard output
    #[command(after_help = CONVERT_HELP)]
    Convert(Convert),
}

const SERVE_HELP: &str = "\
Every key of [service.NAME] is an option, with dashes for underscores: --max-connections 50, --user nobody,
--limits.open-files 64, --nodelay. A key that takes a list may be given several times.

Examples:
  oxinetd serve --listen 7007 --builtin echo
  oxinetd serve --listen 127.0.0.1:8000 --timeout 10s -- /usr/bin/date -u
  oxinetd serve --listen /tmp/cat.sock --user root -- cat";

const TRY_HELP: &str = "\
Exit status: 0 the client would be served, 1 it would not.

Examples:
  oxinetd try 203.0.113.4
  oxinetd try 203.0.113.4 ssh --at \"Sat 03:00\"
  oxinetd try 127.0.0.1 finger --run";

const CONVERT_HELP: &str = "\
Exit status: 0 the table does what the original did, 2 with the notes that were told, 1 no table.

Examples:
  oxinetd convert /etc/xinetd.conf > /etc/oxinetd.toml
  oxinetd convert --from debian /etc/inetd.conf
  oxinetd convert --diff /etc/xinetd.conf
  oxinetd convert --to systemd rsync /etc/oxinetd.toml";

/// Where the table is.
#[derive(Debug, Args)]
pub struct Config {
    /// The main file [default: /etc/oxinetd.toml, without it the table in the binary]
    #[arg(long, value_name = "FILE", env = "OXINETD_CONFIG")]
    pub config: Option<PathBuf>,
}

/// Where the daemon is.
#[derive(Debug, Args)]
pub struct Control {
    /// The control socket: a path or @NAME [default: /run/oxinetd/control.sock]
    #[arg(long, value_name = "SOCKET", env = "OXINETD_CONTROL")]
    pub control: Option<String>,
}

/// A command for one service.
#[derive(Debug, Args)]
pub struct Named {
    /// The daemon.
    #[command(flatten)]
    pub control: Control,
    /// The service
    pub name: String,
}

/// `oxinetd kill`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["id", "service"])))]
pub struct Kill {
    /// The daemon.
    #[command(flatten)]
    pub control: Control,
    /// The connection, as the log and `status NAME` have it
    pub id: Option<String>,
    /// Every connection of this service
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
}

/// `oxinetd unban`.
#[derive(Debug, Args)]
pub struct Unban {
    /// The daemon.
    #[command(flatten)]
    pub control: Control,
    /// An address, or a prefix as `status NAME` has it
    pub source: String,
}

/// `oxinetd log-level`.
#[derive(Debug, Args)]
pub struct Level {
    /// The daemon.
    #[command(flatten)]
    pub control: Control,
    /// From this importance on
    pub level: LogLevelWord,
}

/// The levels of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevelWord {
    /// Something failed.
    Error,
    /// Something may fail.
    Warning,
    /// The life of services and connections.
    Info,
    /// Everything.
    Debug,
}

/// `oxinetd status`.
#[derive(Debug, Args)]
pub struct Status {
    /// The daemon.
    #[command(flatten)]
    pub control: Control,
    /// One service in detail
    pub name: Option<String>,
    /// Print nothing, answer by the exit code
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Refresh every second until interrupted
    #[arg(short = 'w', long, conflicts_with_all = ["quiet", "format"])]
    pub watch: bool,
    /// The form of the answer
    #[arg(long, value_enum, default_value_t = StatusFormat::Table)]
    pub format: StatusFormat,
}

/// Forms of the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatusFormat {
    /// For people
    Table,
    /// For programs
    Json,
    /// For a metrics collector
    Prometheus,
}

/// `oxinetd run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The table.
    #[command(flatten)]
    pub config: Config,
    /// The control socket instead of that of the table: a path, @NAME, or off
    #[arg(long, value_name = "SOCKET", env = "OXINETD_CONTROL")]
    pub control: Option<String>,
    /// The form of the log instead of that of the table
    #[arg(long, value_enum, value_name = "FORM", env = "OXINETD_LOG_FORMAT")]
    pub log_format: Option<LogFormatWord>,
    /// Write a newline to this descriptor when the daemon serves
    #[arg(long, value_name = "N")]
    pub ready_fd: Option<i32>,
    /// Write the pid to this file when the daemon serves
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
}

/// Forms of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormatWord {
    /// `START: echo pid=…`
    Text,
    /// One object a line
    Json,
}

/// `oxinetd serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// A control socket, a path or @NAME [default: none]; an environment variable only, as every option is a key
    #[arg(skip = std::env::var("OXINETD_CONTROL").ok())]
    pub control: Option<String>,
    /// The form of the log; an environment variable only
    #[arg(skip = std::env::var("OXINETD_LOG_FORMAT").ok())]
    pub log_format: Option<String>,
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

/// `oxinetd show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The table.
    #[command(flatten)]
    pub config: Config,
    /// One service
    pub name: Option<String>,
}

/// `oxinetd try`.
#[derive(Debug, Args)]
pub struct Try {
    /// The table.
    #[command(flatten)]
    pub config: Config,
    /// The daemon, whose counters are asked.
    #[command(flatten)]
    pub control: Control,
    /// The client: an IP address, uid:1000 or vsock:3
    #[arg(value_name = "CLIENT")]
    pub address: String,
    /// The service; without it a line for each
    pub name: Option<String>,
    /// When it comes, in local time: 22:30, "Sat 22:30", "2026-11-28 22:30"
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Run the program with the terminal as its client
    #[arg(long)]
    pub run: bool,
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

/// `oxinetd convert`.
#[derive(Debug, Args)]
pub struct Convert {
    /// The format [default: read off the files]
    #[arg(long, value_name = "KIND", value_parser = kind_words())]
    pub from: Option<String>,
    /// Go on without access rules and limits that cannot be kept; each is told
    #[arg(long)]
    pub lossy: bool,
    /// Print where the table answers other than the original, instead of the table
    #[arg(long, conflicts_with = "to")]
    pub diff: bool,
    /// The directory of hosts.allow and hosts.deny, or `none`: there were none [default: /etc]
    #[arg(long, value_name = "DIRECTORY")]
    pub hosts_access: Option<PathBuf>,
    /// The other way: write the units for a service of a table of ours
    #[arg(long, num_args = 2, value_names = ["systemd", "NAME"])]
    pub to: Option<Vec<String>>,
    /// Files, or directories of files
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
}

/// The words for `--from`, each with what it means.
fn kind_words() -> PossibleValuesParser {
    FORMATS
        .map(|(word, _, meaning)| PossibleValue::new(word).help(meaning))
        .into()
}
