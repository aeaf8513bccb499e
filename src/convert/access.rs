//! Access rules of other programs as `allow` and `deny`.
//!
//! Others decide by the first match, or by one list against another; we decide by the longest matching prefix. Prefixes
//! are nested or disjoint, never half overlapping, so a decision function that is asked about every prefix that occurs
//! in the rules is known everywhere, and the translation is exact.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// More prefixes than these are not translated: the time grows with the square.
pub(super) const MOST_PREFIXES: usize = 4000;

/// Which peers a service can have at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Families {
    /// IPv4.
    pub(super) v4: bool,
    /// IPv6.
    pub(super) v6: bool,
}

/// The lists for the table; `None`: the key is not written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lists {
    /// `allow`.
    pub(super) allow: Option<Vec<String>>,
    /// `deny`.
    pub(super) deny: Option<Vec<String>>,
}

/// Translates a decision (true: served) over the prefixes that occur in its rules.
pub(super) fn lists(
    prefixes: &[IpNet],
    families: Families,
    decide: impl Fn(&IpNet) -> bool,
) -> Lists {
    let mut tree: BTreeSet<IpNet> = prefixes.iter().map(IpNet::trunc).collect();
    let roots = [
        (families.v4, IpNet::V4(ALL_V4)),
        (families.v6, IpNet::V6(ALL_V6)),
    ];
    tree.retain(|net| roots.iter().any(|(on, root)| *on && root.contains(net)));
    tree.extend(roots.iter().filter(|(on, _)| *on).map(|(_, root)| *root));

    // In this order a prefix comes after all that contain it.
    let mut open: Vec<(IpNet, bool)> = Vec::new();
    let (mut allowed, mut denied) = (Vec::new(), Vec::new());
    for net in tree {
        while open.last().is_some_and(|(outer, _)| !outer.contains(&net)) {
            open.pop();
        }
        let served = decide(&net);
        let same_as_outer = open.last().is_some_and(|(_, outer)| *outer == served);
        open.push((net, served));
        if same_as_outer {
            continue;
        }
        if served { &mut allowed } else { &mut denied }.push(net);
    }
    write(&allowed, &denied, families)
}

const ALL_V4: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);
const ALL_V6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0);

fn write(allowed: &[IpNet], denied: &[IpNet], families: Families) -> Lists {
    let root = |net: &&IpNet| net.prefix_len() == 0;
    let roots = usize::from(families.v4) + usize::from(families.v6);
    let open_roots = allowed.iter().filter(root).count();
    let narrow = |list: &[IpNet]| {
        list.iter()
            .filter(|n| n.prefix_len() > 0)
            .map(shown)
            .collect::<Vec<_>>()
    };
    // Without `allow` everybody is served, with it nobody else; so a root that is denied needs no words.
    let (inner_allow, inner_deny) = (narrow(allowed), narrow(denied));
    let mut allow = match open_roots {
        0 => Vec::new(),
        n if n == roots => vec!["any".to_owned()],
        _ => allowed
            .iter()
            .filter(root)
            .map(ToString::to_string)
            .collect(),
    };
    let everybody = open_roots == roots && inner_allow.is_empty();
    allow.extend(inner_allow);
    if allow.is_empty() {
        return Lists {
            allow: None,
            deny: Some(vec!["any".to_owned()]),
        };
    }
    Lists {
        allow: Some(allow).filter(|_| !everybody),
        deny: Some(inner_deny).filter(|list| !list.is_empty()),
    }
}

/// A host as an address, a network with its length.
fn shown(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string()
    } else {
        net.to_string()
    }
}

/// True for a name that the table takes for a host.
pub(super) fn is_host_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let numeric = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let odd = text.starts_with(['-', '.']) || text.starts_with("0x");
    text.bytes().all(plain) && !numeric && !odd && text.len() <= 253
}

