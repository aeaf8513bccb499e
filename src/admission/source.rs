//! What is remembered of sources: how many of their connections live, how fast they came, whether they are banned.
//!
//! Memory is fixed: at most `capacity` sources that have no live connection are kept, and a quarter as many banned ones.
//! When there is no room, the source that has been idle for longest is forgotten, and with it only what it had used up;
//! banned ones make room only for other banned ones. A source with live connections is never forgotten: those are bounded
//! by the daemon's `max_connections`. Every operation costs the same however many there are: a hash table with chains, keyed
//! with random keys (SipHash) so that nobody can choose addresses that collide, and lists by links. The table starts small
//! and doubles with its entries, seven times until it is full; the last time takes about a millisecond.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::rate::Bucket;
use crate::handover::state;
use crate::service::Peer;

/// A source of one service: a peer without what `source_prefix` leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceKey {
    gate: u32,
    family: Family,
    length: u8,
    bits: u128,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Family {
    V4,
    V6,
    Unix,
    Vsock,
}

impl SourceKey {
    /// The source of `peer` at the gate with this number, grouped by prefixes of these lengths.
    pub(super) fn new(gate: u32, peer: &Peer, (v4, v6): (u8, u8)) -> Self {
        let keep = |bits: u128, length: u8| {
            bits & u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
        };
        let (family, length, bits) = match peer {
            Peer::Inet(address) => match address.ip() {
                IpAddr::V4(ip) => (Family::V4, v4, keep(u128::from(u32::from(ip)) << 96, v4)),
                IpAddr::V6(ip) => (Family::V6, v6, keep(ip.into(), v6)),
            },
            Peer::Unix { uid, .. } => (Family::Unix, 0, u128::from(*uid)),
            Peer::Vsock { cid, .. } => (Family::Vsock, 0, u128::from(*cid)),
        };
        Self {
            gate,
            family,
            length,
            bits,
        }
    }
}

impl SourceKey {
    /// For a successor of this process.
    pub(super) fn pack(self) -> state::SourceKey {
        let (high, low) = ((self.bits >> 64) as u64, self.bits as u64);
        state::SourceKey(self.gate, self.family as u8, self.length, high, low)
    }

    /// From its predecessor; `None`: there is no such source.
    pub(super) fn unpack(record: state::SourceKey) -> Option<Self> {
        let state::SourceKey(gate, family, length, high, low) = record;
        let families = [Family::V4, Family::V6, Family::Unix, Family::Vsock];
        Some(Self {
            gate,
            family: families.into_iter().find(|one| *one as u8 == family)?,
            length: Some(length).filter(|length| *length <= 128)?,
            bits: u128::from(high) << 64 | u128::from(low),
        })
    }
}

/// `192.0.2.7`, `2001:db8::/64`, `uid:1000`, `vsock:3`.
impl fmt::Display for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, whole): (IpAddr, u8) = match self.family {
            Family::V4 => (Ipv4Addr::from((self.bits >> 96) as u32).into(), 32),
            Family::V6 => (Ipv6Addr::from(self.bits).into(), 128),
            Family::Unix => return write!(f, "uid:{}", self.bits),
            Family::Vsock => return write!(f, "vsock:{}", self.bits),
        };
        if self.length == whole {
            write!(f, "{address}")
        } else {
            write!(f, "{address}/{}", self.length)
        }
    }
}

/// What a source uses, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceUse {
    /// Which.
    pub source: SourceKey,
    /// Its connections now.
    pub live: u32,
    /// Refusals that are remembered of it.
    pub refused: u32,
    /// It is banned for this long from now.
    pub banned_for: Option<Duration>,
}

/// What is remembered of one source. Times are ns of the house's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    pub(super) live: u32,
    pub(super) refused: u32,
    /// `rate_per_source`.
    pub(super) starts: Bucket,
    /// Refusals, for `penalty`.
    pub(super) strikes: Bucket,
    pub(super) banned_at: u64,
    pub(super) banned_until: u64,
    /// Bans in a row.
    pub(super) bans: u8,
}

