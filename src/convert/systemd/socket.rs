//! The `[Socket]` section.

use ipnet::IpNet;

use super::unit::{Setting, Unit};
use super::{size, time, yes};
use crate::convert::access::{Families, network};
use crate::convert::entry::{Entry, Value};
use crate::convert::hosts_access::Judge;
use crate::convert::note::Place;
use crate::convert::session::Session;

/// Settings that oxinetd has no need of.
const WITHOUT_MEANING: [&str; 11] = [
    "Accept",
    "Service",
    "RemoveOnStop",
    "DirectoryMode",
    "TimeoutSec",
    "FileDescriptorName",
    "FlushPending",
    "KeepAliveIntervalSec",
    "KeepAliveProbes",
    "BindIPv6Only",
    "Writable",
];

/// Carries the section over. False: there is nothing to listen on.
pub(super) fn socket(
    session: &mut Session<'_>,
    entry: &mut Entry,
    unit: &Unit,
    accept: bool,
) -> bool {
    let v6_only = unit
        .last("Socket", "BindIPv6Only")
        .is_some_and(|s| s.value == "ipv6-only");
    let mut listen = Vec::new();
    // What systemd does when nothing is said.
    if accept {
        entry.set("max_connections", Value::Number(64));
        entry.set("over_limit", "refuse");
    }
    let (mut allowed, mut denied): (Vec<IpNet>, Vec<IpNet>) = (Vec::new(), Vec::new());
    for setting in unit.settings("Socket") {
        let place = unit.place(setting);
        let value = setting.value.as_str();
        match setting.key.as_str() {
            "ListenStream" | "ListenDatagram" | "ListenSequentialPacket" => {
                if let Some(address) = address(&setting.key, value, v6_only) {
                    listen.push(address);
                } else {
                    let text =
                        format!("`{}={value}` is no address that can be served", setting.key);
                    session.notes.left_out(&place, &entry.name, text);
                    return false;
                }
            }
            "IPAddressAllow" => nets(session, value, &place, &mut allowed),
            "IPAddressDeny" => nets(session, value, &place, &mut denied),
            key if WITHOUT_MEANING.contains(&key) => {}
            _ => {
                if let Err(text) = self::setting(entry, setting, accept) {
                    session.notes.note(&place, text);
                }
            }
        }
    }
    if !allowed.is_empty() || !denied.is_empty() {
        let mut all = allowed.clone();
        all.extend(&denied);
        // What is allowed is so whatever else is denied.
        let decide = |net: &IpNet| {
            allowed.iter().any(|n| n.contains(net)) || !denied.iter().any(|n| n.contains(net))
        };
        let both = Families { v4: true, v6: true };
        Session::restrict(entry, both, (&all, &decide), &Judge::default());
    }
    if !accept && listen.len() > 1 {
        let text =
            "systemd hands all sockets to one program; here each socket has a program of its own";
        session.notes.note(&entry.place, text);
    }
    let one = <[String; 1]>::try_from(listen);
    match one {
        Ok([one]) => entry.set("listen", one),
        Err(many) if many.is_empty() => {
            session.notes.left_out(
                &entry.place,
                &entry.name,
                format!("{} listens nowhere", unit.name),
            );
            return false;
        }
        Err(many) => entry.set("listen", many),
    }
    true
}

/// An address of systemd's as ours.
fn address(key: &str, value: &str, v6_only: bool) -> Option<String> {
    let path = value.starts_with('/') || value.starts_with('@');
    if value.contains([' ', '"']) || value.contains("%i") {
        return None;
    }
    match key {
        _ if value.starts_with("vsock:") => Some(value.replacen("vsock::", "vsock:", 1)),
        "ListenSequentialPacket" => path.then(|| format!("unix-seqpacket:{value}")),
        "ListenDatagram" if path => Some(format!("unix-dgram:{value}")),
        _ if path => Some(format!("unix:{value}")),
        _ => {
            let (prefix, datagram) = if key == "ListenDatagram" {
                ("udp", true)
            } else {
                ("tcp", false)
            };
            // A bare port, or `[::]`, is a v6 socket that takes IPv4 too unless it is told not to.
            let port = value.strip_prefix("[::]:").unwrap_or(value);
            if port.parse::<u16>().is_ok() {
                return Some(match (v6_only, datagram) {
                    (true, _) => format!("{prefix}6:{port}"),
                    (false, true) => format!("{prefix}:{port}"),
                    (false, false) => port.to_owned(),
                });
            }
            let (host, port) = value.rsplit_once(':')?;
            port.parse::<u16>().ok()?;
            let host = host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .split('%')
                .next()?;
            host.parse::<std::net::IpAddr>().ok()?;
            Some(if datagram {
                format!("udp:{value}")
            } else {
                value.to_owned()
            })
        }
    }
}

