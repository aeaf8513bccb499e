//! Durations: `"500ms"`, `"30s"`, `"1h 30min"`, `"off"`.

use std::time::Duration;

use super::{Parsed, Problem};
use crate::config::diagnostic::shown;

/// A century: longer ones are slips of the pen, and timer arithmetic must not overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Reads a duration; `None` is `"off"`.
pub fn parse(text: &str) -> Parsed<Option<Duration>> {
    if text == "off" {
        return Ok(None);
    }
    if text.is_empty() || text == "none" || text == "unlimited" || text == "infinity" {
        return Err(Problem::new("is not a duration")
            .help("write `\"off\"` for no limit")
            .instead("off"));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(unit_missing(text));
    }
    match humantime::parse_duration(text) {
        Ok(duration) if duration.is_zero() => Err(zero()),
        Ok(duration) if duration > LONGEST => {
            Err(Problem::new("is longer than a century").help("write `\"off\"` for no limit").instead("off"))
        }
        Ok(duration) => Ok(Some(duration)),
        Err(_) => Err(Problem::new(format!("is not a duration: `{}`", shown(text)))
            .help("write for example `\"500ms\"`, `\"30s\"`, `\"5min\"`, `\"1h 30min\"`, `\"2d\"` or `\"off\"`")),
    }
}

/// The answer to a bare number.
pub fn unit_missing(number: &str) -> Problem {
    if number.bytes().all(|byte| byte == b'0') {
        return zero();
    }
    let text = format!("{number}s");
    Problem::new("needs a unit")
        .help(format!("write `\"{text}\"`"))
        .instead(text)
}

fn zero() -> Problem {
    Problem::new("cannot be 0")
        .help("write `\"off\"` to switch it off")
        .instead("off")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let ms = Duration::from_millis;
        for (text, expected) in [
            ("500ms", Some(ms(500))),
            ("30s", Some(ms(30_000))),
            ("5min", Some(ms(300_000))),
            ("1h 30min", Some(ms(5_400_000))),
            ("2d", Some(ms(172_800_000))),
            ("off", None),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refusals_say_what_to_write() {
        for (text, instead) in [
            ("30", Some("30s")),
            ("0", Some("off")),
            ("0s", Some("off")),
            ("", Some("off")),
            ("unlimited", Some("off")),
            ("-1s", None),
            ("1e3s", None),
            ("5 parsecs", None),
            ("99999999y", Some("off")),
            ("99999999999999999999s", None),
        ] {
            let problem = parse(text).unwrap_err();
            assert_eq!(problem.instead.as_deref(), instead, "{text}");
            assert!(problem.help.is_some(), "{text}");
        }
    }
}
