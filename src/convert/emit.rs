//! Entries to TOML: the layout of a converted table.
//!
//! Invariant: the output parses, every entry appears in it once under a valid and unique name, its original stands
//! above it as a comment, and every output line of an entry is mapped to its first line in the original.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use super::entry::{Entry, Leftover, Value};
use super::note::{Place, printable};

/// A finished table.
#[derive(Debug, Default)]
pub(super) struct Emitted {
    /// The text.
    pub(super) toml: String,
    /// For each line of the text the place in the original, if it has one.
    pub(super) origins: Vec<Option<Place>>,
    /// For each line of the text the index of its entry, if it belongs to one.
    pub(super) owners: Vec<Option<usize>>,
    /// The names that the entries got.
    pub(super) names: Vec<String>,
}

/// Keys whose most common value moves to `[defaults]` when every entry has one; else the format's own value stands
/// there, which an entry without the key means.
const SHARED: [&str; 8] = [
    "sandbox",
    "stderr",
    "max_connections",
    "max_per_source",
    "over_limit",
    "rate",
    "pause",
    "log",
];

/// Keys whose absence means something: they move to `[defaults]` only when all entries agree.
const UNANIMOUS: [&str; 7] = [
    "supplementary_groups",
    "umask",
    "pass_env",
    "allow",
    "deny",
    "log_to",
    "max_load",
];

/// The order of keys within a service: what, who, who may come, how many, the rest.
const ORDER: [&str; 45] = [
    "listen",
    "command",
    "argv0",
    "builtin",
    "allow_reflection",
    "redirect",
    "enabled",
    "description",
    "wait",
    "user",
    "group",
    "supplementary_groups",
    "working_directory",
    "root_directory",
    "umask",
    "nice",
    "env",
    "pass_env",
    "stdio",
    "stderr",
    "sandbox",
    "allow",
    "deny",
    "hours",
    "max_load",
    "max_connections",
    "max_per_source",
    "rate",
    "rate_per_source",
    "over_limit",
    "pause",
    "refuse_message",
    "banner",
    "timeout",
    "stop_timeout",
    "limits",
    "cgroup",
    "backlog",
    "dual_stack",
    "keepalive",
    "nodelay",
    "socket_user",
    "socket_group",
    "socket_mode",
    "log",
];