/// A network, or a single address; a v4-mapped one as IPv4.
pub(super) fn network(addr: IpAddr, length: Option<u8>) -> Option<IpNet> {
    let (addr, length) = match (addr, addr.to_canonical(), length) {
        (IpAddr::V6(_), IpAddr::V4(v4), Some(n)) => (IpAddr::V4(v4), Some(n.checked_sub(96)?)),
        (_, canonical, n) => (canonical, n),
    };
    let most = if addr.is_ipv4() { 32 } else { 128 };
    IpNet::new(addr, length.unwrap_or(most))
        .ok()
        .map(|n| n.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Families = Families { v4: true, v6: true };
    const V4: Families = Families {
        v4: true,
        v6: false,
    };

    fn nets(list: &str) -> Vec<IpNet> {
        list.split_whitespace()
            .map(|s| s.parse().unwrap())
            .collect()
    }

    /// First match wins: `+NET` serves, `-NET` refuses.
    fn first_match(rules: &str, otherwise: bool, families: Families) -> (Vec<String>, Vec<String>) {
        let rules: Vec<(bool, IpNet)> = rules
            .split_whitespace()
            .map(|r| (r.starts_with('+'), r[1..].parse().unwrap()))
            .collect();
        let all: Vec<IpNet> = rules.iter().map(|r| r.1).collect();
        let decide = |net: &IpNet| {
            rules
                .iter()
                .find(|r| r.1.contains(net))
                .map_or(otherwise, |r| r.0)
        };
        let lists = lists(&all, families, decide);
        (
            lists.allow.unwrap_or_default(),
            lists.deny.unwrap_or_default(),
        )
    }

    #[test]
    fn first_match_becomes_longest_prefix() {
        for (rules, otherwise, families, allow, deny) in [
            ("", true, BOTH, "", ""),
            ("", false, BOTH, "", "any"),
            ("+10.0.0.0/8", false, BOTH, "10.0.0.0/8", ""),
            ("-10.0.0.0/8", true, BOTH, "", "10.0.0.0/8"),
            (
                "+10.1.0.0/16 -10.0.0.0/8",
                true,
                BOTH,
                "any 10.1.0.0/16",
                "10.0.0.0/8",
            ),
            // The narrower rule is never reached: it must vanish.
            ("-10.0.0.0/8 +10.1.0.0/16", true, BOTH, "", "10.0.0.0/8"),
            ("+0.0.0.0/0", false, V4, "", ""),
            ("+0.0.0.0/0", false, BOTH, "0.0.0.0/0", ""),
            (
                "+192.0.2.7/32 -192.0.2.0/24 +192.0.0.0/16",
                false,
                BOTH,
                "192.0.0.0/16 192.0.2.7",
                "192.0.2.0/24",
            ),
        ] {
            let words = |s: &str| s.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(
                first_match(rules, otherwise, families),
                (words(allow), words(deny)),
                "{rules}"
            );
        }
    }

    #[test]
    fn the_lists_decide_like_the_rules_for_every_address() {
        let rules =
            "+10.1.2.3/32 -10.1.0.0/16 +10.0.0.0/8 -10.1.2.0/24 +192.168.0.0/16 -192.168.7.0/24";
        let (allow, deny) = first_match(rules, false, BOTH);
        let parse = |l: &[String]| -> Vec<IpNet> {
            l.iter()
                .map(|s| {
                    s.parse()
                        .unwrap_or_else(|_| network(s.parse().unwrap(), None).unwrap())
                })
                .collect()
        };
        let (allow, deny) = (parse(&allow), parse(&deny));
        let longest = |list: &[IpNet], a: &IpAddr| {
            list.iter()
                .filter(|n| n.contains(a))
                .map(IpNet::prefix_len)
                .max()
        };
        for (addr, served) in [
            ("10.1.2.3", true),
            ("10.1.2.4", false),
            ("10.1.2.3", true),
            ("10.1.9.9", false),
            ("10.2.0.1", true),
            ("192.168.7.1", true),
            ("192.168.8.1", true),
            ("8.8.8.8", false),
        ] {
            let a: IpAddr = addr.parse().unwrap();
            assert_eq!(longest(&allow, &a) > longest(&deny, &a), served, "{addr}");
        }
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        assert_eq!(
            network("::ffff:10.0.0.1".parse().unwrap(), None),
            Some(nets("10.0.0.1/32")[0])
        );
        assert_eq!(
            network("::ffff:10.0.0.0".parse().unwrap(), Some(104)),
            Some(nets("10.0.0.0/8")[0])
        );
        assert_eq!(
            network("10.1.2.3".parse().unwrap(), Some(8)),
            Some(nets("10.0.0.0/8")[0])
        );
        assert_eq!(network("10.1.2.3".parse().unwrap(), Some(33)), None);
    }
}
