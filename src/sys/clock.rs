//! CLOCK_MONOTONIC as a number that another process of this boot understands.
//!
//! `Instant` is that clock, but does not tell its value. An [`Anchor`] is one reading of both: what it converts is exact to
//! the moment between the two calls, which is well under a microsecond.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// The same moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Anchor {
    instant: Instant,
    since_boot: Duration,
}

impl Anchor {
    /// Reads both. Where the clock cannot be read, which no kernel does, times count from this moment.
    pub fn now() -> Self {
        let since_boot = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Into::into);
        Self {
            instant: Instant::now(),
            since_boot,
        }
    }

    /// ns of CLOCK_MONOTONIC at `at`. Times before the boot count as the boot.
    pub fn nanos(&self, at: Instant) -> u64 {
        let time = match at.checked_duration_since(self.instant) {
            Some(ahead) => self.since_boot.saturating_add(ahead),
            None => self
                .since_boot
                .saturating_sub(self.instant.duration_since(at)),
        };
        u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The moment at which CLOCK_MONOTONIC has this value; `None` when there is none.
    pub fn instant(&self, nanos: u64) -> Option<Instant> {
        let time = Duration::from_nanos(nanos);
        match time.checked_sub(self.since_boot) {
            Some(ahead) => self.instant.checked_add(ahead),
            None => self
                .instant
                .checked_sub(self.since_boot.saturating_sub(time)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_survive_the_way_through_a_number() {
        let (one, other) = (Anchor::now(), Anchor::now());
        let now = Instant::now();
        for at in [now, now + Duration::from_secs(86_400), one.instant] {
            let back = other.instant(one.nanos(at)).unwrap();
            let apart = back.max(at).duration_since(back.min(at));
            assert!(apart < Duration::from_millis(5), "{apart:?}");
        }
        let early = now.checked_sub(Duration::from_millis(1)).unwrap();
        assert!(one.nanos(early) < one.nanos(now));
        assert!(one.instant(u64::MAX).is_some(), "584 years");
    }
}