/// Writes the table. `head` becomes its first comment; `baseline` is what the old server did for every service; the
/// leftovers are in the order of their places.
pub(super) fn emit(
    head: &[String],
    baseline: &[(&'static str, Value)],
    entries: &[Entry],
    leftovers: &[Leftover],
) -> Emitted {
    let mut out = Writer::default();
    for line in head {
        out.comment(line, None);
    }
    let defaults = defaults(baseline, entries);
    if !defaults.is_empty() {
        out.line("", None);
        out.line("[defaults]", None);
        for (key, value) in &defaults {
            out.line(&format!("{key} = {}", literal(value)), None);
        }
    }
    let mut names = Names::default();
    let mut in_order = Vec::with_capacity(entries.len());
    let mut leftovers = leftovers.iter().peekable();
    for (index, entry) in entries.iter().enumerate() {
        while let Some(leftover) = leftovers.next_if(|l| l.before <= index) {
            out.leftover(leftover);
        }
        out.owner = Some(index);
        let name = names.unique(entry);
        out.entry(&name, entry, &defaults);
        out.owner = None;
        in_order.push(name);
    }
    leftovers.for_each(|leftover| out.leftover(leftover));
    Emitted {
        toml: out.text,
        origins: out.origins,
        owners: out.owners,
        names: in_order,
    }
}

/// What all services have in common.
fn defaults(baseline: &[(&'static str, Value)], entries: &[Entry]) -> Vec<(&'static str, Value)> {
    let mut keys: Vec<&'static str> = baseline.iter().map(|(k, _)| *k).collect();
    for key in SHARED.into_iter().chain(UNANIMOUS) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let mut list = Vec::new();
    for key in keys {
        let values: Vec<&Value> = entries.iter().filter_map(|e| e.get(key)).collect();
        let of_format = baseline.iter().find(|(k, _)| *k == key).map(|(_, v)| v);
        let everywhere = values.len() == entries.len() && !entries.is_empty();
        let value = if UNANIMOUS.contains(&key) {
            let first = values.first().copied();
            first.filter(|f| everywhere && entries.len() > 1 && values.iter().all(|v| v == f))
        } else if SHARED.contains(&key) && everywhere {
            most_common(&values)
        } else {
            of_format
        };
        if let Some(value) = value {
            list.push((key, value.clone()));
        }
    }
    list
}

/// The first of the most frequent values.
fn most_common<'a>(values: &[&'a Value]) -> Option<&'a Value> {
    let mut counts: Vec<(&Value, usize)> = Vec::new();
    for value in values {
        let room = counts.len() < 64;
        match counts.iter_mut().find(|(v, _)| v == value) {
            Some((_, n)) => *n += 1,
            // Every entry may have an access list of its own; only the usual few values can win.
            None if room => counts.push((value, 1)),
            None => {}
        }
    }
    let most = counts.iter().map(|(_, n)| *n).max()?;
    counts.iter().find(|(_, n)| *n == most).map(|(v, _)| *v)
}

/// The names that are taken.
#[derive(Default)]
struct Names {
    taken: HashSet<String>,
    /// For each base the number that comes next: counting from 2 each time would take quadratic time.
    next: HashMap<String, u32>,
}

impl Names {
    /// A valid name that no other entry has: NAME, NAME-tcp6, NAME-2, …
    fn unique(&mut self, entry: &Entry) -> String {
        const LONGEST: usize = 64;
        let valid = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
        let chars = entry.name.chars().map(|c| if valid(c) { c } else { '_' });
        let mut base: String = chars.take(LONGEST - 16).collect();
        if !base.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            base.insert(0, '_');
        }
        let mut name = base.clone();
        if self.taken.contains(&name) && !entry.variant.is_empty() {
            name = format!("{base}-{}", entry.variant);
        }
        while self.taken.contains(&name) {
            let next = self.next.entry(base.clone()).or_insert(2);
            name = format!("{base}-{next}");
            *next += 1;
        }
        self.taken.insert(name.clone());
        name
    }
}

#[derive(Default)]
struct Writer {
    text: String,
    origins: Vec<Option<Place>>,
    owners: Vec<Option<usize>>,
    /// The entry that is being written.
    owner: Option<usize>,
}

impl Writer {
    fn line(&mut self, text: &str, origin: Option<&Place>) {
        self.text.push_str(text);
        self.text.push('\n');
        self.origins.push(origin.cloned());
        self.owners.push(self.owner);
    }

    fn comment(&mut self, text: &str, origin: Option<&Place>) {
        let text = format!("# {}", printable(text));
        self.line(text.trim_end(), origin);
    }

    /// Where it stood and how it read.
    fn original(&mut self, title: &str, lines: &[String], place: &Place) {
        self.line("", None);
        self.comment(title, Some(place));
        for line in lines {
            self.comment(&format!("  {}", line.trim()), Some(place));
        }
    }

    fn leftover(&mut self, leftover: &Leftover) {
        let title = format!("{}: left out: {}", leftover.place, leftover.text);
        self.original(&title, &leftover.original, &leftover.place);
    }

