//! Words of other programs (LANGUAGE 4.8): answered with ours, never accepted.
//!
//! Invariant: pure; the value is translated where it and its siblings say enough, else only the key is named.

mod words;

use toml::de::{DeTable, DeValue};

use super::diagnostic::{Code, Diagnostic, shown};
use super::keys::Key;
use super::raw::{Owner, Value, Word};
use super::source::{FileId, Place};
use words::{Row, WORDS};

/// The answer to a word of another program, and the key of ours that was meant; `None`: it is no such word.
pub(super) fn answer(
    owner: &Owner<'_>,
    file: FileId,
    word: &Word<'_>,
    value: &Value<'_>,
    siblings: &DeTable<'_>,
) -> Option<(Diagnostic, &'static str)> {
    let row = row(word.get_ref())?;
    let meant = row.ours.split('`').nth(1).unwrap_or_default();
    let answer = if meant.is_empty() {
        row.ours.to_owned()
    } else {
        format!("is called {} here", row.ours)
    };
    let title = format!("`{}` in {} {answer}", shown(word.get_ref()), owner.shown());
    let place = Place::new(file, word.span());
    let problem =
        Diagnostic::error(Code::ForeignWord, place, title).label("a word of another program");
    if siblings.contains_key(meant) {
        let help = format!("`{meant}` is there already: leave this out");
        return Some((problem.help(help), meant));
    }
    // Several words of theirs make one of ours: the first one is replaced, the others go.
    let same =
        |other: &&Word<'_>| self::row(other.get_ref()).is_some_and(|other| other.ours == row.ours);
    let first = siblings
        .keys()
        .filter(same)
        .map(|other| other.span().start)
        .min();
    if first.is_some_and(|first| first < word.span().start) {
        let help = format!("it becomes part of the one {}", row.ours);
        return Some((problem.help(help), meant));
    }
    let written = (row.translate)(text_of(value).as_deref(), siblings);
    let same_line = value.span().start >= word.span().end;
    let problem = match written {
        Some(text) if same_line => {
            let line = Place::new(file, word.span().start..value.span().end);
            problem.help(row.help).patch(line, text)
        }
        Some(text) => problem.help(format!("{}: `{text}`", row.help)),
        None => problem.help(row.help),
    };
    Some((problem, meant))
}

fn row(word: &str) -> Option<&'static Row> {
    let plain = plain(word);
    WORDS.iter().find(|row| row.words.contains(&plain.as_str()))
}

/// Without case and punctuation: `server_args`, `ServerArgs`.
fn plain(word: &str) -> String {
    let letters = word.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|letter| letter.to_ascii_lowercase()).collect()
}

/// The sub-key that a word of another program means inside of a table of ours.
pub(super) fn part(table: Key, name: &str) -> Option<&'static str> {
    let plain = plain(name);
    let rows: &[(&str, &'static str)] = if table == Key::Limits {
        &[
            ("files", "open_files"),
            ("nofile", "open_files"),
            ("nproc", "processes"),
            ("cpu", "cpu_time"),
            ("as", "address_space"),
            ("fsize", "file_size"),
            ("memlock", "locked_memory"),
        ]
    } else if table == Key::Cgroup {
        &[
            ("memory", "memory_max"),
            ("tasks", "tasks_max"),
            ("pidsmax", "tasks_max"),
            ("cpu", "cpu_quota"),
            ("memoryswapmax", "swap_max"),
        ]
    } else {
        &[]
    };
    rows.iter()
        .find(|(theirs, _)| *theirs == plain)
        .map(|(_, ours)| *ours)
}

/// A scalar as the text that was meant; lists become words with blanks.
fn text_of(value: &Value<'_>) -> Option<String> {
    let value = value.get_ref();
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    if let Some(flag) = value.as_bool() {
        return Some(if flag { "yes" } else { "no" }.to_owned());
    }
    if let Some(number) = value.as_integer() {
        return (number.radix() == 10).then(|| number.as_str().to_owned());
    }
    let words: Option<Vec<&str>> = value
        .as_array()?
        .iter()
        .map(|item| item.get_ref().as_str())
        .collect();
    words.map(|words| words.join(" "))
}

/// What the value is, for messages about types.
pub(super) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys;
    use super::*;

    fn patch(text: &str, key: &str) -> Option<String> {
        let table = DeTable::parse(text).unwrap();
        let (word, value) = table
            .get_ref()
            .iter()
            .find(|(word, _)| word.get_ref() == key)
            .unwrap();
        let owner = Owner::Defaults;
        answer(&owner, 0, word, value, table.get_ref())
            .unwrap()
            .0
            .patch
            .map(|patch| patch.text)
    }

    #[test]
    fn values_are_translated() {
        for (text, key, expected) in [
            (
                "server = '/bin/x'\nserver_args = '-a b'",
                "server",
                Some(r#"command = "/bin/x -a b""#),
            ),
            (
                "port = 69\nprotocol = 'udp'",
                "port",
                Some(r#"listen = "udp:69""#),
            ),
            (
                "port = 69\nbind = '::1'",
                "port",
                Some(r#"listen = "[::1]:69""#),
            ),
            ("disable = 'yes'", "disable", Some("enabled = false")),
            ("disable = false", "disable", Some("enabled = true")),
            (
                "only_from = '10.0.0.0/8 ::1'",
                "only_from",
                Some(r#"allow = ["10.0.0.0/8", "::1"]"#),
            ),
            (
                "instances = 'UNLIMITED'",
                "instances",
                Some(r#"max_connections = "unlimited""#),
            ),
            (
                "cps = '50 10'",
                "cps",
                Some("rate = \"50/s\"\npause = \"10s\""),
            ),
            ("Accept = 'yes'", "Accept", Some("wait = false")),
            (
                "rlimit_as = '8M'",
                "rlimit_as",
                Some(r#"limits = { address_space = "8M" }"#),
            ),
            (
                "RuntimeMaxSec = 5",
                "RuntimeMaxSec",
                Some("timeout = \"5s\""),
            ),
            ("banner_fail = '/x'", "banner_fail", None),
            ("groups = 'no'", "groups", Some("supplementary_groups = []")),
        ] {
            assert_eq!(patch(text, key).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn no_foreign_word_is_one_of_ours() {
        let plain = |name: &str| name.replace('_', "");
        for word in WORDS.iter().flat_map(|row| row.words) {
            let ours = keys::names(false).find(|name| plain(name) == *word && *name == *word);
            assert_eq!(ours, None, "{word}");
        }
    }
}
