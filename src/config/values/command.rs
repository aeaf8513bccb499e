//! `command` as one string: words at blanks, single and double quotes, backslash. No shell, no globbing.

use super::{Parsed, Problem};

/// Splits a command line into its words.
///
/// Quotes may begin inside of a word. A backslash takes the next character literally outside of quotes, and a quote or
/// backslash inside of double quotes; inside of single quotes it is itself.
pub fn split(line: &str) -> Parsed<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (Some(open), _) if open == character => quote = None,
            (Some('\''), _) => word.get_or_insert_default().push(character),
            (None, '\\') => match characters.next() {
                Some(next) => word.get_or_insert_default().push(next),
                None => {
                    return Err(Problem::new("ends in a backslash")
                        .help("write the backslash twice to mean it"));
                }
            },
            (Some(_), '\\') => {
                let word = word.get_or_insert_default();
                match characters.next() {
                    Some(next @ ('"' | '\\')) => word.push(next),
                    Some(next) => word.extend(['\\', next]),
                    None => word.push('\\'),
                }
            }
            (None, blank) if blank.is_ascii_whitespace() => words.extend(word.take()),
            (_, other) => word.get_or_insert_default().push(other),
        }
    }
    if let Some(open) = quote {
        return Err(Problem::new(format!("has a {open} without its partner"))
            .help("close the quote, or write the command as a list of words, which are taken literally"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_without_a_shell() {
        for (line, expected) in [
            ("/bin/x -w", vec!["/bin/x", "-w"]),
            ("  a\t b ", vec!["a", "b"]),
            (r#"a "b c" 'd "e'"#, vec!["a", "b c", "d \"e"]),
            (r#"a "" ''"#, vec!["a", "", ""]),
            (r"a\ b c\\", vec!["a b", r"c\"]),
            (r#"--x="y z""#, vec!["--x=y z"]),
            (r#""\n\"""#, vec!["\\n\""]),
            ("$HOME *", vec!["$HOME", "*"]),
            ("", vec![]),
        ] {
            assert_eq!(split(line).unwrap(), expected, "{line}");
        }
        for line in ["'a", "\"a", "a\\", "\"a\\"] {
            assert!(split(line).is_err(), "{line}");
        }
    }
}
