//! Windows of local time: `"08:00-18:00"`, `"Mon-Fri 08:00-18:00"`, `"Sat,Sun 22:00-06:00"`.

use super::{Parsed, Problem};
use crate::config::diagnostic::shown;
use crate::service::Hours;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const EVERY_DAY: u8 = 0b111_1111;

/// Reads one window; one that ends before it begins ends on the next day.
pub fn parse(text: &str) -> Parsed<Hours> {
    let malformed = || {
        Problem::new(format!("is not a window of time: `{}`", shown(text)))
            .help("write for example `\"08:00-18:00\"` or `\"Mon-Fri 08:00-18:00\"`")
    };
    let (days, times) = match text.trim().rsplit_once(char::is_whitespace) {
        Some((days, times)) => (days_of(days).ok_or_else(malformed)?, times),
        None => (EVERY_DAY, text.trim()),
    };
    let (from, to) = times.split_once('-').ok_or_else(malformed)?;
    let from = clock(from).ok_or_else(malformed)?;
    let to = clock(to).ok_or_else(malformed)?;
    if from == to {
        return Err(
            Problem::new(format!("is empty or the whole day: `{}`", shown(text)))
                .help("write `\"00:00-24:00\"` for the whole day"),
        );
    }
    if from == 24 * 60 || to == 0 {
        let help = "a window begins at 23:59 at the latest; one until midnight ends at `24:00`";
        return Err(malformed().help(help));
    }
    Ok(Hours { days, from, to })
}

/// Minutes after midnight, `00:00` to `24:00`.
fn clock(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |part: &str, most: usize| {
        (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !digits(hours, 2) || minutes.len() != 2 || !digits(minutes, 2) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let sum = hours * 60 + minutes;
    (minutes < 60 && sum <= 24 * 60).then_some(sum)
}

/// `Mon-Fri`, `Sat,Sun`, `Fri-Mon`.
fn days_of(text: &str) -> Option<u8> {
    let day = |name: &str| {
        DAYS.iter()
            .position(|known| name.trim().eq_ignore_ascii_case(known))
    };
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(part)?, day(part)?),
        };
        let length = (last + 7 - first) % 7;
        for step in 0..=length {
            days |= 1 << ((first + step) % 7);
        }
    }
    Some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_may_cross_midnight_and_the_week() {
        for (text, days, from, to) in [
            ("08:00-18:00", EVERY_DAY, 480, 1080),
            ("Mon-Fri 08:00-18:00", 0b001_1111, 480, 1080),
            ("22:00-06:00", EVERY_DAY, 1320, 360),
            ("sat,sun 0:00-24:00", 0b110_0000, 0, 1440),
            ("Fri-Mon 10:00-11:00", 0b111_0001, 600, 660),
            ("Sun 10:00-11:00", 0b100_0000, 600, 660),
        ] {
            assert_eq!(parse(text), Ok(Hours { days, from, to }), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "25:00-26:00",
            "10:00-10:00",
            "10:00",
            "10-11",
            "Mon",
            "Foo 10:00-11:00",
            "10:60-11:00",
            "24:00-01:00",
            "10:00-00:00",
            "1000:00-2:00",
            "é 10:00-11:00",
            "24:01-23:00",
            "+1:00-2:00",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
