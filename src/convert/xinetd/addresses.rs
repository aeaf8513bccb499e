//! The items of `only_from` and `no_access`.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

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

/// Reads an item, in the order in which xinetd tries the forms. `mapped`: IPv4 peers come as `::ffff:a.b.c.d`, so that a
/// short IPv6 prefix holds them too.
pub(super) fn item(text: &str, mapped: bool) -> Item {
    if text.contains(',') && !text.contains('{') {
        return Item::Refused(format!("`{text}` has a comma"));
    }
    if let Some((start, rest)) = text.split_once('{') {
        return factored(text, start, rest);
    }
    if let Some((addr, length)) = text.split_once('/') {
        return cidr(text, addr, length, mapped);
    }
    if text.eq_ignore_ascii_case("localhost") {
        let nets = ["127.0.0.1/32", "::1/128"];
        return Item::Odd(
            nets.iter().filter_map(|net| net.parse().ok()).collect(),
            format!(
                "`{text}` hangs on a look-up of each client in xinetd; 127.0.0.1 and ::1 are written"
            ),
        );
    }
    if let Some(address) = inet_aton(text) {
        let net = wildcard(address);
        return if text.parse::<Ipv4Addr>().is_ok() {
            Item::Nets(vec![net.into()])
        } else {
            let text = format!("`{text}` is {net} to xinetd (inet_aton), and was taken so");
            Item::Odd(vec![net.into()], text)
        };
    }
    match text.parse::<Ipv6Addr>() {
        Ok(v6) if v6.is_unspecified() => Item::Odd(
            vec![Ipv6Net::from(v6).into()],
            format!("`{text}` is one address to xinetd, that nobody has, and not all of them"),
        ),
        Ok(v6) => Item::Nets(network(v6.into(), None).into_iter().collect()),
        Err(_) if text.contains(['}', ':', '[']) || is_number(text) => {
            Item::Ignored(format!("`{text}` is no address"))
        }
        Err(_) => Item::Name,
    }
}

/// A name of digits and points only can be none.
fn is_number(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit() || c == '.')
}

/// Zeros at the end are wildcards.
fn wildcard(addr: Ipv4Addr) -> Ipv4Net {
    let zeros = addr.octets().iter().rev().take_while(|o| **o == 0).count();
    let length = 32 - 8 * u8::try_from(zeros).unwrap_or(4);
    Ipv4Net::new(addr, length).unwrap_or_default()
}

/// ADDRESS/LENGTH. The length is what atoi(3) finds, and one that is too long is that of a single address.
fn cidr(text: &str, addr: &str, length: &str, mapped: bool) -> Item {
    let digits = length.trim_start_matches(['-', '+']);
    let end = digits.find(|c: char| !c.is_ascii_digit());
    let (number, rest) = digits.split_at(end.unwrap_or(digits.len()));
    if number.is_empty() {
        return Item::Ignored(format!("`{text}` is no network"));
    }
    let negative = length.starts_with('-');
    let number = number.parse::<u8>().ok().filter(|_| !negative);
    if let Some(address) = inet_aton(addr) {
        let length = number.unwrap_or(32).min(32);
        let net = Ipv4Net::new(address, length).unwrap_or_default().trunc();
        let plain = addr.parse::<Ipv4Addr>().is_ok();
        return if plain && rest.is_empty() && number == Some(length) {
            Item::Nets(vec![net.into()])
        } else {
            let text = format!(
                "`{text}` is {net} to xinetd, which knows no netmasks and no short addresses"
            );
            Item::Odd(vec![net.into()], format!("{text}; it was taken so"))
        };
    }
    let Ok(v6) = addr.parse::<Ipv6Addr>() else {
        return Item::Ignored(format!("`{text}` is no network"));
    };
    match number {
        Some(128) => Item::Odd(
            network(v6.into(), Some(128)).into_iter().collect(),
            format!("xinetd never matches `{text}`; it was taken for the address"),
        ),
        Some(length) if length < 128 => Item::Nets(v6_net(v6, length, mapped)),
        _ => Item::Ignored(format!("`{text}` has a wrong length")),
    }
}

/// An IPv6 prefix, and the IPv4 peers that it holds.
fn v6_net(addr: Ipv6Addr, length: u8, mapped: bool) -> Vec<IpNet> {
    if addr.to_ipv4_mapped().is_some() && length >= 96 {
        return network(addr.into(), Some(length)).into_iter().collect();
    }
    let net = Ipv6Net::new(addr, length).unwrap_or_default().trunc();
    let mut nets = vec![net.into()];
    if mapped && net.contains(&Ipv4Addr::UNSPECIFIED.to_ipv6_mapped()) {
        nets.push(Ipv4Net::default().into());
    }
    nets
}

