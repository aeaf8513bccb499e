//! Lines of an inetd.conf to raw entries: comments, continuations, quoting, `addr:` lines, includes, switched-off lines.
//!
//! Invariant: a raw entry is only words and their place; what they mean is for `translate`.

use std::path::Path;
use std::rc::Rc;

use super::{Dialect, Quoting, Traits, keyvalue};
use crate::convert::files::Text;
use crate::convert::note::Place;
use crate::convert::session::Session;

/// An entry as it stands.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) place: Place,
    pub(super) last_line: u32,
    pub(super) original: Vec<String>,
    /// Commented out by update-inetd, or `off`.
    pub(super) off: bool,
    /// The last `addr:` line before it.
    pub(super) default_address: Option<String>,
    pub(super) body: Body,
}

/// Its two shapes.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// Fields in order.
    Positional(Vec<String>),
    /// NetBSD's pairs, after the service.
    Pairs(String, Vec<(String, Vec<String>)>),
}

/// What update-inetd puts before a line that it switches off.
const OFF: &str = "#<off>#";

const DEEPEST_INCLUDE: u32 = 8;

/// Reads one file and what it includes.
pub(super) fn read(
    session: &mut Session<'_>,
    path: &Path,
    text: &Text,
    traits: Traits,
    depth: u32,
) -> Vec<Raw> {
    let mut reader = Reader {
        session,
        file: Rc::from(path),
        traits,
        depth,
        address: None,
        raws: Vec::new(),
    };
    reader.lines(&text.lines);
    reader.raws
}

struct Reader<'a, 'b> {
    session: &'a mut Session<'b>,
    file: Rc<Path>,
    traits: Traits,
    depth: u32,
    address: Option<String>,
    raws: Vec<Raw>,
}

impl Reader<'_, '_> {
    fn lines(&mut self, lines: &[String]) {
        let mut at = 0;
        // Where the line before ended an entry that an indented line may go on with.
        let mut open = false;
        while let Some(line) = lines.get(at) {
            let place = Place::new(&self.file, u32::try_from(at + 1).unwrap_or(u32::MAX));
            at += 1;
            let (line, off) = match line.strip_prefix(OFF) {
                Some(rest) => (rest.trim_start().trim_start_matches('#').trim_start(), true),
                None => (line.as_str(), false),
            };
            if line.trim().is_empty() {
                open = false;
            } else if line.starts_with('#') {
                self.comment(line, &place);
                open = false;
            } else if keyvalue::starts(line) && self.reads_pairs() {
                at = self.pairs(lines, at - 1);
                open = false;
            } else if open && !off && line.starts_with([' ', '\t']) && self.goes_on(line, &place) {
                self.append(line, &place);
            } else {
                open = self.positional(line, &place, off) && !off;
            }
        }
    }

    fn reads_pairs(&self) -> bool {
        self.traits.is(Dialect::NetBsd) || self.traits.dialect.is_none()
    }

    /// An IPsec policy is the only comment that means something.
    fn comment(&mut self, line: &str, place: &Place) {
        let Some(policy) = line.strip_prefix("#@").map(str::trim) else {
            self.session.commented_out += usize::from(super::looks_like_entry(
                line.trim_start_matches(['#', ' ', '\t']),
            ));
            return;
        };
        let heeded = match self.traits.dialect {
            Some(Dialect::FreeBsd | Dialect::NetBsd) => true,
            None => ["in ", "out ", "ipsec"].iter().any(|w| policy.contains(w)),
            Some(_) => false,
        };
        if heeded && !policy.is_empty() {
            let text = format!("`#@ {policy}`: the IPsec policy of the services below is not kept");
            self.session.notes.loss(place, text);
        }
    }

