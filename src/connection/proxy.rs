//! The PROXY header: versions 1 and 2 of haproxy's proxy-protocol.txt, read and written.
//!
//! The one place where bytes of the network are understood by the daemon itself, so [`read`] is a pure function over a
//! bounded slice: it allocates nothing, keeps nothing, and asks for more bytes only while the ones that it has are the
//! beginning of a header.
//!
//! Invariant: what is not exactly a header is invalid. Nothing is guessed, and no name that a peer chose leaves here: of
//! unix paths and type-length-values only the length counts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::service::{HeaderVersion, ProxyVersion};

/// The longest header that is read. Version 1 is at most 107 bytes long, and version 2 with the type-length-values that
/// balancers send some hundred.
pub const LONGEST: usize = 4096;

/// What the bytes at the start of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// The beginning of a header.
    Partial,
    /// A header.
    Whole {
        /// Its length in bytes.
        length: usize,
        /// The client and the address that it connected to; `None`: the balancer speaks for itself, or does not know.
        ends: Option<(SocketAddr, SocketAddr)>,
    },
    /// No header, for this reason.
    Invalid(&'static str),
}

/// Reads the bytes that have arrived.
pub fn read(bytes: &[u8], version: ProxyVersion) -> Header {
    let (v1, v2) = match version {
        ProxyVersion::V1 => (true, false),
        ProxyVersion::V2 => (false, true),
        ProxyVersion::Any => (true, true),
    };
    if v1 && begins(bytes, V1) {
        return read_v1(bytes);
    }
    if v2 && begins(bytes, V2) {
        return read_v2(bytes);
    }
    Header::Invalid(if begins(bytes, V1) || begins(bytes, V2) {
        "a PROXY header of another version than `proxy_protocol` says"
    } else {
        "no PROXY header"
    })
}

/// The header that tells of a client and the address that it connected to; `None`: of nobody.
pub fn write(version: HeaderVersion, ends: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let ends = ends.filter(|(client, own)| client.is_ipv4() == own.is_ipv4());
    match version {
        HeaderVersion::V1 => {
            let Some((client, own)) = ends else {
                return b"PROXY UNKNOWN\r\n".to_vec();
            };
            let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
            let ports = format!("{} {}", client.port(), own.port());
            format!("PROXY {family} {} {} {ports}\r\n", client.ip(), own.ip()).into_bytes()
        }
        HeaderVersion::V2 => {
            let mut header = V2.to_vec();
            let Some((client, own)) = ends else {
                header.extend([LOCAL, UNSPECIFIED, 0, 0]);
                return header;
            };
            let mut addresses = Vec::new();
            for ip in [client.ip(), own.ip()] {
                match ip {
                    IpAddr::V4(ip) => addresses.extend(ip.octets()),
                    IpAddr::V6(ip) => addresses.extend(ip.octets()),
                }
            }
            for port in [client.port(), own.port()] {
                addresses.extend(port.to_be_bytes());
            }
            let family = if client.is_ipv4() { TCP4 } else { TCP6 };
            header.extend([PROXY, family]);
            header.extend((addresses.len() as u16).to_be_bytes());
            header.extend(addresses);
            header
        }
    }
}

/// True when one of the two begins with the other.
fn begins(bytes: &[u8], signature: &[u8]) -> bool {
    bytes.iter().zip(signature).all(|(one, other)| one == other)
}

