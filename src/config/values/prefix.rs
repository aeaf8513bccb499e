//! Entries of `allow`, `deny`, `exempt`, `proxy_from`: networks and words for them.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use ipnet::{IpNet, Ipv4Net};

use super::{Parsed, Problem};
use crate::config::diagnostic::{nearest, shown};
use crate::service::Source;

const WORDS: [(&str, Source); 4] = [
    ("any", Source::Any),
    ("loopback", Source::Loopback),
    ("private", Source::Private),
    ("local", Source::Local),
];

/// Reads one entry. A file name after `@` comes back as written.
pub fn parse(text: &str) -> Parsed<Source> {
    if let Some((_, source)) = WORDS.iter().find(|(word, _)| *word == text) {
        return Ok(source.clone());
    }
    if let Some(file) = text.strip_prefix('@') {
        super::template::without_nul(file)?;
        return match file {
            "" => Err(Problem::new("names no file after `@`")
                .help("write for example `\"@/etc/oxinetd/list\"`")),
            file => Ok(Source::File(PathBuf::from(file))),
        };
    }
    for (word, make) in [
        ("uid:", Source::Uid as fn(u32) -> Source),
        ("gid:", Source::Gid),
    ] {
        if let Some(number) = text.strip_prefix(word) {
            let parsed = number
                .parse::<u32>()
                .ok()
                .filter(|id| *id != u32::MAX && !number.starts_with('+'));
            let refused = || {
                Problem::new(format!("needs a number after `{word}`"))
                    .help(format!("write for example `\"{word}1000\"`"))
            };
            return parsed.map(make).ok_or_else(refused);
        }
    }
    network(text).map(Source::Net)
}

fn network(text: &str) -> Parsed<IpNet> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let Ok(ip) = address.parse::<IpAddr>() else {
        return Err(not_an_address(text, address));
    };
    let longest: u8 = if ip.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => longest,
        Some(digits) => number(digits)
            .filter(|length| *length <= longest)
            .ok_or_else(|| wrong_length(ip, digits, longest))?,
    };
    if let IpAddr::V6(v6) = ip
        && let Some(v4) = v6.to_ipv4_mapped()
    {
        let shorter = length.saturating_sub(96);
        let instead = format!("{v4}/{shorter}");
        return Err(
            Problem::new(format!("names a v4-mapped network: `{}`", shown(text)))
                .help(format!("peers are compared as IPv4: write `\"{instead}\"`"))
                .instead(instead),
        );
    }
    let net = IpNet::new(ip, length).map_err(|_| wrong_length(ip, "", longest))?;
    if net.trunc() == net {
        return Ok(net);
    }
    let instead = net.trunc().to_string();
    Err(Problem::new(format!(
        "names a network with host bits set: `{}`",
        shown(text)
    ))
    .help(format!("did you mean `\"{instead}\"`?"))
    .instead(instead))
}

/// A prefix length without sign or leading zeros.
fn number(digits: &str) -> Option<u8> {
    let plain = digits == "0" || !digits.starts_with(['0', '+']);
    digits.parse().ok().filter(|_| plain)
}

/// The wrong prefix length, which may be a netmask.
fn wrong_length(ip: IpAddr, written: &str, longest: u8) -> Problem {
    if let Ok(mask) = written.parse::<Ipv4Addr>()
        && let Ok(net) = ip.to_string().parse::<Ipv4Addr>().map_or(Err(()), |v4| {
            Ipv4Net::with_netmask(v4, mask).map_err(|_| ())
        })
    {
        let instead = net.trunc().to_string();
        return Problem::new("has a netmask instead of a prefix length")
            .help(format!("write `\"{instead}\"`"))
            .instead(instead);
    }
    Problem::new(format!(
        "has the prefix length `{}`, which goes from 0 to {longest} here",
        shown(written)
    ))
    .help(format!("write for example `\"{ip}/{longest}\"`"))
}

fn not_an_address(text: &str, address: &str) -> Problem {
    let forms = "write an address, a network like `\"10.0.0.0/8\"`, `\"any\"`, `\"loopback\"`, `\"private\"`, `\"local\"` \
                 or `\"@/path/of/a/list\"`";
    let lower = text.to_ascii_lowercase();
    if lower == "all" || lower == "*" {
        return Problem::new("names an unknown source")
            .help("write `\"any\"`")
            .instead("any");
    }
    if let Some(instead) = dotted_prefix(address) {
        return Problem::new(format!("names an incomplete network: `{}`", shown(text)))
            .help(format!("write `\"{instead}\"`"))
            .instead(instead);
    }
    if let Some(word) = nearest(text, WORDS.iter().map(|(word, _)| *word)) {
        return Problem::new(format!("names an unknown source `{}`", shown(text)))
            .help(format!("did you mean `\"{word}\"`?"))
            .instead(word);
    }
    let is_name = address.contains(|c: char| c.is_alphabetic()) && !address.contains(':');
    let what = if is_name {
        "names a host, and names are not looked up here"
    } else {
        "is not an address"
    };
    Problem::new(format!("{what}: `{}`", shown(text))).help(forms)
}

/// `192.168.` and `10.0.0`, as hosts.allow and xinetd write networks.
fn dotted_prefix(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.trim_end_matches('.').split('.').collect();
    let plain =
        |part: &&str| part.parse::<u8>().is_ok() && (*part == "0" || !part.starts_with(['0', '+']));
    if parts.len() >= 4 || !parts.iter().all(plain) {
        return None;
    }
    let missing = 4 - parts.len();
    Some(format!(
        "{}{}/{}",
        parts.join("."),
        ".0".repeat(missing),
        parts.len() * 8
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_words_are_read() {
        for (text, expected) in [
            ("10.0.0.0/8", Source::Net("10.0.0.0/8".parse().unwrap())),
            ("192.0.2.7", Source::Net("192.0.2.7/32".parse().unwrap())),
            (
                "2001:db8::/32",
                Source::Net("2001:db8::/32".parse().unwrap()),
            ),
            ("::1", Source::Net("::1/128".parse().unwrap())),
            ("any", Source::Any),
            ("local", Source::Local),
            ("uid:1000", Source::Uid(1000)),
            ("gid:0", Source::Gid(0)),
            ("@list", Source::File("list".into())),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refusals_say_what_to_write() {
        for (text, instead) in [
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            ("10.0.0.0/33", None),
            ("10.0.0.0/255.0.0.0", Some("10.0.0.0/8")),
            ("::ffff:10.0.0.0/104", Some("10.0.0.0/8")),
            ("192.168.", Some("192.168.0.0/16")),
            ("ALL", Some("any")),
            ("loopbck", Some("loopback")),
            ("example.org", None),
            ("010.0.0.1", None),
            ("10.0.0.0/08", None),
            ("uid:-1", None),
            ("uid:4294967295", None),
            ("@", None),
            ("", None),
            ("fe80::1%eth0", None),
        ] {
            let problem = parse(text).unwrap_err();
            assert_eq!(problem.instead.as_deref(), instead, "{text}");
            assert!(problem.help.is_some(), "{text}");
        }
    }
}
