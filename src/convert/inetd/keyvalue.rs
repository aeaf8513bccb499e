//! NetBSD's entries of 2021: `service on key = value, key = value value;`, over any number of lines.

use std::path::Path;
use std::rc::Rc;

use super::lines::{Body, Raw};
use crate::convert::note::{Notes, Place};

/// Values that one key may have.
const MOST_VALUES: usize = 256;

/// True when an entry of this kind begins on the line.
pub(super) fn starts(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let (Some(first), Some(second)) = (words.next(), words.next()) else {
        return false;
    };
    !first.starts_with('#') && matches!(second, "on" | "off")
}

/// Reads the entry, or the entries, that begin on a line. Returns the index of the line after them.
pub(super) fn read(
    lines: &[String],
    from: usize,
    file: &Rc<Path>,
    notes: &mut Notes,
) -> (Vec<Raw>, usize) {
    let mut raws = Vec::new();
    let mut tokens = Tokens::new(lines, from);
    loop {
        let first_line = tokens.line;
        let place = Place::new(file, line_number(first_line));
        match entry(&mut tokens) {
            Ok((service, on, pairs)) => {
                let last = tokens.line;
                raws.push(Raw {
                    place,
                    last_line: line_number(last),
                    original: lines.get(first_line..=last).unwrap_or_default().to_vec(),
                    off: !on,
                    default_address: None,
                    body: Body::Pairs(service, pairs),
                });
            }
            Err(why) => {
                // As NetBSD does it: nothing after a broken structure can be trusted.
                let text = format!("{why}; inetd stops reading this file here");
                notes.left_out(&place, "key=value", text);
                return (raws, lines.len());
            }
        }
        if !starts(tokens.rest()) {
            let rest = tokens.rest().trim();
            if !rest.is_empty() && !rest.starts_with('#') {
                let place = Place::new(file, line_number(tokens.line));
                notes.left_out(
                    &place,
                    "key=value",
                    format!("`{rest}` after the `;` is no entry"),
                );
            }
            return (raws, tokens.line + 1);
        }
    }
}

fn line_number(index: usize) -> u32 {
    u32::try_from(index + 1).unwrap_or(u32::MAX)
}

type Pairs = Vec<(String, Vec<String>)>;

fn entry(tokens: &mut Tokens<'_>) -> Result<(String, bool, Pairs), String> {
    let (Token::Word(service), Token::Word(switch)) = (tokens.next()?, tokens.next()?) else {
        return Err("an entry begins with its service and `on` or `off`".to_owned());
    };
    let mut pairs: Pairs = Vec::new();
    let mut token = tokens.next()?;
    loop {
        let key = match token {
            Token::Semicolon => return Ok((service, switch == "on", pairs)),
            Token::Word(key) => key,
            Token::Comma | Token::Equals => return Err("a key is missing".to_owned()),
        };
        let Token::Equals = tokens.next()? else {
            return Err(format!("`=` is missing after `{key}`"));
        };
        let mut values = Vec::new();
        token = loop {
            match tokens.next()? {
                Token::Word(value) if values.len() < MOST_VALUES => values.push(value),
                Token::Word(_) => return Err(format!("`{key}` has too many values")),
                Token::Comma => break tokens.next()?,
                Token::Semicolon => break Token::Semicolon,
                Token::Equals => {
                    return Err(format!("a `,` is missing after the values of `{key}`"));
                }
            }
        };
        pairs.push((key, values));
    }
}

enum Token {
    Word(String),
    Comma,
    Equals,
    Semicolon,
}

struct Tokens<'a> {
    lines: &'a [String],
    line: usize,
    /// Byte offset within the line.
    at: usize,
}

impl<'a> Tokens<'a> {
    fn new(lines: &'a [String], line: usize) -> Self {
        Self { lines, line, at: 0 }
    }

