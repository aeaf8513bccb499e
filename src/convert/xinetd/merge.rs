//! Attributes of a block, and what a service inherits: xinetd's real rules, which differ from its manual.
//!
//! Lists come from the `defaults` that stood *before* the service, single values from all of them; the first of two single
//! values wins; a line with a wrong number of values is passed over.

use super::lexer::{Attribute, Block, Op};
use crate::convert::note::{Notes, Place};

/// How many values an attribute takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Exactly so many, once.
    Exactly(usize),
    /// Any number, once.
    Once,
    /// Any number, with `=`, `+=`, `-=`.
    List,
}

/// Name, class, allowed in a service, allowed in `defaults`.
const ATTRIBUTES: [(&str, Class, bool, bool); 46] = [
    ("socket_type", Class::Exactly(1), true, false),
    ("protocol", Class::Exactly(1), true, false),
    ("wait", Class::Exactly(1), true, false),
    ("user", Class::Exactly(1), true, false),
    ("group", Class::Exactly(1), true, false),
    ("server", Class::Exactly(1), true, false),
    ("server_args", Class::Once, true, false),
    ("instances", Class::Exactly(1), true, true),
    ("log_on_success", Class::List, true, true),
    ("log_on_failure", Class::List, true, true),
    ("log_type", Class::Once, true, true),
    ("only_from", Class::List, true, true),
    ("no_access", Class::List, true, true),
    ("access_times", Class::Once, true, false),
    ("type", Class::Once, true, false),
    ("rpc_version", Class::Exactly(1), true, false),
    ("rpc_number", Class::Exactly(1), true, false),
    ("id", Class::Exactly(1), true, false),
    ("env", Class::List, true, false),
    ("port", Class::Exactly(1), true, false),
    ("passenv", Class::List, true, true),
    ("flags", Class::Once, true, false),
    ("nice", Class::Exactly(1), true, false),
    ("redirect", Class::Exactly(2), true, false),
    ("banner", Class::Exactly(1), true, true),
    ("bind", Class::Exactly(1), true, true),
    ("per_source", Class::Exactly(1), true, true),
    ("groups", Class::Exactly(1), true, true),
    ("banner_success", Class::Exactly(1), true, true),
    ("banner_fail", Class::Exactly(1), true, true),
    ("cps", Class::Exactly(2), true, true),
    ("disable", Class::Exactly(1), true, false),
    ("max_load", Class::Exactly(1), true, true),
    ("rlimit_as", Class::Exactly(1), true, false),
    ("rlimit_cpu", Class::Exactly(1), true, false),
    ("rlimit_data", Class::Exactly(1), true, false),
    ("rlimit_rss", Class::Exactly(1), true, false),
    ("rlimit_stack", Class::Exactly(1), true, false),
    ("rlimit_files", Class::Exactly(1), true, false),
    ("v6only", Class::Exactly(1), true, true),
    ("deny_time", Class::Exactly(1), true, false),
    ("umask", Class::Exactly(1), true, true),
    ("mdns", Class::Exactly(1), true, true),
    ("libwrap", Class::Exactly(1), true, false),
    ("enabled", Class::List, false, true),
    ("disabled", Class::List, false, true),
];

/// Lists, and the banners, that a service copies when its block is opened.
const INHERITED: [&str; 8] = [
    "log_on_success",
    "log_on_failure",
    "only_from",
    "no_access",
    "passenv",
    "banner",
    "banner_success",
    "banner_fail",
];

/// Single values that are filled in at the end, from all `defaults`. `v6only` is not among them: there it does nothing.
const FILLED: [&str; 8] = [
    "instances",
    "umask",
    "per_source",
    "groups",
    "cps",
    "max_load",
    "bind",
    "log_type",
];

/// One word of a value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) place: Place,
}

