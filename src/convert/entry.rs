//! A service on its way from a foreign file to the table: keys and values, and where they came from.
//!
//! Invariant: an [`Entry`] holds words of our language only. It knows nothing of the format that it came from, and
//! nothing of layout: that is `emit`.

use super::compare::Asked;
use super::note::Place;

/// A value of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A string.
    Text(String),
    /// An integer.
    Number(i64),
    /// A float, as it is written.
    Float(String),
    /// A boolean.
    Bool(bool),
    /// A list of strings.
    List(Vec<String>),
    /// An inline table.
    Table(Vec<(String, Value)>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<Vec<String>> for Value {
    fn from(list: Vec<String>) -> Self {
        Self::List(list)
    }
}

/// One service.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The name that it should get; made unique and valid by `emit`.
    pub(super) name: String,
    /// Tells two services of one name apart: `tcp6`, `udp`.
    pub(super) variant: String,
    /// First line.
    pub(super) place: Place,
    /// Last line.
    pub(super) last_line: u32,
    /// A second file that the service stands in.
    pub(super) also: Option<std::rc::Rc<std::path::Path>>,
    /// The lines themselves, for the comment.
    pub(super) original: Vec<String>,
    /// False: kept as `enabled = false`.
    pub(super) enabled: bool,
    /// What the old server answered to clients.
    pub(super) asked: Asked,
    /// Key and value; a key occurs once.
    keys: Vec<(&'static str, Value)>,
}

impl Entry {
    /// A service without keys.
    pub(super) fn new(name: &str, place: &Place) -> Self {
        Self {
            name: name.to_owned(),
            variant: String::new(),
            place: place.clone(),
            last_line: place.line,
            also: None,
            original: Vec::new(),
            enabled: true,
            asked: Asked::default(),
            keys: Vec::new(),
        }
    }

    /// Sets a key, in place of an earlier value.
    pub(super) fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        let value = value.into();
        match self.keys.iter_mut().find(|(k, _)| *k == key) {
            Some((_, old)) => *old = value,
            None => self.keys.push((key, value)),
        }
    }

    /// Sets `limits.NAME` or another key of an inline table.
    pub(super) fn set_in(&mut self, table: &'static str, name: &str, value: impl Into<Value>) {
        let value = value.into();
        let found = self.keys.iter_mut().find(|(k, _)| *k == table);
        match found {
            Some((_, Value::Table(rows))) => match rows.iter_mut().find(|(n, _)| n == name) {
                Some((_, old)) => *old = value,
                None => rows.push((name.to_owned(), value)),
            },
            Some(_) | None => self.set(table, Value::Table(vec![(name.to_owned(), value)])),
        }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.keys.iter().find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    /// All keys, in the order of setting.
    pub(super) fn keys(&self) -> &[(&'static str, Value)] {
        &self.keys
    }

    /// `command` and, where it differs from the base name, `argv0`.
    pub(super) fn set_command(&mut self, path: &str, argv0: &str, arguments: &[String]) {
        let plain = |word: &str| {
            !word.is_empty()
                && !word
                    .contains(|c: char| c.is_whitespace() || c.is_control() || "'\"\\".contains(c))
        };
        let mut words = vec![path.to_owned()];
        words.extend(arguments.iter().map(|a| literal(a)));
        if words.iter().all(|w| plain(w)) {
            self.set("command", words.join(" "));
        } else {
            self.set("command", words);
        }
        if argv0 != base_name(path) {
            self.set("argv0", argv0);
        }
    }
}

/// An entry of the original without a counterpart: it stays in the table as a comment.
#[derive(Clone, Debug)]
pub(super) struct Leftover {
    /// The index of the entry that it stands before.
    pub(super) before: usize,
    pub(super) place: Place,
    /// Its lines.
    pub(super) original: Vec<String>,
    /// Why it is left out.
    pub(super) text: String,
}

/// Text for a value in which `%{` would start a specifier.
pub(super) fn literal(text: &str) -> String {
    text.replace("%{", "%%{")
}

/// The last component of a path.
pub(super) fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn entry() -> Entry {
        Entry::new("x", &Place::file(Path::new("f")))
    }

    #[test]
    fn command_is_a_string_where_it_can_be_and_a_list_where_it_must() {
        let mut e = entry();
        e.set_command("/bin/a", "a", &["-l".into(), "$X;".into()]);
        assert_eq!(e.get("command"), Some(&"/bin/a -l $X;".into()));
        assert_eq!(e.get("argv0"), None);
        let mut e = entry();
        e.set_command("/bin/a", "b", &["\"x".into()]);
        assert_eq!(
            e.get("command"),
            Some(&vec!["/bin/a".to_owned(), "\"x".to_owned()].into())
        );
        assert_eq!(e.get("argv0"), Some(&"b".into()));
        let mut e = entry();
        e.set_command("/bin/a", "a", &["%{id}".into(), "%%{".into()]);
        assert_eq!(e.get("command"), Some(&"/bin/a %%{id} %%%{".into()));
    }

    #[test]
    fn a_key_occurs_once() {
        let mut e = entry();
        e.set("nice", Value::Number(1));
        e.set("nice", Value::Number(2));
        e.set_in("limits", "stack", "1M");
        e.set_in("limits", "stack", "2M");
        assert_eq!(e.keys().len(), 2);
        assert_eq!(
            e.get("limits"),
            Some(&Value::Table(vec![("stack".into(), "2M".into())]))
        );
    }
}
