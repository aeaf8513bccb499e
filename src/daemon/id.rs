//! Connection ids: `0f8k2m-9f2c`, unique across restarts, short enough for a log line.

use std::time::{SystemTime, UNIX_EPOCH};

/// The longest id: 7 digits, a dash, 13 digits of a u64.
const ROOM: usize = 21;

/// An id, by value: making one allocates nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectionId {
    text: [u8; ROOM],
    length: u8,
}

impl ConnectionId {
    /// The id with this text; what is too long is cut.
    pub(super) fn from_text(text: &str) -> Self {
        let mut id = Self {
            text: [0; ROOM],
            length: 0,
        };
        text.bytes().for_each(|byte| id.push(byte));
        id
    }

    /// The id as the log has it.
    pub(super) fn as_str(&self) -> &str {
        self.text
            .get(..usize::from(self.length))
            .and_then(|text| std::str::from_utf8(text).ok())
            .unwrap_or("")
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.text.get_mut(usize::from(self.length)) {
            *place = byte;
            self.length += 1;
        }
    }

    /// Writes `number` in base 36, with at least `width` digits.
    fn push_number(&mut self, mut number: u64, width: usize) {
        let mut digits = [b'0'; 13];
        let mut count = 0;
        for place in digits.iter_mut().rev() {
            if number == 0 && count >= width {
                break;
            }
            *place = b"0123456789abcdefghijklmnopqrstuvwxyz"
                .get((number % 36) as usize)
                .copied()
                .unwrap_or(b'0');
            number /= 36;
            count += 1;
        }
        for digit in digits.into_iter().skip(13 - count) {
            self.push(digit);
        }
    }
}

/// The source of ids: the daemon's start, and a count.
#[derive(Debug)]
pub(super) struct ConnectionIds {
    start: ConnectionId,
    count: u64,
}

impl ConnectionIds {
    /// Ids of a daemon that starts now. The first part counts tenths of seconds and repeats after 6.9 years.
    pub(super) fn new(now: SystemTime) -> Self {
        let tenths = now
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_millis() as u64 / 100);
        let mut start = ConnectionId {
            text: [0; ROOM],
            length: 0,
        };
        start.push_number(tenths % 36_u64.pow(6), 6);
        start.push(b'-');
        Self { start, count: 0 }
    }

    /// The first part of all ids, and how many there were.
    pub(super) fn pack(&self) -> (String, u64) {
        (self.start.as_str().to_owned(), self.count)
    }

    /// Goes on counting.
    pub(super) fn unpack((start, count): &(String, u64)) -> Self {
        Self {
            start: ConnectionId::from_text(start),
            count: *count,
        }
    }

    /// The next one.
    pub(super) fn next(&mut self) -> ConnectionId {
        let mut id = self.start;
        id.push_number(self.count, 4);
        self.count += 1;
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn ids_count_up_in_base_36() {
        let mut ids = ConnectionIds::new(UNIX_EPOCH + Duration::from_millis(3_600));
        assert_eq!(ids.next().as_str(), "000010-0000");
        ids.count = 35;
        assert_eq!(ids.next().as_str(), "000010-000z");
        assert_eq!(ids.next().as_str(), "000010-0010");
        ids.count = u64::MAX;
        assert_eq!(ids.start.as_str().len(), 7);
        let mut last = ids.start;
        last.push_number(u64::MAX, 4);
        assert_eq!(last.as_str(), "000010-3w5e11264sgsf");
    }
}
