//! A tarpit for those who try passwords at ssh servers: a line of noise every few seconds, for as long as the client is
//! patient. RFC 4253, 4.2 lets a server send lines before its version, and clients wait for them.
//!
//! Its client costs a connection of `max_connections` and, as it is meant for the model "event", nothing else; the time
//! is bounded here, by an hour, or sooner by `timeout`.

use std::time::{Duration, SystemTime};

use super::random::Random;
use super::{Next, Stream};

/// The noise of one connection.
pub(super) struct Tarpit {
    random: Random,
    pause: Duration,
    left: Duration,
}

impl Tarpit {
    pub(super) fn at(now: SystemTime) -> Self {
        let mut tarpit = Self {
            random: Random::at(now),
            pause: Duration::ZERO,
            left: LONGEST,
        };
        tarpit.set_pause();
        tarpit
    }

    fn set_pause(&mut self) {
        let more = self.random.below(SPREAD);
        self.pause = SHORTEST + Duration::from_millis(more as u64);
    }
}

impl Stream for Tarpit {
    fn next(&self) -> Next {
        if self.left.is_zero() {
            Next::Done
        } else {
            Next::WriteAfter(self.pause)
        }
    }

    fn on_input(&mut self, _bytes: &mut [u8]) -> usize {
        0
    }

    /// It talks on: who has ended only his direction still waits.
    fn on_end(&mut self) {}

    fn fill(&mut self, room: &mut [u8]) -> usize {
        self.left = self.left.saturating_sub(self.pause);
        self.set_pause();
        let length = 3 + self.random.below(LINE - 4);
        let mut line = [0; LINE];
        for byte in line.iter_mut().take(length) {
            *byte = b'!' + self.random.below(94) as u8;
        }
        // A line that begins with SSH- would be the version, and end the wait.
        if line.starts_with(b"SSH-") {
            line[0] = b'X';
        }
        if let Some(end) = line.get_mut(length..length + 2) {
            end.copy_from_slice(b"\r\n");
        }
        super::put(room, line.get(..length + 2).unwrap_or_default())
    }
}

/// Between two lines there are from 8 to 12 s: shorter than any ssh client waits.
const SHORTEST: Duration = Duration::from_secs(8);
const SPREAD: usize = 4_000;

const LONGEST: Duration = Duration::from_secs(3600);

/// The longest line; the RFC allows 255.
const LINE: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_slowly_and_end_after_an_hour() {
        let mut tarpit = Tarpit::at(SystemTime::UNIX_EPOCH + Duration::from_nanos(7));
        let (mut time, mut lines) = (Duration::ZERO, 0);
        while let Next::WriteAfter(pause) = tarpit.next() {
            assert!((8..12).contains(&pause.as_secs()), "{pause:?}");
            time += pause;
            lines += 1;
            let mut room = [0; 4096];
            let length = tarpit.fill(&mut room);
            let line = &room[..length];
            assert!((5..=LINE).contains(&length), "{length}");
            assert!(line.ends_with(b"\r\n"));
            assert!(line[..length - 2].iter().all(u8::is_ascii_graphic));
        }
        assert_eq!(tarpit.next(), Next::Done);
        assert!(time >= LONGEST && time < LONGEST + Duration::from_secs(12));
        assert!((300..=450).contains(&lines), "{lines}");
    }
}
