//! xinetd.conf as xinetd reads it: line by line, no quoting, no continuation, no trailing comments.
//!
//! Invariant: every line of the input ends up in a block or in a note. The odd parts are xinetd's own: a block opened on
//! the line of its name is skipped up to a lone `}`, a stray `}` swallows what follows up to the next one.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::convert::files::reason;
use crate::convert::note::Place;
use crate::convert::session::{Session, Source};

/// A `service` or `defaults` block.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// `None` for `defaults`.
    pub(super) service: Option<String>,
    pub(super) place: Place,
    pub(super) last_line: u32,
    pub(super) original: Vec<String>,
    pub(super) attributes: Vec<Attribute>,
}

/// `NAME OP VALUE…`
#[derive(Clone, Debug)]
pub(super) struct Attribute {
    /// In lower case.
    pub(super) name: String,
    pub(super) op: Op,
    pub(super) values: Vec<String>,
    pub(super) place: Place,
}

/// An assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// `=`
    Set,
    /// `+=`
    Add,
    /// `-=`
    Remove,
}

const DEEPEST_INCLUDE: u32 = 16;

/// Reads a file and everything that it includes, in xinetd's order.
pub(super) fn read(session: &mut Session<'_>, source: &Source) -> Vec<Block> {
    let mut blocks = Vec::new();
    file(session, source, 0, &mut blocks);
    blocks
}

fn file(session: &mut Session<'_>, source: &Source, depth: u32, blocks: &mut Vec<Block>) {
    let mut lexer = Lexer {
        file: Rc::from(source.path.as_path()),
        lines: &source.text.lines,
        at: 0,
    };
    while let Some((line, place)) = lexer.next() {
        let mut words = line.split([' ', '\t']).filter(|w| !w.is_empty());
        let keyword = words.next().unwrap_or_default().to_ascii_lowercase();
        let name = words.next().map(str::to_owned);
        match (keyword.as_str(), name) {
            ("defaults", _) => blocks.extend(lexer.block(None, &place, session)),
            ("service", Some(name)) => blocks.extend(lexer.block(Some(name), &place, session)),
            ("include" | "includedir", Some(_)) if depth >= DEEPEST_INCLUDE => {
                session
                    .notes
                    .error(&place, "includes are nested too deep, or in a circle");
            }
            ("include", Some(path)) => {
                // xinetd's working directory is `/`.
                let path = Path::new("/").join(path);
                if let Some(source) = session.read(&path, Some(&place)) {
                    file(session, &source, depth + 1, blocks);
                }
            }
            ("includedir", Some(path)) => {
                for path in directory(session, &Path::new("/").join(path), &place) {
                    if let Some(source) = session.read(&path, Some(&place)) {
                        file(session, &source, depth + 1, blocks);
                    }
                }
            }
            ("service" | "include" | "includedir", None) => {
                let text = format!("`{keyword}` without a name");
                lexer.skip(lexer.at - 1, "syntax", &place, &text, session);
            }
            _ => {
                let text = format!("`{line}` is no `service`, `defaults` or `include`");
                lexer.skip(lexer.at - 1, "syntax", &place, &text, session);
            }
        }
    }
}

/// The files that `includedir` takes.
fn directory(session: &mut Session<'_>, path: &Path, place: &Place) -> Vec<PathBuf> {
    match session.files.list(path) {
        Ok(names) => names
            .iter()
            .filter(|n| is_read(n))
            .map(|n| path.join(n))
            .collect(),
        Err(error) => {
            let text = format!(
                "{} cannot be listed ({}): nothing is taken from it",
                path.display(),
                reason(&error)
            );
            session.notes.note(place, text);
            Vec::new()
        }
    }
}

/// True for names that xinetd does not pass over.
pub(super) fn is_read(name: &str) -> bool {
    !name.contains('.') && !name.ends_with('~')
}

struct Lexer<'a> {
    file: Rc<Path>,
    lines: &'a [String],
    at: usize,
}

impl<'a> Lexer<'a> {
    /// The next line that is no comment.
    fn next(&mut self) -> Option<(&'a str, Place)> {
        while let Some(line) = self.lines.get(self.at) {
            self.at += 1;
            let line = line.trim_matches([' ', '\t', '\r']);
            if !line.is_empty() && !line.starts_with('#') {
                return Some((line, Place::new(&self.file, self.line())));
            }
        }
        None
    }

    /// The number of the line read last.
    fn line(&self) -> u32 {
        u32::try_from(self.at).unwrap_or(u32::MAX)
    }

    /// A block up to its `}`. One that xinetd drops is left out.
    fn block(
        &mut self,
        service: Option<String>,
        place: &Place,
        session: &mut Session<'_>,
    ) -> Option<Block> {
        let first = self.at.saturating_sub(1);
        let name = service.clone().unwrap_or_else(|| "defaults".to_owned());
        if !matches!(self.next(), Some(("{", _))) {
            let text = format!("`{name}`: the next line must be a lone `{{`");
            self.skip(first, &name, place, &text, session);
            return None;
        }
        let mut attributes = Vec::new();
        let mut joined = false;
        loop {
            let Some((line, at)) = self.next() else {
                let text = format!("`{name}` is not closed by a lone `}}`, so xinetd drops it");
                session.leave_out(place, self.since(first), &name, &text);
                return None;
            };
            if line == "}" {
                break;
            }
            let Some(attribute) = attribute(line, &at) else {
                let why = if joined {
                    "a backslash joins no lines in xinetd.conf"
                } else {
                    "a blank before `=` is needed"
                };
                let text = format!("`{name}`: `{line}` is no `NAME = VALUE` ({why})");
                self.skip(first, &name, &at, &text, session);
                return None;
            };
            joined = line.ends_with('\\');
            attributes.push(attribute);
        }
        Some(Block {
            service,
            place: place.clone(),
            last_line: self.line(),
            original: self.since(first).to_vec(),
            attributes,
        })
    }