/// `10.1.1.{5,6}`: the braces stand for the last number, and how many there are is the length of the network.
fn factored(text: &str, start: &str, rest: &str) -> Item {
    let bad = || Item::Refused(format!("`{text}` is no list of addresses"));
    let Some(list) = rest.strip_suffix('}') else {
        return bad();
    };
    // Digits before the brace are passed over.
    let head = start.rsplit_once('.').map_or("", |(head, _)| head);
    let head: Result<Vec<u8>, _> = head
        .split('.')
        .filter(|s| !s.is_empty())
        .map(str::parse)
        .collect();
    let Some(head) = head.ok().filter(|h| h.len() <= 3) else {
        return Item::Ignored(format!("`{text}` is no list of addresses"));
    };
    let length = 8 * (u8::try_from(head.len()).unwrap_or(3) + 1);
    let mut nets = Vec::new();
    for number in list.split(',').take(256) {
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            return bad();
        }
        let Ok(last) = number.parse::<u8>() else {
            return Item::Ignored(format!("`{text}` has a number above 255"));
        };
        let mut octets = [0; 4];
        octets
            .iter_mut()
            .zip(head.iter().chain([&last]))
            .for_each(|(to, from)| *to = *from);
        nets.extend(Ipv4Net::new(octets.into(), length).map(IpNet::from));
    }
    Item::Nets(nets)
}

/// inet_aton(3): up to four numbers, decimal, octal or hexadecimal, of which the last fills what is left: `10.1` is
/// 10.0.0.1.
fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    let number = |part: &str| -> Option<u32> {
        let (digits, base) = match part.strip_prefix("0x").or(part.strip_prefix("0X")) {
            Some(hex) => (hex, 16),
            None if part.len() > 1 && part.starts_with('0') => (part, 8),
            None => (part, 10),
        };
        let plain = digits.bytes().all(|b| b.is_ascii_hexdigit());
        u32::from_str_radix(digits, base).ok().filter(|_| plain)
    };
    let parts: Vec<&str> = text.split('.').collect();
    let (last, head) = parts.split_last().filter(|(_, head)| head.len() <= 3)?;
    let mut value: u32 = 0;
    for (part, shift) in head.iter().zip([24, 16, 8]) {
        value |= number(part).filter(|n| *n < 256)? << shift;
    }
    let last = number(last)?;
    let room = 32 - 8 * u32::try_from(head.len()).ok()?;
    (u64::from(last) < 1 << room).then(|| Ipv4Addr::from(value | last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(nets: &[IpNet]) -> String {
        let nets: Vec<String> = nets.iter().map(ToString::to_string).collect();
        nets.join(" ")
    }

    /// Each as xinetd 2.3.15.3 was seen to do it.
    #[test]
    fn items_mean_what_xinetd_makes_of_them() {
        for (text, expected) in [
            ("10.1.0.0", "10.1.0.0/16"),
            ("0.0.0.0", "0.0.0.0/0"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("128.138.193.0", "128.138.193.0/24"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.1.{5,6,0}", "10.1.1.5/32 10.1.1.6/32 10.1.1.0/32"),
            ("10.1.{0,2}", "10.1.0.0/24 10.1.2.0/24"),
            ("10.{1}", "10.1.0.0/16"),
            ("{10,0}", "10.0.0.0/8 0.0.0.0/8"),
            ("10.1.7{2}", "10.1.2.0/24"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("::ffff:10.0.0.1", "10.0.0.1/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::/0", "::/0 0.0.0.0/0"),
            ("::1/80", "::/80 0.0.0.0/0"),
            ("::1/81", "::/81"),
        ] {
            let Item::Nets(nets) = item(text, true) else {
                panic!("{text}: {:?}", item(text, true))
            };
            assert_eq!(shown(&nets), expected, "{text}");
        }
        for (text, net) in [
            ("localhost", "127.0.0.1/32 ::1/128"),
            ("::1/128", "::1/128"),
            ("::", "::/128"),
            ("10.1", "10.0.0.1/32"),
            ("10.1.2", "10.1.0.2/32"),
            ("127.0", "127.0.0.0/8"),
            ("10.0/16", "10.0.0.0/16"),
            ("10/8", "0.0.0.0/8"),
            ("10.0.0.1/255.0.0.0", "10.0.0.1/32"),
            ("10.0.0.1/33", "10.0.0.1/32"),
            ("10.0.0.1/-1", "10.0.0.1/32"),
            ("10.0.0.1/16x", "10.0.0.0/16"),
            ("010.0x1.0.1", "8.1.0.1/32"),
            ("2130706433", "127.0.0.1/32"),
        ] {
            let Item::Odd(nets, _) = item(text, true) else {
                panic!("{text}: {:?}", item(text, true))
            };
            assert_eq!(shown(&nets), net, "{text}");
        }
        for text in ["a.example", ".example.org", "loopback", "ALL", "*", "10.*"] {
            assert_eq!(item(text, true), Item::Name, "{text}");
        }
        for text in [
            "10.0.0.0/x",
            "10.0.0.0/",
            "10.1.{300}",
            "1.2.3.4.{5}",
            "1.2.3.4.5",
            "10.",
            "10.0.0.08",
            "::g",
            "[::1]",
            "::1/129",
            "::1/",
        ] {
            let item = item(text, true);
            assert!(matches!(item, Item::Ignored(_)), "{text}: {item:?}");
        }
        for text in [
            "10.0.0.0,10.1.0.0",
            "10.1.{1",
            "10.1.{}",
            "10.1.{1-5}",
            "10.1.{1}x",
        ] {
            let item = item(text, true);
            assert!(matches!(item, Item::Refused(_)), "{text}: {item:?}");
        }
        let Item::Nets(nets) = item("::/0", false) else {
            panic!()
        };
        assert_eq!(shown(&nets), "::/0");
    }
}
