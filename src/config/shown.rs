//! `show`: the table that is in force, as a table, each value with its origin behind it.
//!
//! Invariant: what is printed is a table that means the same: built-in values are comments, included files stand in
//! place of `include`.

use std::fmt::Write as _;

use super::keys::{self, Key, Scope};
use super::resolve::written::{self, Value, Written};
use crate::service::Service;

/// Where the comments begin.
const COLUMN: usize = 40;

/// A section of `written`; `service` is what it means.
pub fn section(written: &Written, service: Option<&Service>) -> String {
    let mut text = match &written.name {
        Some(name) => format!("[service.{}]\n", written::bare(name)),
        None => "[daemon]\n".to_owned(),
    };
    let fits = |key: &Key| (key.info().scope == Scope::Daemon) == written.name.is_none();
    for key in keys::all().filter(fits) {
        let values: Vec<&Value> = written
            .values
            .iter()
            .filter(|value| value.key == key)
            .collect();
        for value in &values {
            let defaults = if value.inherited { " [defaults]" } else { "" };
            let mut comment = format!("{}{defaults}", written::place(&value.origin));
            if let Some(meaning) = service.and_then(|service| meaning(key, service)) {
                let _ = write!(comment, ": {meaning}");
            }
            if elsewhere(key) {
                line(
                    &mut text,
                    &format!("#{} = {}", value.word, value.text),
                    &format!("{comment}: what it names stands below"),
                );
            } else {
                line(
                    &mut text,
                    &format!("{} = {}", value.word, value.text),
                    &comment,
                );
            }
        }
        if values.is_empty() {
            built_in(&mut text, written, key);
        }
        if key == Key::Include {
            line(&mut text, "include = []", "what it names stands below");
        }
    }
    text
}

/// What other files hold is part of the output.
fn elsewhere(key: Key) -> bool {
    matches!(key, Key::Include | Key::InetdConf)
}

/// The default of a key that nobody has written, as a comment.
fn built_in(text: &mut String, written: &Written, key: Key) {
    let row = key.info();
    let is_part = row.name.contains('.');
    let by_parts = || {
        let mut words = written.values.iter().map(|value| value.key);
        words.any(|other| key.parts().any(|part| part == other))
    };
    if row.later || is_part || ["-", "required"].contains(&row.default) || by_parts() {
        return;
    }
    line(
        text,
        &format!("#{} = {}", row.name, row.default),
        "built in",
    );
}

/// What a value has become.
fn meaning(key: Key, service: &Service) -> Option<String> {
    const MOST: usize = 4;
    if key == Key::Listen {
        let listen = &service.listen;
        let mut names: Vec<String> = listen.iter().take(MOST).map(ToString::to_string).collect();
        if listen.len() > MOST {
            names.push(format!("{} more", listen.len() - MOST));
        }
        return Some(names.join(", "));
    }
    let identity = service.process.identity.as_ref();
    (key == Key::User).then(|| match identity {
        Some(identity) => format!("uid {}, gid {}", identity.uid, identity.gid),
        None => "passed over, the daemon is not root".to_owned(),
    })
}

