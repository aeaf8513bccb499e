//! The walk: which key of the key table each written word is, and the answer to words that are none.

use toml::Spanned;
use toml::de::DeTable;

use super::{Entry, Owner, RawFile, RawService, Section, Value, Word, list};
use crate::config::diagnostic::{Code, Diagnostic, nearest, shown};
use crate::config::foreign;
use crate::config::keys::{self, Key, Kind, Scope};
use crate::config::source::{FileId, Place};

/// Walks one file; problems are added to `problems`.
pub(in crate::config) fn walk<'a>(
    file: FileId,
    root: &'a DeTable<'a>,
    problems: &mut Vec<Diagnostic>,
) -> RawFile<'a> {
    let mut walker = Walker { file, problems };
    let mut raw = RawFile {
        daemon: Section::empty(),
        defaults: Section::empty(),
        services: Vec::new(),
    };
    for (key, value) in root {
        match (key.get_ref().as_ref(), value.get_ref().as_table()) {
            ("daemon", Some(_)) if file != 0 => walker.daemon_in_drop_in(key),
            ("daemon", Some(table)) => raw.daemon = walker.section(&Owner::Daemon, table),
            ("defaults", Some(table)) => raw.defaults = walker.section(&Owner::Defaults, table),
            ("service", Some(table)) => raw.services = walker.services(table),
            (name @ ("daemon" | "defaults" | "service"), None) => walker.no_table(name, key, value),
            (name, table) => walker.unknown_root(name, key, value, table.is_some()),
        }
    }
    raw.services.sort_by_key(|service| service.place);
    raw
}
/// After this many problems nobody reads suggestions.
const SUGGESTING: usize = 1000;

/// A walk in progress.
pub(super) struct Walker<'p> {
    file: FileId,
    problems: &'p mut Vec<Diagnostic>,
}

