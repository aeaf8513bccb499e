//! Token buckets, and the rules `rate` and `rate_per_source` made of them.
//!
//! A bucket is kept as the time at which it will be full again: one number, exact, nothing to refill. It empties by one
//! interval a token and fills by itself as time goes on.

use super::source::Memory;
use crate::service::{OverLimit, Rate};

/// A bucket: the time in ns (of the house's clock) at which it is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bucket(u64);

impl Bucket {
    /// One that is full at this time.
    pub(super) fn full_at(time: u64) -> Self {
        Self(time)
    }

    /// When it is full.
    pub(super) fn time(self) -> u64 {
        self.0
    }

    /// True if nothing was ever taken.
    pub(super) fn is_unused(self) -> bool {
        self.0 == 0
    }
}

/// How fast buckets fill, and how much they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meter {
    /// ns a token.
    interval: u64,
    /// ns of an empty bucket until it is full.
    depth: u64,
}

impl From<Rate> for Meter {
    fn from(rate: Rate) -> Self {
        let per = u64::try_from(rate.per.as_nanos()).unwrap_or(u64::MAX);
        let interval = (per / u64::from(rate.count.get())).max(1);
        Self {
            interval,
            depth: interval.saturating_mul(u64::from(rate.burst.get())),
        }
    }
}

impl Meter {
    /// The bucket of another rate, after a reload: at most empty, or it would stay empty for the old rate's time.
    pub(super) fn adopt(self, bucket: Bucket, now: u64) -> Bucket {
        Bucket(bucket.0.min(now.saturating_add(self.depth)))
    }

    /// What is missing, in ns.
    fn debt(bucket: Bucket, now: u64) -> u64 {
        bucket.0.saturating_sub(now)
    }

    /// ns until there is a token; 0: there is one.
    pub(super) fn wait(self, bucket: Bucket, now: u64) -> u64 {
        Self::debt(bucket, now)
            .saturating_add(self.interval)
            .saturating_sub(self.depth)
    }

    /// The bucket without one token.
    pub(super) fn take(self, bucket: Bucket, now: u64) -> Bucket {
        Bucket(
            now.saturating_add(Self::debt(bucket, now))
                .saturating_add(self.interval),
        )
    }
}

/// `rate_per_source`.
#[derive(Debug)]
pub(super) struct SourceRate {
    meter: Option<Meter>,
}

impl SourceRate {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Self {
            meter: rate.map(Meter::from),
        }
    }

    pub(super) fn refuses(&self, source: Option<&Memory>, now: u64) -> bool {
        match (self.meter, source) {
            (Some(meter), Some(memory)) => meter.wait(memory.starts, now) > 0,
            _ => false,
        }
    }

    pub(super) fn take(&self, memory: &mut Memory, now: u64) {
        if let Some(meter) = self.meter {
            memory.starts = meter.take(memory.starts, now);
        }
    }

    /// What was taken under another rate.
    pub(super) fn adopt(&self, memory: &mut Memory, now: u64) {
        memory.starts = match self.meter {
            Some(meter) => meter.adopt(memory.starts, now),
            None => Bucket::default(),
        };
    }

    pub(super) fn is_off(&self) -> bool {
        self.meter.is_none()
    }
}

/// `rate` with `pause`.
#[derive(Debug, Default)]
pub(super) struct ServiceRate {
    meter: Option<Meter>,
    bucket: Bucket,
    queue: bool,
    /// ns; 0: off.
    pause: u64,
    /// Nobody is accepted before this time.
    paused_until: u64,
}

