//! Typed reading of one section: a key in, a value of its type out.
//!
//! Invariant: a value that cannot be read is reported here, once, with the text to write, and then counts as not
//! written; so the resolvers see typed values only.

mod scalars;

use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::Context;
use crate::config::diagnostic::{Code, Diagnostic, nearest, shown};
use crate::config::foreign::type_name;
use crate::config::keys::{Key, Kind};
use crate::config::raw::{Entry, Section, list};
use crate::config::source::Place;
use crate::config::values::{Parsed, Problem, template};

/// A section and whose it is.
pub(in crate::config::resolve) struct Reader<'c, 'a> {
    /// The load.
    pub(in crate::config::resolve) context: &'c Context<'a>,
    /// The keys.
    pub(in crate::config::resolve) section: &'c Section<'a>,
    /// "service `echo`", "[defaults]".
    pub(in crate::config::resolve) owner: &'c str,
}

/// A text with its place.
pub(in crate::config::resolve) struct Item {
    /// The text; a number that was accepted for one as its digits.
    pub(in crate::config::resolve) text: String,
    /// Where it stands.
    pub(in crate::config::resolve) place: Place,
    /// True when it stands in quotes (and a patch needs them).
    pub(in crate::config::resolve) quoted: bool,
}

impl<'a> Reader<'_, 'a> {
    pub(in crate::config::resolve) fn entry(&self, key: Key) -> Option<Entry<'a>> {
        self.section.entry(key)
    }

    pub(in crate::config::resolve) fn written(&self, key: Key) -> bool {
        self.entry(key).is_some()
    }

    /// Reports a key that is missing, unless it is there and only misspelt.
    pub(in crate::config::resolve) fn report_missing(&self, keys: &[Key], problem: Diagnostic) {
        if !keys.iter().any(|key| self.section.is_misspelt(*key)) {
            self.report(problem);
        }
    }

    pub(in crate::config::resolve) fn report(&self, problem: Diagnostic) {
        self.context.report(problem);
    }

    /// "`timeout` in service `echo`"; a sub-key by the name of its table when that was written as a scalar.
    pub(in crate::config::resolve) fn subject(&self, key: Key) -> String {
        let name = key.info().name;
        let table = name
            .split_once('.')
            .and_then(|(table, _)| Key::of_service(table));
        let place = |key| self.entry(key).map(|entry| entry.key);
        let written = match table {
            Some(table) if place(table) == place(key) => table.info().name,
            _ => name,
        };
        format!("`{written}` in {}", self.owner)
    }

    /// Reports a number or a bool in quotes.
    fn refuse_quotes(&self, key: Key, entry: &Entry<'_>, bare: &str) {
        let title = format!("{} is written without quotes", self.subject(key));
        self.report(
            Diagnostic::error(Code::Type, entry.place(), title)
                .label("a string")
                .help(format!("write `{bare}`"))
                .patch(entry.place(), bare),
        );
    }

    /// Reports a refused value.
    pub(in crate::config::resolve) fn refuse(&self, key: Key, place: Place, problem: Problem) {
        self.report(self.refusal(Code::Value, key, place, problem));
    }

    fn refusal(&self, code: Code, key: Key, place: Place, problem: Problem) -> Diagnostic {
        let mut diagnostic = Diagnostic::error(
            code,
            place,
            format!("{} {}", self.subject(key), problem.what),
        );
        diagnostic.help = problem.help;
        match problem.instead {
            Some(text) => diagnostic.patch(place, serde_json::Value::from(text).to_string()),
            None => diagnostic,
        }
    }

    /// Reports a value of the wrong type; `wanted` finishes the sentence "write …".
    pub(in crate::config::resolve) fn refuse_type(
        &self,
        key: Key,
        entry: &Entry<'_>,
        wanted: &str,
    ) {
        let value = entry.value.get_ref();
        let problem =
            Problem::new(format!("cannot be {}", type_name(value))).help(format!("write {wanted}"));
        let place = entry.place();
        self.report(
            self.refusal(Code::Type, key, place, problem)
                .label(type_name(value)),
        );
    }

    pub(in crate::config::resolve) fn boolean(&self, key: Key) -> Option<bool> {
        let entry = self.entry(key)?;
        if let Some(flag) = entry.value.get_ref().as_bool() {
            return Some(flag);
        }
        let meant = match entry
            .value
            .get_ref()
            .as_str()
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            Some("yes" | "on" | "true" | "1") => Some(true),
            Some("no" | "off" | "false" | "0") => Some(false),
            _ => None,
        };
        match meant {
            Some(flag) => self.refuse_quotes(key, &entry, &flag.to_string()),
            None => self.refuse_type(key, &entry, "`true` or `false`"),
        }
        None
    }

    /// A string; `wanted` finishes "write …" when it is something else.
    pub(in crate::config::resolve) fn text_as(&self, key: Key, wanted: &str) -> Option<Item> {
        let entry = self.entry(key)?;
        let Some(text) = entry.value.get_ref().as_str() else {
            self.refuse_type(key, &entry, wanted);
            return None;
        };
        Some(Item {
            text: text.to_owned(),
            place: entry.place(),
            quoted: true,
        })
    }

    /// A string without NUL.
    pub(in crate::config::resolve) fn text(&self, key: Key) -> Option<Item> {
        let item = self.text_as(key, "a string in quotes")?;
        self.parsed(key, &item, template::without_nul)
            .map(|()| item)
    }

    /// A string, or a number for a name that may be one.
    pub(in crate::config::resolve) fn text_or_number(&self, key: Key) -> Option<Item> {
        let entry = self.entry(key)?;
        let item = self.scalar(key, &entry, entry.value.get_ref(), entry.place(), true)?;
        self.parsed(key, &item, template::without_nul)
            .map(|()| item)
    }

    fn scalar(
        &self,
        key: Key,
        entry: &Entry<'_>,
        value: &DeValue<'_>,
        place: Place,
        numbers: bool,
    ) -> Option<Item> {
        if let Some(text) = value.as_str() {
            return Some(Item {
                text: text.to_owned(),
                place,
                quoted: true,
            });
        }
        if let Some(number) = value
            .as_integer()
            .filter(|number| numbers && number.radix() == 10)
        {
            let text = number.as_str().to_owned();
            return Some(Item {
                text,
                place,
                quoted: false,
            });
        }
        let title = format!("{} cannot hold {}", self.subject(key), type_name(value));
        let takes_list = !matches!(key.info().kind, Kind::User | Kind::Group | Kind::Address);
        let help = if entry.value.get_ref().is_array() && takes_list {
            "write a list of strings in quotes"
        } else if takes_list {
            "write a string in quotes, or a list of them"
        } else {
            "write a string in quotes"
        };
        let problem = Diagnostic::error(Code::Type, place, title);
        self.report(problem.label(type_name(value)).help(help));
        None
    }

    /// A list of strings; a single string is a list of one. What is no string is reported and left out.
    pub(in crate::config::resolve) fn items(&self, key: Key, numbers: bool) -> Option<Vec<Item>> {
        let entry = self.entry(key)?;
        let value = entry.value.get_ref();
        let Some(array) = value.as_array() else {
            return self
                .scalar(key, &entry, value, entry.place(), numbers)
                .map(|item| vec![item]);
        };
        let place = |item: &toml::Spanned<DeValue<'_>>| Place::new(entry.key.file, item.span());
        let read = |item: &toml::Spanned<DeValue<'_>>| {
            self.scalar(key, &entry, item.get_ref(), place(item), numbers)
        };
        Some(array.iter().filter_map(read).collect())
    }

    /// A list in which each string is read by `parse`; refused ones are reported and left out.
    pub(in crate::config::resolve) fn list<T>(
        &self,
        key: Key,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Option<Vec<(T, Place)>> {
        let items = self.items(key, false)?;
        Some(
            items
                .iter()
                .filter_map(|item| {
                    self.parsed(key, item, &parse)
                        .map(|value| (value, item.place))
                })
                .collect(),
        )
    }

    /// What `parse` makes of the item; its refusal is reported.
    pub(in crate::config::resolve) fn parsed<T>(
        &self,
        key: Key,
        item: &Item,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Option<T> {
        match parse(&item.text) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.refuse(key, item.place, problem);
                None
            }
        }
    }

    /// An absolute path inside of what the program sees.
    pub(in crate::config::resolve) fn absolute_path(&self, key: Key) -> Option<String> {
        let item = self.text(key)?;
        self.parsed(key, &item, absolute).map(|()| item.text)
    }

    /// A path of the host; a relative one counts from the directory of the file.
    pub(in crate::config::resolve) fn path(&self, key: Key) -> Option<PathBuf> {
        let item = self.text(key)?;
        if item.text.is_empty() {
            self.refuse(
                key,
                item.place,
                Problem::new("is empty").help("write a path"),
            );
            return None;
        }
        Some(self.beside(&item))
    }

    /// The path of an item, relative to the directory of its file.
    pub(in crate::config::resolve) fn beside(&self, item: &Item) -> PathBuf {
        self.context
            .directory(item.place.file)
            .join(Path::new(&item.text))
    }
}

/// The refusal of a word that is none of `words`.
pub(in crate::config::resolve) fn unknown_word(text: &str, words: &[&str]) -> Problem {
    let problem = Problem::new(format!("cannot be `{}`", shown(text)));
    let longer = || {
        let begins = |word: &&str| text.len() >= 3 && word.starts_with(text);
        words.iter().copied().find(begins)
    };
    match nearest(text, words.iter().copied()).or_else(longer) {
        Some(near) => problem
            .help(format!("did you mean `\"{near}\"`?"))
            .instead(near),
        None => problem.help(format!("write one of {}", list(words.iter().copied()))),
    }
}

/// Refuses relative and empty paths.
pub(in crate::config::resolve) fn absolute(text: &str) -> Parsed<()> {
    if text.starts_with('/') {
        return template::without_nul(text);
    }
    Err(
        Problem::new(format!("is not an absolute path: `{}`", shown(text)))
            .help("write the path from `/` on"),
    )
}