    /// What is left of the line.
    fn rest(&self) -> &'a str {
        self.lines
            .get(self.line)
            .and_then(|l| l.get(self.at..))
            .unwrap_or_default()
    }

    fn next(&mut self) -> Result<Token, String> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            let token = match trimmed.chars().next() {
                None | Some('#') => {
                    if self.line + 1 >= self.lines.len() {
                        return Err("the entry is not closed by `;`".to_owned());
                    }
                    self.line += 1;
                    self.at = 0;
                    continue;
                }
                Some(',') => Token::Comma,
                Some('=') => Token::Equals,
                Some(';') => Token::Semicolon,
                Some(_) => return self.word(trimmed),
            };
            self.at += 1;
            return Ok(token);
        }
    }

    /// A word: bare and quoted pieces that touch each other.
    fn word(&mut self, text: &str) -> Result<Token, String> {
        let mut word = String::new();
        let mut chars = text.char_indices().peekable();
        while let Some(&(at, c)) = chars.peek() {
            if c.is_whitespace() || matches!(c, ',' | '=' | ';' | '#') {
                self.at += at;
                return Ok(Token::Word(word));
            }
            chars.next();
            if c == '"' || c == '\'' {
                quoted(c, &mut chars, &mut word)?;
            } else {
                word.push(c);
            }
        }
        self.at += text.len();
        Ok(Token::Word(word))
    }
}

fn quoted(
    quote: char,
    chars: &mut std::iter::Peekable<std::str::CharIndices<'_>>,
    word: &mut String,
) -> Result<(), String> {
    while let Some((_, c)) = chars.next() {
        match c {
            c if c == quote => return Ok(()),
            '\\' => {
                let escaped = match chars.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, 't')) => '\t',
                    Some((_, 'r')) => '\r',
                    Some((_, c @ ('\\' | '\'' | '"'))) => c,
                    Some((_, 'x')) => {
                        let digit = |c: Option<(usize, char)>| c.and_then(|(_, c)| c.to_digit(16));
                        let (high, low) = (digit(chars.next()), digit(chars.next()));
                        let code = high
                            .zip(low)
                            .map(|(h, l)| h * 16 + l)
                            .filter(|n| (1..0x80).contains(n));
                        char::from_u32(code.ok_or("a bad `\\x` in quotes")?).unwrap_or(' ')
                    }
                    _ => return Err("an unknown escape in quotes".to_owned()),
                };
                word.push(escaped);
            }
            c => word.push(c),
        }
    }
    Err("a quote is not closed on its line".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Vec<Raw>, usize, Vec<String>) {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut notes = Notes::new(false);
        let (raws, next) = read(&lines, 0, &Rc::from(Path::new("f")), &mut notes);
        (
            raws,
            next,
            notes.into_list().iter().map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn pairs_over_lines_with_comments_and_quotes() {
        let (raws, next, notes) = parse(
            "5432 on # c\n\tprotocol = udp,\n args = \"a b\"'c' d\\e \"\\x41\\n\";x off user = y; # z\nnext\n",
        );
        assert_eq!((raws.len(), next), (2, 3));
        let Body::Pairs(service, pairs) = &raws[0].body else {
            panic!()
        };
        assert_eq!(service, "5432");
        assert_eq!(
            pairs[1],
            (
                "args".into(),
                vec!["a bc".into(), "d\\e".into(), "A\n".into()]
            )
        );
        assert!(!raws[0].off && raws[1].off);
        assert_eq!((raws[0].place.line, raws[0].last_line), (1, 3));
        assert_eq!(notes, [""; 0]);
    }

    #[test]
    fn a_broken_structure_ends_the_file_with_a_word() {
        for text in [
            "x on protocol = tcp\n",
            "x on protocol tcp;\n",
            "x on a = b = c;\n",
            "x on a = \"b\n\";",
            "x on a = \"\\q\";",
            "x on , ;",
        ] {
            let (raws, _, notes) = parse(text);
            assert!(raws.is_empty() && notes.len() == 1, "{text}: {notes:?}");
        }
    }
}