impl ServiceRate {
    /// New values; what was taken stays taken, and a pause ends at most one new pause from now.
    pub(super) fn change(&mut self, admission: &crate::service::Admission, now: u64) {
        self.meter = admission.rate.map(Meter::from);
        self.bucket = self
            .meter
            .map_or(Bucket::default(), |meter| meter.adopt(self.bucket, now));
        self.queue = admission.over_limit == OverLimit::Queue;
        self.pause = admission
            .pause
            .filter(|_| admission.rate.is_some())
            .map_or(0, |pause| {
                u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX)
            });
        self.paused_until = self.paused_until.min(now.saturating_add(self.pause));
    }

    /// ns until the service may accept. Called when a client waits: an empty bucket starts the pause.
    pub(super) fn wait(&mut self, now: u64) -> u64 {
        let paused = self.paused_until.saturating_sub(now);
        if paused > 0 || !self.queue {
            return paused;
        }
        let wait = self.meter.map_or(0, |meter| meter.wait(self.bucket, now));
        if wait > 0 && self.pause > 0 {
            return self.start_pause(now);
        }
        wait
    }

    /// When the bucket is full, and when a pause ends.
    pub(super) fn pack(&self) -> (u64, u64) {
        (self.bucket.0, self.paused_until)
    }

    /// Goes on from there.
    pub(super) fn unpack(&mut self, (full, paused_until): (u64, u64), now: u64) {
        if let Some(meter) = self.meter {
            self.bucket = meter.adopt(Bucket(full), now);
        }
        self.paused_until = paused_until.min(now.saturating_add(self.pause));
    }

    /// True if [`Self::wait`] would say 0. Starts nothing.
    pub(super) fn may_go_on(&self, now: u64) -> bool {
        !(self.is_paused(now) || self.queue && self.refuses(now))
    }

    pub(super) fn is_paused(&self, now: u64) -> bool {
        self.paused_until > now
    }

    pub(super) fn start_pause(&mut self, now: u64) -> u64 {
        self.paused_until = now.saturating_add(self.pause);
        self.pause
    }

    pub(super) fn refuses(&self, now: u64) -> bool {
        self.meter
            .is_some_and(|meter| meter.wait(self.bucket, now) > 0)
    }

    pub(super) fn take(&mut self, now: u64) {
        if let Some(meter) = self.meter {
            self.bucket = meter.take(self.bucket, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;
    use std::time::Duration;

    const SECOND: u64 = 1_000_000_000;

    fn meter(count: u32, per: u64, burst: u32) -> Meter {
        Meter::from(Rate {
            count: NonZeroU32::new(count).unwrap(),
            per: Duration::from_secs(per),
            burst: NonZeroU32::new(burst).unwrap(),
        })
    }

    /// Takes what is there at `now`.
    fn drain(meter: Meter, bucket: &mut Bucket, now: u64) -> u32 {
        let mut taken = 0;
        while meter.wait(*bucket, now) == 0 {
            *bucket = meter.take(*bucket, now);
            taken += 1;
        }
        taken
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        for (count, per, burst) in [
            (10, 60, 20),
            (50, 1, 50),
            (3, 1, 3),
            (1, 3600, 1),
            (7, 2, 1),
        ] {
            let meter = meter(count, per, burst);
            let mut bucket = Bucket::default();
            assert_eq!(drain(meter, &mut bucket, 5), burst, "{count}/{per}");
            let wait = meter.wait(bucket, 5);
            assert_eq!(wait, per * SECOND / u64::from(count));
            assert_eq!(drain(meter, &mut bucket, 4 + wait), 0, "one ns early");
            assert_eq!(drain(meter, &mut bucket, 5 + wait), 1);
            let later = 5 + wait + per * SECOND;
            assert_eq!(drain(meter, &mut bucket, later), count.min(burst));
            assert_eq!(
                drain(meter, &mut bucket, later + 1000 * per * SECOND),
                burst
            );
        }
    }

    #[test]
    fn a_smaller_debt_after_a_change_of_the_rate() {
        let slow = meter(1, 3600, 10);
        let mut bucket = Bucket::default();
        drain(slow, &mut bucket, 0);
        let fast = meter(100, 1, 5);
        let bucket = fast.adopt(bucket, 0);
        assert_eq!(
            fast.wait(bucket, 0),
            SECOND / 100,
            "empty, not ten hours in debt"
        );
    }

    #[test]
    fn extremes_neither_overflow_nor_stop() {
        let meter = Meter::from(Rate {
            count: NonZeroU32::MIN,
            per: Duration::MAX,
            burst: NonZeroU32::MAX,
        });
        let bucket = meter.take(Bucket::default(), u64::MAX - 1);
        assert_eq!(meter.wait(bucket, u64::MAX), 0);
        let meter = super::Meter::from(Rate {
            count: NonZeroU32::MAX,
            per: Duration::from_nanos(1),
            burst: NonZeroU32::MIN,
        });
        assert_eq!(meter.wait(meter.take(Bucket::default(), 0), 1), 0);
    }
}
