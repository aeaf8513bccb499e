//! RFC 867: date and time in local time and in words, `Tue Nov 24 03:54:00 2026` as every inetd writes it, then the end.

use std::time::SystemTime;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::Datagram;
use super::text::Text;

/// The machine of a connection that came at this time.
pub(super) fn stream(now: SystemTime) -> Text<Vec<u8>> {
    Text::new(text(now, TimeZone::system()))
}

/// For datagrams.
pub(super) struct Answer;

impl Datagram for Answer {
    fn reply(
        &mut self,
        buffer: &mut [u8],
        _length: usize,
        limit: usize,
        now: SystemTime,
    ) -> Option<usize> {
        let text = text(now, TimeZone::system());
        // Half a date would be a lie.
        (text.len() <= limit).then(|| super::put(buffer, &text))
    }
}

fn text(now: SystemTime, zone: TimeZone) -> Vec<u8> {
    let now = Timestamp::try_from(now).unwrap_or(Timestamp::MAX);
    let local = Zoned::new(now, zone);
    format!("{}\r\n", local.strftime("%a %b %e %H:%M:%S %Y")).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_text_is_that_of_ctime() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let cases = [
            (0, "Thu Jan  1 01:00:00 1970\r\n"),
            (1_764_000_000, "Mon Nov 24 17:00:00 2025\r\n"),
            (1_750_000_000, "Sun Jun 15 17:06:40 2025\r\n"),
        ];
        for (second, expected) in cases {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            assert_eq!(text(now, zone.clone()), expected.as_bytes());
        }
    }

    #[test]
    fn a_short_request_gets_no_answer_rather_than_half_of_one() {
        let mut buffer = [0; 100];
        let mut reply = |limit| Answer.reply(&mut buffer, limit, limit, SystemTime::UNIX_EPOCH);
        assert_eq!(reply(25), None);
        assert_eq!(reply(26), Some(26));
    }
}
