//! The service and protocol fields: where to listen.

use std::net::IpAddr;

use super::{Dialect, Traits};
use crate::convert::access::{Families, is_host_name};

/// A transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Udp,
    Unix,
}

/// The protocol field, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Protocol {
    pub(super) transport: Transport,
    pub(super) families: Families,
    /// `sndbuf` and `rcvbuf`, as sizes of ours.
    pub(super) buffers: Vec<(&'static str, String)>,
    /// The family was not written, and Debian would have taken both.
    pub(super) guessed: bool,
}

const V4: Families = Families {
    v4: true,
    v6: false,
};
const V6: Families = Families {
    v4: false,
    v6: true,
};
const BOTH: Families = Families { v4: true, v6: true };

/// Reads a protocol field. An error names the left-out kind and the reason.
pub(super) fn protocol(text: &str, traits: Traits) -> Result<Protocol, (String, String)> {
    let mut parts = text.split(',');
    let word = parts.next().unwrap_or_default();
    if word.starts_with("rpc/") {
        return Err((
            "rpc".to_owned(),
            format!("`{text}`: oxinetd does not offer Sun RPC"),
        ));
    }
    let mut buffers = Vec::new();
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let key = match key {
            "sndbuf" => "send_buffer",
            "rcvbuf" => "receive_buffer",
            _ => {
                return Err((
                    text.to_owned(),
                    format!("`{part}` is no option of a protocol"),
                ));
            }
        };
        let size = size(value)
            .ok_or_else(|| (text.to_owned(), format!("`{part}`: the size is no number")))?;
        buffers.push((key, size));
    }
    let unknown = || {
        (
            text.to_owned(),
            format!("`{word}` is no protocol that can be served"),
        )
    };
    let (transport, suffix) = match word {
        "unix" | "local" => (Transport::Unix, ""),
        _ => match (word.strip_prefix("tcp"), word.strip_prefix("udp")) {
            (Some(suffix), _) => (Transport::Tcp, suffix),
            (_, Some(suffix)) => (Transport::Udp, suffix),
            _ => return Err(unknown()),
        },
    };
    let families = match suffix {
        // Debian opens one socket for each family, all others only IPv4.
        "" if traits.is(Dialect::Debian) => BOTH,
        "" | "4" => V4,
        // busybox leaves it to the kernel, whose default is both.
        "6" if traits.is(Dialect::Busybox) => BOTH,
        "6" | "6only" => V6,
        "46" => BOTH,
        _ => return Err(unknown()),
    };
    Ok(Protocol {
        transport,
        families,
        buffers,
        guessed: suffix.is_empty() && transport != Transport::Unix && traits.dialect.is_none(),
    })
}

/// `16k`, `1m`, bytes.
pub(super) fn size(text: &str) -> Option<String> {
    let digits = text.trim_end_matches(['k', 'K', 'm', 'M']);
    let suffix = &text[digits.len()..];
    if suffix.len() > 1 || digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u32>().ok()?;
    Some(format!("{digits}{}", suffix.to_ascii_uppercase()))
}

/// The service field, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Service {
    /// Addresses before the last colon; empty: none are written.
    pub(super) hosts: Vec<String>,
    /// Name, port or path.
    pub(super) name: String,
    /// FreeBSD: owner, group and mode of a unix socket.
    pub(super) owner: Option<(String, String, String)>,
}

/// Reads a service field, `default` being the last `addr:` line.
pub(super) fn service(text: &str, default: Option<&str>) -> Service {
    if let Some(rest) = text.strip_prefix(':') {
        let parts: Vec<&str> = rest.splitn(4, ':').collect();
        if let [user, group, mode, path] = parts.as_slice() {
            return Service {
                name: (*path).to_owned(),
                owner: Some(((*user).to_owned(), (*group).to_owned(), (*mode).to_owned())),
                ..Service::default()
            };
        }
    }
    if text.starts_with('/') {
        return Service {
            name: text.to_owned(),
            ..Service::default()
        };
    }
    let (hosts, name) = match text.rsplit_once(':') {
        Some((hosts, name)) => (Some(hosts), name),
        None => (default, text),
    };
    let hosts = hosts
        .filter(|h| *h != "*")
        .map(|h| h.split(',').map(unbracket).collect());
    Service {
        hosts: hosts.unwrap_or_default(),
        name: name.to_owned(),
        owner: None,
    }
}

fn unbracket(host: &str) -> String {
    host.strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host)
        .to_owned()
}

