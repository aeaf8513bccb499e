//! Text with `%{…}` specifiers. A `%` alone is itself, and `%%{` is a literal `%{`.

use super::{Parsed, Problem};
use crate::config::diagnostic::{nearest, shown};
use crate::service::{Piece, Specifier, Template};

const SPECIFIERS: [(&str, Specifier); 4] = [
    ("remote_addr", Specifier::RemoteAddr),
    ("remote_port", Specifier::RemotePort),
    ("service", Specifier::Service),
    ("id", Specifier::Id),
];

/// Reads a text with specifiers.
pub fn parse(text: &str) -> Parsed<Template> {
    without_nul(text)?;
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("%{") {
        if let Some(before) = before.strip_suffix('%') {
            literal.push_str(before);
            literal.push_str("%{");
            rest = after;
            continue;
        }
        literal.push_str(before);
        let (name, after) = after.split_once('}').ok_or_else(|| {
            Problem::new("has a `%{` without its `}`").help("write `%%{` for a literal `%{`")
        })?;
        let specifier = SPECIFIERS
            .iter()
            .find(|(known, _)| *known == name)
            .ok_or_else(|| unknown(text, name))?
            .1;
        if !literal.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut literal)));
        }
        pieces.push(Piece::Specifier(specifier));
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(Template(pieces))
}

/// The system call interface ends every string at a NUL.
pub fn without_nul(text: &str) -> Parsed<()> {
    if text.contains('\0') {
        return Err(Problem::new("contains a NUL character")
            .help("leave it out: no program would see what follows it"));
    }
    Ok(())
}

fn unknown(text: &str, name: &str) -> Problem {
    let names = SPECIFIERS.map(|(known, _)| known);
    let problem = Problem::new(format!("names an unknown value `%{{{}}}`", shown(name)));
    match nearest(name, names) {
        Some(known) => problem
            .help(format!("did you mean `%{{{known}}}`?"))
            .instead(text.replace(&format!("%{{{name}}}"), &format!("%{{{known}}}"))),
        None => {
            problem.help("known are `%{remote_addr}`, `%{remote_port}`, `%{service}` and `%{id}`")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifiers_are_cut_out() {
        let text = |text: &str| Piece::Text(text.to_owned());
        for (written, expected) in [
            ("", vec![]),
            ("plain 50%", vec![text("plain 50%")]),
            ("%{id}", vec![Piece::Specifier(Specifier::Id)]),
            (
                "a%{service}b",
                vec![text("a"), Piece::Specifier(Specifier::Service), text("b")],
            ),
            ("%%{id}", vec![text("%{id}")]),
        ] {
            assert_eq!(parse(written), Ok(Template(expected)), "{written}");
        }
    }

    #[test]
    fn unknown_specifiers_are_refused() {
        for (written, instead) in [
            ("x%{remote-addr}", Some("x%{remote_addr}")),
            ("%{}", None),
            ("%{id", None),
            ("a\0", None),
        ] {
            assert_eq!(
                parse(written).unwrap_err().instead.as_deref(),
                instead,
                "{written}"
            );
        }
    }
}
