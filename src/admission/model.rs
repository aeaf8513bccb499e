//! A property test of the whole: random connections, ends, time and reloads against a model that counts by hand
//! (reliability (g)).

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;

use super::gate::tests::{Bench, plain, rate};
use super::{Refusal, Ticket};
use crate::service::{Admission, OverLimit, Peer, Penalty, PerSource, Source};

#[derive(Clone, Debug)]
enum Step {
    /// Somebody comes: the number of the source.
    Connect(u8),
    /// One of the live connections ends.
    Exit(usize),
    /// Time goes by, ms.
    Tick(u32),
    /// Other rules.
    Reload(Rules),
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the table")]
struct Rules {
    max_connections: Option<u32>,
    max_per_source: Option<u32>,
    rate: Option<(u32, u32)>,
    rate_per_source: Option<(u32, u32)>,
    queue: bool,
    pause: Option<u64>,
    penalty: bool,
    deny_odd: bool,
    wide: bool,
}

impl Rules {
    fn admission(&self) -> Admission {
        let odd = |number| Source::Net(format!("10.{number}.0.0/16").parse().unwrap());
        Admission {
            max_connections: self.max_connections.and_then(NonZeroU32::new),
            max_per_source: self
                .max_per_source
                .and_then(NonZeroU32::new)
                .map_or(PerSource::Unlimited, PerSource::At),
            rate: self.rate.map(|(count, burst)| rate(count, 60, burst)),
            rate_per_source: self
                .rate_per_source
                .map(|(count, burst)| rate(count, 60, burst)),
            over_limit: if self.queue {
                OverLimit::Queue
            } else {
                OverLimit::Refuse
            },
            pause: self.pause.map(Duration::from_secs),
            penalty: self.penalty.then(|| Penalty {
                after: rate(3, 60, 3),
                first: Duration::from_secs(30),
                max: Duration::from_secs(120),
            }),
            deny: if self.deny_odd {
                (1..8).step_by(2).map(odd).collect()
            } else {
                Vec::new()
            },
            source_prefix: if self.wide { (8, 64) } else { (32, 64) },
            ..plain()
        }
    }
}

fn rules() -> impl Strategy<Value = Rules> {
    let some = |range: std::ops::Range<u32>| prop::option::of(range);
    let pair = || prop::option::of((1..200_u32, 1..6_u32));
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let pause = prop::option::of(1..30_u64);
    (some(1..8), some(1..5), pair(), pair(), pause, flags).prop_map(
        |(max_connections, max_per_source, rate, rate_per_source, pause, flags)| Rules {
            max_connections,
            max_per_source,
            rate,
            rate_per_source,
            queue: flags.0,
            pause,
            penalty: flags.1,
            deny_odd: flags.2,
            wide: flags.3,
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..8_u8).prop_map(Step::Connect),
        4 => any::<usize>().prop_map(Step::Exit),
        3 => (0..20_000_u32).prop_map(Step::Tick),
        1 => rules().prop_map(Step::Reload),
    ];
    prop::collection::vec(step, 1..200)
}

fn peer(source: u8) -> Peer {
    Peer::Inet(([10, source, 0, 1], 1024).into())
}

/// The bench, and the same by hand.
struct Model {
    bench: Bench,
    rules: Rules,
    live: Vec<(u8, Ticket)>,
    starts: Vec<(u8, Duration)>,
    refused: u64,
    clock: Duration,
}

impl Model {
    fn new(rules: Rules) -> Self {
        Self {
            bench: Bench::new(&rules.admission()),
            rules,
            live: Vec::new(),
            starts: Vec::new(),
            refused: 0,
            clock: Duration::ZERO,
        }
    }

    fn of_source(&self, source: u8) -> u32 {
        let same = |(other, _): &&(u8, Ticket)| self.rules.wide || *other == source;
        self.live.iter().filter(same).count() as u32
    }

