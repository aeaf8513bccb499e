//! Whom a datagram built-in answers.
//!
//! Invariant: no answer goes where it could start a loop between two servers or strike somebody who did not ask. The
//! sender's address may be forged, so its port is judged: servers, and reflectors known from attacks, ask nothing.
//! CVE-1999-0103, CVE-2024-2169; OpenBSD inetd's `dg_badinput` has the same idea.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// May a datagram from `from` that was sent to `to` be answered? `own` are the ports of this daemon's datagram built-ins.
pub(super) fn may_answer(from: SocketAddr, to: Option<IpAddr>, own: &[u16]) -> bool {
    is_client_port(from.port(), own)
        && is_host(from.ip())
        // Asked by broadcast or multicast: many would answer at once.
        && to.is_none_or(is_host)
}

fn is_client_port(port: u16, own: &[u16]) -> bool {
    port >= 1024
        && !own.contains(&port)
        && !SERVERS
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&port))
}

/// True: the address of one host.
fn is_host(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let class_e = v4.octets().first().is_some_and(|byte| *byte >= 240);
            let this_network = v4.octets().first() == Some(&0);
            !class_e && !this_network && !v4.is_multicast() && v4 != Ipv4Addr::BROADCAST
        }
        IpAddr::V6(v6) => !v6.is_multicast() && !v6.is_unspecified(),
    }
}

/// Ports above 1023 of datagram servers that answer anybody, first and last.
const SERVERS: [(u16, u16); 15] = [
    (1434, 1434),   // SQL Server browser
    (1812, 1813),   // RADIUS
    (1900, 1900),   // SSDP
    (2049, 2049),   // NFS
    (3283, 3283),   // Apple Remote Desktop
    (3389, 3389),   // RDP
    (3702, 3702),   // WS-Discovery
    (5060, 5060),   // SIP
    (5093, 5093),   // Sentinel license manager
    (5353, 5353),   // mDNS
    (5683, 5683),   // CoAP
    (10001, 10001), // Ubiquiti discovery
    (11211, 11211), // memcached
    (26000, 27020), // game servers
    (37810, 37810), // DVR discovery
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clients_are_answered() {
        let own = [7007, 7013];
        let cases = [
            ("192.0.2.7:40000", "192.0.2.1", true),
            ("127.0.0.1:40000", "127.0.0.1", true),
            ("[2001:db8::7]:40000", "2001:db8::1", true),
            ("[::ffff:192.0.2.7]:40000", "192.0.2.1", true),
            ("192.0.2.7:0", "192.0.2.1", false),
            ("192.0.2.7:7", "192.0.2.1", false),
            ("192.0.2.7:1023", "192.0.2.1", false),
            ("192.0.2.7:1024", "192.0.2.1", true),
            ("192.0.2.7:7007", "192.0.2.1", false),
            ("192.0.2.7:7013", "192.0.2.1", false),
            ("192.0.2.7:1900", "192.0.2.1", false),
            ("192.0.2.7:27000", "192.0.2.1", false),
            ("192.0.2.7:37810", "192.0.2.1", false),
            ("0.0.0.0:40000", "192.0.2.1", false),
            ("0.1.2.3:40000", "192.0.2.1", false),
            ("224.0.0.1:40000", "192.0.2.1", false),
            ("[::ffff:224.0.0.1]:40000", "192.0.2.1", false),
            ("255.255.255.255:40000", "192.0.2.1", false),
            ("[ff02::1]:40000", "2001:db8::1", false),
            ("[::]:40000", "2001:db8::1", false),
            ("192.0.2.7:40000", "255.255.255.255", false),
            ("192.0.2.7:40000", "239.1.1.1", false),
            ("[2001:db8::7]:40000", "ff02::1", false),
        ];
        for (from, to, answered) in cases {
            let to = Some(to.parse().unwrap());
            assert_eq!(
                may_answer(from.parse().unwrap(), to, &own),
                answered,
                "{from}"
            );
        }
    }
}
