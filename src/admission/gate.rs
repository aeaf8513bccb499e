//! The gate of a service: asks every rule, and makes the [`Ticket`] that owns every count.

mod explain;

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::access::{Access, Peers};
use super::hours::Windows;
use super::limit::{Count, Counted, SourceLimit};
use super::lists::{self, Lists};
use super::load::MaxLoad;
use super::penalty::Bans;
use super::prefixes::Meaning;
use super::rate::{ServiceRate, SourceRate};
use super::source::{Memory, Slot, SourceKey, SourceUse, Sources};
use super::{Arrival, Moment, Refusal, Verdict};
use crate::handover::{Packer, Unpacker, state};
pub use explain::{Deciding, deciding};

use crate::service::{Admission, OverLimit, Peer};

/// Sources without live connections that are remembered: 8 MiB when full.
const STREAM_SOURCES: usize = 65_536;
/// Senders of datagrams that are remembered: 2 MiB when full. They may all be forged.
const DATAGRAM_SOURCES: usize = 16_384;

/// One rule: the refusal that it speaks, how it is asked, and whether it judges datagrams too. A datagram has no
/// connection to count, and proves nothing about who sent it, so that nobody is banned for it.
pub(super) struct Rule {
    refusal: Refusal,
    refuses: fn(&Gate, &Case<'_>) -> bool,
    datagrams: bool,
}

/// The rules in their order.
pub(super) const RULES: [Rule; 8] = [
    Rule {
        refusal: Refusal::Hours,
        refuses: |gate, case| gate.hours.refuses(case.moment.wall),
        datagrams: true,
    },
    Rule {
        refusal: Refusal::Banned,
        refuses: |gate, case| gate.bans.refuses(case.source, case.now),
        datagrams: false,
    },
    Rule {
        refusal: Refusal::Address,
        refuses: |gate, case| gate.access.refuses(case.arrival),
        datagrams: true,
    },
    Rule {
        refusal: Refusal::Load,
        refuses: |gate, case| gate.max_load.refuses(case.moment.load),
        datagrams: true,
    },
    Rule {
        refusal: Refusal::PerSource,
        refuses: |gate, case| gate.per_source.refuses(case.arrival.peer, case.source),
        datagrams: false,
    },
    Rule {
        refusal: Refusal::RatePerSource,
        refuses: |gate, case| gate.source_rate.refuses(case.source, case.now),
        datagrams: true,
    },
    Rule {
        refusal: Refusal::Connections,
        refuses: |gate, _| gate.connections.is_full(),
        datagrams: false,
    },
    Rule {
        refusal: Refusal::Rate,
        refuses: |gate, case| {
            let rate = if case.datagram {
                &gate.datagram_rate
            } else {
                &gate.rate
            };
            rate.refuses(case.now)
        },
        datagrams: true,
    },
];

/// What the rules are asked about.
pub(super) struct Case<'a> {
    arrival: &'a Arrival<'a>,
    moment: &'a Moment,
    /// The same moment in ns of the house's clock.
    now: u64,
    /// What is remembered of the source; `None`: nothing, or it is exempt.
    source: Option<&'a Memory>,
    datagram: bool,
}

/// What all services share: the limit of the daemon, and the memory of sources.
#[derive(Debug)]
pub struct House {
    connections: Count,
    books: Rc<Books>,
    gates: Cell<u32>,
}

#[derive(Debug)]
struct Books {
    started: Instant,
    streams: RefCell<Sources>,
    datagrams: RefCell<Sources>,
}

impl House {
    /// An empty house without a limit, whose clock starts at `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            connections: Count::default(),
            books: Rc::new(Books {
                started: now,
                streams: RefCell::new(Sources::new(STREAM_SOURCES)),
                datagrams: RefCell::new(Sources::new(DATAGRAM_SOURCES)),
            }),
            gates: Cell::new(0),
        }
    }

    /// Changes the limit; who is in stays in.
    pub fn set_max(&mut self, max: Option<NonZeroU32>) {
        self.connections.max = max;
    }

    /// True when nobody else may come in now.
    pub fn is_full(&self) -> bool {
        self.connections.is_full()
    }

    /// Connections now.
    pub fn live(&self) -> u32 {
        self.connections.live()
    }

    /// The limit in force.
    pub fn max(&self) -> Option<NonZeroU32> {
        self.connections.max
    }

    /// What a successor of this process is to know of sources.
    pub fn pack(&self, packer: &Packer, now: Instant) -> state::Sources {
        let now = self.nanos(now);
        state::Sources {
            clock: packer.at(self.books.started),
            next_gate: self.gates.get(),
            streams: self.books.streams.borrow().pack(now),
            datagrams: self.books.datagrams.borrow().pack(now),
        }
    }

    /// Remembers that again, after every gate and every ticket is there.
    pub fn unpack(&self, record: &state::Sources) {
        self.gates.set(record.next_gate);
        self.books.streams.borrow_mut().unpack(&record.streams);
        self.books.datagrams.borrow_mut().unpack(&record.datagrams);
    }

    /// The house of a process that goes on: its clock began in its predecessor.
    pub fn going_on(record: &state::Sources, unpacker: &Unpacker) -> Self {
        Self::new(unpacker.at(record.clock))
    }

    fn nanos(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.books.started);
        // From 1: 0 is the time of things that never happened.
        u64::try_from(since.as_nanos())
            .unwrap_or(u64::MAX)
            .saturating_add(1)
    }
}

