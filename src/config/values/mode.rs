//! File modes and masks: `"0660"`, three or four octal digits.

use super::{Parsed, Problem};
use crate::config::diagnostic::shown;

/// Reads a mode, 0 to 0o777.
pub fn parse(text: &str) -> Parsed<u32> {
    let octal =
        (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if octal && mode <= 0o777 => Ok(mode),
        _ => Err(
            Problem::new(format!("is not a file mode: `{}`", shown(text)))
                .help("write an octal string from `\"0000\"` to `\"0777\"`"),
        ),
    }
}

/// The answer to a bare number, `digits` as written.
pub fn quotes_missing(digits: &str) -> Problem {
    let text = digits.trim_start_matches("0o");
    let padded = format!("{text:0>4}");
    let problem = Problem::new("is a file mode, an octal string");
    match parse(&padded) {
        Ok(_) => problem
            .help(format!("write `\"{padded}\"`"))
            .instead(padded),
        Err(_) => problem.help("write for example `\"0660\"`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal_strings() {
        for (text, expected) in [
            ("0660", Some(0o660)),
            ("022", Some(0o22)),
            ("0000", Some(0)),
            ("777", Some(0o777)),
        ] {
            assert_eq!(parse(text).ok(), expected, "{text}");
        }
        for text in ["", "0", "22", "0888", "1777", "00660", "+660", "rw-r"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(quotes_missing("660").instead.as_deref(), Some("0660"));
        assert_eq!(quotes_missing("999").instead, None);
    }
}