/// The attributes that are in force.
#[derive(Clone, Debug, Default)]
pub(super) struct Record(Vec<(&'static str, Vec<Word>)>);

impl Record {
    /// The words of an attribute.
    pub(super) fn words(&self, name: &str) -> Option<&[Word]> {
        self.0
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, words)| words.as_slice())
    }

    /// The first, or only, word.
    pub(super) fn one(&self, name: &str) -> Option<&Word> {
        self.words(name)?.first()
    }

    /// Where the first of them stands.
    pub(super) fn place(&self) -> Option<&Place> {
        self.0
            .iter()
            .find_map(|(_, words)| words.first())
            .map(|w| &w.place)
    }

    fn slot(&mut self, name: &'static str) -> &mut Vec<Word> {
        let at = self.0.iter().position(|(n, _)| *n == name);
        let at = at.unwrap_or_else(|| {
            self.0.push((name, Vec::new()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    /// What a service has before its own lines.
    pub(super) fn inherited(defaults: &Self) -> Self {
        let rows = defaults
            .0
            .iter()
            .filter(|(name, _)| INHERITED.contains(name));
        Self(rows.cloned().collect())
    }

    /// Fills in what the service did not say itself.
    pub(super) fn fill(&mut self, defaults: &Self) {
        for (name, words) in &defaults.0 {
            if FILLED.contains(name) && self.words(name).is_none() {
                self.0.push((name, words.clone()));
            }
        }
    }

    /// Reads the lines of a block.
    pub(super) fn apply(&mut self, block: &Block, notes: &mut Notes) {
        let in_defaults = block.service.is_none();
        let mut written: Vec<&str> = if in_defaults {
            self.0.iter().map(|(n, _)| *n).collect()
        } else {
            Vec::new()
        };
        for attribute in &block.attributes {
            let name = if attribute.name == "interface" {
                "bind"
            } else {
                attribute.name.as_str()
            };
            let row = ATTRIBUTES.iter().find(|(n, ..)| *n == name);
            let Some((name, class, ..)) = row
                .filter(|(_, _, service, defaults)| if in_defaults { *defaults } else { *service })
            else {
                let known = if row.is_some() {
                    "has no place in this kind of block"
                } else {
                    "is unknown to xinetd"
                };
                let text = format!("`{}` {known}, which passes over the line", attribute.name);
                notes.note(&attribute.place, text);
                continue;
            };
            if let Err(text) =
                self.line(name, *class, attribute, in_defaults, written.contains(name))
            {
                notes.note(
                    &attribute.place,
                    format!("`{name}` {text}: xinetd passes over the line"),
                );
            } else {
                written.push(name);
            }
        }
    }

    fn line(
        &mut self,
        name: &'static str,
        class: Class,
        attribute: &Attribute,
        in_defaults: bool,
        written: bool,
    ) -> Result<(), String> {
        // In `defaults` the log type adds up, though it makes no sense.
        if class != Class::List {
            if written {
                return Err("was given before".to_owned());
            }
            if attribute.op != Op::Set && !(in_defaults && name == "log_type") {
                return Err("takes only `=`".to_owned());
            }
        }
        if let Class::Exactly(count) = class
            && attribute.values.len() != count
        {
            let hash = attribute.values.iter().any(|v| v.starts_with('#'));
            let comment = if hash {
                " (`#` begins no comment here)"
            } else {
                ""
            };
            return Err(format!(
                "takes {count} and not {} values{comment}",
                attribute.values.len()
            ));
        }
        let words = attribute.values.iter().map(|text| Word {
            text: text.clone(),
            place: attribute.place.clone(),
        });
        let slot = self.slot(name);
        match attribute.op {
            // In `defaults`, `=` on a list adds.
            Op::Set if class != Class::List || (!in_defaults && name != "env") => {
                *slot = words.collect();
            }
            Op::Set | Op::Add => slot.extend(words),
            Op::Remove => slot.retain(|w| {
                !attribute
                    .values
                    .iter()
                    .any(|v| v.eq_ignore_ascii_case(&w.text))
            }),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::Options;
    use crate::convert::files::{Memory, decode};
    use crate::convert::session::{Session, Source};
    use crate::convert::xinetd::lexer;

    fn words(text: &str, name: &str) -> (Option<String>, usize) {
        let options = Options::default();
        let files = Memory::default();
        let mut session = Session::new(&options, &files);
        let text = decode(text.as_bytes()).unwrap();
        let path = "/x".into();
        let (mut defaults, mut service) = (Record::default(), Record::default());
        for block in lexer::read(
            &mut session,
            &Source {
                path,
                text,
                listed: false,
            },
        ) {
            if block.service.is_none() {
                defaults.apply(&block, &mut session.notes);
            } else {
                service = Record::inherited(&defaults);
                service.apply(&block, &mut session.notes);
            }
        }
        service.fill(&defaults);
        let found = service.words(name);
        let shown = found.map(|w| {
            w.iter()
                .map(|w| w.text.as_str())
                .collect::<Vec<_>>()
                .join(" ")
        });
        (shown, session.notes.into_list().len())
    }

    #[test]
    fn inheritance_is_as_xinetd_does_it() {
        let d = |lines: &str| format!("defaults\n{{\n{lines}\n}}\n");
        let s = |lines: &str| format!("service a\n{{\n{lines}\n}}\n");
        for (text, name, expected, notes) in [
            (
                d("only_from = 1\nonly_from = 2") + &s("only_from += 3"),
                "only_from",
                Some("1 2 3"),
                0,
            ),
            (
                d("only_from = 1 2") + &s("only_from -= 1"),
                "only_from",
                Some("2"),
                0,
            ),
            (
                d("only_from = 1") + &s("only_from = 2"),
                "only_from",
                Some("2"),
                0,
            ),
            (
                d("only_from = 1") + &s("only_from ="),
                "only_from",
                Some(""),
                0,
            ),
            // Lists of a later `defaults` do not reach the service, single values do.
            (s("wait = no") + &d("only_from = 1"), "only_from", None, 0),
            (
                s("wait = no") + &d("instances = 5"),
                "instances",
                Some("5"),
                0,
            ),
            (
                d("instances = 5") + &d("instances = 6") + &s("wait = no"),
                "instances",
                Some("5"),
                1,
            ),
            (
                d("instances = 5") + &s("instances = 7"),
                "instances",
                Some("7"),
                0,
            ),
            (s("port = 1\nport = 2"), "port", Some("1"), 1),
            (s("bind = 10.0.0.1 ::1"), "bind", None, 1),
            (s("per_source = 10 # the maximum"), "per_source", None, 1),
            (s("interface = 10.0.0.1"), "bind", Some("10.0.0.1"), 0),
            (s("instances += 5"), "instances", None, 1),
            (s("env = A=1\nenv = B=2"), "env", Some("A=1 B=2"), 0),
            (d("server = /x") + &s("nonsense = 1"), "server", None, 2),
            (d("v6only = no") + &s("wait = no"), "v6only", None, 0),
        ] {
            assert_eq!(
                words(&text, name),
                (expected.map(str::to_owned), notes),
                "{text}"
            );
        }
    }
}
