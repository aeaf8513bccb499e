//! Why a client would be served or not, rule by rule: for `try`.
//!
//! Invariant: asks the same rules as [`Gate::admit`], takes nothing and remembers nothing. It may be slow.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use super::super::access::{Found, HOST_CIDS};
use super::super::{Arrival, Lists, Moment, Refusal};
use super::{Case, Gate, House, RULES};
use crate::service::{Admission, Peer, Source, Standing};

impl Gate {
    /// Every rule that would refuse, in their order; [`Gate::admit`] tells the first.
    pub fn refusals(&self, house: &House, arrival: &Arrival<'_>, moment: &Moment) -> Vec<Refusal> {
        let key = self.key(arrival.peer);
        let sources = house.books.streams.borrow();
        let known = sources.find(&key).filter(|_| !self.is_exempt(arrival));
        let case = Case {
            arrival,
            moment,
            now: house.nanos(moment.now),
            source: known,
            datagram: false,
        };
        let rules = RULES.iter().filter(|rule| (rule.refuses)(self, &case));
        rules.map(|rule| rule.refusal).collect()
    }

    /// What counts of a client now.
    pub fn standing(&self, house: &House, arrival: &Arrival<'_>, moment: &Moment) -> Standing {
        let key = self.key(arrival.peer);
        let memory = house.books.streams.borrow().find(&key).copied();
        let memory = memory.unwrap_or_default();
        let left = self
            .bans
            .end(&memory)
            .saturating_sub(house.nanos(moment.now));
        let refusals = self.refusals(house, arrival, moment);
        Standing {
            source: key.to_string(),
            exempt: self.is_exempt(arrival),
            of_source: (
                memory.live,
                self.per_source.for_peer(arrival.peer).map(Into::into),
            ),
            of_service: (self.live(), self.max().map(Into::into)),
            banned: (left > 0).then(|| Duration::from_nanos(left).as_secs() + 1),
            refusals: refusals
                .iter()
                .map(|refusal| refusal.word().to_owned())
                .collect(),
        }
    }
}

/// The entry of `allow` or `deny` that decides over a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deciding<'a> {
    /// It stands in `deny`.
    pub denied: bool,
    /// The entry of the table.
    pub entry: &'a Source,
    /// The entry of the list that `entry` names.
    pub listed: Option<(&'a Path, &'a Source)>,
}

/// Finds it; `None`: no entry matches.
pub fn deciding<'a>(
    admission: &'a Admission,
    lists: &'a Lists,
    arrival: &Arrival<'_>,
) -> Option<Deciding<'a>> {
    let allow = admission.allow.iter().flatten().map(|entry| (false, entry));
    let deny = admission.deny.iter().map(|entry| (true, entry));
    let each = allow.chain(deny).flat_map(|(denied, entry)| {
        let path = if let Source::File(path) = entry {
            Some(path.as_path())
        } else {
            None
        };
        lists
            .expand(std::slice::from_ref(entry))
            .map(move |source| {
                let deciding = Deciding {
                    denied,
                    entry,
                    listed: path.map(|path| (path, source)),
                };
                (weight(source, arrival), deciding)
            })
    });
    each.filter_map(|(weight, deciding)| Some((weight?, deciding)))
        .max_by_key(|(weight, deciding)| (*weight, deciding.denied))
        .map(|(_, deciding)| deciding)
}

/// How closely an entry describes a client; `None`: not at all.
fn weight(source: &Source, arrival: &Arrival<'_>) -> Option<u8> {
    const USER: u8 = 4;
    const GROUP: u8 = 3;
    const LOCAL: u8 = 2;
    const ANY: u8 = 1;
    let found = Found::of(source);
    match arrival.peer {
        Peer::Inet(address) => {
            let (prefixes, bits) = match address.ip().to_canonical() {
                IpAddr::V4(ip) => (found.v4, u128::from(u32::from(ip)) << 96),
                IpAddr::V6(ip) => (found.v6, u128::from(ip)),
            };
            let shared = |prefix: u128| (prefix ^ bits).leading_zeros();
            let matching = prefixes
                .iter()
                .filter(|prefix| shared(prefix.bits) >= u32::from(prefix.length));
            matching.map(|prefix| prefix.length).max()
        }
        Peer::Unix { uid, gid, .. } => {
            let in_group = arrival
                .groups
                .iter()
                .chain([gid])
                .any(|gid| found.gids.contains_key(gid));
            let ways = [
                (found.uids.contains_key(uid), USER),
                (in_group, GROUP),
                (found.local.is_some(), LOCAL),
                (found.any.is_some(), ANY),
            ];
            ways.into_iter()
                .find(|(is, _)| *is)
                .map(|(_, weight)| weight)
        }
        Peer::Vsock { cid, .. } => {
            let is_host = HOST_CIDS.contains(cid);
            let ways = [
                (found.local.is_some() && is_host, LOCAL),
                (found.any.is_some(), ANY),
            ];
            ways.into_iter()
                .find(|(is, _)| *is)
                .map(|(_, weight)| weight)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::access::Access;
    use crate::admission::gate::tests::{at, plain};
    use crate::service::List;

    #[test]
    fn the_deciding_entry_agrees_with_the_rule() {
        let words = [
            Source::Any,
            Source::Loopback,
            Source::Private,
            Source::Local,
            Source::Uid(7),
            Source::Gid(4),
            Source::File("/l".into()),
            Source::Net("10.0.0.0/8".parse().unwrap()),
            Source::Net("10.1.0.0/16".parse().unwrap()),
            Source::Net("2001:db8::/32".parse().unwrap()),
            Source::Net("127.0.0.1/32".parse().unwrap()),
        ];
        let peers = [
            at("10.1.2.3"),
            at("10.2.3.4"),
            at("127.0.0.1"),
            at("::1"),
            at("2001:db8::1"),
            at("203.0.113.9"),
            at("::ffff:10.1.2.3"),
            at("198.51.100.1"),
            Peer::Unix {
                uid: 7,
                gid: 1,
                pid: 1,
            },
            Peer::Unix {
                uid: 8,
                gid: 4,
                pid: 1,
            },
            Peer::Unix {
                uid: 9,
                gid: 9,
                pid: 1,
            },
            Peer::Vsock { cid: 2, port: 1 },
            Peer::Vsock { cid: 9, port: 1 },
        ];
        let mut lists = Lists::default();
        lists.replace(List {
            path: "/l".into(),
            sources: vec![Source::Net("203.0.113.0/24".parse().unwrap())],
        });
        let mut seed = 1_u32;
        let mut next = move |most: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as usize % most
        };
        for _ in 0..5000 {
            let mut some = || {
                (0..next(4))
                    .map(|_| words[next(words.len())].clone())
                    .collect::<Vec<_>>()
            };
            let mut admission = plain();
            admission.deny = some();
            admission.allow = Some(some()).filter(|_| next(3) > 0);
            for peer in &peers {
                let arrival = Arrival { peer, groups: &[] };
                let refuses = Access::new(&admission, &lists).refuses(&arrival);
                let found = deciding(&admission, &lists, &arrival);
                let explained = found.map_or(admission.allow.is_some(), |deciding| deciding.denied);
                assert_eq!(
                    explained, refuses,
                    "{peer:?} {:?} {:?}",
                    admission.allow, admission.deny
                );
                if let Some(Deciding {
                    listed: Some((path, source)),
                    ..
                }) = found
                {
                    assert_eq!(
                        (path, source),
                        (
                            Path::new("/l"),
                            &Source::Net("203.0.113.0/24".parse().unwrap())
                        )
                    );
                }
            }
        }
    }
}
