//! `--at TIME`: a moment in local time.

use std::time::SystemTime;

use jiff::civil::{DateTime, Time, Weekday};
use jiff::{Timestamp, ToSpan, Zoned};

/// The forms, for messages.
pub(super) const FORMS: &str =
    "write 22:30, \"Sat 22:30\", \"2026-11-28 22:30\" or 2026-11-28T22:30:00Z";

/// Reads a moment; a time of day is that of today, one with a weekday that of the next such day, today included.
pub(super) fn parse(text: &str, now: &Zoned) -> Option<SystemTime> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.into());
    }
    let zone = now.time_zone().clone();
    if let Ok(date) = text.parse::<DateTime>()
        && text.contains('-')
    {
        return Some(date.to_zoned(zone).ok()?.timestamp().into());
    }
    let (day, clock) = match text.split_once(' ') {
        Some((day, clock)) => (Some(weekday(day)?), clock.trim_start()),
        None => (None, text),
    };
    let (hour, minute) = clock.split_once(':')?;
    let time = Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()?;
    let ahead = day.map_or(0, |day| now.weekday().until(day));
    let date = now.date().checked_add(i64::from(ahead).days()).ok()?;
    Some(
        date.to_datetime(time)
            .to_zoned(zone)
            .ok()?
            .timestamp()
            .into(),
    )
}

fn weekday(text: &str) -> Option<Weekday> {
    let days = [
        ("mon", Weekday::Monday),
        ("tue", Weekday::Tuesday),
        ("wed", Weekday::Wednesday),
        ("thu", Weekday::Thursday),
        ("fri", Weekday::Friday),
        ("sat", Weekday::Saturday),
        ("sun", Weekday::Sunday),
    ];
    let text = text.to_ascii_lowercase();
    let (_, day) = days.into_iter().find(|(name, _)| *name == text)?;
    Some(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_local_time() {
        // A Wednesday.
        let now: Zoned = "2026-11-25T12:00:00+01:00[Europe/Berlin]".parse().unwrap();
        for (text, expected) in [
            ("22:30", Some("2026-11-25T21:30:00Z")),
            ("07:00", Some("2026-11-25T06:00:00Z")),
            ("Sat 03:00", Some("2026-11-28T02:00:00Z")),
            ("wed 03:00", Some("2026-11-25T02:00:00Z")),
            ("Tue 03:00", Some("2026-12-01T02:00:00Z")),
            ("2026-07-01 08:00", Some("2026-07-01T06:00:00Z")),
            ("2026-07-01T08:00:00Z", Some("2026-07-01T08:00:00Z")),
            ("25:00", None),
            ("noon", None),
            ("Sat", None),
            ("", None),
        ] {
            let expected =
                expected.map(|time| SystemTime::from(time.parse::<Timestamp>().unwrap()));
            assert_eq!(parse(text, &now), expected, "{text}");
        }
    }
}
