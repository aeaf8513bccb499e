//! The items of `only_from` and `no_access`.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::convert::access::network;

/// What an item means to xinetd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// These networks.
    Nets(Vec<IpNet>),
    /// The same, but not what it looks like.
    Odd(Vec<IpNet>, String),
    /// A name, looked up for each connection.
    Name,
    /// It fits nothing: xinetd passes over it.
    Ignored(String),
    /// xinetd drops the service for it.
    Refused(String),
}

/// Reads an item, in the order in which xinetd tries the forms.
pub(super) fn item(text: &str) -> Item {
    if text.contains(',') && !text.contains('{') {
        return Item::Refused(format!("`{text}` has a comma"));
    }
    if let Some((addr, length)) = text.split_once('/') {
        return cidr(text, addr, length);
    }
    if let Some((start, rest)) = text.split_once('{') {
        return factored(text, start, rest);
    }
    if text.eq_ignore_ascii_case("localhost") || text.eq_ignore_ascii_case("loopback") {
        let v6 = text.eq_ignore_ascii_case("localhost");
        let list = [("127.0.0.1/32", v6), ("::1/128", v6), ("127.0.0.0/8", !v6)];
        return Item::Nets(
            list.iter()
                .filter(|(_, on)| *on)
                .filter_map(|(n, _)| n.parse().ok())
                .collect(),
        );
    }
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => Item::Nets(vec![wildcard(v4).into()]),
        Ok(IpAddr::V6(v6)) if v6.is_unspecified() => {
            Item::Nets(network(v6.into(), Some(0)).into_iter().collect())
        }
        Ok(v6) => Item::Nets(network(v6, None).into_iter().collect()),
        Err(_) => partial(text),
    }
}

/// Zeros at the end are wildcards.
fn wildcard(addr: Ipv4Addr) -> Ipv4Net {
    let zeros = addr.octets().iter().rev().take_while(|o| **o == 0).count();
    let length = 32 - 8 * u8::try_from(zeros).unwrap_or(4);
    Ipv4Net::new(addr, length).unwrap_or_default()
}

fn cidr(text: &str, addr: &str, length: &str) -> Item {
    let parsed = addr.parse::<IpAddr>().ok().zip(length.parse::<u8>().ok());
    let Some((addr, length)) = parsed else {
        return Item::Ignored(format!("`{text}` is no network"));
    };
    let Some(net) = network(addr, Some(length)) else {
        return Item::Ignored(format!("`{text}` has a wrong length"));
    };
    if addr.is_ipv6() && length == 128 {
        return Item::Odd(
            vec![net],
            format!("xinetd never matches `{text}`; it was taken for the address"),
        );
    }
    Item::Nets(vec![net])
}

/// `10.1.1.{5,6,0}`: the braces stand for the last number.
fn factored(text: &str, start: &str, rest: &str) -> Item {
    let bad = || Item::Ignored(format!("`{text}` is no list of addresses"));
    let Some(list) = rest.strip_suffix('}') else {
        return bad();
    };
    let start = start.trim_end_matches('.');
    let head: Result<Vec<u8>, _> = start
        .split('.')
        .filter(|s| !s.is_empty())
        .map(str::parse)
        .collect();
    let Some(head) = head.ok().filter(|h| h.len() <= 3) else {
        return bad();
    };
    let mut nets = Vec::new();
    for number in list.split(',').take(256) {
        let Ok(last) = number.trim().parse::<u8>() else {
            return bad();
        };
        let mut octets = [0; 4];
        octets
            .iter_mut()
            .zip(head.iter().chain([&last]))
            .for_each(|(to, from)| *to = *from);
        nets.push(wildcard(octets.into()).into());
    }
    Item::Nets(nets)
}

/// `10.1` is what inet_aton(3) makes of it: 10.0.0.1. Everything else is a name.
fn partial(text: &str) -> Item {
    let numeric = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    if !numeric {
        return if text.contains(['{', '}', '/', ':']) {
            Item::Ignored(format!("`{text}` is no address"))
        } else {
            Item::Name
        };
    }
    let parts: Vec<&str> = text.split('.').collect();
    let value = || -> Option<u32> {
        let (last, head) = parts.split_last().filter(|(_, head)| head.len() <= 2)?;
        let mut value: u32 = 0;
        for (part, shift) in head.iter().zip([24, 16]) {
            value |= u32::from(part.parse::<u8>().ok()?) << shift;
        }
        let last: u32 = last.parse().ok()?;
        let room = 32 - 8 * u32::try_from(head.len()).ok()?;
        (u64::from(last) < 1 << room).then_some(value | last)
    };
    match value() {
        Some(value) => {
            let net = wildcard(Ipv4Addr::from(value));
            Item::Odd(
                vec![net.into()],
                format!("`{text}` is {net} to xinetd (inet_aton), and was taken so"),
            )
        }
        None => Item::Ignored(format!("`{text}` is no address")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_mean_what_xinetd_makes_of_them() {
        for (text, expected) in [
            ("10.1.0.0", "10.1.0.0/16"),
            ("0.0.0.0", "0.0.0.0/0"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("128.138.193.0", "128.138.193.0/24"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.1.{5,6,0}", "10.1.1.5/32 10.1.1.6/32 10.1.1.0/24"),
            ("10.{1,2}", "10.1.0.0/16 10.2.0.0/16"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("::ffff:10.0.0.1", "10.0.0.1/32"),
            ("localhost", "127.0.0.1/32 ::1/128"),
            ("loopback", "127.0.0.0/8"),
        ] {
            let Item::Nets(nets) = item(text) else {
                panic!("{text}: {:?}", item(text))
            };
            let nets: Vec<String> = nets.iter().map(ToString::to_string).collect();
            assert_eq!(nets.join(" "), expected, "{text}");
        }
        for (text, net) in [
            ("::1/128", "::1/128"),
            ("10.1", "10.0.0.1/32"),
            ("10.1.2", "10.1.0.2/32"),
        ] {
            let Item::Odd(nets, _) = item(text) else {
                panic!("{text}")
            };
            assert_eq!(nets[0].to_string(), net, "{text}");
        }
        for text in ["a.example", ".example.org"] {
            assert_eq!(item(text), Item::Name, "{text}");
        }
        for text in [
            "10.0.0.0/x",
            "10.0.0.0/99",
            "10.1.{300}",
            "1.2.3.4.{5}",
            "10.1.{1",
            "1.2.3.4.5",
            "::g",
        ] {
            assert!(
                matches!(item(text), Item::Ignored(_)),
                "{text}: {:?}",
                item(text)
            );
        }
        assert!(matches!(item("10.0.0.0,10.1.0.0"), Item::Refused(_)));
    }
}
