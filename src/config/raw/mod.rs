//! The walk from a TOML file to sections whose keys are known: which key was written where, with which value.
//!
//! Invariant: after the walk every written key is a row of the key table or has been reported. Values are untouched.

mod shape;
mod walker;

use std::borrow::Cow;

use toml::Spanned;
use toml::de::DeValue;

use super::diagnostic::shown;
use super::keys::{self, COUNT, Key, Kind};
use super::source::Place;
pub(super) use walker::walk;

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

/// "`a`, `b` and `c`".
pub(super) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}