/// Why a client is better left in the kernel's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The word of the limit.
    pub reason: Refusal,
    /// Until when; `None`: until a connection ends.
    pub until: Option<Instant>,
    /// It is a `pause` of the table, which has just begun or lasts.
    pub paused: bool,
}

impl Wait {
    /// Until a connection ends.
    pub fn room() -> Self {
        Self {
            reason: Refusal::Connections,
            until: None,
            paused: false,
        }
    }
}

/// The rules of one service, with their state.
#[derive(Debug)]
pub struct Gate {
    number: u32,
    hours: Windows,
    bans: Bans,
    access: Access,
    max_load: MaxLoad,
    per_source: SourceLimit,
    source_rate: SourceRate,
    connections: Count,
    rate: ServiceRate,
    datagram_rate: ServiceRate,
    exempt: Peers,
    proxies: Peers,
    grouping: (u8, u8),
    over_limit: OverLimit,
}

impl Gate {
    /// The rules of `admission`, nobody in.
    pub fn new(house: &House, admission: &Admission, lists: &Lists, now: Instant) -> Self {
        let number = house.gates.get();
        house.gates.set(number.wrapping_add(1));
        let mut gate = Self {
            number,
            hours: Windows::new(admission),
            bans: Bans::new(admission.penalty),
            access: Access::new(admission, lists),
            max_load: MaxLoad::new(admission.max_load),
            per_source: SourceLimit::new(admission),
            source_rate: SourceRate::new(admission.rate_per_source),
            connections: Count::default(),
            rate: ServiceRate::default(),
            datagram_rate: ServiceRate::default(),
            exempt: Peers::new(lists, &admission.exempt, &[]),
            proxies: Peers::new(lists, &admission.proxy_from, &[]),
            grouping: admission.source_prefix,
            over_limit: admission.over_limit,
        };
        gate.set_counters(house, admission, now);
        gate
    }

    /// New rules after a reload; what was counted stays counted. True: sources are grouped in another way, and every
    /// ticket is to be told by [`Ticket::regroup`].
    pub fn change(
        &mut self,
        house: &House,
        admission: &Admission,
        lists: &Lists,
        now: Instant,
    ) -> bool {
        let regrouped = self.grouping != admission.source_prefix;
        self.hours = Windows::new(admission);
        self.bans = Bans::new(admission.penalty);
        self.max_load = MaxLoad::new(admission.max_load);
        self.per_source = SourceLimit::new(admission);
        self.source_rate = SourceRate::new(admission.rate_per_source);
        self.grouping = admission.source_prefix;
        self.over_limit = admission.over_limit;
        self.set_access(admission, lists);
        self.set_counters(house, admission, now);
        let now = house.nanos(now);
        for sources in [&house.books.streams, &house.books.datagrams] {
            sources.borrow_mut().change_all(self.number, |memory| {
                self.source_rate.adopt(memory, now);
                self.bans.adopt(memory, now);
            });
        }
        regrouped
    }

    /// Lists have new contents.
    pub fn reread(&mut self, admission: &Admission, lists: &Lists, changed: &[&Path]) {
        if lists::names(admission, changed) {
            self.set_access(admission, lists);
        }
    }

    fn set_access(&mut self, admission: &Admission, lists: &Lists) {
        self.access = Access::new(admission, lists);
        self.exempt = Peers::new(lists, &admission.exempt, &[]);
        self.proxies = Peers::new(lists, &admission.proxy_from, &[]);
    }

    fn set_counters(&mut self, house: &House, admission: &Admission, now: Instant) {
        let now = house.nanos(now);
        self.connections.max = admission.max_connections;
        self.rate.change(admission, now);
        self.datagram_rate.change(admission, now);
    }

    /// What a successor of this process is to know of it.
    pub fn pack(&self) -> state::Gate {
        let (bucket, paused_until) = self.rate.pack();
        state::Gate {
            number: self.number,
            bucket,
            datagram_bucket: self.datagram_rate.pack().0,
            paused_until,
        }
    }

    /// Goes on from there.
    pub fn unpack(&mut self, house: &House, record: &state::Gate, now: Instant) {
        let now = house.nanos(now);
        self.number = record.number;
        self.rate.unpack((record.bucket, record.paused_until), now);
        self.datagram_rate.unpack((record.datagram_bucket, 0), now);
    }

    /// The ticket of a connection that a predecessor of this process admitted. `None`: no gate ever made such a one.
    pub fn readmit(&self, house: &House, source: state::SourceKey) -> Option<Ticket> {
        let key = SourceKey::unpack(source)?;
        Some(self.ticket(house, |sources| sources.enter(key, |_| ())))
    }

    /// Counts a connection everywhere.
    fn ticket(&self, house: &House, enter: impl FnOnce(&mut Sources) -> Slot) -> Ticket {
        Ticket {
            _service: self.connections.take(),
            _house: house.connections.take(),
            books: Rc::clone(&house.books),
            slot: enter(&mut house.books.streams.borrow_mut()),
        }
    }

