//! Chance for services of which it asks little: which quote, how long a line. Nothing secret may depend on it.

use std::time::SystemTime;

/// SplitMix64, which fills its state from any seed.
pub(super) struct Random(u64);

impl Random {
    /// Different for every nanosecond.
    pub(super) fn at(now: SystemTime) -> Self {
        let since = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self(since.as_nanos() as u64)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to, but not, `end`, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_that_of_the_paper() {
        // The reference implementation with seed 1234567.
        let mut random = Random(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn all_below_the_end_are_met_and_no_other() {
        let mut random = Random::at(SystemTime::UNIX_EPOCH);
        let mut met = [0; 7];
        for _ in 0..700 {
            met[random.below(7)] += 1;
        }
        assert!(met.iter().all(|count| *count > 50), "{met:?}");
        assert_eq!(random.below(0), 0);
    }
}
