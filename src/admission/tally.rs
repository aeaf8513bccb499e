//! How often each rule refused, and which refusals are told one by one.
//!
//! Invariant: every refusal is counted; in each minute the first ones of each rule are told in full, and the rest as one
//! number at its end, so that a flood of connections is no flood of lines.

use std::time::{Duration, Instant};

use super::Refusal;
use crate::handover::{Packer, Unpacker, state};

/// Refusals of one rule that are told in full in a minute. Above what fail2ban needs of one host (5).
const IN_FULL: u64 = 20;
const MINUTE: Duration = Duration::from_secs(60);
const RULES: usize = Refusal::ALL.len();

/// Refusals by rule, since the start.
#[derive(Clone, Debug, Default)]
pub struct Tally([u64; RULES]);

impl Tally {
    /// Counts one.
    pub fn add(&mut self, refusal: Refusal) {
        if let Some(count) = self.0.get_mut(refusal as usize) {
            *count += 1;
        }
    }

    fn of(&self, refusal: Refusal) -> u64 {
        self.0.get(refusal as usize).copied().unwrap_or(0)
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Counts that were kept by word, of an image of the program that may have had other rules.
    pub fn from_words(words: &[(String, u64)]) -> Self {
        let mut tally = Self::default();
        for (word, count) in words {
            if let Some(refusal) = Refusal::from_word(word)
                && let Some(place) = tally.0.get_mut(refusal as usize)
            {
                *place = *count;
            }
        }
        tally
    }

    /// The same counts, by word.
    pub fn words(&self) -> Vec<(String, u64)> {
        let word = |(refusal, count): (Refusal, u64)| (refusal.word().to_owned(), count);
        self.counts().map(word).collect()
    }

    /// The rules that refused anybody, with their counts.
    pub fn counts(&self) -> impl Iterator<Item = (Refusal, u64)> {
        let counts = Refusal::ALL.into_iter().zip(self.0);
        counts.filter(|(_, count)| *count > 0)
    }
}

/// Decides what the log of a service gets to hear.
#[derive(Clone, Debug, Default)]
pub struct RefusalLog {
    minute: Option<Instant>,
    told: Tally,
    held_back: Tally,
}

impl RefusalLog {
    /// True: this one is to be told in full. `Err`: it is counted, and the first of this minute that is: the number is
    /// due at that time.
    pub fn tells(&mut self, refusal: Refusal, now: Instant) -> Result<bool, Instant> {
        let minute = match self.minute {
            Some(minute) if now < minute + MINUTE || self.held_back.total() > 0 => minute,
            _ => {
                self.told = Tally::default();
                *self.minute.insert(now)
            }
        };
        if self.told.of(refusal) < IN_FULL {
            self.told.add(refusal);
            return Ok(true);
        }
        let first = self.held_back.total() == 0;
        self.held_back.add(refusal);
        if first {
            Err(minute + MINUTE)
        } else {
            Ok(false)
        }
    }

    /// What a successor of this process is to know.
    pub fn pack(&self, packer: &Packer) -> state::RefusalLog {
        state::RefusalLog {
            minute: self.minute.map(|minute| packer.at(minute)),
            told: self.told.words(),
            held_back: self.held_back.words(),
        }
    }

    /// The same, from such a record.
    pub fn unpack(record: &state::RefusalLog, unpacker: &Unpacker) -> Self {
        Self {
            minute: record.minute.map(|minute| unpacker.at(minute)),
            told: Tally::from_words(&record.told),
            held_back: Tally::from_words(&record.held_back),
        }
    }

    /// When the number of what is held back is due.
    pub fn due(&self) -> Option<Instant> {
        let minute = self.minute.filter(|_| self.held_back.total() > 0);
        minute.map(|minute| minute + MINUTE)
    }

    /// The end of the minute: what was held back in it.
    pub fn settle(&mut self) -> Tally {
        self.minute = None;
        std::mem::take(&mut self.held_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_refusals_are_told_and_the_rest_is_a_number() {
        let start = Instant::now();
        let mut log = RefusalLog::default();
        for minute in 0..3_u32 {
            let now = start + MINUTE * minute;
            for _ in 0..20 {
                assert_eq!(log.tells(Refusal::Address, now), Ok(true));
            }
            assert_eq!(log.tells(Refusal::Address, now), Err(now + MINUTE));
            for _ in 0..500 {
                assert_eq!(log.tells(Refusal::Address, now), Ok(false));
            }
            assert_eq!(
                log.tells(Refusal::Rate, now),
                Ok(true),
                "each rule has its own"
            );
            let held_back: Vec<_> = log.settle().counts().collect();
            assert_eq!(held_back, [(Refusal::Address, 501)]);
        }
    }

    #[test]
    fn a_quiet_service_tells_everything() {
        let start = Instant::now();
        let mut log = RefusalLog::default();
        for second in 0..1_000 {
            let now = start + Duration::from_secs(second * 4);
            assert_eq!(log.tells(Refusal::Hours, now), Ok(true), "{second}");
        }
        assert_eq!(log.settle().total(), 0);
    }

    #[test]
    fn counts_are_by_rule() {
        let mut tally = Tally::default();
        tally.add(Refusal::Rate);
        tally.add(Refusal::Hours);
        tally.add(Refusal::Rate);
        let counts: Vec<_> = tally.counts().collect();
        assert_eq!(counts, [(Refusal::Hours, 1), (Refusal::Rate, 2)]);
        assert_eq!(tally.total(), 3);
    }
}