    fn entry(&mut self, name: &str, entry: &Entry, defaults: &[(&'static str, Value)]) {
        let place = Some(&entry.place);
        self.original(&entry.place.to_string(), &entry.original, &entry.place);
        // A dot is part of the name, not a path of keys.
        let bare = name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
        let shown = if bare { name.to_owned() } else { quoted(name) };
        self.line(&format!("[service.{shown}]"), place);
        let mut keys: Vec<(&str, Value)> =
            entry.keys().iter().map(|(k, v)| (*k, v.clone())).collect();
        if !entry.enabled {
            keys.push(("enabled", Value::Bool(false)));
        }
        keys.sort_by_key(|(key, _)| ORDER.iter().position(|k| k == key).unwrap_or(ORDER.len()));
        for (key, value) in keys {
            if !defaults.iter().any(|(k, v)| *k == key && *v == value) {
                self.line(&format!("{key} = {}", literal(&value)), place);
            }
        }
    }
}

/// A value as TOML.
fn literal(value: &Value) -> String {
    match value {
        Value::Text(text) => quoted(text),
        Value::Number(number) => number.to_string(),
        Value::Float(text) => text.clone(),
        Value::Bool(value) => value.to_string(),
        Value::List(list) => {
            let items: Vec<String> = list.iter().map(|s| quoted(s)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(rows) => {
            let bare = |k: &str| {
                !k.is_empty()
                    && k.chars()
                        .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
            };
            let items: Vec<String> = rows
                .iter()
                .map(|(k, v)| {
                    let key = if bare(k) { k.clone() } else { quoted(k) };
                    format!("{key} = {}", literal(v))
                })
                .collect();
            format!("{{ {} }}", items.join(", "))
        }
    }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn entry(name: &str, variant: &str, rate: &str) -> Entry {
        let mut e = Entry::new(name, &Place::new(&std::rc::Rc::from(Path::new("f")), 7));
        e.variant = variant.to_owned();
        e.set("rate", rate);
        e
    }

    #[test]
    fn strings_survive_the_round_trip() {
        for text in [
            "",
            "a\"b\\c",
            "x\u{1}\u{7f}\u{85}y\r\n\t",
            "grüße %{id} 'q' #",
        ] {
            let table: toml::Table = format!("a = {}", quoted(text)).parse().unwrap();
            assert_eq!(table["a"].as_str(), Some(text));
        }
    }

    #[test]
    fn names_are_valid_and_unique() {
        let mut names = Names::default();
        let mut name = |n: &str, v: &str| names.unique(&entry(n, v, "off"));
        assert_eq!(name("echo", "tcp"), "echo");
        assert_eq!(name("echo", "udp"), "echo-udp");
        assert_eq!(name("echo", "udp"), "echo-2");
        assert_eq!(name("/run/a b", ""), "_run_a_b");
        assert_eq!(name("", ""), "_");
        assert_eq!(name("-x", ""), "_-x");
        assert!(name(&"n".repeat(500), "").len() <= 64);
    }

    #[test]
    fn the_common_value_stands_in_defaults_and_others_in_their_service() {
        let list = [
            entry("a", "", "5/s"),
            entry("b", "", "5/s"),
            entry("c", "", "9/s"),
        ];
        let out = emit(&[], &[("sandbox", "none".into())], &list, &[]);
        let table: toml::Table = out.toml.parse().unwrap();
        assert_eq!(table["defaults"]["rate"].as_str(), Some("5/s"));
        assert_eq!(table["service"]["a"].get("rate"), None);
        assert_eq!(table["service"]["c"]["rate"].as_str(), Some("9/s"));
        assert_eq!(out.toml.lines().count(), out.origins.len());
    }

    #[test]
    fn an_entry_without_a_key_keeps_the_value_of_its_format() {
        let bare = Entry::new("b", &Place::file(Path::new("f")));
        let out = emit(
            &[],
            &[("rate", "256/min".into())],
            &[entry("a", "", "5/s"), bare],
            &[],
        );
        let table: toml::Table = out.toml.parse().unwrap();
        assert_eq!(table["defaults"]["rate"].as_str(), Some("256/min"));
        assert_eq!(table["service"]["a"]["rate"].as_str(), Some("5/s"));
    }

    #[test]
    fn every_line_of_an_entry_knows_its_origin() {
        let leftover = Leftover {
            before: 0,
            place: entry("b", "", "").place,
            original: vec!["b".into()],
            text: "no".into(),
        };
        let out = emit(&["head".into()], &[], &[entry("a", "", "off")], &[leftover]);
        let mut lines = out.toml.lines().zip(&out.origins).zip(&out.owners);
        assert!(lines.any(|((line, _), _)| line == "# f:7: left out: no"));
        for ((line, origin), owner) in lines {
            let expected = line.contains("service") || line == "# f:7";
            assert_eq!(origin.is_some(), expected || line == "#   b", "{line}");
            assert_eq!(owner.is_some(), expected || line.is_empty(), "{line}");
        }
    }
}
