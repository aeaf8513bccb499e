//! The keys of the language: one row for each. Errors, `show`, oxinetd.toml(5) and the JSON schema come from here.
//!
//! Invariant: no other place of the program lists keys. What a value means is `resolve`'s affair.

mod table;

use std::collections::HashMap;
use std::sync::LazyLock;

pub use table::{COUNT, KEYS, Key};

/// One row.
#[derive(Debug)]
pub struct KeyInfo {
    /// As written; a sub-key with the name of its table, `limits.core`.
    pub name: &'static str,
    /// Where it may stand.
    pub scope: Scope,
    /// What may be written.
    pub kind: Kind,
    /// The built-in default, in words of the language.
    pub default: &'static str,
    /// One line.
    pub meaning: &'static str,
    /// What xinetd calls it; "-" when it has nothing comparable.
    pub xinetd: &'static str,
    /// What systemd calls it.
    pub systemd: &'static str,
    /// Reserved for a later version.
    pub later: bool,
}

/// Where a key may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In `[daemon]`.
    Daemon,
    /// In `[service.NAME]` alone.
    Service,
    /// In `[service.NAME]` and `[defaults]`.
    Both,
}

/// What may be written as the value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// Any string.
    Text,
    /// A string in which `%{…}` stands for values of the connection.
    Template,
    /// A file or directory.
    Path,
    /// A whole number between these.
    Integer(i64, i64),
    /// A number above 0.
    Number,
    /// A whole number from 1, or `"unlimited"`.
    Count,
    /// `"64KiB"`; 0 is allowed where it says so.
    Size {
        /// 0 means something.
        zero: bool,
    },
    /// `"30s"`.
    Duration,
    /// `"30s"` or a bool.
    DurationOrBool,
    /// `"50/s"`.
    Rate,
    /// `"10%"`.
    Percent,
    /// `"0660"`.
    Mode,
    /// An account.
    User,
    /// A group.
    Group,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Some of these words.
    Choices(&'static [&'static str]),
    /// A string or a list of strings.
    Words,
    /// One address.
    Address,
    /// Addresses.
    Addresses,
    /// Networks and words for them.
    Prefixes,
    /// Windows of local time.
    Hours,
    /// Any of these words, or `PREFIX:…`.
    Sink,
    /// A table of strings with free names.
    Variables,
    /// A table with the sub-keys that have this name before their dot.
    Table {
        /// The default's sub-keys stay where the service has none.
        merges: bool,
        /// What a value that is no table stands for.
        scalar: Option<Key>,
    },
}

impl Kind {
    /// What may be written, in a few words.
    pub fn form(&self) -> String {
        let quoted = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
            words.join(", ")
        };
        match self {
            Self::Bool => "true or false".to_owned(),
            Self::Text | Self::Template => "string".to_owned(),
            Self::Path => "path".to_owned(),
            Self::Integer(least, most) => format!("{least} to {most}"),
            Self::Number => "number".to_owned(),
            Self::Count => "count".to_owned(),
            Self::Size { .. } => "size".to_owned(),
            Self::Duration => "duration".to_owned(),
            Self::DurationOrBool => "duration, true or false".to_owned(),
            Self::Rate => "rate".to_owned(),
            Self::Percent => "percentage".to_owned(),
            Self::Mode => "mode".to_owned(),
            Self::User => "user".to_owned(),
            Self::Group => "group".to_owned(),
            Self::Choice(words) => quoted(words),
            Self::Choices(words) => format!("list of {}", quoted(words)),
            Self::Words => "string or list of strings".to_owned(),
            Self::Address => "address".to_owned(),
            Self::Addresses => "address or list of addresses".to_owned(),
            Self::Prefixes => "prefix or list of prefixes".to_owned(),
            Self::Hours => "window or list of windows".to_owned(),
            Self::Sink => "sink".to_owned(),
            Self::Variables => "table of strings".to_owned(),
            Self::Table { scalar: None, .. } => "table".to_owned(),
            Self::Table {
                scalar: Some(key), ..
            } => format!("{}, or a table", key.info().kind.form()),
        }
    }
}

impl Key {
    /// The row of the key.
    pub fn info(self) -> &'static KeyInfo {
        let [first, ..] = &KEYS;
        KEYS.get(self as usize).unwrap_or(first)
    }

    /// The key of this name in `[service.NAME]` and `[defaults]`.
    pub fn of_service(name: &str) -> Option<Self> {
        NAMES.service.get(name).copied()
    }

    /// The key of this name in `[daemon]`.
    pub fn of_daemon(name: &str) -> Option<Self> {
        NAMES.daemon.get(name).copied()
    }

    /// The sub-keys of a table key.
    pub fn parts(self) -> impl Iterator<Item = Self> {
        let name = self.info().name;
        all().filter(move |key| {
            key.info()
                .name
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('.'))
        })
    }

    /// The name after the dot, for a sub-key.
    pub fn last_name(self) -> &'static str {
        let name = self.info().name;
        name.rsplit_once('.').map_or(name, |(_, last)| last)
    }
}

/// All keys in the order of the reference.
pub fn all() -> impl Iterator<Item = Key> {
    table::ALL.iter().copied()
}

/// Names that may stand in `[daemon]` (true) or in a service (false), without sub-keys.
pub fn names(daemon: bool) -> impl Iterator<Item = &'static str> {
    let rows = KEYS
        .iter()
        .filter(move |row| (row.scope == Scope::Daemon) == daemon);
    rows.map(|row| row.name).filter(|name| !name.contains('.'))
}

struct Names {
    daemon: HashMap<&'static str, Key>,
    service: HashMap<&'static str, Key>,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let of = |daemon: bool| {
        let keys = all().filter(move |key| (key.info().scope == Scope::Daemon) == daemon);
        keys.map(|key| (key.info().name, key)).collect()
    };
    Names {
        daemon: of(true),
        service: of(false),
    }
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_whole() {
        for key in all() {
            let row = key.info();
            assert!(
                !row.meaning.is_empty() && !row.default.is_empty(),
                "{}",
                row.name
            );
            assert!(
                row.name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b"._0123456789".contains(&b)),
                "{}",
                row.name
            );
            let found = if row.scope == Scope::Daemon {
                Key::of_daemon(row.name)
            } else {
                Key::of_service(row.name)
            };
            assert_eq!(found, Some(key), "{} stands twice", row.name);
            if let Some((table, _)) = row.name.split_once('.') {
                let table = Key::of_service(table).unwrap();
                assert!(
                    matches!(table.info().kind, Kind::Table { .. }),
                    "{}",
                    row.name
                );
            }
        }
    }

    #[test]
    fn sub_keys_are_found_by_their_table() {
        assert_eq!(
            Key::Penalty.parts().map(Key::last_name).collect::<Vec<_>>(),
            ["after", "for", "max"]
        );
        assert_eq!(Key::User.parts().count(), 0);
    }
}
