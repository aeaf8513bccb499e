//! When a connection must end: by its whole time, by its silence, by a client that never spoke.
//!
//! Invariant: never early, and no cost per byte. The kernel's counters are looked at when a deadline could have come,
//! not before, and the next look is set for the earliest time at which the answer could differ.

use std::time::{Duration, Instant};

use crate::service::Deadlines;

/// Why the daemon ended a connection: the word of the EXIT line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `timeout`.
    Timeout,
    /// `idle_timeout`.
    Idle,
    /// `first_byte_timeout`.
    FirstByte,
    /// The client has vanished.
    Gone,
    /// Somebody asked for it.
    Killed,
    /// Its service is drained.
    Drained,
    /// A reload removed its service.
    Removed,
    /// The daemon stops.
    Shutdown,
    /// A reload took away what it served.
    Reload,
}

impl Reason {
    const ALL: [Self; 8] = [
        Self::Timeout,
        Self::Idle,
        Self::FirstByte,
        Self::Gone,
        Self::Killed,
        Self::Drained,
        Self::Shutdown,
        Self::Reload,
    ];

    /// The reason with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.word() == word)
    }

    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Idle => "idle",
            Self::FirstByte => "first_byte",
            Self::Gone => "gone",
            Self::Killed => "killed",
            Self::Drained => "drained",
            Self::Removed => "removed",
            Self::Shutdown => "shutdown",
            Self::Reload => "reload",
        }
    }
}

/// What the counters of a connection say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Bytes that arrived, a FIN among them: a client that has ended its direction has said all it has to say.
    pub received: u64,
    /// Bytes that the client has acknowledged.
    pub acked: u64,
    /// Since data arrived.
    pub since_received: Duration,
    /// Since an acknowledgement arrived.
    pub since_ack: Duration,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Look again then.
    Wait(Instant),
    /// There is no deadline any more.
    Nothing,
    /// End it.
    End(Reason),
}

/// The times of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    active: Instant,
    received: u64,
    acked: u64,
}

impl Clock {
    /// A connection that starts now.
    pub fn new(now: Instant) -> Self {
        Self {
            started: now,
            active: now,
            received: 0,
            acked: 0,
        }
    }

    /// One that goes on in another process: when the connection began, and [`Clock::activity`].
    pub fn resume(started: Instant, (active, received, acked): (Instant, u64, u64)) -> Self {
        Self {
            started,
            active,
            received,
            acked,
        }
    }

    /// The last activity that was seen, and the counts of bytes by then.
    pub fn activity(&self) -> (Instant, u64, u64) {
        (self.active, self.received, self.acked)
    }

    /// The first look; `None` when the service has no deadline.
    pub fn first(&self, rules: &Deadlines) -> Option<Instant> {
        [rules.timeout, rules.first_byte, rules.idle]
            .into_iter()
            .flatten()
            .filter_map(|time| self.started.checked_add(time))
            .min()
    }

    /// Judges now. `activity` is `None` where the kernel does not count (unix sockets): then only the whole time holds.
    pub fn look(&mut self, rules: &Deadlines, now: Instant, activity: Option<Activity>) -> Verdict {
        let whole = after(self.started, rules.timeout);
        if whole.is_some_and(|at| at <= now) {
            return Verdict::End(Reason::Timeout);
        }
        let Some(activity) = activity else {
            return whole.map_or(Verdict::Nothing, Verdict::Wait);
        };
        self.note(activity, now);
        let silent = self.received == 0;
        let first = after(self.started, rules.first_byte).filter(|_| silent);
        if first.is_some_and(|at| at <= now) {
            return Verdict::End(Reason::FirstByte);
        }
        let idle = after(self.active, rules.idle);
        if idle.is_some_and(|at| at <= now) {
            return Verdict::End(Reason::Idle);
        }
        [whole, first, idle]
            .into_iter()
            .flatten()
            .min()
            .map_or(Verdict::Nothing, Verdict::Wait)
    }

