//! oxinetd.toml(5): the prose of its template, and the rows of the key table.

use std::fmt::Write;
use std::fs;

use oxinetd::config::keys::{self, Key, Scope};

/// Where each part of the service keys begins.
const PARTS: [(Key, &str); 7] = [
    (Key::Listen, "What it is"),
    (Key::User, "Who the program is, and what it finds"),
    (Key::Allow, "Who may come"),
    (Key::MaxConnections, "How many, how fast, how long"),
    (Key::Sandbox, "Confinement"),
    (Key::Backlog, "Sockets"),
    (Key::Log, "Log"),
];

pub(super) fn page() -> String {
    let template = fs::read_to_string(super::packaging("man/oxinetd.toml.5.in")).unwrap();
    let of_daemon = |key: &Key| key.info().scope == Scope::Daemon;
    let (daemon, service): (Vec<Key>, Vec<Key>) = keys::all().partition(of_daemon);
    let mut parts = String::new();
    for (number, key) in service.iter().enumerate() {
        if let Some((_, title)) = PARTS.iter().find(|(first, _)| first == key) {
            if number > 0 {
                parts.push_str(".El\n");
            }
            let _ = write!(parts, ".Ss {title}\n.Bl -tag -width Ds\n");
        }
        entry(&mut parts, *key);
    }
    parts.push_str(".El");
    let mut of_daemon = ".Bl -tag -width Ds\n".to_owned();
    for key in daemon {
        entry(&mut of_daemon, key);
    }
    of_daemon.push_str(".El");
    let page = template
        .split_once('\n')
        .map(|(_, rest)| {
            format!(".\\\" Made from the key table by `cargo test generated`.\n{rest}")
        })
        .unwrap()
        .replace("@SERVICE@", &parts)
        .replace("@DAEMON@", &of_daemon);
    wrapped(&page)
}

/// With lines of text of at most 80 characters, outside of literal blocks.
fn wrapped(page: &str) -> String {
    const WIDTH: usize = 80;
    let mut out = String::new();
    let mut literal = false;
    for line in page.lines() {
        literal = (literal || line.starts_with(".Bd")) && !line.starts_with(".Ed");
        let is_text = !literal && !line.starts_with('.');
        let mut length = 0;
        for (number, word) in line.split(' ').enumerate() {
            // A word in front must not look like a request.
            let breaks =
                is_text && length + 1 + word.len() > WIDTH && !word.starts_with(['.', '\'']);
            if number > 0 {
                out.push(if breaks { '\n' } else { ' ' });
            }
            length = if breaks {
                0
            } else {
                length + usize::from(number > 0)
            } + word.len();
            out.push_str(word);
        }
        out.push('\n');
    }
    out
}

fn entry(page: &mut String, key: Key) {
    let row = key.info();
    let _ = writeln!(
        page,
        ".It Ic {} Pq {}",
        row.name,
        macro_text(&row.kind.form())
    );
    let _ = writeln!(page, "{}.", sentence(row.meaning));
    if row.later {
        page.push_str("Reserved for a later version.\n");
    }
    if !["-", "required", "none"].contains(&row.default) {
        let _ = writeln!(page, "Default: {}.", prose(row.default));
    } else if row.default == "required" {
        page.push_str("Required.\n");
    }
    for (whose, words) in [("xinetd", row.xinetd), ("systemd", row.systemd)] {
        if words != "-" {
            let _ = writeln!(page, "In {whose}: {}.", prose(words));
        }
    }
}

fn sentence(text: &str) -> String {
    let text = prose(text);
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if first.is_lowercase() => first.to_uppercase().chain(letters).collect(),
        _ => text,
    }
}

/// Text that may stand in a line: nothing of it is a request, and words in backquotes are quoted.
fn prose(text: &str) -> String {
    let mut out = String::new();
    let mut open = false;
    for letter in text.chars() {
        match letter {
            '`' => {
                open = !open;
                out.push_str(if open { "\\(oq" } else { "\\(cq" });
            }
            '\\' => out.push_str("\\e"),
            '"' => out.push_str("\\(dq"),
            other => out.push(other),
        }
    }
    if out.starts_with(['.', '\'']) {
        out.insert_str(0, "\\&");
    }
    out
}

/// Text that may be the arguments of a macro, in one.
fn macro_text(text: &str) -> String {
    format!("\"{}\"", prose(text))
}