fn read_v1(bytes: &[u8]) -> Header {
    const LONGEST: usize = 107;
    let line = bytes.get(..LONGEST).unwrap_or(bytes);
    let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
        return if line.len() < LONGEST {
            Header::Partial
        } else {
            Header::Invalid("a PROXY line that does not end")
        };
    };
    let text = line
        .get(V1.len()..end)
        .and_then(|text| text.strip_suffix(b"\r"));
    let text = text.and_then(|text| std::str::from_utf8(text).ok());
    let Some(text) = text.filter(|text| !text.contains('\r')) else {
        return Header::Invalid("a PROXY line that does not end in CR LF");
    };
    let length = end + 1;
    // What follows is to be ignored.
    if text == "UNKNOWN" || text.starts_with("UNKNOWN ") {
        return Header::Whole { length, ends: None };
    }
    match ends_v1(text) {
        Some(ends) => Header::Whole {
            length,
            ends: Some(ends),
        },
        None => Header::Invalid("a PROXY line that is not understood"),
    }
}

/// `TCP4 192.0.2.7 192.0.2.1 51514 80`
fn ends_v1(text: &str) -> Option<(SocketAddr, SocketAddr)> {
    let mut words = text.split(' ');
    let mut next = || words.next();
    let (family, client, own) = (next()?, next()?, next()?);
    let (client_port, own_port) = (port(next()?)?, port(next()?)?);
    if next().is_some() {
        return None;
    }
    let ip = |word: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => word.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => word.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    Some((
        SocketAddr::new(ip(client)?.to_canonical(), client_port),
        SocketAddr::new(ip(own)?.to_canonical(), own_port),
    ))
}

/// Digits only, no leading zero.
fn port(word: &str) -> Option<u16> {
    let digits = word.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = word == "0" || !word.starts_with('0');
    word.parse().ok().filter(|_| digits && canonical)
}

fn read_v2(bytes: &[u8]) -> Header {
    let Some(fixed) = bytes.get(V2.len()..FIXED) else {
        return Header::Partial;
    };
    let &[command, family, high, low] = fixed else {
        return Header::Partial;
    };
    if command != LOCAL && command != PROXY {
        return Header::Invalid("a PROXY header with an unknown version or command");
    }
    let addresses = match family {
        UNSPECIFIED => 0,
        TCP4 => 12,
        TCP6 => 36,
        UNIX_STREAM => 216,
        _ => return Header::Invalid("a PROXY header of a family that is no stream"),
    };
    let rest = usize::from(u16::from_be_bytes([high, low]));
    let length = FIXED + rest;
    // Of LOCAL the family and what follows are to be ignored.
    if command == PROXY && rest < addresses {
        return Header::Invalid("a PROXY header that is too short for its addresses");
    }
    if length > LONGEST {
        return Header::Invalid("a PROXY header that is too long");
    }
    let Some(body) = bytes.get(FIXED..length) else {
        return Header::Partial;
    };
    let ends = if command == LOCAL {
        None
    } else {
        match family {
            TCP4 => ends_v2::<4>(body),
            TCP6 => ends_v2::<16>(body),
            _ => None,
        }
    };
    Header::Whole { length, ends }
}

/// Two addresses of so many bytes, then two ports.
fn ends_v2<const N: usize>(body: &[u8]) -> Option<(SocketAddr, SocketAddr)>
where
    IpAddr: From<[u8; N]>,
{
    let (client, body) = body.split_first_chunk::<N>()?;
    let (own, body) = body.split_first_chunk::<N>()?;
    let (client_port, body) = body.split_first_chunk::<2>()?;
    let own_port = body.first_chunk::<2>()?;
    let end = |ip: &[u8; N], port: &[u8; 2]| {
        SocketAddr::new(IpAddr::from(*ip).to_canonical(), u16::from_be_bytes(*port))
    };
    Some((end(client, client_port), end(own, own_port)))
}

