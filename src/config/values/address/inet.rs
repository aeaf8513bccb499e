//! TCP and UDP addresses: host and port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{FORMS, Family, Host, Inet, Port, TYPES};
use crate::config::diagnostic::{nearest, shown};
use crate::config::values::{Parsed, Problem};
use crate::service::Protocol;

/// Reads the place after the type; `text` is the whole word.
pub(super) fn inet(
    protocol: Protocol,
    family: Option<Family>,
    place: &str,
    text: &str,
) -> Parsed<Inet> {
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let (inside, rest) = rest
            .split_once(']')
            .ok_or_else(|| Problem::new("has a `[` without its `]`").help(FORMS))?;
        let port = rest.strip_prefix(':').ok_or_else(|| {
            Problem::new("has no port after the `]`")
                .help(format!("write for example `\"[{}]:8007\"`", shown(inside)))
        })?;
        (v6(inside)?, port)
    } else {
        match place.rsplit_once(':') {
            Some((host, port)) => (self::host(host, port, text)?, port),
            None => (Host::All, place),
        }
    };
    let port = self::port(port, place)?;
    let mismatch = match (&host, family) {
        (Host::Ip(IpAddr::V6(_), _), Some(Family::V4)) => {
            Some("is an IPv6 address after an IPv4 type")
        }
        (Host::Ip(IpAddr::V4(_), _), Some(Family::V6)) => {
            Some("is an IPv4 address after an IPv6 type")
        }
        _ => None,
    };
    match mismatch {
        Some(what) => {
            let name = if protocol == Protocol::Tcp {
                "tcp"
            } else {
                "udp"
            };
            Err(Problem::new(what)
                .help("leave the digit of the type out")
                .instead(format!("{name}:{place}")))
        }
        None => Ok(Inet {
            protocol,
            family,
            host,
            port,
        }),
    }
}

fn host(host: &str, port: &str, text: &str) -> Parsed<Host> {
    match host {
        "*" => return Ok(Host::All),
        "" => {
            return Err(Problem::new("has no host before the `:`")
                .help(format!("write `\"{}\"` for all addresses", shown(port)))
                .instead(port));
        }
        _ => {}
    }
    if let Ok(ip) = host.parse::<Ipv4Addr>() {
        return Ok(Host::Ip(IpAddr::V4(ip), None));
    }
    if host.contains(':') {
        if let Some((kind, rest)) = text.split_once(':')
            && let Some(known) = nearest(kind, TYPES)
            && !kind.is_empty()
            && kind.parse::<u32>().is_err()
            && u16::from_str_radix(kind, 16).is_err()
        {
            return Err(
                Problem::new(format!("has the unknown type `{}`", shown(kind)))
                    .help(format!("did you mean `{known}`?"))
                    .instead(format!("{known}:{rest}")),
            );
        }
        let instead = format!("[{host}]:{port}");
        let problem = Problem::new(format!("is not an address and a port: `{}`", shown(text)));
        let is_v6 = host.parse::<Ipv6Addr>().is_ok();
        return Err(if is_v6 {
            problem
                .help(format!(
                    "an IPv6 address is written in brackets: `\"{instead}\"`"
                ))
                .instead(instead)
        } else {
            problem.help(FORMS)
        });
    }
    if host
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
        || host.starts_with("0x")
    {
        return Err(Problem::new(format!("has an incomplete IPv4 address: `{}`", shown(host)))
            .help("write four numbers from 0 to 255 without leading zeros, for example `\"127.0.0.1:8007\"`"));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if host.len() > 253 || !host.bytes().all(plain) || host.starts_with(['-', '.']) {
        return Err(Problem::new(format!(
            "has no host name before the port: `{}`",
            shown(host)
        ))
        .help(FORMS));
    }
    Ok(Host::Name(host.to_owned()))
}

fn v6(inside: &str) -> Parsed<Host> {
    let (address, scope) = match inside.split_once('%') {
        Some((address, scope)) => (address, Some(scope)),
        None => (inside, None),
    };
    let ip: Ipv6Addr = address.parse().map_err(|_| {
        Problem::new(format!(
            "has no IPv6 address between the brackets: `{}`",
            shown(inside)
        ))
        .help(FORMS)
    })?;
    if let Some(v4) = ip.to_ipv4_mapped() {
        return Err(
            Problem::new("is a v4-mapped address").help(format!("write the IPv4 address `{v4}`"))
        );
    }
    let link_local = ip.is_unicast_link_local() || (ip.is_multicast() && ip.octets()[1] & 0xf == 2);
    match scope {
        None if link_local => Err(Problem::new(format!(
            "is a link-local address without its interface: `{ip}`"
        ))
        .help(format!("write for example `\"[{ip}%eth0]:8007\"`"))),
        Some("") => Err(Problem::new("has no interface after the `%`")
            .help(format!("write for example `\"[{ip}%eth0]:8007\"`"))),
        Some(_) if !link_local => Err(Problem::new(format!(
            "has an interface, which `{ip}` does not need"
        ))
        .help("leave `%…` out; `bind_device` binds to an interface")),
        scope => Ok(Host::Ip(IpAddr::V6(ip), scope.map(str::to_owned))),
    }
}

fn port(text: &str, place: &str) -> Parsed<Port> {
    let numeric = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = |text: &str| {
        let refused = || {
            Problem::new(format!(
                "has the port {}, and ports end at 65535",
                shown(text)
            ))
            .help("write a port from 0 to 65535")
        };
        text.parse::<u16>().map_err(|_| refused())
    };
    if text.is_empty() {
        return Err(Problem::new("has no port after the `:`").help(FORMS));
    }
    if numeric(text) {
        let port = number(text)?;
        return Ok(Port::Range(port, port));
    }
    if let Some((first, last)) = text.split_once('-')
        && numeric(first)
        && numeric(last)
    {
        let (first, last) = (number(first)?, number(last)?);
        if first == 0 || first > last {
            return Err(
                Problem::new(format!("has an empty range of ports: `{}`", shown(text)))
                    .help("write the smaller port first, from 1"),
            );
        }
        return Ok(Port::Range(first, last));
    }
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
    let has_letter = text.bytes().any(|byte| byte.is_ascii_alphabetic());
    if text.len() > 64
        || !has_letter
        || text.starts_with(['-', '.', '+'])
        || !text.bytes().all(named)
    {
        let what = if text == place {
            "is not an address"
        } else {
            "has no port"
        };
        return Err(Problem::new(format!("{what}: `{}`", shown(text))).help(FORMS));
    }
    Ok(Port::Name(text.to_owned()))
}