impl Memory {
    /// True if nothing of it matters any more.
    fn is_over(&self, now: u64) -> bool {
        let full = |bucket: Bucket| bucket.time() <= now;
        self.refused == 0 && self.bans == 0 && full(self.starts) && full(self.strikes)
    }

    fn pack(&self, key: SourceKey) -> state::Memory {
        state::Memory(
            key.pack(),
            self.refused,
            self.starts.time(),
            self.strikes.time(),
            self.banned_at,
            self.banned_until,
            self.bans,
        )
    }

    fn unpack(&mut self, record: &state::Memory) {
        let state::Memory(_, refused, starts, strikes, banned_at, banned_until, bans) = *record;
        *self = Self {
            live: self.live,
            refused,
            starts: Bucket::full_at(starts),
            strikes: Bucket::full_at(strikes),
            banned_at,
            banned_until,
            bans: bans.min(63),
        };
    }

    /// True if forgetting it changes nothing.
    fn is_empty(&self) -> bool {
        self.live == 0 && self.starts.is_unused() && self.strikes.is_unused() && self.bans == 0
    }
}

/// The place of a source that has live connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u32);

/// Chains at first: one page.
const FIRST_HEADS: usize = 1024;

/// The table.
#[derive(Debug)]
pub(super) struct Sources {
    keys: RandomState,
    /// Slot + 1 of the first entry of each chain; 0: none.
    heads: Vec<u32>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    idle: Queue,
    banned: Queue,
    capacity: usize,
}

#[derive(Debug)]
struct Entry {
    key: SourceKey,
    memory: Memory,
    /// Slot + 1 of the next of the chain.
    next: u32,
    queue: Where,
    /// Slots + 1 of the neighbours in its queue.
    older: u32,
    newer: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    /// It has live connections.
    Nowhere,
    Idle,
    Banned,
}

/// Entries in the order in which they became idle.
#[derive(Clone, Copy, Debug, Default)]
struct Queue {
    oldest: u32,
    newest: u32,
    length: usize,
}

