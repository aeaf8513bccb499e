//! Shares of a processor: `"10%"`; more than 100% means more than one processor.

use super::{Parsed, Problem};
use crate::config::diagnostic::shown;

/// Reads a percentage from 1.
pub fn parse(text: &str) -> Parsed<u32> {
    let number = text
        .strip_suffix('%')
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    match number.and_then(|digits| digits.parse::<u32>().ok()) {
        Some(percent) if (1..=1_000_000).contains(&percent) => Ok(percent),
        _ => Err(
            Problem::new(format!("is not a percentage: `{}`", shown(text)))
                .help("write for example `\"10%\"`, or `\"200%\"` for two processors"),
        ),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn percentages_have_the_sign() {
        for (text, expected) in [
            ("10%", Some(10)),
            ("250%", Some(250)),
            ("0%", None),
            ("10", None),
            ("+1%", None),
            ("%", None),
        ] {
            assert_eq!(super::parse(text).ok(), expected, "{text}");
        }
    }
}