    /// What keeps a client that waits in the kernel's queue there, if anything. An empty bucket starts the `pause`.
    pub fn wait(&mut self, house: &House, now: Instant) -> Option<Wait> {
        if self.is_full() {
            return Some(Wait::room());
        }
        let nanos = house.nanos(now);
        let wait = self.rate.wait(nanos);
        (wait > 0).then(|| Wait {
            reason: Refusal::Rate,
            // A day is as good as for ever, and no time overflows.
            until: Some(now + Duration::from_nanos(wait).min(Duration::from_secs(86_400))),
            paused: self.rate.is_paused(nanos),
        })
    }

    /// True if [`Gate::wait`] would say nothing. It asks without consequences: nobody is known to wait.
    pub fn may_go_on(&self, house: &House, now: Instant) -> bool {
        !self.is_full() && self.rate.may_go_on(house.nanos(now))
    }

    /// True when `max_connections` leaves clients in the kernel's queue.
    pub fn is_full(&self) -> bool {
        self.over_limit == OverLimit::Queue && self.connections.is_full()
    }

    /// How many more connections `max_connections` leaves room for.
    pub fn room(&self) -> u32 {
        self.connections.room()
    }

    /// True while a `pause` lasts.
    pub fn is_paused(&self, house: &House, now: Instant) -> bool {
        self.rate.is_paused(house.nanos(now))
    }

    /// Connections now.
    pub fn live(&self) -> u32 {
        self.connections.live()
    }

    /// The limit in force.
    pub fn max(&self) -> Option<NonZeroU32> {
        self.connections.max
    }

    /// True if [`Moment::load`] decides anything.
    pub fn asks_load(&self) -> bool {
        !self.max_load.is_off()
    }

    /// True if [`Arrival::groups`] decides anything.
    pub fn asks_groups(&self) -> bool {
        self.access.asks_groups()
    }

    /// True if this peer may say by a PROXY header who its client is.
    pub fn may_send_header(&self, arrival: &Arrival<'_>) -> bool {
        self.proxies.find(arrival) == Some(Meaning::Yes)
    }

    /// Asks every rule about a connection; if none refuses, takes what each of them counts.
    pub fn admit(&mut self, house: &House, arrival: &Arrival<'_>, moment: &Moment) -> Verdict {
        let now = house.nanos(moment.now);
        let key = self.key(arrival.peer);
        let exempt = self.is_exempt(arrival);
        let mut sources = house.books.streams.borrow_mut();
        let source = if exempt { None } else { sources.find(&key) };
        let known = source.is_some();
        let case = Case {
            arrival,
            moment,
            now,
            source,
            datagram: false,
        };
        if let Some(refusal) = self.ask(&case) {
            let ban = if exempt {
                None
            } else {
                self.blame(&mut sources, key, known, refusal, now)
            };
            if refusal == Refusal::Rate && !self.rate.is_paused(now) {
                self.rate.start_pause(now);
            }
            return Verdict::Refuse { refusal, ban };
        }
        self.rate.take(now);
        drop(sources);
        Verdict::Admit(self.ticket(house, |sources| {
            sources.enter(key, |memory| {
                if !exempt {
                    self.source_rate.take(memory, now);
                }
            })
        }))
    }

    /// Asks the rules for datagrams about one, in an account that forged senders share with nobody but each other:
    /// whoever is pushed out of its fixed memory is forgotten, which is to his advantage.
    pub fn admit_datagram(
        &mut self,
        house: &House,
        arrival: &Arrival<'_>,
        moment: &Moment,
    ) -> Result<(), Refusal> {
        let now = house.nanos(moment.now);
        let key = self.key(arrival.peer);
        let exempt = self.is_exempt(arrival);
        let mut sources = house.books.datagrams.borrow_mut();
        let source = if exempt { None } else { sources.find(&key) };
        let case = Case {
            arrival,
            moment,
            now,
            source,
            datagram: true,
        };
        if let Some(refusal) = self.ask(&case) {
            return Err(refusal);
        }
        self.datagram_rate.take(now);
        if !exempt && !self.source_rate.is_off() {
            sources.change(key, |memory| self.source_rate.take(memory, now));
        }
        Ok(())
    }

    /// Counts the start of a program that is lent a socket of the service.
    pub fn start(&mut self, house: &House, now: Instant) {
        self.rate.take(house.nanos(now));
    }

    fn ask(&self, case: &Case<'_>) -> Option<Refusal> {
        RULES
            .iter()
            .filter(|rule| rule.datagrams || !case.datagram)
            .find(|rule| (rule.refuses)(self, case))
            .map(|rule| rule.refusal)
    }

    fn key(&self, peer: &Peer) -> SourceKey {
        SourceKey::new(self.number, peer, self.grouping)
    }

    fn is_exempt(&self, arrival: &Arrival<'_>) -> bool {
        self.exempt.find(arrival) == Some(Meaning::Yes)
    }

    /// Remembers a refusal where the source is at fault: for `penalty`, and for who looks at what sources do.
    fn blame(
        &self,
        sources: &mut Sources,
        key: SourceKey,
        known: bool,
        refusal: Refusal,
        now: u64,
    ) -> Option<Duration> {
        if self.bans.is_off() && !known {
            return None;
        }
        sources.change(key, |memory| {
            memory.refused = memory.refused.saturating_add(1);
            if refusal.blames_the_source() {
                self.bans.strike(memory, now)
            } else {
                None
            }
        })?
    }

