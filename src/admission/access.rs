//! `allow` and `deny`: the longest matching prefix decides, a tie refuses; `exempt` uses the same search.
//!
//! Without a match: refused where `allow` is given, else served. For unix peers an entry for the uid comes before one for
//! a group, that before `local`, that before `any`; for virtual machines `local` (the host) before `any`.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::Arrival;
use super::lists::Lists;
use super::prefixes::{Meaning, Prefix, Prefixes};
use crate::service::{Admission, Peer, Source};

const LOOPBACK: [(IpAddr, u8); 2] = [
    (IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 0)), 8),
    (IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), 128),
];
/// RFC 1918, RFC 3927; RFC 4193, RFC 4291 2.5.6.
const PRIVATE: [(IpAddr, u8); 6] = [
    (IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 0)), 8),
    (IpAddr::V4(std::net::Ipv4Addr::new(172, 16, 0, 0)), 12),
    (IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 0, 0)), 16),
    (IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 0, 0)), 16),
    (
        IpAddr::V6(std::net::Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)),
        7,
    ),
    (
        IpAddr::V6(std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)),
        10,
    ),
];
/// VMADDR_CID_LOCAL and VMADDR_CID_HOST of vsock(7).
pub(super) const HOST_CIDS: [u32; 2] = [1, 2];

/// The rule of one service.
#[derive(Debug)]
pub(super) struct Access {
    peers: Peers,
    /// What happens without a match.
    otherwise: Meaning,
}

impl Access {
    pub(super) fn new(admission: &Admission, lists: &Lists) -> Self {
        let allow = admission.allow.as_deref();
        Self {
            peers: Peers::new(lists, allow.unwrap_or_default(), &admission.deny),
            otherwise: if allow.is_some() {
                Meaning::No
            } else {
                Meaning::Yes
            },
        }
    }

    pub(super) fn refuses(&self, arrival: &Arrival<'_>) -> bool {
        self.peers.find(arrival).unwrap_or(self.otherwise) == Meaning::No
    }

    /// True if supplementary groups can decide.
    pub(super) fn asks_groups(&self) -> bool {
        !self.peers.gids.is_empty()
    }
}

/// Peers and what they mean.
#[derive(Debug)]
pub(super) struct Peers {
    v4: Prefixes,
    v6: Prefixes,
    uids: HashMap<u32, Meaning>,
    gids: HashMap<u32, Meaning>,
    local: Option<Meaning>,
    any: Option<Meaning>,
}

impl Peers {
    /// Those of `yes` and `no`.
    pub(super) fn new(lists: &Lists, yes: &[Source], no: &[Source]) -> Self {
        let mut found = Found::default();
        for (sources, meaning) in [(yes, Meaning::Yes), (no, Meaning::No)] {
            for source in lists.expand(sources) {
                found.add(source, meaning);
            }
        }
        Self {
            v4: Prefixes::new(found.v4),
            v6: Prefixes::new(found.v6),
            uids: found.uids,
            gids: found.gids,
            local: found.local,
            any: found.any,
        }
    }

    /// What `arrival` means; `None`: nothing matches.
    pub(super) fn find(&self, arrival: &Arrival<'_>) -> Option<Meaning> {
        match arrival.peer {
            Peer::Inet(address) => match address.ip() {
                IpAddr::V4(ip) => self.v4.find(u128::from(u32::from(ip)) << 96),
                IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
                    Some(v4) => self.v4.find(u128::from(u32::from(v4)) << 96),
                    None => self.v6.find(u128::from(ip)),
                },
            },
            Peer::Unix { uid, gid, .. } => {
                let groups = std::iter::once(gid).chain(arrival.groups);
                let by_group = || groups.filter_map(|gid| self.gids.get(gid)).max().copied();
                self.uids
                    .get(uid)
                    .copied()
                    .or_else(by_group)
                    .or(self.local)
                    .or(self.any)
            }
            Peer::Vsock { cid, .. } => self.local.filter(|_| HOST_CIDS.contains(cid)).or(self.any),
        }
    }
}

/// What is gathered before it is put in order. Of two meanings the later wins, and `No` comes last.
#[derive(Default)]
pub(super) struct Found {
    pub(super) v4: Vec<Prefix>,
    pub(super) v6: Vec<Prefix>,
    pub(super) uids: HashMap<u32, Meaning>,
    pub(super) gids: HashMap<u32, Meaning>,
    pub(super) local: Option<Meaning>,
    pub(super) any: Option<Meaning>,
}

impl Found {
    /// What one entry names.
    pub(super) fn of(source: &Source) -> Self {
        let mut found = Self::default();
        found.add(source, Meaning::Yes);
        found
    }

