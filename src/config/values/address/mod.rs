//! The grammar of addresses (LANGUAGE 4.4), as written: names are looked up elsewhere.

mod inet;

use std::net::IpAddr;
use std::path::PathBuf;

use super::{Parsed, Problem, template};
use crate::config::diagnostic::shown;
use crate::service::{Protocol, UnixKind, UnixName};

/// An address as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// TCP or UDP.
    Inet(Inet),
    /// A unix socket.
    Unix(UnixKind, UnixName),
    /// A virtual machine socket; `u32::MAX` is any context id.
    Vsock(u32, u32),
    /// A socket passed by the service manager.
    Inherited(String),
}

/// A TCP or UDP address as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inet {
    /// Which of the two.
    pub protocol: Protocol,
    /// Demanded by the type: `tcp4`, `udp6`.
    pub family: Option<Family>,
    /// The part before the port.
    pub host: Host,
    /// The port.
    pub port: Port,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// The host of an [`Inet`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// All addresses.
    All,
    /// This one, with the interface after `%`.
    Ip(IpAddr, Option<String>),
    /// What the name resolves to.
    Name(String),
}

/// The port of an [`Inet`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Port {
    /// First and last, equal for one.
    Range(u16, u16),
    /// A name of /etc/services.
    Name(String),
}

/// The words before the first `:`.
pub const TYPES: [&str; 11] = [
    "tcp",
    "tcp4",
    "tcp6",
    "udp",
    "udp4",
    "udp6",
    "unix",
    "unix-dgram",
    "unix-seqpacket",
    "vsock",
    "fd",
];
const LONGEST_UNIX_PATH: usize = 107;
const FORMS: &str = "write for example `\"8007\"`, `\"127.0.0.1:8007\"`, `\"[::1]:8007\"`, `\"udp:69\"` or `\"unix:/run/x.sock\"`";

/// Reads an address.
pub fn parse(text: &str) -> Parsed<Written> {
    template::without_nul(text)?;
    if text.is_empty() {
        return Err(Problem::new("is empty").help(FORMS));
    }
    if text.starts_with('/') || text.starts_with('@') {
        return unix(UnixKind::Stream, text);
    }
    let (kind, place) = match text.split_once(':') {
        Some((kind, place)) if TYPES.contains(&kind) => (kind, place),
        _ => ("tcp", text),
    };
    let inet = |protocol, family| inet::inet(protocol, family, place, text).map(Written::Inet);
    match kind {
        "tcp4" => inet(Protocol::Tcp, Some(Family::V4)),
        "tcp6" => inet(Protocol::Tcp, Some(Family::V6)),
        "udp" => inet(Protocol::Udp, None),
        "udp4" => inet(Protocol::Udp, Some(Family::V4)),
        "udp6" => inet(Protocol::Udp, Some(Family::V6)),
        "unix" => unix(UnixKind::Stream, place),
        "unix-dgram" => unix(UnixKind::Datagram, place),
        "unix-seqpacket" => unix(UnixKind::SeqPacket, place),
        "vsock" => vsock(place),
        "fd" => inherited(place),
        _ => inet(Protocol::Tcp, None),
    }
}

fn unix(kind: UnixKind, place: &str) -> Parsed<Written> {
    let name = match place.strip_prefix('@') {
        Some("") => {
            return Err(Problem::new("has no name after the `@`")
                .help("write for example `\"unix:@name\"`"));
        }
        Some(name) => UnixName::Abstract(name.to_owned()),
        None if !place.starts_with('/') => {
            return Err(
                Problem::new(format!("is a relative path: `{}`", shown(place)))
                    .help("write the path of a unix socket from `/` on"),
            );
        }
        None if place.ends_with('/') => {
            return Err(
                Problem::new(format!("names a directory: `{}`", shown(place)))
                    .help("write the path of the socket itself"),
            );
        }
        None => UnixName::Path(PathBuf::from(place)),
    };
    if place.len() > LONGEST_UNIX_PATH {
        return Err(Problem::new(format!(
            "is {} bytes long, and the kernel takes {LONGEST_UNIX_PATH}",
            place.len()
        ))
        .help("choose a shorter path"));
    }
    Ok(Written::Unix(kind, name))
}

/// The name of a unix socket alone: a path, or `@` and an abstract name.
pub fn unix_name(text: &str) -> Parsed<UnixName> {
    template::without_nul(text)?;
    match unix(UnixKind::Stream, text)? {
        Written::Unix(_, name) => Ok(name),
        Written::Inet(_) | Written::Vsock(..) | Written::Inherited(_) => {
            Err(Problem::new("is not a unix socket"))
        }
    }
}

