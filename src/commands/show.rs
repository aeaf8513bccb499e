//! `oxinetd show`: the table that is in force, each value with its origin.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use super::{complain, exit};
use crate::cli::Show;
use crate::config::diagnostic::{Severity, nearest, shown};
use crate::config::{self, Format, Host, Loaded, Main};
use crate::service::Table;
use crate::sys::start;
use crate::sys::world::SystemWorld;

/// Prints the table, or one service of it.
pub fn show(command: &Show) -> u8 {
    let Some((loaded, table)) = read(command.config.config.as_deref()) else {
        return exit::NO;
    };
    if let Some(name) = &command.name
        && !is_known(&table, name)
    {
        return exit::NO;
    }
    let mut text = String::new();
    let services = table.services.iter().map(|service| Some(service.as_ref()));
    for (written, service) in loaded
        .written
        .iter()
        .zip(std::iter::once(None).chain(services))
    {
        if command.name.is_none() || written.name == command.name {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&config::shown::section(written, service));
        }
    }
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => exit::OK,
        Err(_) => exit::NO,
    }
}

/// The table with what was written; its errors are told.
pub(super) fn read(named: Option<&Path>) -> Option<(Loaded, Table)> {
    let (user, group) = start::identity();
    let world = SystemWorld::new();
    let main = named.map_or(Main::Default, Main::Named);
    let mut loaded = config::explain(&main, &Host::new(user, group, &world));
    let color = io::stderr().is_terminal();
    let table = loaded.table.take();
    if table.is_none() {
        complain(&loaded.report.render(Format::Human { color }));
        let errors = loaded.report.count(Severity::Error);
        let is = if errors == 1 {
            "is an error"
        } else {
            "are errors"
        };
        complain(&format!("oxinetd: there {is} in the table\n"));
    }
    table.map(|table| (loaded, table))
}

/// True when the table has this service; else that is told.
pub(super) fn is_known(table: &Table, name: &str) -> bool {
    let names = || table.services.iter().map(|service| service.name.as_str());
    if names().any(|known| known == name) {
        return true;
    }
    let near =
        nearest(name, names()).map_or_else(String::new, |near| format!(": did you mean {near}?"));
    complain(&format!(
        "oxinetd: the table has no service {}{near}\n",
        shown(name)
    ));
    false
}
