//! What is in force and where it was written, for `show` and `try`: the keys of a section after the defaults.
//!
//! Invariant: the text of a value means here what it means in its file: relative paths have become absolute.

use std::path::Path;

use toml::Spanned;
use toml::de::DeValue;

use super::Context;
use crate::config::diagnostic::shown;
use crate::config::keys::{self, Key, Kind, Scope};
use crate::config::raw::{Entry, Section};
use crate::config::source::Place;
use crate::service::Origin;

/// A section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The service; `None`: `[daemon]`.
    pub name: Option<String>,
    /// What is written, in the order of the key table.
    pub values: Vec<Value>,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Its key.
    pub key: Key,
    /// The key as it may be written: `limits.core`, `env.HOME`.
    pub word: String,
    /// The value in TOML, on one line.
    pub text: String,
    /// Where.
    pub origin: Origin,
    /// `[defaults]` has it.
    pub inherited: bool,
    /// The strings of a list, each with its place; of a single string that alone.
    pub items: Vec<(String, Origin)>,
}

/// The section of a service, or that of the daemon.
pub(super) fn section(context: &Context<'_>, name: Option<&str>, section: &Section<'_>) -> Written {
    let fits = |key: &Key| (key.info().scope == Scope::Daemon) == name.is_none();
    let mut values = Vec::new();
    for key in keys::all().filter(fits) {
        if key == Key::Env {
            for (variable, entry) in &section.env {
                values.push(value(
                    context,
                    key,
                    format!("env.{}", bare(variable)),
                    entry,
                ));
            }
        } else if let Some(entry) = section.entry(key)
            && let Some(word) = word(section, key, &entry)
        {
            values.push(value(context, key, word, &entry));
        }
    }
    Written {
        name: name.map(str::to_owned),
        values,
    }
}

/// How the key is written; `None`: other keys say it.
fn word(section: &Section<'_>, key: Key, entry: &Entry<'_>) -> Option<String> {
    let name = key.info().name;
    let written: Vec<Key> = key
        .parts()
        .filter(|part| section.entry(*part).is_some())
        .collect();
    if let Kind::Table { .. } = key.info().kind {
        // A table by its parts; a scalar that stands for one of them by that part, or by the name of the table where it
        // is the only one.
        return (written.is_empty() && !entry.value.get_ref().is_table()).then(|| name.to_owned());
    }
    let Some((table, _)) = name.split_once('.') else {
        return Some(name.to_owned());
    };
    let table = Key::of_service(table)?;
    let is_scalar =
        matches!(table.info().kind, Kind::Table { scalar: Some(scalar), .. } if scalar == key);
    let is_alone = table
        .parts()
        .filter(|part| section.entry(*part).is_some())
        .count()
        == 1;
    Some(if is_scalar && is_alone {
        table.info().name.to_owned()
    } else {
        name.to_owned()
    })
}

fn value(context: &Context<'_>, key: Key, word: String, entry: &Entry<'_>) -> Value {
    let directory = context.directory(entry.key.file);
    let place = |span: std::ops::Range<usize>| context.origin(Place::new(entry.key.file, span));
    let value = entry.value.get_ref();
    let of_string = |item: &Spanned<DeValue<'_>>| {
        let text = item.get_ref().as_str()?;
        Some((absolute(key, text, directory), place(item.span())))
    };
    let items = match value.as_array() {
        Some(array) => array.iter().filter_map(of_string).collect(),
        None => of_string(entry.value).into_iter().collect(),
    };
    Value {
        key,
        word,
        text: text(key, value, directory),
        origin: context.origin(entry.key),
        inherited: entry.inherited,
        items,
    }
}

/// The value on one line of TOML.
fn text(key: Key, value: &DeValue<'_>, directory: &Path) -> String {
    match value {
        DeValue::String(text) => quoted(&absolute(key, text, directory)),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(array) => {
            let items: Vec<String> = array
                .iter()
                .map(|item| text(key, item.get_ref(), directory))
                .collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(table) => {
            let items: Vec<String> = table
                .iter()
                .map(|(name, item)| {
                    format!(
                        "{} = {}",
                        bare(name.get_ref()),
                        text(key, item.get_ref(), directory)
                    )
                })
                .collect();
            format!("{{ {} }}", items.join(", "))
        }
    }
}

/// The text with the directory of its file before a relative path.
fn absolute(key: Key, text: &str, directory: &Path) -> String {
    let joined = |path: &str| directory.join(path).to_string_lossy().into_owned();
    let kind = key.info().kind;
    if let Some(list) = text.strip_prefix('@') {
        return if kind == Kind::Prefixes || key == Key::Banner {
            format!("@{}", joined(list))
        } else {
            text.to_owned()
        };
    }
    if kind == Kind::Path && !text.is_empty() && text != "off" {
        return joined(text);
    }
    text.to_owned()
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    // JSON leaves DEL alone, TOML does not.
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007F")
}

/// A key without quotes where it may go without.
pub(in crate::config) fn bare(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if !name.is_empty() && name.bytes().all(plain) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// `/etc/oxinetd.toml:4`.
pub fn place(origin: &Origin) -> String {
    format!("{}:{}", shown(&origin.file.to_string_lossy()), origin.line)
}