fn vsock(place: &str) -> Parsed<Written> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>()
            .ok()
            .filter(|number| digits && *number != u32::MAX)
    };
    let (cid, port) = place.split_once(':').unwrap_or(("", place));
    let cid = if matches!(cid, "" | "*") {
        Some(u32::MAX)
    } else {
        number(cid)
    };
    match (cid, number(port)) {
        (Some(cid), Some(port)) => Ok(Written::Vsock(cid, port)),
        _ => Err(
            Problem::new(format!("is not a vsock address: `{}`", shown(place)))
                .help("write `\"vsock:PORT\"` or `\"vsock:CID:PORT\"`"),
        ),
    }
}

/// A name as systemd's FileDescriptorName= takes it: up to 255 printable ASCII characters without `:`.
fn inherited(place: &str) -> Parsed<Written> {
    if place.is_empty()
        || place.len() > 255
        || place
            .bytes()
            .any(|byte| !byte.is_ascii_graphic() || byte == b':')
    {
        return Err(
            Problem::new(format!("is not the name of a socket: `{}`", shown(place)))
                .help("write the socket unit's FileDescriptorName=, for example `\"fd:ssh\"`"),
        );
    }
    Ok(Written::Inherited(place.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: Host, port: Port) -> Written {
        Written::Inet(Inet {
            protocol: Protocol::Tcp,
            family: None,
            host,
            port,
        })
    }

    #[test]
    fn the_forms_of_the_reference_are_read() {
        let one = |port| Port::Range(port, port);
        let ip = |text: &str| Host::Ip(text.parse().unwrap(), None);
        for (text, expected) in [
            ("8007", tcp(Host::All, one(8007))),
            ("*:8007", tcp(Host::All, one(8007))),
            ("tcp:8007", tcp(Host::All, one(8007))),
            ("127.0.0.1:8007", tcp(ip("127.0.0.1"), one(8007))),
            ("[::1]:8007", tcp(ip("::1"), one(8007))),
            ("tcp:[::1]:0", tcp(ip("::1"), one(0))),
            (
                "localhost:8007",
                tcp(Host::Name("localhost".into()), one(8007)),
            ),
            ("finger", tcp(Host::All, Port::Name("finger".into()))),
            (
                "netbios-ssn",
                tcp(Host::All, Port::Name("netbios-ssn".into())),
            ),
            ("20000-20010", tcp(Host::All, Port::Range(20_000, 20_010))),
            (
                "[fe80::1%eth0]:79",
                tcp(
                    Host::Ip("fe80::1".parse().unwrap(), Some("eth0".into())),
                    one(79),
                ),
            ),
            (
                "/run/x.sock",
                Written::Unix(UnixKind::Stream, UnixName::Path("/run/x.sock".into())),
            ),
            (
                "unix:@name",
                Written::Unix(UnixKind::Stream, UnixName::Abstract("name".into())),
            ),
            (
                "unix-dgram:/x",
                Written::Unix(UnixKind::Datagram, UnixName::Path("/x".into())),
            ),
            ("vsock:22", Written::Vsock(u32::MAX, 22)),
            ("vsock::22", Written::Vsock(u32::MAX, 22)),
            ("vsock:2:22", Written::Vsock(2, 22)),
            ("fd:ssh", Written::Inherited("ssh".into())),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        let Ok(Written::Inet(udp6)) = parse("udp6:tftp") else {
            panic!("udp6")
        };
        assert_eq!(
            (udp6.protocol, udp6.family),
            (Protocol::Udp, Some(Family::V6))
        );
    }

    #[test]
    fn refusals_say_what_to_write() {
        let long = format!("/{}", "x".repeat(107));
        for (text, instead) in [
            ("", None),
            ("65536", None),
            ("-1", None),
            ("1.5", None),
            ("010.1.2.3:80", None),
            ("127.1:80", None),
            ("127.0.0.1:", None),
            (":80", Some("80")),
            ("::1:80", Some("[::1]:80")),
            ("fe80::1:80", Some("[fe80::1]:80")),
            ("[fe80::1]:80", None),
            ("[::1]", None),
            ("[::1%eth0]:1", None),
            ("[::ffff:1.2.3.4]:80", None),
            ("tcp6:127.0.0.1:80", Some("tcp:127.0.0.1:80")),
            ("tcp4:[::1]:80", Some("tcp:[::1]:80")),
            ("20-10", None),
            ("0-10", None),
            ("tpc:*:80", Some("tcp:*:80")),
            ("unix:run/x", None),
            ("unix:/run/", None),
            ("unix:@", None),
            (&long, None),
            ("vsock:x", None),
            ("fd:", None),
            ("a b", None),
            ("1\0", None),
        ] {
            let problem = parse(text).unwrap_err();
            assert_eq!(problem.instead.as_deref(), instead, "{text}");
            assert!(problem.help.is_some(), "{text}");
        }
    }
}