fn line(text: &mut String, words: &str, comment: &str) {
    let _ = writeln!(text, "{words:<COLUMN$} # {comment}");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::fake::FakeWorld;
    use crate::config::{Format, Loaded, Main, explain};
    use crate::service::Origin;

    fn explained(text: &str) -> Loaded {
        let mut world = FakeWorld::default();
        for list in ["/etc/oxinetd/scanners.txt", "/etc/lists/x"] {
            world
                .files
                .insert(list.into(), b"203.0.113.0/24\n".to_vec());
        }
        let main = Main::Text {
            name: "/etc/x.toml",
            text,
        };
        explain(&main, &world.host(0))
    }

    fn all(loaded: &Loaded) -> String {
        let table = loaded
            .table
            .as_ref()
            .unwrap_or_else(|| panic!("{}", loaded.report.render(Format::Short)));
        let services = std::iter::once(None)
            .chain(table.services.iter().map(|service| Some(service.as_ref())));
        let sections = loaded.written.iter().zip(services);
        sections
            .map(|(written, service)| section(written, service) + "\n")
            .collect()
    }

    /// The services without their places.
    fn services(loaded: &Loaded) -> Vec<Service> {
        let nowhere = Origin {
            file: "x".into(),
            line: 0,
        };
        let table = loaded.table.as_ref().unwrap();
        let services = table.services.iter();
        services
            .map(|service| Service {
                origin: nowhere.clone(),
                ..service.as_ref().clone()
            })
            .collect()
    }

    #[test]
    fn what_is_shown_means_the_same() {
        let tables = ["tests/data/config/good", "etc/oxinetd.d"].map(|directory| {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
            std::fs::read_dir(directory)
                .unwrap()
                .map(|entry| entry.unwrap().path())
        });
        let mut compared = 0;
        for path in tables.into_iter().flatten() {
            let text = std::fs::read_to_string(&path).unwrap();
            let loaded = explained(&text);
            // What the made-up host lacks, or this version, is no matter of this test.
            let Some(_) = &loaded.table else { continue };
            let shown = all(&loaded);
            let again = explained(&shown);
            assert_eq!(
                again.report.render(Format::Short),
                loaded
                    .report
                    .render(Format::Short)
                    .lines()
                    .filter(|_| false)
                    .collect::<String>(),
                "{shown}"
            );
            assert_eq!(services(&again), services(&loaded), "{shown}");
            compared += 1;
        }
        assert!(compared > 5, "{compared}");
    }

    #[test]
    fn every_value_has_its_origin() {
        let shown = all(&explained(
            "[defaults]\nuser = \"git\"\nlimits = { core = 0 }\nenv = { A = \"1\" }\ndeny = \"@lists/x\"\n\
             [service.\"a.b\"]\nlisten = \"localhost:7007\"\ncommand = '''/bin/x 'a b' '''\nlimits.open_files = 0x10\nenv = { \"B C\" = \"\\u007f\\n\" }\nlinger = \"off\"\nmax_load = 1.5\n",
        ));
        let line = |start: &str| {
            let found = shown.lines().find(|line| line.starts_with(start));
            let words: Vec<&str> = found
                .unwrap_or_else(|| panic!("{start}: {shown}"))
                .split_whitespace()
                .collect();
            words.join(" ")
        };
        for (start, expected) in [
            ("[service", "[service.\"a.b\"]"),
            ("include", "include = [] # what it names stands below"),
            (
                "listen",
                "listen = \"localhost:7007\" # /etc/x.toml:7: tcp 127.0.0.1:7007, tcp [::1]:7007",
            ),
            ("command", "command = \"/bin/x 'a b' \" # /etc/x.toml:8"),
            (
                "user",
                "user = \"git\" # /etc/x.toml:2 [defaults]: uid 101, gid 101",
            ),
            ("limits.core", "limits.core = 0 # /etc/x.toml:3 [defaults]"),
            (
                "limits.open_files",
                "limits.open_files = 0x10 # /etc/x.toml:9",
            ),
            ("env.A", "env.A = \"1\" # /etc/x.toml:4 [defaults]"),
            ("env.\"B", "env.\"B C\" = \"\\u007F\\n\" # /etc/x.toml:10"),
            (
                "deny",
                "deny = \"@/etc/lists/x\" # /etc/x.toml:5 [defaults]",
            ),
            ("linger", "linger = \"off\" # /etc/x.toml:11"),
            ("max_load", "max_load = 1.5 # /etc/x.toml:12"),
            (
                "#max_connections = 256",
                "#max_connections = 256 # built in",
            ),
            ("#log_level", "#log_level = \"info\" # built in"),
        ] {
            assert_eq!(line(start), expected);
        }
        assert!(!shown.contains("#limits"), "{shown}");
    }
}
