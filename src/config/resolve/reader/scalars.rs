//! The typed readers: durations, rates, counts, sizes, words of a choice.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{Item, Reader, unknown_word};
use crate::config::diagnostic::shown;
use crate::config::keys::{Key, Kind};
use crate::config::raw::list;
use crate::config::values::{Problem, duration, mode, percent, rate, size, template};
use crate::service::{Rate, Template};

impl Reader<'_, '_> {
    /// `Some(None)` is `"off"`.
    #[expect(
        clippy::option_option,
        reason = "not written, off and a duration are three answers"
    )]
    pub(in crate::config::resolve) fn duration(&self, key: Key) -> Option<Option<Duration>> {
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
    pub(in crate::config::resolve) fn limited_duration(&self, key: Key) -> Option<Duration> {
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
    pub(in crate::config::resolve) fn rate(&self, key: Key) -> Option<Option<Rate>> {
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
    pub(in crate::config::resolve) fn count(&self, key: Key) -> Option<Option<NonZeroU32>> {
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
    pub(in crate::config::resolve) fn integer(&self, key: Key) -> Option<i64> {
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
    pub(in crate::config::resolve) fn size(&self, key: Key) -> Option<Option<u64>> {
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
    pub(in crate::config::resolve) fn choice<T: Copy, const N: usize>(
        &self,
        key: Key,
        values: [T; N],
    ) -> Option<T> {
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

    pub(in crate::config::resolve) fn mode(&self, key: Key) -> Option<u32> {
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

    pub(in crate::config::resolve) fn percent(&self, key: Key) -> Option<u32> {
        let item = self.text_as(key, "a percentage in quotes: `\"10%\"`")?;
        self.parsed(key, &item, percent::parse)
    }

    pub(in crate::config::resolve) fn template(&self, key: Key) -> Option<Template> {
        let item = self.text_as(key, "a string in quotes")?;
        self.parsed(key, &item, template::parse)
    }
}
