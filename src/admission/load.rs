//! `max_load`: nobody new while the host has too much to do.

use std::time::{Duration, Instant};

/// How long a reading of the load average holds. The kernel changes it every 5 s.
const HOLDS: Duration = Duration::from_secs(1);

/// The rule of one service.
#[derive(Debug)]
pub(super) struct MaxLoad(Option<f64>);

impl MaxLoad {
    pub(super) fn new(max: Option<f64>) -> Self {
        Self(max)
    }

    pub(super) fn refuses(&self, load: f64) -> bool {
        self.0.is_some_and(|max| load > max)
    }

    pub(super) fn is_off(&self) -> bool {
        self.0.is_none()
    }
}

/// The 1-minute load average, read at most once a second for all services.
#[derive(Debug, Default)]
pub struct LoadAverage {
    value: f64,
    read: Option<Instant>,
}

impl LoadAverage {
    /// The load at `now`. Where it cannot be read it counts as 0: a host without /proc serves.
    pub fn at(&mut self, now: Instant, read: impl FnOnce() -> Option<f64>) -> f64 {
        if self
            .read
            .is_none_or(|then| now.duration_since(then) >= HOLDS)
        {
            self.value = read().unwrap_or(0.0);
            self.read = Some(now);
        }
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_above_and_not_at_the_limit() {
        let rule = MaxLoad::new(Some(2.5));
        assert!(!rule.refuses(2.49) && !rule.refuses(2.5) && rule.refuses(2.51));
        assert!(!MaxLoad::new(None).refuses(1e9));
    }

    #[test]
    fn load_is_read_once_a_second() {
        let start = Instant::now();
        let mut average = LoadAverage::default();
        let is = |load: f64, expected: f64| (load - expected).abs() < 1e-9;
        let after = |millis| start + Duration::from_millis(millis);
        assert!(is(average.at(after(0), || Some(1.0)), 1.0));
        assert!(is(average.at(after(999), || unreachable!()), 1.0));
        assert!(is(average.at(after(1000), || Some(3.0)), 3.0));
        assert!(is(average.at(after(2000), || None), 0.0));
    }
}
