//! Which files make the table: the main one, what it includes, in which order, and their text.
//!
//! Invariant: every file is read once, from one descriptor, which is also the one that is trusted; nothing here blocks,
//! and no file may be larger than [`LARGEST`].

use std::io;
use std::path::{Path, PathBuf};

use super::diagnostic::{Code, Diagnostic, shown};
use super::source::{Place, SourceFile};
use super::trust;
use super::world::{Host, Opened};

/// 4 MiB.
pub(super) const LARGEST: usize = 4 << 20;

/// A file that may be parsed, or `None` with its problems told.
pub(super) fn read(
    host: &Host<'_>,
    path: &Path,
    lenient: bool,
    asked_at: Option<Place>,
    problems: &mut Vec<Diagnostic>,
) -> Option<SourceFile> {
    let mut refuse = |what: String, help: &str| {
        let title = format!("cannot read {}: {what}", shown(&path.to_string_lossy()));
        let mut problem = Diagnostic::error(Code::Unreadable, asked_at, title);
        if asked_at.is_some() {
            problem = problem.label("named here");
        }
        if !help.is_empty() {
            problem.help = Some(help.to_owned());
        }
        problems.push(problem);
        None
    };
    let (bytes, metadata, real) = match host.world.read(path, LARGEST) {
        Ok(Opened::Regular {
            bytes,
            metadata,
            path,
        }) => (bytes, metadata, path),
        Ok(Opened::Null) => return None,
        Ok(Opened::Other) => {
            return refuse("not a regular file".to_owned(), "a table is a plain file");
        }
        Err(error) => return refuse(reason(&error), ""),
    };
    if bytes.len() > LARGEST {
        return refuse(
            "larger than 4 MiB".to_owned(),
            "split it into files of a directory that `include` names",
        );
    }
    let name = path.to_string_lossy().into_owned();
    if host.is_root() {
        problems.extend(trust::problems(host.world, &real, metadata, lenient));
    }
    text(name, bytes, problems)
}

/// The text of a file: UTF-8, without a BOM, without NUL.
fn text(name: String, bytes: Vec<u8>, problems: &mut Vec<Diagnostic>) -> Option<SourceFile> {
    let mut refuse = |at: usize, before: &[u8], what: &str, help: &str| {
        let line = before.split(|byte| *byte == b'\n').count();
        let title = format!("{}:{line}: byte {at} is {what}", shown(&name));
        problems.push(Diagnostic::error(Code::Unreadable, None, title).help(help));
    };
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        refuse(
            at,
            bytes.get(..at).unwrap_or_default(),
            "a NUL",
            "a table is a text file",
        );
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(SourceFile::new(
            name,
            text.strip_prefix('\u{feff}')
                .map(str::to_owned)
                .unwrap_or(text),
        )),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let before = error.as_bytes().get(..at).unwrap_or_default();
            refuse(at, before, "not UTF-8", "save the file as UTF-8");
            None
        }
    }
}

/// The error in words, without the number.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    words.to_lowercase()
}

/// The files that patterns name, in name order; of two with the same name the one of the later pattern counts.
pub(super) fn included(
    host: &Host<'_>,
    directory: &Path,
    patterns: &[(String, Option<Place>)],
    problems: &mut Vec<Diagnostic>,
) -> Vec<(PathBuf, Option<Place>)> {
    let mut found: Vec<(PathBuf, Option<Place>)> = Vec::new();
    for (pattern, place) in patterns {
        let path = directory.join(pattern);
        let (Some(parent), Some(last)) = (
            path.parent(),
            path.file_name().and_then(|last| last.to_str()),
        ) else {
            problems.push(no_pattern(pattern, *place));
            continue;
        };
        if has_wildcard(&parent.to_string_lossy()) || pattern.ends_with('/') {
            problems.push(no_pattern(pattern, *place));
            continue;
        }
        let names: Vec<String> = if has_wildcard(last) {
            match host.world.list(parent) {
                Ok(names) => names
                    .iter()
                    .filter_map(|name| name.to_str())
                    .filter(|name| matches(last, name))
                    .map(str::to_owned)
                    .collect(),
                // A directory that does not exist holds nothing.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                Err(error) => {
                    let title = format!(
                        "cannot list {}: {}",
                        shown(&parent.to_string_lossy()),
                        reason(&error)
                    );
                    problems.push(Diagnostic::error(Code::Unreadable, *place, title));
                    Vec::new()
                }
            }
        } else {
            vec![last.to_owned()]
        };
        for name in names {
            found.retain(|(other, _)| {
                other
                    .file_name()
                    .is_none_or(|other| other.to_str() != Some(name.as_str()))
            });
            found.push((parent.join(name), *place));
        }
    }
    found.sort_by(|(a, _), (b, _)| a.file_name().cmp(&b.file_name()));
    found
}

fn no_pattern(pattern: &str, place: Option<Place>) -> Diagnostic {
    Diagnostic::error(
        Code::Value,
        place,
        format!("`include` in [daemon] cannot be `{}`", shown(pattern)),
    )
    .label("not a file, and not a pattern of file names")
    .help("`*` and `?` may stand in the last part: `\"/etc/oxinetd.d/*.toml\"`")
}

fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Shell patterns with `*` and `?`; neither matches a leading dot.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p, n));
                p += 1;
            }
            Some(wanted) if *wanted == '?' || Some(wanted) == name.get(n) => {
                p += 1;
                n += 1;
            }
            _ => match retry {
                // The last star takes one character more.
                Some((star, at)) => {
                    retry = Some((star, at + 1));
                    p = star + 1;
                    n = at + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_the_shell() {
        for (pattern, name, expected) in [
            ("*.toml", "a.toml", true),
            ("*.toml", "a.toml~", false),
            ("*.toml", ".a.toml", false),
            ("*.toml", ".toml", false),
            ("?.toml", "a.toml", true),
            ("?.toml", "ab.toml", false),
            ("a*b*c", "aXbYbc", true),
            ("a*b*c", "aXbYb", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
