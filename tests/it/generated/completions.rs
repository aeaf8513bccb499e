//! The completions of the shells: the command line as clap knows it, and the keys as options of `serve`.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, CommandFactory, ValueHint};
use clap_complete::{Shell, generate};
use oxinetd::cli::Cli;
use oxinetd::config::keys::{self, Key, Kind, Scope};

pub(super) fn all() -> Vec<(&'static str, String)> {
    [
        ("oxinetd.bash", Shell::Bash),
        ("_oxinetd", Shell::Zsh),
        ("oxinetd.fish", Shell::Fish),
    ]
    .into_iter()
    .map(|(name, shell)| {
        let mut script = Vec::new();
        generate(shell, &mut command(), "oxinetd", &mut script);
        (name, String::from_utf8(script).unwrap())
    })
    .collect()
}

fn command() -> Command {
    let takes = |key: &Key| {
        let row = key.info();
        let table = matches!(row.kind, Kind::Table { scalar: None, .. } | Kind::Variables);
        row.scope != Scope::Daemon && !row.later && !table && *key != Key::Command
    };
    Cli::command().mut_subcommand("serve", |serve| {
        keys::all()
            .filter(takes)
            .fold(serve, |serve, key| serve.arg(option(key)))
    })
}

/// A key as an option of `serve`.
fn option(key: Key) -> Arg {
    let row = key.info();
    let name: &'static str = row.name.replace('_', "-").leak();
    let option = Arg::new(name)
        .long(name)
        .help(row.meaning.replace('`', ""))
        .action(ArgAction::Append);
    let kind = if let Kind::Table {
        scalar: Some(key), ..
    } = row.kind
    {
        key.info().kind
    } else {
        row.kind
    };
    if kind == Kind::Bool {
        return option
            .num_args(0..=1)
            .value_parser(PossibleValuesParser::new(["true", "false"]));
    }
    if let Kind::Choice(words) | Kind::Choices(words) = kind {
        return option.value_parser(PossibleValuesParser::new(words.iter().copied()));
    }
    let (name, hint) = if kind == Kind::Path {
        ("PATH", ValueHint::AnyPath)
    } else if kind == Kind::User {
        ("USER", ValueHint::Username)
    } else {
        ("VALUE", ValueHint::Unknown)
    };
    option.value_name(name).value_hint(hint)
}
