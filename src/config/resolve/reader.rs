//! Typed reading of one section: a key in, a value of its type out.
//!
//! Invariant: a value that cannot be read is reported here, once, with the text to write, and then counts as not
//! written; so the resolvers see typed values only.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use super::Context;
use crate::config::diagnostic::{Code, Diagnostic, nearest, shown};
use crate::config::foreign::type_name;
use crate::config::keys::{Key, Kind};
use crate::config::raw::{Entry, Section, list};
use crate::config::source::Place;
use crate::config::values::{Parsed, Problem, duration, mode, percent, rate, size, template};
use crate::service::{Rate, Template};

/// A section and whose it is.
pub(super) struct Reader<'c, 'a> {
    /// The load.
    pub(super) context: &'c Context<'a>,
    /// The keys.
    pub(super) section: &'c Section<'a>,
    /// "service `echo`", "[defaults]".
    pub(super) owner: &'c str,
}

/// A text with its place.
pub(super) struct Item {
    /// The text; a number that was accepted for one as its digits.
    pub(super) text: String,
    /// Where it stands.
    pub(super) place: Place,
    /// True when it stands in quotes (and a patch needs them).
    pub(super) quoted: bool,
}

impl<'a> Reader<'_, 'a> {
    pub(super) fn entry(&self, key: Key) -> Option<Entry<'a>> {
        self.section.entry(key)
    }

    pub(super) fn written(&self, key: Key) -> bool {
        self.entry(key).is_some()
    }

    /// Reports a key that is missing, unless it is there and only misspelt.
    pub(super) fn report_missing(&self, keys: &[Key], problem: Diagnostic) {
        if !keys.iter().any(|key| self.section.is_misspelt(*key)) {
            self.report(problem);
        }
    }

    pub(super) fn report(&self, problem: Diagnostic) {
        self.context.report(problem);
    }

    /// "`timeout` in service `echo`"; a sub-key by the name of its table when that was written as a scalar.
    pub(super) fn subject(&self, key: Key) -> String {
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
    pub(super) fn refuse(&self, key: Key, place: Place, problem: Problem) {
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
    pub(super) fn refuse_type(&self, key: Key, entry: &Entry<'_>, wanted: &str) {
        let value = entry.value.get_ref();
        let problem =
            Problem::new(format!("cannot be {}", type_name(value))).help(format!("write {wanted}"));
        let place = entry.place();
        self.report(
            self.refusal(Code::Type, key, place, problem)
                .label(type_name(value)),
        );
    }

    pub(super) fn boolean(&self, key: Key) -> Option<bool> {
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
    pub(super) fn text_as(&self, key: Key, wanted: &str) -> Option<Item> {
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
    pub(super) fn text(&self, key: Key) -> Option<Item> {
        let item = self.text_as(key, "a string in quotes")?;
        self.parsed(key, &item, template::without_nul)
            .map(|()| item)
    }

    /// A string, or a number for a name that may be one.
    pub(super) fn text_or_number(&self, key: Key) -> Option<Item> {
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
    pub(super) fn items(&self, key: Key, numbers: bool) -> Option<Vec<Item>> {
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
    pub(super) fn list<T>(
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
    pub(super) fn parsed<T>(
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

    /// `Some(None)` is `"off"`.
    #[expect(
        clippy::option_option,
        reason = "not written, off and a duration are three answers"
    )]
    pub(super) fn duration(&self, key: Key) -> Option<Option<Duration>> {
        let entry = self.entry(key)?;
        if let Some(number) = entry.value.get_ref().as_integer() {
            self.refuse(
                key,
                entry.place(),
                duration::unit_missing(&number.to_string()),
            );
            return None;
        }
        if entry.value.get_ref().as_bool() == Some(false) {
            self.refuse(
                key,
                entry.place(),
                Problem::new("is switched off by a word")
                    .help("write `\"off\"`")
                    .instead("off"),
            );
            return None;
        }
        let item = self.text_as(
            key,
            "a duration in quotes: `\"30s\"`, `\"5min\"`, `\"off\"`",
        )?;
        self.parsed(key, &item, duration::parse)
    }

    /// A duration that cannot be off.
    pub(super) fn limited_duration(&self, key: Key) -> Option<Duration> {
        let duration = self.duration(key)?;
        if duration.is_none()
            && let Some(entry) = self.entry(key)
        {
            self.refuse(
                key,
                entry.place(),
                Problem::new("cannot be switched off").help("write a duration: `\"5s\"`"),
            );
        }
        duration
    }

    /// `Some(None)` is `"off"`.
    #[expect(
        clippy::option_option,
        reason = "not written, off and a rate are three answers"
    )]
    pub(super) fn rate(&self, key: Key) -> Option<Option<Rate>> {
        let entry = self.entry(key)?;
        if let Some(number) = entry.value.get_ref().as_integer() {
            self.refuse(key, entry.place(), rate::per_missing(&number.to_string()));
            return None;
        }
        let item = self.text_as(key, "a rate in quotes: `\"50/s\"`, `\"10/min\"`, `\"off\"`")?;
        self.parsed(key, &item, rate::parse)
    }

    /// `Some(None)` is `"unlimited"`.
    #[expect(
        clippy::option_option,
        reason = "not written, unlimited and a count are three answers"
    )]
    pub(super) fn count(&self, key: Key) -> Option<Option<NonZeroU32>> {
        let entry = self.entry(key)?;
        let value = entry.value.get_ref();
        let wanted = "a whole number from 1, or `\"unlimited\"`";
        if value.as_str() == Some("unlimited") {
            return Some(None);
        }
        if let Some(number) = value.as_integer() {
            let parsed = number
                .as_str()
                .parse::<u32>()
                .ok()
                .filter(|_| number.radix() == 10);
            return match parsed.map(NonZeroU32::new) {
                Some(Some(count)) => Some(Some(count)),
                Some(None) => {
                    let problem = Problem::new("cannot be 0")
                        .help("write `\"unlimited\"` for no limit; `enabled = false` switches a service off")
                        .instead("unlimited");
                    self.refuse(key, entry.place(), problem);
                    None
                }
                None => {
                    self.refuse(
                        key,
                        entry.place(),
                        Problem::new(format!("cannot be {number}")).help(format!("write {wanted}")),
                    );
                    None
                }
            };
        }
        match value.as_str() {
            Some(text) if text.parse::<NonZeroU32>().is_ok() => {
                self.refuse_quotes(key, &entry, text);
            }
            Some(text) => {
                let problem = Problem::new(format!("is not a count: `{}`", shown(text)))
                    .help(format!("write {wanted}"));
                self.refuse(key, entry.place(), problem);
            }
            None => self.refuse_type(key, &entry, wanted),
        }
        None
    }

    /// A whole number in the range of the key table.
    pub(super) fn integer(&self, key: Key) -> Option<i64> {
        let entry = self.entry(key)?;
        let Kind::Integer(low, high) = key.info().kind else {
            return None;
        };
        let value = entry.value.get_ref();
        if let Some(text) = value.as_str()
            && text
                .parse::<i64>()
                .is_ok_and(|number| (low..=high).contains(&number))
        {
            self.refuse_quotes(key, &entry, text);
            return None;
        }
        let Some(number) = value.as_integer() else {
            self.refuse_type(
                key,
                &entry,
                &format!("a whole number from {low} to {high}, without quotes"),
            );
            return None;
        };
        let parsed = i64::from_str_radix(number.as_str(), number.radix()).ok();
        if parsed.is_none_or(|parsed| !(low..=high).contains(&parsed)) {
            let problem = Problem::new(format!("cannot be {}", shown(&number.to_string())));
            self.refuse(
                key,
                entry.place(),
                problem.help(format!("write a whole number from {low} to {high}")),
            );
            return None;
        }
        parsed
    }

    /// Bytes; `Some(None)` is `"unlimited"`.
    #[expect(
        clippy::option_option,
        reason = "not written, unlimited and a size are three answers"
    )]
    pub(super) fn size(&self, key: Key) -> Option<Option<u64>> {
        let entry = self.entry(key)?;
        let item = match entry.value.get_ref().as_integer() {
            Some(number) if number.radix() == 10 => Item {
                text: number.as_str().to_owned(),
                place: entry.place(),
                quoted: false,
            },
            _ => self.text_as(key, "a size: `\"64KiB\"`, `\"64M\"` or a number of bytes")?,
        };
        let zero_allowed = matches!(key.info().kind, Kind::Size { zero: true });
        let size = self.parsed(key, &item, size::parse)?;
        if size == Some(0) && !zero_allowed {
            let problem = Problem::new("cannot be 0")
                .help("write `\"unlimited\"` for no limit")
                .instead("unlimited");
            self.refuse(key, item.place, problem);
            return None;
        }
        Some(size)
    }

    /// One of the words of the key table, as the value at the same position.
    pub(super) fn choice<T: Copy, const N: usize>(&self, key: Key, values: [T; N]) -> Option<T> {
        let entry = self.entry(key)?;
        let Kind::Choice(words) = key.info().kind else {
            return None;
        };
        let Some(text) = entry.value.get_ref().as_str() else {
            self.refuse_type(
                key,
                &entry,
                &format!("one of {} in quotes", list(words.iter().copied())),
            );
            return None;
        };
        let position = words.iter().position(|word| *word == text);
        if position.is_none() {
            self.refuse(key, entry.place(), unknown_word(text, words));
        }
        values.get(position?).copied()
    }

    pub(super) fn mode(&self, key: Key) -> Option<u32> {
        let entry = self.entry(key)?;
        if let Some(number) = entry.value.get_ref().as_integer() {
            let digits = if number.radix() == 10 || number.radix() == 8 {
                number.as_str()
            } else {
                ""
            };
            self.refuse(key, entry.place(), mode::quotes_missing(digits));
            return None;
        }
        let item = self.text_as(key, "an octal string: `\"0660\"`")?;
        self.parsed(key, &item, mode::parse)
    }

    pub(super) fn percent(&self, key: Key) -> Option<u32> {
        let item = self.text_as(key, "a percentage in quotes: `\"10%\"`")?;
        self.parsed(key, &item, percent::parse)
    }

    pub(super) fn template(&self, key: Key) -> Option<Template> {
        let item = self.text_as(key, "a string in quotes")?;
        self.parsed(key, &item, template::parse)
    }

    /// An absolute path inside of what the program sees.
    pub(super) fn absolute_path(&self, key: Key) -> Option<String> {
        let item = self.text(key)?;
        self.parsed(key, &item, absolute).map(|()| item.text)
    }

    /// A path of the host; a relative one counts from the directory of the file.
    pub(super) fn path(&self, key: Key) -> Option<PathBuf> {
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
    pub(super) fn beside(&self, item: &Item) -> PathBuf {
        self.context
            .directory(item.place.file)
            .join(Path::new(&item.text))
    }
}

/// The refusal of a word that is none of `words`.
pub(super) fn unknown_word(text: &str, words: &[&str]) -> Problem {
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
pub(super) fn absolute(text: &str) -> Parsed<()> {
    if text.starts_with('/') {
        return template::without_nul(text);
    }
    Err(
        Problem::new(format!("is not an absolute path: `{}`", shown(text)))
            .help("write the path from `/` on"),
    )
}