    /// Moves the time of the last activity. Of bytes that the client acknowledged since the last look the kernel does
    /// not tell when; the last acknowledgement of any kind bounds it from above, so nobody is called idle too early.
    fn note(&mut self, activity: Activity, now: Instant) {
        let mut last = self.active;
        let start = self.started;
        let ago = |time: Duration| now.checked_sub(time).unwrap_or(start);
        if activity.received != self.received {
            last = last.max(ago(activity.since_received));
        }
        if activity.acked != self.acked {
            last = last.max(ago(activity.since_ack));
        }
        self.active = last;
        (self.received, self.acked) = (activity.received, activity.acked);
    }
}

fn after(since: Instant, time: Option<Duration>) -> Option<Instant> {
    since.checked_add(time?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::OnDisconnect;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn rules(timeout: u64, idle: u64, first_byte: u64) -> Deadlines {
        let some = |time: u64| (time > 0).then(|| seconds(time));
        Deadlines {
            timeout: some(timeout),
            idle: some(idle),
            first_byte: some(first_byte),
            on_disconnect: OnDisconnect::Ignore,
            linger: None,
            on_remove: crate::service::OnRemove::Keep,
            linger_max: 0,
            stop: seconds(5),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "what `look` takes")]
    fn activity(
        received: u64,
        acked: u64,
        since_received: u64,
        since_ack: u64,
    ) -> Option<Activity> {
        Some(Activity {
            received,
            acked,
            since_received: seconds(since_received),
            since_ack: seconds(since_ack),
        })
    }

    #[test]
    fn the_earliest_deadline_is_the_first_look() {
        let now = Instant::now();
        let clock = Clock::new(now);
        assert_eq!(clock.first(&rules(0, 0, 0)), None);
        assert_eq!(clock.first(&rules(9, 4, 6)), Some(now + seconds(4)));
        assert_eq!(clock.first(&rules(3, 4, 6)), Some(now + seconds(3)));
    }

    #[test]
    fn the_whole_time_ends_whatever_goes_on() {
        let now = Instant::now();
        let mut clock = Clock::new(now);
        let rules = rules(10, 0, 0);
        let just = now + Duration::from_millis(9_999);
        assert_eq!(
            clock.look(&rules, just, None),
            Verdict::Wait(now + seconds(10))
        );
        assert_eq!(
            clock.look(&rules, now + seconds(10), activity(1, 1, 0, 0)),
            Verdict::End(Reason::Timeout)
        );
    }

    #[test]
    fn silence_is_counted_from_the_last_byte_either_way() {
        let now = Instant::now();
        let rules = rules(0, 10, 0);
        let at = |time| now + seconds(time);
        // (when, received, acked, since received, since ack) -> next look or the end
        let steps = [
            (10, (5, 0, 3, 10), Verdict::Wait(at(17))), // read at 7
            (17, (5, 8, 10, 2), Verdict::Wait(at(25))), // acknowledged at 15
            (25, (5, 8, 18, 1), Verdict::End(Reason::Idle)), // keepalive at 24 carries no byte
        ];
        let mut clock = Clock::new(now);
        for (time, (received, acked, since_received, since_ack), expected) in steps {
            let counters = activity(received, acked, since_received, since_ack);
            assert_eq!(clock.look(&rules, at(time), counters), expected, "{time}");
        }
        let mut silent = Clock::new(now);
        assert_eq!(
            silent.look(&rules, at(10), activity(0, 0, 10, 10)),
            Verdict::End(Reason::Idle)
        );
    }

    #[test]
    fn a_client_that_spoke_or_ended_has_met_the_first_byte() {
        let now = Instant::now();
        let rules = rules(0, 0, 5);
        let then = now + seconds(5);
        assert_eq!(
            Clock::new(now).look(&rules, then, activity(0, 900, 9, 0)),
            Verdict::End(Reason::FirstByte),
            "what the program says does not count"
        );
        assert_eq!(
            Clock::new(now).look(&rules, then, activity(1, 0, 1, 1)),
            Verdict::Nothing
        );
    }

    #[test]
    fn without_counters_only_the_whole_time_holds() {
        let now = Instant::now();
        let then = now + seconds(7);
        assert_eq!(
            Clock::new(now).look(&rules(0, 5, 5), then, None),
            Verdict::Nothing
        );
    }
}