    /// Whether an indented line belongs to the entry above.
    fn goes_on(&mut self, line: &str, place: &Place) -> bool {
        if !self.traits.continuation {
            return false;
        }
        if super::looks_like_entry(line) {
            let known = self.traits.dialect.is_some();
            let text = if known {
                "an indented line goes on with the one above: its words are arguments there, though they look like an \
                 entry"
            } else {
                "an indented line: BSD inetds take it for arguments of the line above, it was read as an entry of its \
                 own"
            };
            self.session.notes.note(place, text);
            return known;
        }
        true
    }

    fn append(&mut self, line: &str, place: &Place) {
        let words = self.words(line, place);
        if let Some(raw) = self.raws.last_mut() {
            raw.last_line = place.line;
            raw.original.push(line.to_owned());
            if let Body::Positional(fields) = &mut raw.body {
                fields.extend(words);
            }
        }
    }

    /// True: the line is an entry that may go on.
    fn positional(&mut self, line: &str, place: &Place, off: bool) -> bool {
        let words = self.words(line, place);
        let Some(first) = words.first() else {
            return false;
        };
        if words.len() == 1 && first.ends_with(':') && first.len() > 1 && !off {
            let address = first.trim_end_matches(':');
            self.address = (address != "*").then(|| address.to_owned());
            return false;
        }
        if first == ".include" && self.reads_pairs() {
            self.include(words.get(1).map_or("", String::as_str), place);
            return false;
        }
        self.raws.push(Raw {
            place: place.clone(),
            last_line: place.line,
            original: vec![line.to_owned()],
            off,
            default_address: self.address.clone(),
            body: Body::Positional(words),
        });
        true
    }

    fn words(&mut self, line: &str, place: &Place) -> Vec<String> {
        if self.traits.dialect.is_none() && line.contains(['"', '\'', '\\']) {
            let text = "quotes and backslashes mean nothing to most inetds and were kept as they are; if yours was \
                        FreeBSD's, NetBSD's or GNU's, say so with --from";
            self.session.notes.note(place, text);
        }
        match split(line, self.traits.quoting) {
            Ok(words) => words,
            Err(why) => {
                self.session.notes.left_out(place, "quotes", why);
                Vec::new()
            }
        }
    }

    /// NetBSD's key=value entries, from this line on; returns the index of the next line.
    fn pairs(&mut self, lines: &[String], from: usize) -> usize {
        let (entries, next) = keyvalue::read(lines, from, &self.file, &mut self.session.notes);
        for entry in entries {
            self.raws.push(Raw {
                default_address: self.address.clone(),
                ..entry
            });
        }
        next
    }

    fn include(&mut self, pattern: &str, place: &Place) {
        if self.depth >= DEEPEST_INCLUDE {
            self.session
                .notes
                .error(place, "includes are nested too deep, or in a circle");
            return;
        }
        let base = self.file.parent().unwrap_or(Path::new("/"));
        let full = base.join(pattern);
        let name = full
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        let directory = full.parent().unwrap_or(base).to_owned();
        let paths = if name.contains(['*', '?', '[']) {
            let names = self.session.files.list(&directory).unwrap_or_default();
            names
                .iter()
                .filter(|n| glob(&name, n))
                .map(|n| directory.join(n))
                .collect()
        } else {
            vec![full]
        };
        for path in paths {
            let Some(source) = self.session.read(&path, Some(place)) else {
                continue;
            };
            let mut inner = Reader {
                session: self.session,
                file: Rc::from(path.as_path()),
                traits: self.traits,
                depth: self.depth + 1,
                address: self.address.clone(),
                raws: Vec::new(),
            };
            inner.lines(&source.text.lines);
            let raws = inner.raws;
            self.raws.extend(raws);
        }
    }
}

/// `*` and `?`; brackets match themselves. The files of an include are few and their names short.
fn glob(pattern: &str, name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    // `reach[i]`: the pattern so far can match the first i characters.
    let mut reach = vec![false; name.len() + 1];
    if let Some(first) = reach.first_mut() {
        *first = true;
    }
    for p in pattern.chars() {
        let mut next = vec![false; name.len() + 1];
        for (i, slot) in next.iter_mut().enumerate() {
            let before = |n: usize| reach.get(n).copied().unwrap_or(false);
            *slot = match p {
                '*' => reach.iter().take(i + 1).any(|r| *r),
                _ if i == 0 => false,
                '?' => before(i - 1),
                _ => before(i - 1) && name.get(i - 1) == Some(&p),
            };
        }
        reach = next;
    }
    reach.last().copied().unwrap_or(false)
}