impl Walker<'_> {
    pub(super) fn at<T>(&self, spanned: &Spanned<T>) -> Place {
        Place::new(self.file, spanned.span())
    }

    pub(super) fn report(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
    }

    fn services<'a>(&mut self, table: &'a DeTable<'a>) -> Vec<RawService<'a>> {
        let mut services = Vec::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let place = self.at(key);
            let Some(table) = value.get_ref().as_table() else {
                self.no_service_table(name, key, value);
                continue;
            };
            self.name(name, place);
            let section = self.section(&Owner::Service(name, place), table);
            services.push(RawService {
                name,
                place,
                section,
            });
        }
        services
    }

    fn name(&mut self, name: &str, place: Place) {
        const LONGEST: usize = 64;
        let first = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let later = |byte: u8| first(byte) || b".+-".contains(&byte);
        let valid = name.bytes().next().is_some_and(first) && name.bytes().all(later);
        if valid && name.len() <= LONGEST {
            return;
        }
        let what = if valid {
            "is longer than 64 characters"
        } else {
            "is not a service name"
        };
        self.report(
            Diagnostic::error(Code::Value, place, format!("`{}` {what}", shown(name)))
                .label("names are log tags, too")
                .help("write letters, digits and `_`, and after the first also `.`, `+` and `-`; at most 64"),
        );
    }

    fn section<'a>(&mut self, owner: &Owner<'_>, table: &'a DeTable<'a>) -> Section<'a> {
        let mut section = Section::empty();
        for (word, value) in table {
            let name = word.get_ref().as_ref();
            let found = if owner.is_daemon() {
                Key::of_daemon(name)
            } else {
                Key::of_service(name)
            };
            match found.filter(|_| !name.contains('.')) {
                Some(key) => self.known(owner, &mut section, key, word, value),
                None => section
                    .meant
                    .extend(self.unknown(owner, word, value, table)),
            }
        }
        section
    }

    fn known<'a>(
        &mut self,
        owner: &Owner<'_>,
        section: &mut Section<'a>,
        key: Key,
        word: &'a Word<'a>,
        value: &'a Value<'a>,
    ) {
        let info = key.info();
        let entry = Entry {
            key: self.at(word),
            value,
            inherited: false,
        };
        if info.later {
            self.report(
                Diagnostic::error(
                    Code::NotYet,
                    entry.key,
                    format!("`{}` is not served by this version yet", info.name),
                )
                .label("a later version reads it"),
            );
            return;
        }
        if matches!(owner, Owner::Defaults) && info.scope == Scope::Service {
            self.report(
                Diagnostic::error(
                    Code::WrongSection,
                    entry.key,
                    format!("`{}` cannot stand in [defaults]", info.name),
                )
                .label("belongs to one service")
                .help("move it into the [service.NAME] that it is meant for"),
            );
            return;
        }
        match (info.kind, value.get_ref().as_table()) {
            (Kind::Table { .. }, Some(table)) => {
                section.set(key, entry);
                self.parts(owner, section, key, table);
            }
            (Kind::Table { scalar, .. }, None) => {
                section.set(key, entry);
                if let Some(scalar) = scalar {
                    section.set(scalar, entry);
                }
            }
            (Kind::Variables, Some(table)) => {
                section.set(key, entry);
                let variables = table.iter().map(|(name, value)| {
                    let entry = Entry {
                        key: self.at(name),
                        value,
                        inherited: false,
                    };
                    (name.get_ref().as_ref(), entry)
                });
                section.env = variables.collect();
            }
            _ => section.set(key, entry),
        }
    }

    fn parts<'a>(
        &mut self,
        owner: &Owner<'_>,
        section: &mut Section<'a>,
        table_key: Key,
        table: &'a DeTable<'a>,
    ) {
        for (word, value) in table {
            let name = word.get_ref().as_ref();
            if let Some(key) = table_key.parts().find(|key| key.last_name() == name) {
                section.set(
                    key,
                    Entry {
                        key: self.at(word),
                        value,
                        inherited: false,
                    },
                );
                continue;
            }
            let table_name = table_key.info().name;
            let title = format!(
                "unknown key `{}` in `{table_name}` of {}",
                shown(name),
                owner.shown()
            );
            let known = || table_key.parts().map(Key::last_name);
            let place = self.at(word);
            let problem = Diagnostic::error(Code::UnknownKey, place, title)
                .label(format!("no key of `{table_name}`"));
            let near = foreign::part(table_key, name).or_else(|| nearest(name, known()));
            let meant = near.and_then(|near| table_key.parts().find(|key| key.last_name() == near));
            section.meant.extend(meant.map(|key| key.info().name));
            let problem = match near {
                Some(near) if table.contains_key(near) => {
                    problem.help(format!("`{near}` is there already: leave this out"))
                }
                Some(near) => problem
                    .help(format!("did you mean `{near}`?"))
                    .patch(place, near),
                None => problem.help(format!("`{table_name}` takes {}", list(known()))),
            };
            self.report(problem);
        }
    }

    /// Answers a word that is no key; tells the key that was probably meant.
    fn unknown<'a>(
        &mut self,
        owner: &Owner<'_>,
        word: &'a Word<'a>,
        value: &'a Value<'a>,
        siblings: &'a DeTable<'a>,
    ) -> Option<&'static str> {
        let name = word.get_ref().as_ref();
        let place = self.at(word);
        let other_section = if owner.is_daemon() {
            Key::of_service(name)
        } else {
            Key::of_daemon(name)
        };
        if let Some(key) = other_section.filter(|_| !name.contains('.')) {
            let home = if key.info().scope == Scope::Daemon {
                "[daemon]"
            } else {
                "[service.NAME] or [defaults]"
            };
            let title = format!("`{}` cannot stand in {}", shown(name), owner.shown());
            self.report(
                Diagnostic::error(Code::WrongSection, place, title)
                    .label(format!("belongs in {home}")),
            );
            return None;
        }
        if let Some((problem, meant)) = foreign::answer(owner, self.file, word, value, siblings) {
            self.report(problem);
            return Some(meant);
        }
        let title = format!("unknown key `{}` in {}", shown(name), owner.shown());
        let mut problem = Diagnostic::error(Code::UnknownKey, place, title);
        problem = match owner {
            Owner::Service(_, service) => problem
                .label("not a service key")
                .context(*service, "in this service"),
            Owner::Defaults => problem.label("not a service key"),
            Owner::Daemon => problem.label("not a daemon key"),
        };
        let fits = |name: &&str| {
            !matches!(owner, Owner::Defaults)
                || Key::of_service(name).is_some_and(|key| key.info().scope == Scope::Both)
        };
        // In a file of junk suggestions would cost more than all the rest.
        let near = (self.problems.len() < SUGGESTING)
            .then(|| nearest(name, keys::names(owner.is_daemon()).filter(fits)))
            .flatten();
        problem = match near {
            Some(near) if siblings.contains_key(near) => {
                problem.help(format!("`{near}` is there already: leave this out"))
            }
            Some(near) => problem
                .help(format!("did you mean `{near}`?"))
                .patch(place, near),
            None if owner.is_daemon() => {
                problem.help(format!("[daemon] takes {}", list(keys::names(true))))
            }
            None => problem.help("the keys are listed in oxinetd.toml(5)"),
        };
        self.report(problem);
        near
    }
}