/// Values for `listen`, and what is wrong with the hosts that have none. An error: none has one.
pub(super) fn listen(
    protocol: &Protocol,
    hosts: &[String],
    port: &str,
) -> Result<(Vec<String>, Vec<String>), String> {
    let plain = if protocol.transport == Transport::Udp {
        "udp"
    } else {
        "tcp"
    };
    let family = match (protocol.families.v4, protocol.families.v6) {
        (true, false) => "4",
        (false, true) => "6",
        _ => "",
    };
    if hosts.is_empty() || hosts.iter().any(|h| h == "*") {
        let short = plain == "tcp" && family.is_empty();
        let all = if short {
            port.to_owned()
        } else {
            format!("{plain}{family}:{port}")
        };
        return Ok((vec![all], Vec::new()));
    }
    let one = |host: &String| -> Result<String, String> {
        let prefix = if plain == "udp" { "udp:" } else { "" };
        // A scope such as fe80::1%eth0 is part of the address.
        let literal = host.split('%').next().unwrap_or_default().parse::<IpAddr>();
        match literal {
            Ok(ip)
                if ip.is_ipv4() && !protocol.families.v4
                    || ip.is_ipv6() && !protocol.families.v6 =>
            {
                Err(format!("`{host}` is no address of this protocol"))
            }
            Ok(IpAddr::V4(_)) => Ok(format!("{prefix}{host}:{port}")),
            Ok(IpAddr::V6(_)) => Ok(format!("{prefix}[{host}]:{port}")),
            Err(_) if !is_host_name(host) => Err(format!("`{host}` is no address")),
            Err(_) => Ok(format!("{plain}{family}:{host}:{port}")),
        }
    };
    let (mut places, mut wrong) = (Vec::new(), Vec::new());
    for host in hosts {
        match one(host) {
            Ok(place) => places.push(place),
            Err(why) => wrong.push(why),
        }
    }
    if places.is_empty() {
        Err(wrong.join(", "))
    } else {
        Ok((places, wrong))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(
        text: &str,
        proto: &str,
        dialect: Option<Dialect>,
        default: Option<&str>,
    ) -> Result<String, String> {
        let protocol = protocol(proto, Traits::of(dialect)).map_err(|e| e.1)?;
        let service = service(text, default);
        listen(&protocol, &service.hosts, &service.name).map(|(l, _)| l.join(" "))
    }

    #[test]
    fn the_same_protocol_word_means_different_families() {
        use Dialect::{Busybox, Debian, FreeBsd, OpenBsd};
        for (text, proto, dialect, expected) in [
            ("ftp", "tcp", Some(OpenBsd), "tcp4:ftp"),
            ("ftp", "tcp", Some(Debian), "ftp"),
            ("ftp", "tcp", None, "tcp4:ftp"),
            ("ftp", "tcp46", Some(FreeBsd), "ftp"),
            ("ftp", "tcp6", Some(OpenBsd), "tcp6:ftp"),
            ("ftp", "tcp6", Some(Busybox), "ftp"),
            ("69", "udp", Some(Debian), "udp:69"),
            ("69", "udp4", Some(Debian), "udp4:69"),
            (
                "127.0.0.1:comsat",
                "udp",
                Some(OpenBsd),
                "udp:127.0.0.1:comsat",
            ),
            ("[::1]:comsat", "udp6", Some(OpenBsd), "udp:[::1]:comsat"),
            ("::1:echo", "tcp6", Some(Dialect::Inetutils), "[::1]:echo"),
            (
                "a.example,10.0.0.1:22",
                "tcp",
                Some(OpenBsd),
                "tcp4:a.example:22 10.0.0.1:22",
            ),
            ("*:22", "tcp4", Some(OpenBsd), "tcp4:22"),
            ("10.0.0.1,[::1]:22", "tcp4", Some(OpenBsd), "10.0.0.1:22"),
        ] {
            assert_eq!(
                places(text, proto, dialect, None).as_deref(),
                Ok(expected),
                "{text} {proto}"
            );
        }
        assert_eq!(
            places("22", "tcp", Some(OpenBsd), Some("10.0.0.1")).unwrap(),
            "10.0.0.1:22"
        );
        assert_eq!(
            places("*:22", "tcp", Some(OpenBsd), Some("10.0.0.1")).unwrap(),
            "tcp4:22"
        );
        assert!(places("10.0.0.1:22", "tcp6", Some(OpenBsd), None).is_err());
        assert!(places("x", "rpc/udp", Some(OpenBsd), None).is_err());
        assert!(places("x", "tcp/ttcp", Some(FreeBsd), None).is_err());
    }

    #[test]
    fn buffers_and_owners() {
        let p = protocol(
            "tcp,sndbuf=16k,rcvbuf=1024",
            Traits::of(Some(Dialect::NetBsd)),
        )
        .unwrap();
        assert_eq!(
            p.buffers,
            [
                ("send_buffer", "16K".to_owned()),
                ("receive_buffer", "1024".to_owned())
            ]
        );
        assert!(protocol("tcp,sndbuf=1x", Traits::of(None)).is_err());
        let s = service(":news:uucp:200:/var/run/x", None);
        assert_eq!(s.name, "/var/run/x");
        assert_eq!(s.owner, Some(("news".into(), "uucp".into(), "200".into())));
    }
}