fn nets(session: &mut Session<'_>, value: &str, place: &Place, list: &mut Vec<IpNet>) {
    for word in value.split_whitespace() {
        let fixed: &[&str] = match word {
            "any" => &["0.0.0.0/0", "::/0"],
            "localhost" => &["127.0.0.0/8", "::1/128"],
            "link-local" => &["169.254.0.0/16", "fe80::/64"],
            "multicast" => &["224.0.0.0/4", "ff00::/8"],
            _ => &[],
        };
        let (addr, length) = word
            .split_once('/')
            .map_or((word, None), |(a, l)| (a, l.parse().ok()));
        let parsed = addr.parse().ok().and_then(|addr| network(addr, length));
        list.extend(fixed.iter().filter_map(|n| n.parse::<IpNet>().ok()));
        list.extend(parsed);
        if fixed.is_empty() && parsed.is_none() {
            session.notes.loss(place, format!("`{word}` is no address"));
        }
    }
}

fn setting(entry: &mut Entry, setting: &Setting, accept: bool) -> Result<(), String> {
    let value = setting.value.as_str();
    let bad = || format!("`{}={value}` is not understood: left out", setting.key);
    let number = || {
        value
            .parse::<u32>()
            .map(|n| Value::Number(n.into()))
            .map_err(|_| bad())
    };
    match setting.key.as_str() {
        "MaxConnections" if accept => entry.set("max_connections", number()?),
        "MaxConnections" | "MaxConnectionsPerSource" if !accept => {}
        "MaxConnectionsPerSource" if value == "0" => {}
        "MaxConnectionsPerSource" => entry.set("max_per_source", number()?),
        "Backlog" => entry.set("backlog", number()?),
        "KeepAlive" if entry.get("keepalive").is_none() => entry.set("keepalive", yes(value)),
        "KeepAlive" => {}
        "KeepAliveTimeSec" => entry.set("keepalive", time(value).ok_or_else(bad)?),
        "NoDelay" => entry.set("nodelay", yes(value)),
        "DeferAcceptSec" => entry.set("defer_accept", time(value).ok_or_else(bad)?),
        "FreeBind" => entry.set("freebind", yes(value)),
        "ReusePort" => entry.set("reuse_port", yes(value)),
        "BindToDevice" => entry.set("bind_device", value),
        "Mark" => entry.set("mark", number()?),
        "ReceiveBuffer" => entry.set("receive_buffer", size(value).ok_or_else(bad)?),
        "SendBuffer" => entry.set("send_buffer", size(value).ok_or_else(bad)?),
        "SocketUser" => entry.set("socket_user", value),
        "SocketGroup" => entry.set("socket_group", value),
        "SocketMode" => {
            let mode = u32::from_str_radix(value, 8)
                .ok()
                .filter(|m| *m <= 0o777)
                .ok_or_else(bad)?;
            entry.set("socket_mode", format!("{mode:04o}"));
        }
        "IPTOS" => {
            let tos = value
                .parse::<i64>()
                .ok()
                .filter(|n| (0..256).contains(n))
                .ok_or_else(bad)?;
            entry.set("dscp", Value::Number(tos / 4));
        }
        "TriggerLimitIntervalSec" | "TriggerLimitBurst" => {
            return Err(format!(
                "`{}={value}` stops a unit for good; a service here never is: left out",
                setting.key
            ));
        }
        "PollLimitIntervalSec" | "PollLimitBurst" => {
            return Err(format!(
                "`{}={value}`: write it as `rate`, for example `rate = \"150/2s\"`",
                setting.key
            ));
        }
        key => return Err(format!("`{key}={value}` has no counterpart: left out")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_systemd() {
        for (key, value, v6_only, expected) in [
            ("ListenStream", "22", false, Some("22")),
            ("ListenStream", "22", true, Some("tcp6:22")),
            ("ListenStream", "[::]:22", false, Some("22")),
            ("ListenStream", "0.0.0.0:22", false, Some("0.0.0.0:22")),
            (
                "ListenStream",
                "[fe80::1%eth0]:22",
                false,
                Some("[fe80::1%eth0]:22"),
            ),
            ("ListenDatagram", "69", false, Some("udp:69")),
            (
                "ListenDatagram",
                "10.0.0.1:69",
                false,
                Some("udp:10.0.0.1:69"),
            ),
            ("ListenStream", "/run/x", false, Some("unix:/run/x")),
            ("ListenStream", "@x", false, Some("unix:@x")),
            ("ListenDatagram", "/run/x", false, Some("unix-dgram:/run/x")),
            (
                "ListenSequentialPacket",
                "/run/x",
                false,
                Some("unix-seqpacket:/run/x"),
            ),
            ("ListenStream", "vsock::22", false, Some("vsock:22")),
            ("ListenSequentialPacket", "22", false, None),
            ("ListenStream", "/run/%i", false, None),
            ("ListenStream", "host", false, None),
        ] {
            assert_eq!(
                address(key, value, v6_only).as_deref(),
                expected,
                "{key}={value}"
            );
        }
    }
}
