//! RFC 868: the seconds since 1900 as 32 bits, most significant byte first, then the end. They start again in 2036.

use std::time::SystemTime;

use super::Datagram;
use super::text::Text;

/// The machine of a connection that came at this time.
pub(super) fn stream(now: SystemTime) -> Text<[u8; 4]> {
    Text::new(since_1900(now))
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
        let bytes = since_1900(now);
        (bytes.len() <= limit).then(|| super::put(buffer, &bytes))
    }
}

fn since_1900(now: SystemTime) -> [u8; 4] {
    let unix = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    (unix.wrapping_add(UNIX_EPOCH) as u32).to_be_bytes()
}

/// 1 January 1970, as the RFC gives it.
const UNIX_EPOCH: u64 = 2_208_988_800;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_number_is_that_of_the_rfc() {
        // The examples of RFC 868, and the wrap.
        let cases: [(u64, u32); 4] = [
            (0, 2_208_988_800),
            (2_398_291_200 - 2_208_988_800, 2_398_291_200),
            (2_629_584_000 - 2_208_988_800, 2_629_584_000),
            ((1 << 32) - 2_208_988_800, 0),
        ];
        for (unix, seconds) in cases {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(unix);
            assert_eq!(since_1900(now), seconds.to_be_bytes());
        }
    }

    #[test]
    fn a_short_request_gets_no_answer_rather_than_half_of_one() {
        let mut buffer = [0; 10];
        let mut reply = |limit| Answer.reply(&mut buffer, limit, limit, SystemTime::UNIX_EPOCH);
        assert_eq!((reply(3), reply(4)), (None, Some(4)));
    }
}
