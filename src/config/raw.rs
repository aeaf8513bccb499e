//! The walk from a TOML file to sections whose keys are known: which key was written where, with which value.
//!
//! Invariant: after the walk every written key is a row of the key table or has been reported. Values are untouched.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Code, Diagnostic, nearest, shown};
use super::foreign;
use super::keys::{self, COUNT, Key, Kind, Scope};
use super::source::{FileId, Place};

/// A value as the parser gives it.
pub(super) type Value<'a> = Spanned<DeValue<'a>>;
/// A key as the parser gives it.
pub(super) type Word<'a> = Spanned<Cow<'a, str>>;

/// A key with its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// The key.
    pub(super) key: Place,
    /// The value.
    pub(super) value: &'a Value<'a>,
    /// True when `[defaults]` supplied it.
    pub(super) inherited: bool,
}

impl Entry<'_> {
    /// The place of the value.
    pub(super) fn place(&self) -> Place {
        Place::new(self.key.file, self.value.span())
    }
}

/// The keys of one table, sub-tables flattened.
#[derive(Clone, Debug)]
pub(super) struct Section<'a> {
    entries: Box<[Option<Entry<'a>>; COUNT]>,
    /// The variables of `env`.
    pub(super) env: Vec<(&'a str, Entry<'a>)>,
    /// Names of keys that unknown words were probably meant to be: what is "missing" may be there, misspelt.
    meant: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// Without any key.
    pub(super) fn empty() -> Self {
        Self {
            entries: Box::new([None; COUNT]),
            env: Vec::new(),
            meant: Vec::new(),
        }
    }

    /// True when a word that is no key was probably meant to be this one.
    pub(super) fn is_misspelt(&self, key: Key) -> bool {
        self.meant.contains(&key.info().name)
    }

    /// What was written for a key.
    pub(super) fn entry(&self, key: Key) -> Option<Entry<'a>> {
        self.entries.get(key as usize).copied().flatten()
    }

    /// Marks everything as coming from `[defaults]`.
    pub(super) fn inherit(&mut self) {
        for entry in self.entries.iter_mut().flatten() {
            entry.inherited = true;
        }
        for (_, entry) in &mut self.env {
            entry.inherited = true;
        }
    }

    /// This section over that of the defaults: scalars and lists replace, merging tables merge.
    pub(super) fn over(&self, defaults: &Self) -> Self {
        let mut merged = defaults.clone();
        for key in keys::all() {
            let Some(entry) = self.entry(key) else {
                continue;
            };
            if let Kind::Table { merges: false, .. } = key.info().kind {
                key.parts().for_each(|part| merged.clear(part));
            }
            merged.set(key, entry);
        }
        merged
            .env
            .retain(|(name, _)| !self.env.iter().any(|(own, _)| own == name));
        merged.env.extend_from_slice(&self.env);
        merged.env.sort_by_key(|(name, _)| *name);
        merged.meant.extend_from_slice(&self.meant);
        merged
    }

    fn set(&mut self, key: Key, entry: Entry<'a>) {
        if let Some(slot) = self.entries.get_mut(key as usize) {
            *slot = Some(entry);
        }
    }

    fn clear(&mut self, key: Key) {
        if let Some(slot) = self.entries.get_mut(key as usize) {
            *slot = None;
        }
    }
}

/// `[service.NAME]` as written.
#[derive(Clone, Debug)]
pub(super) struct RawService<'a> {
    /// NAME.
    pub(super) name: &'a str,
    /// Where NAME stands.
    pub(super) place: Place,
    /// Its keys.
    pub(super) section: Section<'a>,
}

/// One file as written.
#[derive(Debug)]
pub(super) struct RawFile<'a> {
    /// `[daemon]`.
    pub(super) daemon: Section<'a>,
    /// `[defaults]`.
    pub(super) defaults: Section<'a>,
    /// The services in the order of the file.
    pub(super) services: Vec<RawService<'a>>,
}

/// Walks one file; problems are added to `problems`.
pub(super) fn walk<'a>(
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

/// Whose keys are read.
pub(super) enum Owner<'a> {
    Daemon,
    Defaults,
    Service(&'a str, Place),
}

