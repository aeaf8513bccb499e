//! `hours`: windows of local wall time.
//!
//! Inside is inside: on the day when clocks go forward a window over the gap is an hour shorter, on the day when they
//! go back one over the repeated hour is an hour longer (reliability F25).

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;

use crate::service::{Admission, Hours};

/// The windows of a service.
#[derive(Debug)]
pub(super) struct Windows {
    hours: Vec<Hours>,
    /// `None`: the zone has vanished since the table was checked. Then it is never open.
    zone: Option<TimeZone>,
    /// The last second that was judged, and how.
    judged: Cell<(u64, bool)>,
}

impl Windows {
    pub(super) fn new(admission: &Admission) -> Self {
        let zone = match &admission.timezone {
            _ if admission.hours.is_empty() => None,
            Some(name) => TimeZone::get(name).ok(),
            None => Some(TimeZone::system()),
        };
        Self {
            hours: admission.hours.clone(),
            zone,
            judged: Cell::new((u64::MAX, false)),
        }
    }

    pub(super) fn refuses(&self, wall: SystemTime) -> bool {
        if self.hours.is_empty() {
            return false;
        }
        let second = wall
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs());
        let (judged, refused) = self.judged.get();
        if judged == second {
            return refused;
        }
        let refused = !self.is_open(second);
        self.judged.set((second, refused));
        refused
    }

    fn is_open(&self, second: u64) -> bool {
        let Some(zone) = &self.zone else {
            return false;
        };
        let Ok(time) = jiff::Timestamp::from_second(i64::try_from(second).unwrap_or(i64::MAX))
        else {
            return false;
        };
        let local = zone.to_datetime(time);
        let day = local.weekday().to_monday_zero_offset();
        let minute =
            u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs());
        self.hours
            .iter()
            .any(|window| holds(*window, day.unsigned_abs(), minute))
    }
}

/// True if `minute` of `day` (0: Monday) is in the window. One that ends at or before its start goes over midnight and
/// belongs to the day on which it opens.
fn holds(window: Hours, day: u8, minute: u16) -> bool {
    let opens_on = |day: u8| window.days & (1 << day) != 0;
    if window.from < window.to {
        opens_on(day) && (window.from..window.to).contains(&minute)
    } else {
        opens_on(day) && minute >= window.from || opens_on((day + 6) % 7) && minute < window.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::gate::tests::plain;
    use std::time::Duration;

    const EVERY_DAY: u8 = 0x7f;

    fn windows(zone: &str, windows: &[(u8, u16, u16)]) -> Windows {
        let mut admission = plain();
        admission.timezone = Some(zone.to_owned());
        admission.hours = windows
            .iter()
            .map(|&(days, from, to)| Hours { days, from, to })
            .collect();
        Windows::new(&admission)
    }

    fn at(text: &str) -> SystemTime {
        let time: jiff::Timestamp = text.parse().unwrap();
        UNIX_EPOCH + Duration::from_secs(time.as_second() as u64)
    }

    #[test]
    fn windows_open_and_close_on_the_minute() {
        let office = windows("UTC", &[(0b1_1111, 480, 1080)]);
        let night = windows("UTC", &[(0b1_0000, 1320, 360)]);
        let whole = windows("UTC", &[(EVERY_DAY, 0, 1440)]);
        let round = windows("UTC", &[(0b1, 600, 600)]);
        for (windows, time, open) in [
            (&office, "2026-11-24T07:59:59Z", false),
            (&office, "2026-11-24T08:00:00Z", true),
            (&office, "2026-11-24T17:59:59Z", true),
            (&office, "2026-11-24T18:00:00Z", false),
            (&office, "2026-11-28T12:00:00Z", false),
            (&night, "2026-11-27T21:59:00Z", false),
            (&night, "2026-11-27T22:00:00Z", true),
            (&night, "2026-11-28T05:59:00Z", true),
            (&night, "2026-11-28T06:00:00Z", false),
            (&night, "2026-11-28T22:00:00Z", false),
            (&whole, "2026-11-28T23:59:59Z", true),
            (&round, "2026-11-23T09:59:00Z", false),
            (&round, "2026-11-23T10:00:00Z", true),
            (&round, "2026-11-24T09:59:00Z", true),
            (&round, "2026-11-24T10:00:00Z", false),
        ] {
            assert_eq!(!windows.refuses(at(time)), open, "{time}");
            assert_eq!(!windows.refuses(at(time)), open, "{time}, from memory");
        }
        assert!(!windows("UTC", &[]).refuses(at("2026-11-24T00:00:00Z")));
    }

    /// Minutes for which a window is open in the 23 hours from `from`.
    fn open_minutes(windows: &Windows, from: &str) -> usize {
        let start = at(from);
        (0..23 * 60)
            .filter(|minute| !windows.refuses(start + Duration::from_secs(minute * 60)))
            .count()
    }

    #[test]
    fn days_of_clock_changes_are_an_hour_shorter_and_longer() {
        let windows = windows("Europe/Berlin", &[(EVERY_DAY, 90, 210)]);
        assert_eq!(open_minutes(&windows, "2026-03-27T23:00:00Z"), 120);
        assert_eq!(
            open_minutes(&windows, "2026-03-28T23:00:00Z"),
            60,
            "forward"
        );
        assert_eq!(open_minutes(&windows, "2026-10-24T22:00:00Z"), 180, "back");
        // The spring gap: 01:59:59 is followed by 03:00:00.
        assert!(!windows.refuses(at("2026-03-29T00:59:59Z")));
        assert!(!windows.refuses(at("2026-03-29T01:00:00Z")));
        assert!(windows.refuses(at("2026-03-29T01:30:00Z")));
    }

    #[test]
    fn a_zone_that_has_vanished_is_never_open() {
        assert!(
            windows("Nowhere/Atall", &[(EVERY_DAY, 0, 1440)]).refuses(at("2026-11-24T00:00:00Z"))
        );
    }
}