impl Sources {
    /// A table of this size. Memory is reserved and not touched.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            keys: RandomState::new(),
            heads: vec![0; FIRST_HEADS],
            entries: Vec::with_capacity(capacity + capacity / 4 + 1),
            free: Vec::new(),
            idle: Queue::default(),
            banned: Queue::default(),
            capacity,
        }
    }

    /// What is remembered of `key`.
    pub(super) fn find(&self, key: &SourceKey) -> Option<&Memory> {
        let slot = self.search(key)?;
        self.entry(slot).map(|entry| &entry.memory)
    }

    /// Counts a live connection, and lets the rules take theirs.
    pub(super) fn enter(&mut self, key: SourceKey, take: impl FnOnce(&mut Memory)) -> Slot {
        let slot = self.search(&key).unwrap_or_else(|| self.insert(key));
        self.unqueue(slot);
        if let Some(entry) = self.entry_mut(slot) {
            entry.memory.live += 1;
            take(&mut entry.memory);
        }
        Slot(slot)
    }

    /// Takes a live connection off.
    pub(super) fn leave(&mut self, slot: Slot) {
        if let Some(entry) = self.entry_mut(slot.0) {
            entry.memory.live = entry.memory.live.saturating_sub(1);
        }
        self.settle(slot.0);
    }

    /// The live connections of the source in `slot`.
    pub(super) fn live(&self, slot: Slot) -> u32 {
        self.entry(slot.0).map_or(0, |entry| entry.memory.live)
    }

    /// The source in `slot`.
    pub(super) fn key(&self, slot: Slot) -> Option<SourceKey> {
        self.entry(slot.0).map(|entry| entry.key)
    }

    /// Lets a rule remember something of a source.
    pub(super) fn change<T>(
        &mut self,
        key: SourceKey,
        rule: impl FnOnce(&mut Memory) -> T,
    ) -> Option<T> {
        let slot = self.search(&key).unwrap_or_else(|| self.insert(key));
        let result = self.entry_mut(slot).map(|entry| rule(&mut entry.memory));
        self.unqueue(slot);
        self.settle(slot);
        result
    }

    /// All sources of a gate.
    pub(super) fn of(&self, gate: u32) -> impl Iterator<Item = (SourceKey, &Memory)> {
        self.entries
            .iter()
            .filter(move |entry| entry.key.gate == gate && !entry.memory.is_empty())
            .map(|entry| (entry.key, &entry.memory))
    }

    /// Changes everything that is remembered for a gate. Looks at all of the table: for reloads.
    pub(super) fn change_all(&mut self, gate: u32, rule: impl Fn(&mut Memory)) {
        for entry in &mut self.entries {
            if entry.key.gate == gate {
                rule(&mut entry.memory);
            }
        }
    }

    /// What is remembered, but for what counts live connections, and for what is over by `now`. Those that were idle for
    /// longest come first.
    pub(super) fn pack(&self, now: u64) -> Vec<state::Memory> {
        let queued = [self.idle, self.banned].into_iter().flat_map(|queue| {
            std::iter::successors(self.linked(queue.oldest), |entry| self.linked(entry.newer))
        });
        let lively = self.entries.iter().filter(|entry| entry.memory.live > 0);
        queued
            .chain(lively)
            .filter(|entry| !entry.memory.is_over(now))
            .map(|entry| entry.memory.pack(entry.key))
            .collect()
    }

    /// Remembers it again. Live connections have been counted before.
    pub(super) fn unpack(&mut self, records: &[state::Memory]) {
        for record in records {
            if let Some(key) = SourceKey::unpack(record.0) {
                self.change(key, |memory| memory.unpack(record));
            }
        }
    }

    /// How many sources are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Puts an entry without live connections where it belongs, and makes room.
    fn settle(&mut self, slot: u32) {
        let Some(entry) = self.entry(slot) else {
            return;
        };
        if entry.memory.live > 0 {
            return;
        }
        if entry.memory.is_empty() {
            return self.remove(slot);
        }
        let (queue, capacity) = if entry.memory.bans > 0 {
            (Where::Banned, self.capacity / 4)
        } else {
            (Where::Idle, self.capacity)
        };
        self.enqueue(slot, queue);
        let full = self.queue(queue).filter(|queue| queue.length > capacity);
        if let Some(Queue { oldest, .. }) = full.copied() {
            self.remove(oldest - 1);
        }
    }

    fn chain(&self, key: &SourceKey) -> usize {
        self.keys.hash_one(key) as usize & (self.heads.len() - 1)
    }

    fn search(&self, key: &SourceKey) -> Option<u32> {
        let mut link = self.heads.get(self.chain(key)).copied()?;
        loop {
            let slot = link.checked_sub(1)?;
            let entry = self.entry(slot)?;
            if entry.key == *key {
                return Some(slot);
            }
            link = entry.next;
        }
    }

    fn insert(&mut self, key: SourceKey) -> u32 {
        if self.entries.len() >= self.heads.len() && self.free.is_empty() {
            self.double();
        }
        let chain = self.chain(&key);
        let next = self.heads.get(chain).copied().unwrap_or(0);
        let entry = Entry {
            key,
            memory: Memory::default(),
            next,
            queue: Where::Nowhere,
            older: 0,
            newer: 0,
        };
        let slot = if let Some(slot) = self.free.pop() {
            if let Some(place) = self.entry_mut(slot) {
                *place = entry;
            }
            slot
        } else {
            self.entries.push(entry);
            (self.entries.len() - 1) as u32
        };
        if let Some(head) = self.heads.get_mut(chain) {
            *head = slot + 1;
        }
        slot
    }

    /// Twice as many chains. Only called while every entry is in one.
    fn double(&mut self) {
        self.heads = vec![0; self.heads.len() * 2];
        for slot in 0..self.entries.len() as u32 {
            let Some(key) = self.entry(slot).map(|entry| entry.key) else {
                return;
            };
            let chain = self.chain(&key);
            let next = self
                .heads
                .get_mut(chain)
                .map_or(0, |head| std::mem::replace(head, slot + 1));
            if let Some(entry) = self.entry_mut(slot) {
                entry.next = next;
            }
        }
    }

    fn remove(&mut self, slot: u32) {
        self.unqueue(slot);
        let Some(entry) = self.entry_mut(slot) else {
            return;
        };
        entry.memory = Memory::default();
        let (key, after) = (entry.key, entry.next);
        let chain = self.chain(&key);
        let Some(head) = self.heads.get_mut(chain) else {
            return;
        };
        if *head == slot + 1 {
            *head = after;
        } else {
            let mut link = *head;
            while let Some(entry) = link.checked_sub(1).and_then(|slot| self.entry_mut(slot)) {
                if entry.next == slot + 1 {
                    entry.next = after;
                    break;
                }
                link = entry.next;
            }
        }
        self.free.push(slot);
    }

    fn enqueue(&mut self, slot: u32, place: Where) {
        let Some(queue) = self.queue_mut(place) else {
            return;
        };
        let before = std::mem::replace(&mut queue.newest, slot + 1);
        queue.length += 1;
        if before == 0 {
            queue.oldest = slot + 1;
        } else if let Some(entry) = self.entry_mut(before - 1) {
            entry.newer = slot + 1;
        }
        if let Some(entry) = self.entry_mut(slot) {
            entry.queue = place;
            entry.older = before;
            entry.newer = 0;
        }
    }

    fn unqueue(&mut self, slot: u32) {
        let Some(entry) = self.entry_mut(slot) else {
            return;
        };
        let place = std::mem::replace(&mut entry.queue, Where::Nowhere);
        let (older, newer) = (entry.older, entry.newer);
        let Some(queue) = self.queue_mut(place) else {
            return;
        };
        queue.length -= 1;
        if older == 0 {
            queue.oldest = newer;
        }
        if newer == 0 {
            queue.newest = older;
        }
        if let Some(entry) = older.checked_sub(1).and_then(|slot| self.entry_mut(slot)) {
            entry.newer = newer;
        }
        if let Some(entry) = newer.checked_sub(1).and_then(|slot| self.entry_mut(slot)) {
            entry.older = older;
        }
    }

    /// The entry behind a link.
    fn linked(&self, link: u32) -> Option<&Entry> {
        self.entry(link.checked_sub(1)?)
    }

    fn entry(&self, slot: u32) -> Option<&Entry> {
        self.entries.get(slot as usize)
    }

    fn entry_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        self.entries.get_mut(slot as usize)
    }

    fn queue(&self, place: Where) -> Option<&Queue> {
        match place {
            Where::Nowhere => None,
            Where::Idle => Some(&self.idle),
            Where::Banned => Some(&self.banned),
        }
    }

    fn queue_mut(&mut self, place: Where) -> Option<&mut Queue> {
        match place {
            Where::Nowhere => None,
            Where::Idle => Some(&mut self.idle),
            Where::Banned => Some(&mut self.banned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::gate::tests::at;
    use crate::admission::rate::Meter;
    use crate::service::Rate;
    use std::collections::HashMap;
    use std::num::NonZeroU32;

    fn key(number: u32) -> SourceKey {
        let peer = Peer::Inet((Ipv4Addr::from(number), 1).into());
        SourceKey::new(1, &peer, (32, 64))
    }

    fn used(memory: &mut Memory) {
        let meter = Meter::from(Rate {
            count: NonZeroU32::MIN,
            per: Duration::from_secs(1),
            burst: NonZeroU32::MIN,
        });
        memory.starts = meter.take(memory.starts, 1);
    }

    #[test]
    fn peers_are_grouped_by_prefix() {
        let of = |peer: &Peer, lengths| SourceKey::new(1, peer, lengths).to_string();
        for (peer, lengths, source) in [
            (at("192.0.2.7"), (32, 64), "192.0.2.7"),
            (at("192.0.2.7"), (24, 56), "192.0.2.0/24"),
            (at("192.0.2.7"), (0, 0), "0.0.0.0/0"),
            (at("2001:db8:1:2:3:4:5:6"), (32, 64), "2001:db8:1:2::/64"),
            (
                at("2001:db8:1:2:3:4:5:6"),
                (32, 128),
                "2001:db8:1:2:3:4:5:6",
            ),
            (
                Peer::Unix {
                    uid: 7,
                    gid: 8,
                    pid: 9,
                },
                (32, 64),
                "uid:7",
            ),
            (Peer::Vsock { cid: 3, port: 9 }, (32, 64), "vsock:3"),
        ] {
            assert_eq!(of(&peer, lengths), source);
        }
        let one = SourceKey::new(1, &at("2001:db8::1"), (32, 64));
        assert_eq!(one, SourceKey::new(1, &at("2001:db8::ffff"), (32, 64)));
        assert_ne!(one, SourceKey::new(2, &at("2001:db8::1"), (32, 64)));
    }

    #[test]
    fn live_sources_are_never_forgotten_and_idle_ones_are_in_turn() {
        let mut sources = Sources::new(16);
        let live: Vec<Slot> = (0..100).map(|n| sources.enter(key(n), used)).collect();
        for n in 1000..1040 {
            sources.change(key(n), used);
        }
        assert_eq!(sources.len(), 116);
        for (n, slot) in live.iter().enumerate() {
            assert_eq!(sources.live(*slot), 1, "{n}");
        }
        assert!(sources.find(&key(1023)).is_none() && sources.find(&key(1024)).is_some());
        for slot in live {
            sources.leave(slot);
        }
        assert_eq!(sources.len(), 16);
        assert!(sources.find(&key(83)).is_none() && sources.find(&key(84)).is_some());
    }

    #[test]
    fn what_says_nothing_is_forgotten_at_once() {
        let mut sources = Sources::new(16);
        let slot = sources.enter(key(1), |_| ());
        sources.enter(key(1), |_| ());
        sources.leave(slot);
        assert_eq!(sources.live(slot), 1);
        sources.leave(slot);
        assert_eq!(sources.len(), 0);
    }

    #[test]
    fn a_flood_does_not_wash_a_ban_away() {
        let mut sources = Sources::new(16);
        sources.change(key(1), |memory| memory.bans = 1);
        for n in 1000..2000 {
            sources.change(key(n), used);
        }
        assert!(sources.find(&key(1)).is_some());
        for n in 2000..2004 {
            sources.change(key(n), |memory| memory.bans = 1);
        }
        assert!(sources.find(&key(1)).is_none(), "four banned ones at most");
        assert_eq!(sources.len(), 20);
    }

    #[test]
    fn agrees_with_a_map_over_many_steps() {
        let mut sources = Sources::new(8);
        let mut model: HashMap<SourceKey, Vec<Slot>> = HashMap::new();
        let mut state = 88_172_645_463_325_252_u64;
        for step in 0..200_000_u32 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let key = key((state % 97) as u32);
            if state >> 32 & 1 == 0 {
                let slot = sources.enter(key, |memory| {
                    if step % 3 == 0 {
                        used(memory);
                    }
                });
                model.entry(key).or_default().push(slot);
            } else if let Some(slot) = model.get_mut(&key).and_then(Vec::pop) {
                sources.leave(slot);
            }
            let live = model.get(&key).map_or(0, Vec::len);
            let known = sources.find(&key).map_or(0, |memory| memory.live);
            assert_eq!(known as usize, live);
        }
        let held = model.values().filter(|slots| !slots.is_empty()).count();
        assert!(sources.len() <= held + 8, "{} of {held}", sources.len());
    }

    #[test]
    fn a_million_sources_need_no_more_room_than_a_few() {
        let mut sources = Sources::new(16_384);
        for n in 0..1_000_000 {
            sources.change(key(n), used);
        }
        assert_eq!(sources.len(), 16_384);
        let bytes = sources.entries.capacity() * size_of::<Entry>()
            + (sources.heads.capacity() + sources.free.capacity()) * 4;
        assert!(bytes <= 4 << 20, "{bytes}");
    }
}