    fn add(&mut self, source: &Source, meaning: Meaning) {
        match source {
            Source::Net(net) => self.network(net.network(), net.prefix_len(), meaning),
            Source::Any => {
                self.any = Some(meaning);
                for any in [IpNet::default(), ipnet::Ipv6Net::default().into()] {
                    self.network(any.network(), 0, meaning);
                }
            }
            Source::Loopback => self.networks(&LOOPBACK, meaning),
            Source::Private => self.networks(&PRIVATE, meaning),
            Source::Local => {
                self.local = Some(meaning);
                self.networks(&LOOPBACK, meaning);
            }
            Source::Uid(uid) => {
                self.uids.insert(*uid, meaning);
            }
            Source::Gid(gid) => {
                self.gids.insert(*gid, meaning);
            }
            // `Lists::expand` has put the contents in its place, and a list names no list.
            Source::File(_) => {}
        }
    }

    fn networks(&mut self, networks: &[(IpAddr, u8)], meaning: Meaning) {
        for (address, length) in networks {
            self.network(*address, *length, meaning);
        }
    }

    fn network(&mut self, address: IpAddr, length: u8, meaning: Meaning) {
        match address {
            IpAddr::V4(ip) => self.v4.push(Prefix {
                bits: u128::from(u32::from(ip)) << 96,
                length,
                meaning,
            }),
            IpAddr::V6(ip) => self.v6.push(Prefix {
                bits: ip.into(),
                length,
                meaning,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::gate::tests::{at, plain};
    use crate::service::List;
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    fn source(text: &str) -> Source {
        match text {
            "any" => Source::Any,
            "loopback" => Source::Loopback,
            "private" => Source::Private,
            "local" => Source::Local,
            _ => match text.split_once(':') {
                Some(("uid", id)) => Source::Uid(id.parse().unwrap()),
                Some(("gid", id)) => Source::Gid(id.parse().unwrap()),
                _ if text.starts_with('@') => Source::File(text[1..].into()),
                _ => Source::Net(text.parse().unwrap()),
            },
        }
    }

    fn rule(allow: &str, deny: &str) -> Access {
        let list = |text: &str| text.split_whitespace().map(source).collect::<Vec<_>>();
        let mut admission = plain();
        admission.allow = (!allow.is_empty()).then(|| list(allow));
        admission.deny = list(deny);
        let mut lists = Lists::default();
        lists.replace(List {
            path: "/scanners".into(),
            sources: list("203.0.113.0/24 2001:db8:bad::/48"),
        });
        Access::new(&admission, &lists)
    }

    fn unix(uid: u32, gid: u32) -> Peer {
        Peer::Unix { uid, gid, pid: 1 }
    }

    #[test]
    fn longest_prefix_decides_and_a_tie_refuses() {
        let (host, guest) = (
            Peer::Vsock { cid: 2, port: 9 },
            Peer::Vsock { cid: 3, port: 9 },
        );
        for (allow, deny, peer, refused) in [
            ("", "", at("192.0.2.7"), false),
            ("", "10.0.0.0/8", at("10.1.2.3"), true),
            ("", "10.0.0.0/8", at("::ffff:10.1.2.3"), true),
            ("", "10.0.0.0/8", at("11.1.2.3"), false),
            ("10.0.0.0/8", "", at("10.1.2.3"), false),
            ("10.0.0.0/8", "", at("11.1.2.3"), true),
            ("10.0.0.0/8", "", at("2001:db8::1"), true),
            ("10.0.0.0/8", "", unix(0, 0), true),
            ("10.0.0.0/8", "", host.clone(), true),
            ("10.1.0.0/16", "10.0.0.0/8", at("10.1.2.3"), false),
            ("10.0.0.0/8", "10.1.0.0/16", at("10.1.2.3"), true),
            ("10.0.0.0/8", "10.0.0.0/8", at("10.1.2.3"), true),
            ("any", "", at("2001:db8::1"), false),
            ("any", "any", at("2001:db8::1"), true),
            ("any", "private", at("fd00::1"), true),
            ("any", "private", at("fe80::1"), true),
            ("any", "private", at("172.31.255.255"), true),
            ("any", "private", at("172.32.0.0"), false),
            ("loopback", "", at("127.255.0.1"), false),
            ("loopback", "", at("::1"), false),
            ("loopback", "", unix(0, 0), true),
            ("local", "", unix(0, 0), false),
            ("local", "", host.clone(), false),
            ("local", "", guest.clone(), true),
            ("any", "local", host, true),
            ("any", "local", guest, false),
            ("uid:1000", "", unix(1000, 5), false),
            ("uid:1000", "", unix(1001, 1000), true),
            ("gid:4", "", unix(7, 4), false),
            ("gid:4", "uid:7", unix(7, 4), true),
            ("uid:7", "gid:4", unix(7, 4), false),
            ("gid:4", "gid:4", unix(7, 4), true),
            ("any", "gid:4", unix(7, 4), true),
            ("any", "gid:4", at("192.0.2.7"), false),
            ("", "@/scanners", at("203.0.113.9"), true),
            ("", "@/scanners", at("2001:db8:bad::1"), true),
            ("203.0.113.9/32", "@/scanners", at("203.0.113.9"), false),
            ("@/scanners", "", at("203.0.114.9"), true),
        ] {
            let arrival = Arrival {
                peer: &peer,
                groups: &[],
            };
            let refuses = rule(allow, deny).refuses(&arrival);
            assert_eq!(refuses, refused, "{peer:?} with allow {allow} deny {deny}");
        }
    }

    #[test]
    fn supplementary_groups_count_and_the_denied_one_wins() {
        let peer = unix(7, 100);
        let arrival = Arrival {
            peer: &peer,
            groups: &[100, 4, 27],
        };
        assert!(!rule("gid:4", "").refuses(&arrival));
        assert!(rule("gid:4", "gid:27").refuses(&arrival));
        assert!(rule("gid:4", "").asks_groups() && !rule("uid:4", "10.0.0.0/8").asks_groups());
    }

    #[test]
    fn no_form_of_an_address_dodges_a_rule() {
        let rule = rule("any", "10.0.0.0/8 192.0.2.128/25 128.0.0.0/3");
        for step in 0..100_000_u32 {
            let v4 = Ipv4Addr::from(step.wrapping_mul(2_654_435_761));
            let verdict = |ip: IpAddr| {
                let peer = Peer::Inet(SocketAddr::new(ip, 1));
                rule.refuses(&Arrival {
                    peer: &peer,
                    groups: &[],
                })
            };
            let mapped: Ipv6Addr = v4.to_ipv6_mapped();
            assert_eq!(verdict(v4.into()), verdict(mapped.into()), "{v4}");
        }
    }

    /// What LANGUAGE 4.5 says, entry by entry, over IpNet's own arithmetic.
    fn slowly(allow: Option<&[IpNet]>, deny: &[IpNet], ip: IpAddr) -> bool {
        let longest = |nets: &[IpNet]| {
            let matching = nets.iter().filter(|net| net.contains(&ip));
            matching
                .map(|net| i32::from(net.prefix_len()))
                .max()
                .unwrap_or(-1)
        };
        let (yes, no) = (longest(allow.unwrap_or_default()), longest(deny));
        if yes == -1 && no == -1 {
            allow.is_some()
        } else {
            no >= yes
        }
    }

    #[test]
    fn agrees_with_a_slow_oracle_in_100_000_cases_of_both_families() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut address = move |v6: bool| -> IpAddr {
            // Few bits differ, so that networks nest.
            let bits = random() & random();
            if v6 {
                Ipv6Addr::from(
                    0x2001_0db8_u128 << 96 | u128::from(bits & 0x0301_000f_0000_8003) << 40,
                )
                .into()
            } else {
                Ipv4Addr::from(0x0a00_0000 | bits as u32 & 0x0013_8307).into()
            }
        };
        let mut seed = 1_u32;
        let mut next = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 8
        };
        let mut refused = 0;
        for round in 0..1_000 {
            let mut nets = |count: u32| -> Vec<IpNet> {
                (0..count)
                    .map(|_| {
                        let ip = address(next() % 2 == 0);
                        let longest = if ip.is_ipv4() { 33 } else { 129 };
                        IpNet::new(ip, (next() % longest) as u8).unwrap().trunc()
                    })
                    .collect()
            };
            let allow = (round % 3 != 0).then(|| nets(round % 7));
            let deny = nets(round % 11);
            let mut admission = plain();
            let sources = |nets: &[IpNet]| nets.iter().copied().map(Source::Net).collect();
            admission.allow = allow.as_deref().map(sources);
            admission.deny = sources(&deny);
            let rule = Access::new(&admission, &Lists::default());
            for case in 0..100 {
                let ip = address(case % 2 == 0);
                let peer = Peer::Inet(SocketAddr::new(ip, 1));
                let is = rule.refuses(&Arrival {
                    peer: &peer,
                    groups: &[],
                });
                assert_eq!(
                    is,
                    slowly(allow.as_deref(), &deny, ip),
                    "{ip} {allow:?} {deny:?}"
                );
                refused += u32::from(is);
            }
        }
        assert!((20_000..80_000).contains(&refused), "{refused}");
    }
}
