//! `penalty`: a source that keeps being refused is refused for a while, longer each time, and never for good.
//!
//! Refusals fill a bucket; the one that fills it starts a ban. The first lasts `for`, each further one twice as long, up
//! to `max`. A source that was not banned for `max` after the end of its last ban starts anew. A refusal by a ban does not
//! count, so that whoever knocks on during a ban is let in at its end.

use std::time::Duration;

use super::rate::{Bucket, Meter};
use super::source::Memory;
use crate::service::Penalty;

/// The rule of one service.
#[derive(Debug)]
pub(super) struct Bans(Option<Terms>);

#[derive(Debug)]
struct Terms {
    after: Meter,
    /// ns.
    first: u64,
    /// ns.
    max: u64,
}

impl Bans {
    pub(super) fn new(penalty: Option<Penalty>) -> Self {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self(penalty.map(|penalty| Terms {
            after: Meter::from(penalty.after),
            first: nanos(penalty.first),
            max: nanos(penalty.max),
        }))
    }

    pub(super) fn is_off(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn refuses(&self, source: Option<&Memory>, now: u64) -> bool {
        !self.is_off() && source.is_some_and(|memory| self.end(memory) > now)
    }

    /// When the ban of this source ends or ended. A reload to a shorter `max` shortens it.
    pub(super) fn end(&self, memory: &Memory) -> u64 {
        let max = self.0.as_ref().map_or(0, |terms| terms.max);
        memory
            .banned_until
            .min(memory.banned_at.saturating_add(max))
    }

    /// Forgets every ban and what led to it.
    pub(super) fn lift(memory: &mut Memory) {
        memory.strikes = Bucket::default();
        memory.banned_at = 0;
        memory.banned_until = 0;
        memory.bans = 0;
    }

    /// What was counted under other terms.
    pub(super) fn adopt(&self, memory: &mut Memory, now: u64) {
        match &self.0 {
            Some(terms) => memory.strikes = terms.after.adopt(memory.strikes, now),
            None => Self::lift(memory),
        }
    }

    /// Counts a refusal. `Some`: it started a ban of this length.
    pub(super) fn strike(&self, memory: &mut Memory, now: u64) -> Option<Duration> {
        let terms = self.0.as_ref()?;
        memory.strikes = terms.after.take(memory.strikes, now);
        if terms.after.wait(memory.strikes, now) == 0 {
            return None;
        }
        if now > memory.banned_until.saturating_add(terms.max) {
            memory.bans = 0;
        }
        let doubled = 1_u64
            .checked_shl(u32::from(memory.bans))
            .unwrap_or(u64::MAX);
        let ban = terms.first.saturating_mul(doubled).min(terms.max);
        memory.bans = memory.bans.saturating_add(1).min(63);
        memory.strikes = Bucket::default();
        memory.banned_at = now;
        memory.banned_until = now.saturating_add(ban);
        Some(Duration::from_nanos(ban))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Rate;
    use std::num::NonZeroU32;

    const SECOND: u64 = 1_000_000_000;

    fn bans(first: u64, max: u64) -> Bans {
        let three = NonZeroU32::new(3).unwrap();
        Bans::new(Some(Penalty {
            after: Rate {
                count: three,
                per: Duration::from_secs(60),
                burst: three,
            },
            first: Duration::from_secs(first),
            max: Duration::from_secs(max),
        }))
    }

    /// Strikes until there is a ban; its length in seconds.
    fn provoke(bans: &Bans, memory: &mut Memory, now: u64) -> u64 {
        for _ in 0..2 {
            assert_eq!(bans.strike(memory, now), None);
            assert!(!bans.refuses(Some(memory), now), "N-1 refusals are no ban");
        }
        bans.strike(memory, now).unwrap().as_secs()
    }

    #[test]
    fn bans_grow_end_and_are_forgotten() {
        let bans = bans(30, 100);
        let mut memory = Memory::default();
        let mut now = 5 * SECOND;
        for length in [30, 60, 100, 100] {
            assert_eq!(provoke(&bans, &mut memory, now), length);
            assert!(bans.refuses(Some(&memory), now));
            assert!(bans.refuses(Some(&memory), now + length * SECOND - 1));
            now += length * SECOND;
            assert!(!bans.refuses(Some(&memory), now), "every ban ends");
        }
        now += 101 * SECOND;
        assert_eq!(provoke(&bans, &mut memory, now), 30, "forgotten");
    }

    #[test]
    fn slow_refusals_never_ban() {
        let bans = bans(30, 100);
        let mut memory = Memory::default();
        for strike in 0..100 {
            assert_eq!(bans.strike(&mut memory, strike * 20 * SECOND), None);
        }
    }

    #[test]
    fn a_reload_shortens_or_lifts_a_ban() {
        let mut memory = Memory::default();
        provoke(&bans(600, 600), &mut memory, 0);
        let shorter = bans(10, 20);
        assert!(shorter.refuses(Some(&memory), 20 * SECOND - 1));
        assert!(!shorter.refuses(Some(&memory), 20 * SECOND));
        assert!(!Bans::new(None).refuses(Some(&memory), 1));
    }
}