    /// The lines from an index up to the one read last.
    fn since(&self, first: usize) -> &'a [String] {
        self.lines.get(first..self.at).unwrap_or_default()
    }

    /// After a mistake xinetd passes over everything up to the next lone `}`.
    fn skip(
        &mut self,
        first: usize,
        kind: &str,
        place: &Place,
        text: &str,
        session: &mut Session<'_>,
    ) {
        let mut swallowed = Vec::new();
        while let Some((line, at)) = self.next() {
            if line == "}" {
                break;
            }
            let word = line.split([' ', '\t']).next().unwrap_or_default();
            if ["service", "defaults", "include", "includedir"]
                .contains(&word.to_ascii_lowercase().as_str())
            {
                swallowed.push(format!("`{line}` of line {}", at.line));
            }
        }
        let end = self.line();
        let what = if swallowed.is_empty() {
            String::new()
        } else {
            swallowed.truncate(5);
            format!(", {} too", swallowed.join(", "))
        };
        let text = format!("{text}: xinetd passes over everything up to line {end}{what}");
        session.leave_out(place, self.since(first), kind, &text);
    }
}

fn attribute(line: &str, place: &Place) -> Option<Attribute> {
    let (name, rest) = line.split_once([' ', '\t'])?;
    let rest = rest.trim_start_matches([' ', '\t']);
    let (op, values) = if let Some(values) = rest.strip_prefix("+=") {
        (Op::Add, values)
    } else if let Some(values) = rest.strip_prefix("-=") {
        (Op::Remove, values)
    } else {
        (Op::Set, rest.strip_prefix('=')?)
    };
    Some(Attribute {
        name: name.to_ascii_lowercase(),
        op,
        values: values
            .split([' ', '\t'])
            .filter(|w| !w.is_empty())
            .map(str::to_owned)
            .collect(),
        place: place.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::files::{Memory, decode};
    use crate::convert::{Files as _, Options};

    fn run(files: &Memory) -> (Vec<Block>, Vec<String>) {
        let options = Options::default();
        let mut session = Session::new(&options, files);
        let path = PathBuf::from("/etc/xinetd.conf");
        let text = decode(&files.read(&path).unwrap()).unwrap();
        let blocks = read(
            &mut session,
            &Source {
                path,
                text,
                listed: false,
            },
        );
        (
            blocks,
            session
                .notes
                .into_list()
                .iter()
                .map(ToString::to_string)
                .collect(),
        )
    }

    fn names(text: &str) -> (String, usize) {
        let (blocks, notes) = run(&Memory::default().with("/etc/xinetd.conf", text));
        let names: Vec<String> = blocks
            .into_iter()
            .map(|b| b.service.unwrap_or("defaults".into()))
            .collect();
        (names.join(" "), notes.len())
    }

    #[test]
    fn blocks_are_found_as_xinetd_finds_them() {
        for (text, expected, notes) in [
            (
                "service a\n{\n}\nDEFAULTS\n{\n\tx = 1\n}\n",
                "a defaults",
                0,
            ),
            ("service a {\n x = 1\n}\nservice b\n{\n}\n", "b", 1),
            ("service a\n{\n port=7\n}\nservice b\n{\n}\n", "b", 1),
            ("{\n x = 1\n}\nservice b\n{\n}\n}\nincludedir /x\n", "b", 2),
            ("service a\n{\n wait = no\nservice b\n{\n}\n", "", 1),
            ("service a\n{\n wait = no\n", "", 1),
            ("service a\n\n# c\n{\n # x y\n}\n", "a", 0),
        ] {
            assert_eq!(names(text), (expected.to_owned(), notes), "{text}");
        }
    }

    #[test]
    fn attributes_keep_quotes_and_hashes_as_data() {
        let (blocks, _) = run(&Memory::default().with(
            "/etc/xinetd.conf",
            "service a\n{\n SERVER_args = a \"b c\" # d\n only_from +=10.0.0.1\n x -= 1\n}\n",
        ));
        let a = &blocks[0].attributes;
        assert_eq!((a[0].name.as_str(), a[0].values.len()), ("server_args", 5));
        assert_eq!(
            (a[1].op, a[1].values.join(" "), a[1].place.line),
            (Op::Add, "10.0.0.1".into(), 4)
        );
        assert_eq!(a[2].op, Op::Remove);
        assert_eq!(
            (
                blocks[0].place.line,
                blocks[0].last_line,
                blocks[0].original.len()
            ),
            (1, 6, 6)
        );
    }

    #[test]
    fn includes_are_read_in_order_and_a_circle_ends() {
        let files = Memory::default()
            .with(
                "/etc/xinetd.conf",
                "include /inc\nincludedir /d\nincludedir /missing\n",
            )
            .with("/inc", "service a\n{\n}\n")
            .with("/d/b", "service b\n{\n}\n")
            .with("/d/b.rpmsave", "service c\n{\n}\n")
            .with("/d/b~", "service d\n{\n}\n");
        let (blocks, notes) = run(&files);
        let names: Vec<String> = blocks.into_iter().filter_map(|b| b.service).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(
            notes.len() == 1 && notes[0].contains("/missing"),
            "{notes:?}"
        );
        let (_, notes) =
            run(&Memory::default().with("/etc/xinetd.conf", "include /etc/xinetd.conf\n"));
        assert!(notes.iter().any(|n| n.contains("in a circle")), "{notes:?}");
    }
}
