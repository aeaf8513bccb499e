//! Bytes to lines, and how many of them are told.
//!
//! Invariant: a line is told up to 1 KiB, and of a service 50 lines a second; what is left out is counted, and the count
//! is told.

use std::time::{Duration, Instant};

use crate::handover::state::{self, Stamp};
use crate::handover::{Packer, Unpacker};

/// The longest line that is told whole.
const LINE: usize = 1024;
/// Lines of one service told in a second.
const LINES_A_SECOND: u32 = 50;
const SECOND: Duration = Duration::from_secs(1);

/// The line that is being put together.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    /// The rest of a line that was too long is passed over.
    cut: bool,
}

impl Lines {
    /// What was read of a line, for a successor of this process.
    pub(super) fn pack(&self) -> state::Lines {
        state::Lines {
            line: self.line.clone(),
            cut: self.cut,
        }
    }

    /// Goes on with it.
    pub(super) fn unpack(record: state::Lines) -> Self {
        let mut line = record.line;
        line.truncate(LINE);
        Self {
            line,
            cut: record.cut,
        }
    }

    /// Cuts `bytes` into lines and passes each to `tell`.
    pub(super) fn take(&mut self, bytes: &[u8], mut tell: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            self.add(text, &mut tell);
            if ends {
                if !self.cut {
                    tell(&self.line);
                }
                self.cut = false;
                self.line.clear();
            }
        }
    }

    fn add(&mut self, text: &[u8], tell: &mut impl FnMut(&[u8])) {
        if self.cut {
            return;
        }
        let room = LINE.saturating_sub(self.line.len());
        let (fits, rest) = text.split_at_checked(room).unwrap_or((text, &[]));
        self.line.extend_from_slice(fits);
        if !rest.is_empty() {
            tell(&self.line);
            self.cut = true;
        }
    }

    /// Nobody will end the line any more.
    pub(super) fn finish(&mut self, mut tell: impl FnMut(&[u8])) {
        if !self.cut && !self.line.is_empty() {
            tell(&self.line);
        }
        self.cut = false;
        self.line.clear();
    }
}

/// How many lines of a service are told.
#[derive(Debug, Default)]
pub(super) struct Pace {
    second: Option<Instant>,
    told: u32,
    dropped: u64,
}

/// The answer for one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    /// Tell it.
    Tell,
    /// It is counted.
    Drop,
    /// It is the first that is counted: the count is to be told then.
    DropFirst(Instant),
}

impl Pace {
    /// The second, and the lines told and left out in it.
    pub(super) fn pack(&self, packer: &Packer) -> (Option<Stamp>, u32, u64) {
        let second = self.second.map(|second| packer.at(second));
        (second, self.told, self.dropped)
    }

    /// Goes on there.
    pub(super) fn unpack(record: (Option<Stamp>, u32, u64), unpacker: &Unpacker) -> Self {
        let (second, told, dropped) = record;
        Self {
            second: second.map(|second| unpacker.at(second)),
            told,
            dropped,
        }
    }

    /// When the count of lines that were left out is due.
    pub(super) fn due(&self) -> Option<Instant> {
        let second = self.second.filter(|_| self.dropped > 0);
        second.map(|second| second + SECOND)
    }

    /// May a line be told now?
    pub(super) fn line(&mut self, now: Instant) -> May {
        let over = |start| now.saturating_duration_since(start) >= SECOND;
        // What was dropped is told before the next line is.
        if self.dropped == 0 && self.second.is_none_or(over) {
            self.second = Some(now);
            self.told = 0;
        }
        if self.told < LINES_A_SECOND {
            self.told += 1;
            return May::Tell;
        }
        self.dropped += 1;
        if self.dropped == 1 {
            May::DropFirst(self.second.unwrap_or(now) + SECOND)
        } else {
            May::Drop
        }
    }

    /// Takes the count of lines that were left out, when their second is over.
    pub(super) fn dropped(&mut self, now: Instant) -> u64 {
        if self
            .second
            .is_some_and(|start| now.saturating_duration_since(start) < SECOND)
        {
            return 0;
        }
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &mut Lines, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        lines.take(bytes, |line| all.push(line.to_vec()));
        all
    }

    #[test]
    fn lines_are_put_together_from_pieces() {
        let mut lines = Lines::default();
        assert_eq!(told(&mut lines, b"one\ntw"), [b"one"]);
        assert_eq!(told(&mut lines, b"o\n\n"), [&b"two"[..], b""]);
        assert_eq!(told(&mut lines, b"part"), [b""; 0]);
        let mut rest = Vec::new();
        lines.finish(|line| rest.push(line.to_vec()));
        lines.finish(|line| rest.push(line.to_vec()));
        assert_eq!(rest, [b"part"]);
    }

    #[test]
    fn a_line_that_is_too_long_is_told_once_and_cut() {
        let long = [vec![b'x'; 3000], b"\nnext\n".to_vec()].concat();
        for pieces in [1, 7, 1024, 1025, 4000] {
            let mut lines = Lines::default();
            let all: Vec<_> = long
                .chunks(pieces)
                .flat_map(|piece| told(&mut lines, piece))
                .collect();
            assert_eq!(all, [vec![b'x'; LINE], b"next".to_vec()], "{pieces}");
        }
        let mut lines = Lines::default();
        let exact = [vec![b'x'; LINE], b"\n".to_vec()].concat();
        assert_eq!(told(&mut lines, &exact), [vec![b'x'; LINE]]);
    }

    #[test]
    fn a_flood_is_counted_and_told_once_a_second() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let answers: Vec<May> = (0..1000).map(|_| pace.line(now)).collect();
        assert_eq!(answers.iter().filter(|may| **may == May::Tell).count(), 50);
        let at = now + SECOND;
        assert_eq!(
            answers
                .iter()
                .filter(|may| **may == May::DropFirst(at))
                .count(),
            1
        );
        assert_eq!(pace.dropped(now), 0, "the second is not over");
        assert_eq!(pace.dropped(at), 950);
        assert_eq!(pace.dropped(at), 0);
        assert_eq!(pace.line(at), May::Tell);
    }
}
