//! RFC 868: the seconds since 1900 as 32 bits, most significant byte first, then the end. They start again in 2036.

use std::time::SystemTime;

use super::{Datagram, Next, Stream};

pub(super) struct Time {
    bytes: [u8; 4],
    sent: usize,
}

impl Time {
    pub(super) fn at(now: SystemTime) -> Self {
        Self {
            bytes: since_1900(now),
            sent: 0,
        }
    }
}

impl Stream for Time {
    fn next(&self) -> Next {
        if self.sent < self.bytes.len() {
            Next::Write
        } else {
            Next::Done
        }
    }

    fn on_input(&mut self, _bytes: &mut [u8]) -> usize {
        0
    }

    fn on_end(&mut self) {}

    fn fill(&mut self, room: &mut [u8]) -> usize {
        let length = super::put(room, self.bytes.get(self.sent..).unwrap_or_default());
        self.sent += length;
        length
    }
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
            let mut time = Time::at(SystemTime::UNIX_EPOCH + Duration::from_secs(unix));
            let mut room = [0; 10];
            assert_eq!(time.next(), Next::Write);
            assert_eq!(time.fill(&mut room), 4);
            assert_eq!(time.next(), Next::Done);
            assert_eq!(room[..4], seconds.to_be_bytes());
        }
    }

    #[test]
    fn a_short_request_gets_no_answer_rather_than_half_of_one() {
        let mut buffer = [0; 10];
        let mut reply = |limit| Answer.reply(&mut buffer, limit, limit, SystemTime::UNIX_EPOCH);
        assert_eq!((reply(3), reply(4)), (None, Some(4)));
    }
}
