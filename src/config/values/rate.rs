//! Rates: `"50/s"`, `"10/min burst 20"`, `"100/10s"`, `"off"`.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{Parsed, Problem, duration};
use crate::config::diagnostic::shown;
use crate::service::Rate;

/// Reads a rate; `None` is `"off"`.
pub fn parse(text: &str) -> Parsed<Option<Rate>> {
    if text == "off" {
        return Ok(None);
    }
    let malformed = || {
        Problem::new(format!("is not a rate: `{}`", shown(text)))
            .help("write for example `\"50/s\"`, `\"10/min burst 20\"`, `\"100/10s\"` or `\"off\"`")
    };
    let bare = text.trim();
    if !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(per_missing(bare));
    }
    let (count, rest) = text.split_once('/').ok_or_else(malformed)?;
    let (per, burst) = match rest.split_once("burst") {
        Some((per, burst)) => (per.trim(), Some(burst.trim())),
        None => (rest.trim(), None),
    };
    let count = positive(count.trim(), text)?.ok_or_else(malformed)?;
    let burst = match burst {
        Some(burst) => positive(burst, text)?.ok_or_else(malformed)?,
        None => count,
    };
    let per = period(per).ok_or_else(malformed)?;
    Ok(Some(Rate { count, per, burst }))
}

/// The answer to a bare number.
pub fn per_missing(number: &str) -> Problem {
    let text = format!("{number}/s");
    Problem::new("says how many, but not in what time")
        .help(format!("write for example `\"{text}\"`"))
        .instead(text)
}

/// A number above 0; `None`: no number.
fn positive(digits: &str, text: &str) -> Parsed<Option<NonZeroU32>> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    let number = digits
        .parse::<u32>()
        .map_err(|_| Problem::new(format!("is too large: `{}`", shown(text))))?;
    let zero = || {
        Problem::new("cannot be 0")
            .help("write `\"off\"` for no limit")
            .instead("off")
    };
    NonZeroU32::new(number).map(Some).ok_or_else(zero)
}

/// `s`, `min`, `10s`: a unit alone is one of it.
fn period(text: &str) -> Option<Duration> {
    if text.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return duration::parse(&format!("1{text}")).ok().flatten();
    }
    duration::parse(text).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(count: u32, seconds: u64, burst: u32) -> Rate {
        let number = |n| NonZeroU32::new(n).unwrap();
        Rate {
            count: number(count),
            per: Duration::from_secs(seconds),
            burst: number(burst),
        }
    }

    #[test]
    fn burst_defaults_to_the_count() {
        for (text, expected) in [
            ("50/s", Some(rate(50, 1, 50))),
            ("10/min burst 20", Some(rate(10, 60, 20))),
            ("100/10s", Some(rate(100, 10, 100))),
            ("5/h", Some(rate(5, 3600, 5))),
            ("off", None),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refusals_say_what_to_write() {
        for (text, instead) in [
            ("50", Some("50/s")),
            ("0/s", Some("off")),
            ("5/s burst 0", Some("off")),
            ("", None),
            ("5/", None),
            ("/s", None),
            ("5/0s", None),
            ("5/off", None),
            ("-5/s", None),
            ("99999999999/s", None),
            ("5/s burst", None),
        ] {
            assert_eq!(
                parse(text).unwrap_err().instead.as_deref(),
                instead,
                "{text}"
            );
        }
    }
}
