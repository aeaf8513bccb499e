//! What one decision costs, in nanoseconds, with few and with many sources and prefixes: `cargo bench --bench admission`.
//!
//! Measured and printed, never asserted.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that prints figures for people"
)]

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant, SystemTime};

use oxinetd::admission::{Arrival, Gate, House, Lists, Moment, Verdict};
use oxinetd::service::{Admission, OverLimit, Peer, PerSource, Rate, RefuseWith, Source};

const ROUNDS: u32 = 400_000;

fn main() {
    println!(
        "ns per decision        admitted and given back   refused by its source   refused by address   datagram"
    );
    for sources in [10, 100_000] {
        for prefixes in [10, 10_000] {
            let figures = measure(sources, prefixes);
            let [admitted, per_source, address, datagram] = figures;
            println!(
                "{sources:>7} sources, {prefixes:>6} prefixes {admitted:>16} {per_source:>23} {address:>20} {datagram:>10}"
            );
        }
    }
}

fn rules(prefixes: u32) -> Admission {
    let net = |number: u32| {
        let bits = 0x0a00_0000 | (number.wrapping_mul(40_503) & 0xffff) << 8;
        Source::Net(format!("{}/24", Ipv4Addr::from(bits)).parse().unwrap())
    };
    Admission {
        allow: None,
        deny: (0..prefixes).map(net).collect(),
        hours: Vec::new(),
        timezone: None,
        max_load: None,
        max_connections: NonZeroU32::new(1_000_000),
        max_per_source: PerSource::At(NonZeroU32::new(2).unwrap()),
        proxy_from: Vec::new(),
        exempt: Vec::new(),
        source_prefix: (32, 64),
        rate: None,
        rate_per_source: Some(Rate {
            count: NonZeroU32::new(1_000_000).unwrap(),
            per: Duration::from_secs(1),
            burst: NonZeroU32::new(1_000_000).unwrap(),
        }),
        over_limit: OverLimit::Refuse,
        refuse_with: RefuseWith::Close,
        pause: None,
        refuse_message: None,
        penalty: None,
    }
}

fn peer(address: u32) -> Peer {
    Peer::Inet((Ipv4Addr::from(address), 1024).into())
}

fn measure(sources: u32, prefixes: u32) -> [u128; 4] {
    let start = Instant::now();
    let house = House::new(start);
    let mut gate = Gate::new(&house, &rules(prefixes), &Lists::default(), start);
    let mut moment = Moment {
        now: start,
        wall: SystemTime::now(),
        load: 0.0,
    };
    // Every source has a live connection, so that none can be forgotten.
    let known: Vec<Peer> = (0..sources)
        .map(|number| peer(0xc000_0000 + number))
        .collect();
    let mut admit = |gate: &mut Gate, peer: &Peer, step: u64| {
        moment.now = start + Duration::from_nanos(step);
        gate.admit(&house, &Arrival { peer, groups: &[] }, &moment)
    };
    let held: Vec<Verdict> = known.iter().map(|peer| admit(&mut gate, peer, 1)).collect();
    let mut step = 0;
    let mut time = |gate: &mut Gate, peers: &[Peer], admitted: bool| {
        let began = Instant::now();
        for peer in peers.iter().cycle().take(ROUNDS as usize) {
            step += 1_000;
            let verdict = black_box(admit(gate, black_box(peer), step));
            assert_eq!(matches!(verdict, Verdict::Admit(_)), admitted);
        }
        began.elapsed().as_nanos() / u128::from(ROUNDS)
    };
    let admitted = time(&mut gate, &known, true);
    // 10.0.0.0/24 is the first of the prefixes.
    let denied: Vec<Peer> = (0..200).map(|last| peer(0x0a00_0000 + last)).collect();
    let address = time(&mut gate, &denied, false);
    // The second connection of each fills its limit.
    let more: Vec<Verdict> = known.iter().map(|peer| admit(&mut gate, peer, 2)).collect();
    let mut time = |gate: &mut Gate| {
        let began = Instant::now();
        for peer in known.iter().cycle().take(ROUNDS as usize) {
            let verdict = black_box(admit(gate, black_box(peer), 3));
            assert!(matches!(verdict, Verdict::Refuse { .. }));
        }
        began.elapsed().as_nanos() / u128::from(ROUNDS)
    };
    let per_source = time(&mut gate);
    drop((held, more));
    let began = Instant::now();
    for peer in known.iter().cycle().take(ROUNDS as usize) {
        let arrival = Arrival { peer, groups: &[] };
        let _ = black_box(gate.admit_datagram(&house, black_box(&arrival), &moment));
    }
    let datagram = began.elapsed().as_nanos() / u128::from(ROUNDS);
    [admitted, per_source, address, datagram]
}