    /// Lifts the ban of the source of `peer`. False: there is none.
    pub fn unban(&self, house: &House, peer: &Peer, now: Instant) -> bool {
        let (key, now) = (self.key(peer), house.nanos(now));
        let mut sources = house.books.streams.borrow_mut();
        let banned = |memory: &Memory| self.bans.refuses(Some(memory), now);
        sources.find(&key).is_some_and(banned) && sources.change(key, Bans::lift).is_some()
    }

    /// The sources with the most connections, then with the most refusals. Looks at all of them: for people.
    pub fn top_sources(&self, house: &House, now: Instant, count: usize) -> Vec<SourceUse> {
        let now = house.nanos(now);
        let sources = house.books.streams.borrow();
        let mut uses: Vec<SourceUse> = sources
            .of(self.number)
            .map(|(source, memory)| {
                let left = self.bans.end(memory).saturating_sub(now);
                SourceUse {
                    source,
                    live: memory.live,
                    refused: memory.refused,
                    banned_for: (left > 0).then(|| Duration::from_nanos(left)),
                }
            })
            .filter(|one| one.live > 0 || one.refused > 0)
            .collect();
        uses.sort_by_key(|one| std::cmp::Reverse((one.live, one.refused)));
        uses.truncate(count);
        uses
    }
}

/// The right to be served. Whatever it counts comes back when it is dropped.
#[derive(Debug)]
pub struct Ticket {
    _service: Counted,
    _house: Counted,
    books: Rc<Books>,
    slot: Slot,
}

impl Ticket {
    /// Connections of the same source at the same service, this one included.
    pub fn of_source(&self) -> u32 {
        self.books.streams.borrow().live(self.slot)
    }

    /// What it counts for, for a successor of this process.
    pub fn pack(&self) -> Option<state::SourceKey> {
        self.books
            .streams
            .borrow()
            .key(self.slot)
            .map(SourceKey::pack)
    }

