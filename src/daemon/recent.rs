//! The last lines that the log got of one service, for `status NAME`.
//!
//! Invariant: nothing is allocated once it is full: the newest line is written into the memory of the oldest.

use std::time::SystemTime;

use crate::event::Event;
use crate::service::LogLevel;

/// Lines that are kept.
const KEPT: usize = 10;

/// The lines, each with its time.
#[derive(Debug, Default)]
pub(super) struct Recent {
    lines: Vec<(SystemTime, String)>,
    /// Where the oldest line is, when all places are taken.
    oldest: usize,
}

impl Recent {
    /// The lines of an earlier image.
    pub(super) fn unpack(mut lines: Vec<(SystemTime, String)>) -> Self {
        lines.truncate(KEPT);
        Self { lines, oldest: 0 }
    }

    /// Keeps the line of an event.
    pub(super) fn add(&mut self, event: &Event<'_>, at: SystemTime) {
        if event.level() > LogLevel::Info {
            return;
        }
        if self.lines.len() < KEPT {
            let mut line = String::new();
            event.push_line(&mut line);
            self.lines.push((at, line));
        } else if let Some((time, line)) = self.lines.get_mut(self.oldest) {
            *time = at;
            line.clear();
            event.push_line(line);
            self.oldest = (self.oldest + 1) % KEPT;
        }
    }

    /// The lines, oldest first.
    pub(super) fn lines(&self) -> impl Iterator<Item = &(SystemTime, String)> {
        let (newer, older) = self.lines.split_at(self.oldest.min(self.lines.len()));
        older.iter().chain(newer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ten_are_kept_in_their_order() {
        let mut recent = Recent::default();
        for number in 0..=25 {
            let texts: Vec<_> = recent.lines().map(|(_, text)| text.clone()).collect();
            let first = u32::try_from(KEPT).map_or(0, |kept| number - kept.min(number));
            let expected: Vec<_> = (first..number).map(|it| format!("NOTE: {it}")).collect();
            assert_eq!(texts, expected);
            for level in [LogLevel::Debug, LogLevel::Info] {
                let text = number.to_string();
                let event = Event::Note {
                    level,
                    service: None,
                    text: &text,
                };
                recent.add(&event, SystemTime::now());
            }
        }
    }
}