    fn connect(&mut self, source: u8) {
        let Model { bench, .. } = self;
        if let Some(wait) = bench.gate.wait(&bench.house, bench.now) {
            return self.check_wait(wait.until);
        }
        let full = |max: Option<u32>, live: u32| max.is_some_and(|max| live >= max);
        let source_full = full(self.rules.max_per_source, self.of_source(source));
        let service_full = full(self.rules.max_connections, self.live.len() as u32);
        match self.bench.admit(&peer(source)) {
            Ok(ticket) => {
                assert!(!source_full && !service_full, "a limit was passed");
                assert!(!(self.rules.deny_odd && source % 2 == 1), "denied");
                self.live.push((source, ticket));
                self.starts.push((source, self.clock));
                self.check_rates(source);
                assert_eq!(
                    self.live.last().map(|(_, ticket)| ticket.of_source()),
                    Some(self.of_source(source))
                );
            }
            Err(refusal) => {
                self.refused += 1;
                match refusal {
                    Refusal::PerSource => assert!(source_full),
                    Refusal::Connections => assert!(service_full && !self.rules.queue),
                    Refusal::Address => assert!(self.rules.deny_odd && source % 2 == 1),
                    Refusal::Rate => assert!(self.rules.rate.is_some() && !self.rules.queue),
                    Refusal::RatePerSource => assert!(self.rules.rate_per_source.is_some()),
                    Refusal::Banned => assert!(self.rules.penalty),
                    Refusal::Hours | Refusal::Load | Refusal::ProxyFrom | Refusal::ProxyHeader => {
                        unreachable!("not in these rules")
                    }
                }
            }
        }
    }

    /// In no time since the rules hold are there more starts than the bucket gives.
    fn check_rates(&self, source: u8) {
        let within = |(count, burst): (u32, u32), starts: &[Duration]| {
            let Some(last) = starts.last() else { return };
            for (index, start) in starts.iter().enumerate() {
                let many = f64::from((starts.len() - index) as u32);
                let time = last.saturating_sub(*start).as_secs_f64();
                let most = f64::from(burst) + time * f64::from(count) / 60.0;
                assert!(many <= most + 1e-3, "{many} starts in {time} s");
            }
        };
        let all: Vec<_> = self.starts.iter().map(|(_, start)| *start).collect();
        self.rules.rate.inspect(|rate| within(*rate, &all));
        let own = self
            .starts
            .iter()
            .filter(|(other, _)| self.rules.wide || *other == source);
        let own: Vec<_> = own.map(|(_, start)| *start).collect();
        self.rules
            .rate_per_source
            .inspect(|rate| within(*rate, &own));
    }

    /// Every pause has an end: a time after which it is over, or a connection whose end frees a place. A pause may end
    /// before there is a token, and then begins again: but never longer than it takes to make one.
    fn check_wait(&mut self, mut until: Option<std::time::Instant>) {
        if until.is_none() {
            return assert!(!self.live.is_empty(), "full, and nobody is there");
        }
        let pause = Duration::from_secs(self.rules.pause.unwrap_or(0));
        let mut left = Duration::from_secs(60) + pause + pause;
        while let Some(end) = until {
            let time = end - self.bench.now;
            assert!(!time.is_zero(), "a wait that waits for nothing");
            assert!(time <= left, "{time:?} more, of at most {left:?}");
            left -= time;
            self.tick(time);
            let Model { bench, .. } = self;
            let wait = bench.gate.wait(&bench.house, bench.now);
            until = wait.and_then(|wait| wait.until);
        }
    }

    fn tick(&mut self, time: Duration) {
        self.bench.after(time);
        self.clock += time;
    }

    fn reload(&mut self, rules: Rules) {
        if self.bench.change(&rules.admission()) {
            for (source, ticket) in &mut self.live {
                ticket.regroup(&self.bench.gate, &peer(*source));
            }
        }
        self.rules = rules;
        // What was taken under other rules says nothing about these.
        self.starts.clear();
    }

    fn check(&self) {
        let live = self.live.len() as u32;
        assert_eq!(self.bench.gate.live(), live);
        assert_eq!(self.bench.house.live(), live);
        let uses = self
            .bench
            .gate
            .top_sources(&self.bench.house, self.bench.now, 100);
        assert_eq!(uses.iter().map(|one| one.live).sum::<u32>(), live);
        for one in uses {
            assert!(
                one.banned_for
                    .is_none_or(|ban| ban <= Duration::from_secs(120))
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn counts_limits_and_pauses_hold_whatever_happens(first in rules(), steps in steps()) {
        let mut model = Model::new(first);
        for step in steps {
            match step {
                Step::Connect(source) => model.connect(source),
                Step::Exit(index) if !model.live.is_empty() => {
                    let index = index % model.live.len();
                    model.live.swap_remove(index);
                }
                Step::Exit(_) => {}
                Step::Tick(millis) => model.tick(Duration::from_millis(millis.into())),
                Step::Reload(rules) => model.reload(rules),
            }
            model.check();
        }
        model.live.clear();
        model.check();
        // After a while every source is served again.
        model.tick(Duration::from_secs(3_600));
        model.reload(Rules { deny_odd: false, ..model.rules.clone() });
        for source in 0..8 {
            model.tick(Duration::from_secs(120));
            let ticket = model.bench.admit(&peer(source));
            prop_assert!(ticket.is_ok(), "{:?}", ticket.err());
        }
    }
}