/// A line to words.
pub(super) fn split(line: &str, quoting: Quoting) -> Result<Vec<String>, &'static str> {
    let blank = |c: char| c == ' ' || c == '\t' || c == '\r';
    if quoting == Quoting::None {
        return Ok(line
            .split(blank)
            .filter(|w| !w.is_empty())
            .map(str::to_owned)
            .collect());
    }
    if quoting == Quoting::Argcv {
        return Ok(split_argcv(line));
    }
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if blank(c) {
            words.extend(word.take());
            continue;
        }
        let opens = matches!(c, '"' | '\'') && (quoting != Quoting::Whole || word.is_none());
        let word = word.get_or_insert_default();
        if opens {
            loop {
                match chars.next() {
                    Some(end) if end == c => break,
                    Some('\\') if quoting == Quoting::ShellEscapes && c == '"' => {
                        word.extend(chars.next());
                    }
                    Some(inner) => word.push(inner),
                    None => return Err("a quote is not closed"),
                }
            }
        } else if c == '\\' && quoting == Quoting::ShellEscapes {
            word.extend(chars.next());
        } else {
            word.push(c);
        }
    }
    words.extend(word);
    Ok(words)
}

/// Words of GNU inetutils; a quote that is not closed is data, with the rest of the line.
fn split_argcv(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let quoted = ['"', '\''].contains(&first);
        let inside = rest.get(1..).unwrap_or_default();
        let (word, after) = match inside.split_once(first).filter(|_| quoted) {
            Some(closed) => closed,
            None if quoted => (rest, ""),
            None => rest.split_at(rest.find([' ', '\t', '\r', '"']).unwrap_or(rest.len())),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the program of Debian 12 was seen to do it.
    #[test]
    fn argcv_is_odd() {
        for (line, expected) in [
            (r#"a\ b c\"d e"f"#, vec![r"a\", "b", r"c\", "d e", "f"]),
            (r#"g'h'i ""x '' y"#, vec!["g'h'i", "", "x", "", "y"]),
            (r#"x #"a b" \y \\z"#, vec!["x", "#", "a b", r"\y", r"\\z"]),
            (r#"x "a b"#, vec!["x", "\"a b"]),
        ] {
            assert_eq!(split_argcv(line), expected, "{line}");
        }
    }

    #[test]
    fn each_dialect_quotes_in_its_own_way() {
        let line = "a 'b c' \"d\\\"e\" f'g h'";
        for (quoting, expected) in [
            (
                Quoting::None,
                Ok(vec!["a", "'b", "c'", "\"d\\\"e\"", "f'g", "h'"]),
            ),
            (Quoting::Whole, Ok(vec!["a", "b c", "d\\e\"", "f'g", "h'"])),
            (Quoting::Shell, Err(())),
            (Quoting::ShellEscapes, Ok(vec!["a", "b c", "d\"e", "fg h"])),
        ] {
            let got = split(line, quoting).map_err(|_| ());
            assert_eq!(
                got,
                expected.map(|w| w.iter().map(ToString::to_string).collect()),
                "{quoting:?}"
            );
        }
        assert_eq!(
            split("a 'b c' d'e f'", Quoting::Whole).unwrap(),
            ["a", "b c", "d'e", "f'"]
        );
        assert_eq!(split("a '' b", Quoting::Shell).unwrap(), ["a", "", "b"]);
    }

    #[test]
    fn globs_of_includes() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.con", false),
            ("a?c*", "abc", true),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
        ] {
            assert_eq!(glob(pattern, name), expected, "{pattern} {name}");
        }
    }
}
