//! A look at the world for `check`: is everything there that the table needs? (LANGUAGE 5.1)
//!
//! Invariant: warnings and notes only, as all of it may change before the table is served; nothing on the host is
//! touched. What the table alone tells is `suspicious`' affair.

mod abilities;
mod binary;
mod budget;
mod datagrams;
mod known;
mod paths;
mod program;
mod reach;
mod sockets;

use super::reader::Reader;
use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::keys::Key;
use crate::config::source::Place;
use crate::config::surroundings::Surroundings;
use crate::service::Service;

pub(super) use budget::table;

/// One service, to be looked at.
pub(super) struct Survey<'s, 'c, 'a> {
    /// What is written.
    pub(super) reader: &'s Reader<'c, 'a>,
    /// What it means.
    pub(super) service: &'s Service,
    /// The place of each of its addresses.
    pub(super) places: &'s [Place],
    /// The place of its name.
    pub(super) name: Place,
    /// The host.
    pub(super) surroundings: &'s dyn Surroundings,
}

impl Survey<'_, '_, '_> {
    /// Warns at the value of a key; at the name of the service where it has none.
    fn warn(&self, key: Key, what: &str, label: &str, help: &str) {
        let place = self.reader.entry(key).map(|entry| entry.place());
        let title = format!("{} {what}", self.reader.subject(key));
        self.warn_at(place.unwrap_or(self.name), title, label, help);
    }

    fn warn_at(&self, place: Place, title: String, label: &str, help: &str) {
        self.reader.report(
            Diagnostic::warning(Code::World, place, title)
                .label(label)
                .help(help),
        );
    }
}

/// Looks at a service.
pub(super) fn service(survey: &Survey<'_, '_, '_>) {
    program::look(survey);
    known::look(survey);
    paths::look(survey);
    datagrams::look(survey);
    if survey.service.enabled {
        sockets::look(survey);
        abilities::look(survey);
    }
}
