//! Sizes: `"64KiB"`, `"64K"`, `"1GiB"`, bytes. K, M, G and T are 1024-based, as in systemd.

use super::{Parsed, Problem};
use crate::config::diagnostic::shown;

/// Reads a size in bytes; `None` is `"unlimited"`.
pub fn parse(text: &str) -> Parsed<Option<u64>> {
    if text == "unlimited" {
        return Ok(None);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    if number.is_empty() {
        return Err(malformed(text));
    }
    let shift = match unit {
        "" | "B" => 0,
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        "T" | "TiB" => 40,
        _ => return Err(unknown_unit(text, number, unit)),
    };
    let bytes = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift));
    match bytes {
        Some(bytes) if i64::try_from(bytes).is_ok() => Ok(Some(bytes)),
        _ => Err(Problem::new("is larger than 8 EiB")
            .help("write `\"unlimited\"`")
            .instead("unlimited")),
    }
}

fn malformed(text: &str) -> Problem {
    Problem::new(format!("is not a size: `{}`", shown(text)))
        .help("write for example `\"64KiB\"`, `\"64M\"`, `\"1GiB\"` or `\"unlimited\"`")
}

/// `64MB` may mean 64,000,000 or 67,108,864: the user decides.
fn unknown_unit(text: &str, number: &str, unit: &str) -> Problem {
    let letter = unit
        .chars()
        .next()
        .map(|letter| letter.to_ascii_uppercase());
    match letter {
        Some(letter @ ('K' | 'M' | 'G' | 'T')) if unit.len() <= 3 => {
            Problem::new(format!("has the unit `{unit}`, which is read in two ways"))
                .help(format!(
                    "write `\"{number}{letter}\"` or `\"{number}{letter}iB\"` (1024-based)"
                ))
                .instead(format!("{number}{letter}iB"))
        }
        _ => malformed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_1024_based() {
        for (text, expected) in [
            ("0", Some(0)),
            ("4096", Some(4096)),
            ("64K", Some(65_536)),
            ("64KiB", Some(65_536)),
            ("64M", Some(67_108_864)),
            ("1 GiB", Some(1 << 30)),
            ("unlimited", None),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refusals_say_what_to_write() {
        for (text, instead) in [
            ("64MB", Some("64MiB")),
            ("64kB", Some("64KiB")),
            ("64k", Some("64KiB")),
            ("9999999T", Some("unlimited")),
            ("-1", None),
            ("", None),
            ("1.5G", None),
            ("64Q", None),
            ("1é", None),
        ] {
            assert_eq!(
                parse(text).unwrap_err().instead.as_deref(),
                instead,
                "{text}"
            );
        }
    }
}