impl Owner<'_> {
    /// "service `echo`", "[defaults]".
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Daemon => "[daemon]".to_owned(),
            Self::Defaults => "[defaults]".to_owned(),
            Self::Service(name, _) => format!("service `{}`", shown(name)),
        }
    }

    fn is_daemon(&self) -> bool {
        matches!(self, Self::Daemon)
    }
}

struct Walker<'p> {
    file: FileId,
    problems: &'p mut Vec<Diagnostic>,
}

impl Walker<'_> {
    fn at<T>(&self, spanned: &Spanned<T>) -> Place {
        Place::new(self.file, spanned.span())
    }

    fn report(&mut self, problem: Diagnostic) {
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
        let near = nearest(name, keys::names(owner.is_daemon()).filter(fits));
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

    fn daemon_in_drop_in(&mut self, key: &Word<'_>) {
        self.report(
            Diagnostic::error(
                Code::WrongSection,
                self.at(key),
                "[daemon] can stand in the main file only",
            )
            .label("in an included file")
            .help("move its keys into the [daemon] section of the main file"),
        );
    }

    fn no_table(&mut self, name: &str, key: &Word<'_>, value: &Value<'_>) {
        let title = if value.get_ref().is_array() && name == "service" {
            "services are tables with names, not a list"
        } else {
            "not a table"
        };
        let header = if name == "service" {
            "[service.NAME]"
        } else {
            name
        };
        self.report(
            Diagnostic::error(Code::Shape, self.at(key), format!("`{name}`: {title}"))
                .label("the name of the service is missing")
                .help(format!(
                    "tables are called {}",
                    if name == "service" {
                        header.to_owned()
                    } else {
                        format!("[{name}]")
                    }
                )),
        );
    }

    fn no_service_table(&mut self, name: &str, key: &Word<'_>, value: &Value<'_>) {
        let place = self.at(key);
        let name = shown(name);
        let title = if value.get_ref().is_array() {
            format!("service `{name}` is defined as a list")
        } else {
            format!("`service.{name}` is not a table")
        };
        let problem = Diagnostic::error(Code::Shape, place, title).label("a service is a table");
        self.report(if Key::of_service(&name).is_some() {
            problem.help(format!(
                "the name of the service is missing: write [service.NAME] above `{name} = …`"
            ))
        } else {
            problem.help(format!(
                "write [service.{name}], or `{name} = {{ listen = …, … }}`"
            ))
        });
    }

    fn unknown_root(&mut self, name: &str, key: &Word<'_>, value: &Value<'_>, is_table: bool) {
        let place = self.at(key);
        let near = match name.to_ascii_lowercase().as_str() {
            "services" | "server" | "servers" => Some("service"),
            "default" => Some("defaults"),
            "global" | "main" | "settings" | "oxinetd" => Some("daemon"),
            _ => nearest(name, ["service", "defaults", "daemon"]),
        };
        let name = shown(name);
        if is_table || value.get_ref().is_array() {
            let problem = Diagnostic::error(Code::Shape, place, format!("unknown table [{name}]"))
                .label("not a table of the language");
            self.report(match near {
                Some("service") => problem
                    .help("tables are called [service.NAME]")
                    .patch(place, "service"),
                Some(near) => problem
                    .help(format!("did you mean [{near}]?"))
                    .patch(place, near),
                None if is_table => problem
                    .help(format!(
                        "tables are called [service.NAME]: write [service.{name}]"
                    ))
                    .patch(place, format!("service.{name}")),
                None => problem.help(format!(
                    "tables are called [service.NAME]: write [service.{name}]"
                )),
            });
            return;
        }
        let problem = Diagnostic::error(
            Code::Shape,
            place,
            format!("`{name}` stands outside of any table"),
        )
        .label("whose is it?");
        self.report(if Key::of_service(&name).is_some() {
            problem.help(format!("write [service.NAME] above `{name} = …`"))
        } else if Key::of_daemon(&name).is_some() {
            problem.help(format!("write [daemon] above `{name} = …`"))
        } else {
            problem.help("a file has [daemon], [defaults] and [service.NAME]")
        });
    }
}

/// "`a`, `b` and `c`".
pub(super) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}