const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family, length.
const FIXED: usize = 16;
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const UNSPECIFIED: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
const UNIX_STREAM: u8 = 0x31;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[expect(clippy::unnecessary_wraps, reason = "what a header has")]
    fn ends(client: &str, own: &str) -> Option<(SocketAddr, SocketAddr)> {
        Some((client.parse().unwrap(), own.parse().unwrap()))
    }

    fn is_invalid(bytes: &[u8], version: ProxyVersion) -> bool {
        matches!(read(bytes, version), Header::Invalid(_))
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut header = V2.to_vec();
        header.extend([command, family]);
        header.extend((body.len() as u16).to_be_bytes());
        header.extend(body);
        header
    }

    #[test]
    fn lines_of_version_1_are_read() {
        for (line, expected) in [
            (
                "PROXY TCP4 192.0.2.7 192.0.2.1 51514 80\r\n",
                ends("192.0.2.7:51514", "192.0.2.1:80"),
            ),
            (
                "PROXY TCP6 2001:db8::7 ::1 0 65535\r\n",
                ends("[2001:db8::7]:0", "[::1]:65535"),
            ),
            (
                "PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n",
                ends("192.0.2.7:1", "[::1]:2"),
            ),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ffff::1 what ever\r\n", None),
        ] {
            let bytes = [line.as_bytes(), b"GET / HTTP/1.0\r\n"].concat();
            let whole = Header::Whole {
                length: line.len(),
                ends: expected,
            };
            assert_eq!(read(&bytes, ProxyVersion::V1), whole, "{line}");
            assert_eq!(read(&bytes, ProxyVersion::Any), whole, "{line}");
            assert!(is_invalid(&bytes, ProxyVersion::V2));
        }
    }

    #[test]
    fn what_is_no_line_of_version_1_is_refused() {
        for line in [
            "GET / HTTP/1.0\r\n",
            "PROXY\r\n",
            "PROXY \r\n",
            "PROXY TCP4\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY  TCP4 192.0.2.7 192.0.2.1 1 2\r\n",
            "PROXY TCP4 192.0.2.7 192.0.2.1 1 2 \r\n",
            "PROXY TCP4 192.0.2.7 192.0.2.1 1\r\n",
            "PROXY TCP4 192.0.2.7 192.0.2.1 01 2\r\n",
            "PROXY TCP4 192.0.2.7 192.0.2.1 +1 2\r\n",
            "PROXY TCP4 192.0.2.7 192.0.2.1 1 65536\r\n",
            "PROXY TCP4 192.0.2.07 192.0.2.1 1 2\r\n",
            "PROXY TCP4 2001:db8::7 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.7 192.0.2.1 1 2\r\n",
            "PROXY UDP4 192.0.2.7 192.0.2.1 1 2\r\n",
            "PROXY TCP4 192.0.2.7 192.0.2.1 1 2\n",
            "PROXY UNKNOWN a\rb\r\n",
            "proxy UNKNOWN\r\n",
        ] {
            assert!(is_invalid(line.as_bytes(), ProxyVersion::V1), "{line}");
        }
        let endless = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 93]].concat();
        assert!(is_invalid(&endless, ProxyVersion::V1));
        assert_eq!(read(&endless[..106], ProxyVersion::V1), Header::Partial);
        let latin = b"PROXY UNKNOWN \xff\r\n";
        assert!(is_invalid(latin, ProxyVersion::V1));
    }

    #[test]
    fn headers_of_version_2_are_read() {
        let v4 = [192, 0, 2, 7, 192, 0, 2, 1, 0xc9, 0x3a, 0, 80];
        let v4_with_values = [&v4[..], &[0x01, 0, 2, b'h', b'2'], &[0x04, 0xff, 0xff]].concat();
        let mut v6 = [0; 36];
        (v6[15], v6[31], v6[33], v6[35]) = (7, 1, 9, 8);
        for (header, expected) in [
            (
                v2(PROXY, TCP4, &v4),
                ends("192.0.2.7:51514", "192.0.2.1:80"),
            ),
            (
                v2(PROXY, TCP4, &v4_with_values),
                ends("192.0.2.7:51514", "192.0.2.1:80"),
            ),
            (v2(PROXY, TCP6, &v6), ends("[::7]:9", "[::1]:8")),
            (v2(PROXY, UNIX_STREAM, &[b'x'; 216]), None),
            (v2(PROXY, UNSPECIFIED, &[]), None),
            (v2(LOCAL, UNSPECIFIED, &[]), None),
            (v2(LOCAL, TCP4, &v4), None),
            (v2(LOCAL, TCP4, &[1]), None),
        ] {
            let bytes = [&header[..], b"rest"].concat();
            let whole = Header::Whole {
                length: header.len(),
                ends: expected,
            };
            assert_eq!(read(&bytes, ProxyVersion::V2), whole, "{header:?}");
            assert_eq!(read(&bytes, ProxyVersion::Any), whole, "{header:?}");
            assert!(is_invalid(&bytes, ProxyVersion::V1));
        }
    }

    #[test]
    fn what_is_no_header_of_version_2_is_refused() {
        for header in [
            v2(0x11, TCP4, &[0; 12]),
            v2(0x22, TCP4, &[0; 12]),
            v2(PROXY, 0x12, &[0; 12]),
            v2(PROXY, 0x41, &[0; 12]),
            v2(PROXY, TCP4, &[0; 11]),
            v2(PROXY, TCP6, &[0; 35]),
            v2(PROXY, UNIX_STREAM, &[0; 215]),
            v2(PROXY, TCP4, &[0; LONGEST]),
        ] {
            assert!(is_invalid(&header, ProxyVersion::V2), "{header:?}");
        }
        assert!(is_invalid(b"\r\n\r\n\0\r\nQUIX", ProxyVersion::Any));
    }

    #[test]
    fn every_beginning_of_a_header_is_partial() {
        let v6 = ends("[2001:db8::7]:51514", "[2001:db8::1]:80");
        for version in [HeaderVersion::V1, HeaderVersion::V2] {
            for ends in [ends("192.0.2.7:51514", "192.0.2.1:80"), v6, None] {
                let header = write(version, ends);
                for length in 0..header.len() {
                    assert_eq!(read(&header[..length], ProxyVersion::Any), Header::Partial);
                }
                let length = header.len();
                assert_eq!(
                    read(&header, ProxyVersion::Any),
                    Header::Whole { length, ends }
                );
            }
        }
    }

    #[test]
    fn ends_of_two_families_are_not_told() {
        for version in [HeaderVersion::V1, HeaderVersion::V2] {
            let mixed = write(version, ends("192.0.2.7:51514", "[::1]:80"));
            assert_eq!(mixed, write(version, None));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(v6: bool, client: u128, own: u128, ports: (u16, u16), v2: bool, rest: Vec<u8>) {
            let ip = |bits: u128| if v6 {
                IpAddr::V6(Ipv6Addr::from(bits)).to_canonical()
            } else {
                IpAddr::V4(Ipv4Addr::from(bits as u32))
            };
            let ends = (SocketAddr::new(ip(client), ports.0), SocketAddr::new(ip(own), ports.1));
            prop_assume!(ends.0.is_ipv4() == ends.1.is_ipv4());
            let header = write(if v2 { HeaderVersion::V2 } else { HeaderVersion::V1 }, Some(ends));
            let length = header.len();
            let bytes = [header, rest].concat();
            prop_assert_eq!(read(&bytes, ProxyVersion::Any), Header::Whole { length, ends: Some(ends) });
        }

        #[test]
        fn any_bytes_are_judged_and_more_bytes_change_no_verdict(
            start in prop::sample::select(vec![&b""[..], V1, V2]), bytes: Vec<u8>, more: Vec<u8>
        ) {
            let bytes = [start, &bytes].concat();
            let verdict = read(&bytes, ProxyVersion::Any);
            if let Header::Whole { length, .. } = verdict {
                prop_assert!(length <= bytes.len() && length <= LONGEST);
            }
            if verdict != Header::Partial {
                prop_assert_eq!(read(&[bytes, more].concat(), ProxyVersion::Any), verdict);
            }
        }
    }
}