    /// Counts for the source that `peer` is now, after [`Gate::change`] has changed how peers are grouped.
    pub fn regroup(&mut self, gate: &Gate, peer: &Peer) {
        let mut sources = self.books.streams.borrow_mut();
        sources.leave(self.slot);
        self.slot = sources.enter(gate.key(peer), |_| ());
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.books.streams.borrow_mut().leave(self.slot);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::service::{Hours, Penalty, PerSource, Rate, RefuseWith, Source};
    use std::net::SocketAddr;
    use std::time::SystemTime;

    /// The rules of a service that says nothing, without any limit.
    pub(in crate::admission) fn plain() -> Admission {
        Admission {
            allow: None,
            deny: Vec::new(),
            hours: Vec::new(),
            timezone: None,
            max_load: None,
            max_connections: None,
            max_per_source: PerSource::Half,
            exempt: Vec::new(),
            proxy_from: Vec::new(),
            source_prefix: (32, 64),
            rate: None,
            rate_per_source: None,
            over_limit: OverLimit::Refuse,
            refuse_with: RefuseWith::Close,
            pause: None,
            refuse_message: None,
            penalty: None,
        }
    }

    pub(in crate::admission) fn at(ip: &str) -> Peer {
        Peer::Inet(SocketAddr::new(ip.parse().unwrap(), 1024))
    }

    pub(in crate::admission) fn rate(count: u32, secs: u64, burst: u32) -> Rate {
        Rate {
            count: NonZeroU32::new(count).unwrap(),
            per: Duration::from_secs(secs),
            burst: NonZeroU32::new(burst).unwrap(),
        }
    }

    /// A house with one gate and a clock that is moved by hand.
    pub(in crate::admission) struct Bench {
        pub(in crate::admission) house: House,
        pub(in crate::admission) gate: Gate,
        pub(in crate::admission) now: Instant,
        pub(in crate::admission) load: f64,
    }

    impl Bench {
        pub(in crate::admission) fn new(admission: &Admission) -> Self {
            let now = Instant::now();
            let house = House::new(now);
            let gate = Gate::new(&house, admission, &Lists::default(), now);
            Self {
                house,
                gate,
                now,
                load: 0.0,
            }
        }

        pub(in crate::admission) fn after(&mut self, time: Duration) {
            self.now += time;
        }

        fn moment(&self) -> Moment {
            Moment {
                now: self.now,
                wall: SystemTime::UNIX_EPOCH,
                load: self.load,
            }
        }

        pub(in crate::admission) fn admit(&mut self, peer: &Peer) -> Result<Ticket, Refusal> {
            let (arrival, moment) = (Arrival { peer, groups: &[] }, self.moment());
            match self.gate.admit(&self.house, &arrival, &moment) {
                Verdict::Admit(ticket) => Ok(ticket),
                Verdict::Refuse { refusal, .. } => Err(refusal),
            }
        }

        fn datagram(&mut self, peer: &Peer) -> Result<(), Refusal> {
            let (arrival, moment) = (Arrival { peer, groups: &[] }, self.moment());
            self.gate.admit_datagram(&self.house, &arrival, &moment)
        }

        pub(in crate::admission) fn change(&mut self, admission: &Admission) -> bool {
            self.gate
                .change(&self.house, admission, &Lists::default(), self.now)
        }

        fn refusal(&mut self, peer: &Peer) -> Option<Refusal> {
            self.admit(peer).err()
        }
    }

    fn max(count: u32) -> Option<NonZeroU32> {
        NonZeroU32::new(count)
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn the_table_of_rules_has_the_order_of_the_refusals() {
        assert_eq!(RULES.map(|rule| rule.refusal), Refusal::RULES);
        assert!(Refusal::ALL.starts_with(&Refusal::RULES));
    }

    #[test]
    fn max_connections_admits_n_and_one_more_after_each_end() {
        let mut bench = Bench::new(&Admission {
            max_connections: max(3),
            ..plain()
        });
        let peer = at("127.0.0.1");
        let mut held: Vec<Ticket> = (0..3).map(|_| bench.admit(&peer).unwrap()).collect();
        for _ in 0..5 {
            assert_eq!(bench.refusal(&peer), Some(Refusal::Connections));
            held.pop();
            held.push(bench.admit(&peer).unwrap());
        }
        assert_eq!((bench.gate.live(), bench.house.live()), (3, 3));
        drop(held);
        assert_eq!((bench.gate.live(), bench.house.live()), (0, 0));
    }

    #[test]
    fn max_per_source_is_exact_and_fair() {
        let limit = PerSource::At(NonZeroU32::new(2).unwrap());
        let mut bench = Bench::new(&Admission {
            max_per_source: limit,
            ..plain()
        });
        let (one, other) = (at("2001:db8::1"), at("2001:db8:0:1::1"));
        let first = bench.admit(&one).unwrap();
        assert_eq!(first.of_source(), 1);
        let second = bench.admit(&at("2001:db8::ffff:2")).unwrap();
        assert_eq!(second.of_source(), 2);
        for _ in 0..5 {
            assert_eq!(bench.refusal(&one), Some(Refusal::PerSource));
        }
        let _other = bench.admit(&other).unwrap();
        drop(first);
        let _third = bench.admit(&one).unwrap();
        assert_eq!(bench.refusal(&one), Some(Refusal::PerSource));
        let top = bench.gate.top_sources(&bench.house, bench.now, 10);
        let texts: Vec<_> = top
            .iter()
            .map(|one| format!("{} {} {}", one.source, one.live, one.refused))
            .collect();
        assert_eq!(texts, ["2001:db8::/64 2 6", "2001:db8:0:1::/64 1 0"]);
    }

    #[test]
    fn a_source_gets_half_of_the_service_by_default() {
        let mut bench = Bench::new(&Admission {
            max_connections: max(4),
            ..plain()
        });
        let flood = at("192.0.2.7");
        let _held = [bench.admit(&flood).unwrap(), bench.admit(&flood).unwrap()];
        assert_eq!(bench.refusal(&flood), Some(Refusal::PerSource));
        let _others = [
            bench.admit(&at("192.0.2.8")).unwrap(),
            bench.admit(&at("::1")).unwrap(),
        ];
        assert_eq!(bench.refusal(&at("::1")), Some(Refusal::Connections));
    }

    #[test]
    fn rates_admit_their_burst_and_recover() {
        for per_source in [false, true] {
            let rate = Some(rate(6, 60, 3));
            let admission = if per_source {
                Admission {
                    rate_per_source: rate,
                    ..plain()
                }
            } else {
                Admission { rate, ..plain() }
            };
            let word = if per_source {
                Refusal::RatePerSource
            } else {
                Refusal::Rate
            };
            let mut bench = Bench::new(&admission);
            let peer = at("192.0.2.7");
            for _ in 0..3 {
                drop(bench.admit(&peer).unwrap());
            }
            assert_eq!(bench.refusal(&peer), Some(word));
            let other = bench.refusal(&at("192.0.2.8"));
            assert_eq!(other, (!per_source).then_some(word), "another source");
            bench.after(Duration::from_nanos(9_999_999_999));
            assert_eq!(bench.refusal(&peer), Some(word), "one ns early");
            bench.after(Duration::from_nanos(1));
            drop(bench.admit(&peer).unwrap());
            assert_eq!(bench.refusal(&peer), Some(word));
            bench.after(seconds(1000));
            for _ in 0..3 {
                drop(bench.admit(&peer).unwrap());
            }
            assert_eq!(bench.refusal(&peer), Some(word));
        }
    }

    #[test]
    fn a_refusal_by_a_later_rule_consumes_nothing_of_an_earlier_one() {
        let mut bench = Bench::new(&Admission {
            rate_per_source: Some(rate(1, 3600, 2)),
            rate: Some(rate(1, 3600, 2)),
            max_connections: max(1),
            ..plain()
        });
        let peer = at("192.0.2.7");
        let held = bench.admit(&peer).unwrap();
        for _ in 0..10 {
            let refusal = bench.refusal(&at("192.0.2.8"));
            assert_eq!(refusal, Some(Refusal::Connections));
        }
        drop(held);
        drop(bench.admit(&at("192.0.2.8")).unwrap());
        for _ in 0..10 {
            assert_eq!(bench.refusal(&peer), Some(Refusal::Rate));
        }
        let relaxed = Admission {
            rate_per_source: Some(rate(1, 3600, 2)),
            ..plain()
        };
        bench.change(&relaxed);
        drop(bench.admit(&peer).unwrap());
        assert_eq!(
            bench.refusal(&peer),
            Some(Refusal::RatePerSource),
            "the second of two"
        );
    }

    #[test]
    fn rules_are_asked_in_order() {
        let every = Admission {
            hours: vec![Hours {
                days: 0,
                from: 0,
                to: 1,
            }],
            timezone: Some("UTC".to_owned()),
            deny: vec![Source::Any],
            max_load: Some(1.0),
            max_per_source: PerSource::At(NonZeroU32::MIN),
            rate_per_source: Some(rate(1, 3600, 1)),
            max_connections: max(1),
            rate: Some(rate(1, 3600, 1)),
            penalty: Some(Penalty {
                after: rate(1, 3600, 1),
                first: seconds(60),
                max: seconds(60),
            }),
            ..plain()
        };
        let mut bench = Bench::new(&Admission {
            deny: Vec::new(),
            hours: Vec::new(),
            ..every.clone()
        });
        let peer = at("192.0.2.7");
        let _held = bench.admit(&peer).unwrap();
        // The one refusal that leads to the ban.
        assert_eq!(bench.refusal(&peer), Some(Refusal::PerSource));
        bench.load = 2.0;
        let mut rules = every;
        let mut expect = |rules: &Admission, refusal| {
            bench.change(rules);
            assert_eq!(bench.refusal(&peer), refusal);
        };
        expect(&rules, Some(Refusal::Hours));
        rules.hours.clear();
        expect(&rules, Some(Refusal::Banned));
        rules.penalty = None;
        expect(&rules, Some(Refusal::Address));
        rules.deny.clear();
        expect(&rules, Some(Refusal::Load));
        rules.max_load = None;
        expect(&rules, Some(Refusal::PerSource));
        rules.max_per_source = PerSource::Unlimited;
        expect(&rules, Some(Refusal::RatePerSource));
        rules.rate_per_source = None;
        expect(&rules, Some(Refusal::Connections));
        rules.max_connections = None;
        expect(&rules, Some(Refusal::Rate));
        rules.rate = None;
        expect(&rules, None);
    }

    #[test]
    fn exempt_sources_meet_no_rule_about_sources() {
        let mut bench = Bench::new(&Admission {
            max_per_source: PerSource::At(NonZeroU32::MIN),
            rate_per_source: Some(rate(1, 3600, 1)),
            penalty: Some(Penalty {
                after: rate(1, 3600, 1),
                first: seconds(60),
                max: seconds(60),
            }),
            exempt: vec![Source::Net("10.0.0.0/8".parse().unwrap())],
            max_connections: max(20),
            ..plain()
        });
        let friend = at("10.1.2.3");
        let held: Vec<Ticket> = (0..20).map(|_| bench.admit(&friend).unwrap()).collect();
        assert_eq!(
            held.last().map(Ticket::of_source),
            Some(20),
            "counted all the same"
        );
        assert_eq!(bench.refusal(&friend), Some(Refusal::Connections));
    }

    #[test]
    fn a_queue_waits_for_room_and_for_tokens() {
        let mut bench = Bench::new(&Admission {
            max_connections: max(1),
            rate: Some(rate(1, 10, 1)),
            over_limit: OverLimit::Queue,
            ..plain()
        });
        assert_eq!(bench.gate.wait(&bench.house, bench.now), None);
        let held = bench.admit(&at("::1")).unwrap();
        let wait = |bench: &mut Bench| {
            let wait = bench.gate.wait(&bench.house, bench.now)?;
            Some((
                wait.reason,
                wait.until.map(|until| until - bench.now),
                wait.paused,
            ))
        };
        assert_eq!(wait(&mut bench), Some((Refusal::Connections, None, false)));
        drop(held);
        let expected = Some((Refusal::Rate, Some(seconds(10)), false));
        assert_eq!(wait(&mut bench), expected);
        bench.after(seconds(10));
        assert_eq!(wait(&mut bench), None);
    }

    #[test]
    fn a_pause_starts_when_somebody_meets_the_rate_and_ends() {
        for over_limit in [OverLimit::Queue, OverLimit::Refuse] {
            let mut bench = Bench::new(&Admission {
                rate: Some(rate(50, 1, 2)),
                pause: Some(seconds(10)),
                over_limit,
                ..plain()
            });
            let peer = at("::1");
            drop(bench.admit(&peer).unwrap());
            drop(bench.admit(&peer).unwrap());
            assert!(
                !bench.gate.is_paused(&bench.house, bench.now),
                "the rate alone is no pause"
            );
            if over_limit == OverLimit::Refuse {
                assert_eq!(bench.gate.wait(&bench.house, bench.now), None);
                assert_eq!(bench.refusal(&peer), Some(Refusal::Rate));
            }
            let wait = bench.gate.wait(&bench.house, bench.now).unwrap();
            assert_eq!(
                (wait.until, wait.paused),
                (Some(bench.now + seconds(10)), true)
            );
            bench.after(seconds(9));
            assert!(bench.gate.wait(&bench.house, bench.now).is_some());
            bench.after(seconds(1));
            assert_eq!(bench.gate.wait(&bench.house, bench.now), None);
            drop(bench.admit(&peer).unwrap());
        }
    }

    #[test]
    fn a_reload_keeps_counts_and_ends_pauses() {
        let mut rules = Admission {
            max_connections: max(10),
            rate: Some(rate(1, 3600, 4)),
            pause: Some(seconds(3600)),
            over_limit: OverLimit::Queue,
            max_per_source: PerSource::Unlimited,
            ..plain()
        };
        let mut bench = Bench::new(&rules);
        let peer = at("192.0.2.7");
        let held: Vec<Ticket> = (0..4).map(|_| bench.admit(&peer).unwrap()).collect();
        assert!(
            bench
                .gate
                .wait(&bench.house, bench.now)
                .is_some_and(|wait| wait.paused)
        );
        rules.pause = None;
        rules.rate = None;
        rules.max_connections = max(4);
        rules.max_per_source = PerSource::At(NonZeroU32::new(4).unwrap());
        assert!(!bench.change(&rules));
        let wait = bench.gate.wait(&bench.house, bench.now).unwrap();
        assert_eq!(
            wait.reason,
            Refusal::Connections,
            "four are still counted, the pause is over"
        );
        rules.max_connections = max(100);
        bench.change(&rules);
        assert_eq!(bench.refusal(&peer), Some(Refusal::PerSource));
        drop(held);
        drop(bench.admit(&peer).unwrap());
        assert_eq!(bench.gate.live(), 0);
    }

    #[test]
    fn regrouped_tickets_count_for_their_new_source() {
        let mut rules = Admission {
            max_per_source: PerSource::At(NonZeroU32::new(3).unwrap()),
            ..plain()
        };
        let mut bench = Bench::new(&rules);
        let peers = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "198.51.100.1"].map(at);
        let mut held: Vec<Ticket> = peers
            .iter()
            .map(|peer| bench.admit(peer).unwrap())
            .collect();
        rules.source_prefix = (24, 56);
        assert!(bench.change(&rules));
        for (ticket, peer) in held.iter_mut().zip(&peers) {
            ticket.regroup(&bench.gate, peer);
        }
        assert_eq!(
            held.iter().map(Ticket::of_source).collect::<Vec<_>>(),
            [3, 3, 3, 1]
        );
        assert_eq!(bench.refusal(&at("192.0.2.9")), Some(Refusal::PerSource));
        drop(held);
        assert!(
            bench
                .gate
                .top_sources(&bench.house, bench.now, 9)
                .is_empty()
        );
    }

    #[test]
    fn a_successor_knows_every_count_rate_pause_and_ban() {
        let admission = Admission {
            max_connections: max(9),
            max_per_source: PerSource::At(NonZeroU32::new(2).unwrap()),
            rate: Some(rate(1, 3600, 9)),
            rate_per_source: Some(rate(1, 3600, 3)),
            penalty: Some(Penalty {
                after: rate(3, 60, 3),
                first: seconds(30),
                max: seconds(300),
            }),
            ..plain()
        };
        let mut bench = Bench::new(&admission);
        let (one, other, banned) = (at("192.0.2.1"), at("2001:db8::1"), at("192.0.2.3"));
        let held = [bench.admit(&one), bench.admit(&one), bench.admit(&banned)];
        let tickets: Vec<Ticket> = held.map(Result::unwrap).into();
        drop(bench.admit(&banned).unwrap());
        drop(bench.admit(&banned).unwrap());
        for _ in 0..3 {
            assert_eq!(bench.refusal(&banned), Some(Refusal::RatePerSource));
        }
        bench.datagram(&other).unwrap();

        let packer = Packer::new();
        let sources = bench.house.pack(&packer, bench.now);
        let gate = bench.gate.pack();
        let keys: Vec<_> = tickets.iter().filter_map(Ticket::pack).collect();
        // The clock of the house goes over to the nanosecond but for the reading of two clocks.
        let unpacker = Unpacker::new(&[]).unwrap();
        let mut next = Bench::new(&admission);
        next.house = House::going_on(&sources, &unpacker);
        next.gate.unpack(&next.house, &gate, next.now);
        let again: Vec<Ticket> = keys
            .into_iter()
            .map(|key| next.gate.readmit(&next.house, key).unwrap())
            .collect();
        next.house.unpack(&sources);
        next.now = bench.now + seconds(1);

        assert_eq!((next.house.live(), next.gate.live()), (3, 3));
        assert_eq!(
            again.iter().map(Ticket::of_source).collect::<Vec<_>>(),
            [2, 2, 1]
        );
        assert_eq!(next.refusal(&one), Some(Refusal::PerSource));
        assert_eq!(next.refusal(&banned), Some(Refusal::Banned));
        let uses = |bench: &Bench| bench.gate.top_sources(&bench.house, bench.now, 9).len();
        assert_eq!(uses(&next), uses(&bench));
        // Of nine starts five are used up, and of three of this source none.
        for _ in 0..3 {
            drop(next.admit(&other).unwrap());
        }
        assert_eq!(next.refusal(&other), Some(Refusal::RatePerSource));
        drop(next.admit(&at("192.0.2.9")).unwrap());
        assert_eq!(next.refusal(&at("192.0.2.9")), Some(Refusal::Rate));
        drop(again);
        assert_eq!((next.house.live(), next.gate.live()), (0, 0));
    }

    #[test]
    fn bans_are_for_those_who_knock_too_often() {
        let mut bench = Bench::new(&Admission {
            deny: vec![Source::Net("192.0.2.0/24".parse().unwrap())],
            penalty: Some(Penalty {
                after: rate(3, 60, 3),
                first: seconds(30),
                max: seconds(600),
            }),
            ..plain()
        });
        let peer = at("192.0.2.7");
        for _ in 0..3 {
            assert_eq!(bench.refusal(&peer), Some(Refusal::Address));
        }
        for _ in 0..100 {
            assert_eq!(bench.refusal(&peer), Some(Refusal::Banned));
        }
        assert_eq!(bench.refusal(&at("192.0.2.8")), Some(Refusal::Address));
        assert_eq!(bench.refusal(&at("198.51.100.1")), None);
        let top = bench.gate.top_sources(&bench.house, bench.now, 1);
        assert_eq!(top[0].banned_for, Some(seconds(30)));
        assert_eq!(top[0].refused, 103);
        assert!(bench.gate.unban(&bench.house, &peer, bench.now));
        assert!(!bench.gate.unban(&bench.house, &peer, bench.now));
        for _ in 0..3 {
            assert_eq!(bench.refusal(&peer), Some(Refusal::Address), "lifted");
        }
        bench.after(seconds(30));
        assert_eq!(bench.refusal(&peer), Some(Refusal::Address), "over");
    }

    #[test]
    fn limits_of_everybody_ban_nobody() {
        let mut bench = Bench::new(&Admission {
            max_connections: max(1),
            max_per_source: PerSource::Unlimited,
            penalty: Some(Penalty {
                after: rate(1, 60, 1),
                first: seconds(30),
                max: seconds(600),
            }),
            ..plain()
        });
        let _held = bench.admit(&at("192.0.2.7")).unwrap();
        for _ in 0..10 {
            assert_eq!(bench.refusal(&at("192.0.2.8")), Some(Refusal::Connections));
        }
    }

    #[test]
    fn datagrams_have_an_account_of_their_own_and_ban_nobody() {
        let rules = Admission {
            rate: Some(rate(1, 3600, 3)),
            rate_per_source: Some(rate(1, 3600, 2)),
            deny: vec![Source::Net("203.0.113.0/24".parse().unwrap())],
            penalty: Some(Penalty {
                after: rate(1, 60, 1),
                first: seconds(30),
                max: seconds(600),
            }),
            ..plain()
        };
        let mut bench = Bench::new(&rules);
        let victim = at("192.0.2.7");
        assert_eq!(bench.datagram(&victim), Ok(()));
        assert_eq!(bench.datagram(&victim), Ok(()));
        for _ in 0..10 {
            assert_eq!(bench.datagram(&victim), Err(Refusal::RatePerSource));
            assert_eq!(bench.datagram(&at("203.0.113.1")), Err(Refusal::Address));
        }
        assert_eq!(bench.datagram(&at("192.0.2.8")), Ok(()));
        assert_eq!(bench.datagram(&at("192.0.2.9")), Err(Refusal::Rate));
        drop(bench.admit(&victim).unwrap());
        drop(bench.admit(&victim).unwrap());
        assert_eq!(
            bench.refusal(&victim),
            Some(Refusal::RatePerSource),
            "as if no datagram had come"
        );
    }

    #[test]
    fn a_million_forged_senders_touch_no_connection_and_no_more_memory() {
        let rules = Admission {
            rate_per_source: Some(rate(1, 3600, 1)),
            ..plain()
        };
        let mut bench = Bench::new(&rules);
        let innocent = at("192.0.2.7");
        let ticket = bench.admit(&innocent).unwrap();
        for forged in 0..1_000_000_u32 {
            let ip = std::net::Ipv4Addr::from(0x0a00_0000 + forged);
            assert_eq!(bench.datagram(&Peer::Inet((ip, 53).into())), Ok(()));
        }
        assert_eq!(bench.house.books.datagrams.borrow().len(), DATAGRAM_SOURCES);
        assert_eq!(bench.house.books.streams.borrow().len(), 1);
        assert_eq!(ticket.of_source(), 1);
        assert_eq!(
            bench.refusal(&innocent),
            Some(Refusal::RatePerSource),
            "not forgotten"
        );
    }

    #[test]
    fn a_hundred_thousand_refusals_leave_nothing() {
        let mut bench = Bench::new(&Admission {
            deny: vec![Source::Any],
            max_connections: max(1),
            ..plain()
        });
        for source in 0..100_000_u32 {
            let peer = Peer::Inet((std::net::Ipv4Addr::from(source), 1).into());
            assert_eq!(bench.refusal(&peer), Some(Refusal::Address));
        }
        assert_eq!(bench.house.books.streams.borrow().len(), 0);
        assert_eq!((bench.gate.live(), bench.house.live()), (0, 0));
    }
}
