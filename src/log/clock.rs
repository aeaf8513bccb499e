//! Time stamps: `2026-11-24T03:54:00.123456+01:00` (RFC 3339, local time).
//!
//! Invariant: the zone is read once, when the clock is made; the date is worked out once a second.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub(super) struct Clock {
    zone: TimeZone,
    second: i64,
    /// `2026-11-24T03:54:00` and `+01:00` of that second.
    date: String,
    offset: String,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self::at(TimeZone::system())
    }

    fn at(zone: TimeZone) -> Self {
        Self {
            zone,
            second: i64::MIN,
            date: String::new(),
            offset: String::new(),
        }
    }

    /// Appends the time of now.
    pub(super) fn push_now(&mut self, out: &mut String) {
        self.push(Timestamp::now(), out);
    }

    fn push(&mut self, now: Timestamp, out: &mut String) {
        if now.as_second() != self.second {
            self.second = now.as_second();
            let local = now.to_zoned(self.zone.clone());
            self.date.clear();
            self.offset.clear();
            // Writing to a `String` cannot fail, and both formats are constant.
            let _ = write!(self.date, "{}", local.strftime("%Y-%m-%dT%H:%M:%S"));
            let _ = write!(self.offset, "{}", local.strftime("%:z"));
        }
        let micros = now.subsec_microsecond();
        let _ = write!(out, "{}.{micros:06}{}", self.date, self.offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_follow_the_second_and_the_offset() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let mut clock = Clock::at(zone);
        let cases = [
            (1_764_000_000, 5_000, "2025-11-24T17:00:00.000005+01:00"),
            (
                1_764_000_000,
                999_999_999,
                "2025-11-24T17:00:00.999999+01:00",
            ),
            (1_764_000_001, 0, "2025-11-24T17:00:01.000000+01:00"),
            (1_750_000_000, 0, "2025-06-15T17:06:40.000000+02:00"),
        ];
        for (second, nanos, text) in cases {
            let mut out = String::new();
            clock.push(Timestamp::new(second, nanos).unwrap(), &mut out);
            assert_eq!(out, text);
        }
    }
}
