//! `listen`: what the written addresses mean on this host.
//!
//! Invariant: every address that leaves here can be given to bind(2): names are numbers, ranges are single ports.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::reader::{Item, Reader};
use crate::config::diagnostic::{Code, Diagnostic, nearest, shown};
use crate::config::keys::Key;
use crate::config::source::Place;
use crate::config::values::Problem;
use crate::config::values::address::{self, Family, Host, Inet, Port, Written};
use crate::service::{Address, Protocol};

/// Each address costs a descriptor and an entry of the table.
const MOST: usize = 65_536;

/// The addresses of a service, each with the place of the word that names it.
pub(super) fn addresses(reader: &Reader<'_, '_>, service: Place) -> (Vec<Address>, Vec<Place>) {
    let dual_stack = reader.boolean(Key::DualStack);
    let Some(entry) = reader.entry(Key::Listen) else {
        let title = format!("{} listens nowhere", reader.owner);
        reader.report_missing(
            &[Key::Listen],
            Diagnostic::error(Code::Missing, service, title)
                .label("needs `listen`")
                .help("add for example `listen = \"8007\"`"),
        );
        return (Vec::new(), Vec::new());
    };
    let items = reader.items(Key::Listen, true);
    let array = entry.value.get_ref().as_array();
    if array.is_some_and(|array| array.is_empty()) {
        reader.refuse(
            Key::Listen,
            entry.place(),
            Problem::new("is an empty list")
                .help("add for example `\"8007\"`; `enabled = false` switches a service off"),
        );
    }
    let mut addresses = Vec::new();
    let mut places = Vec::new();
    for item in items.unwrap_or_default() {
        let Some(written) = reader.parsed(Key::Listen, &item, address::parse) else {
            continue;
        };
        addresses.extend(lookup(reader, Key::Listen, &item, &written, dual_stack));
        if addresses.len() > MOST {
            let what = format!(
                "makes {} addresses, and a service may have {MOST}",
                addresses.len()
            );
            reader.refuse(
                Key::Listen,
                item.place,
                Problem::new(what).help("write shorter ranges of ports"),
            );
            addresses.truncate(places.len());
            break;
        }
        places.resize(addresses.len(), item.place);
    }
    (addresses, places)
}

/// What a written address means here; a name that nobody knows is reported.
pub(super) fn lookup(
    reader: &Reader<'_, '_>,
    key: Key,
    item: &Item,
    written: &Written,
    dual_stack: Option<bool>,
) -> Vec<Address> {
    match written {
        Written::Unix(kind, name) => vec![Address::Unix {
            kind: *kind,
            name: name.clone(),
        }],
        Written::Vsock(cid, port) => vec![Address::Vsock {
            cid: *cid,
            port: *port,
        }],
        Written::Inherited(name) => vec![Address::Inherited { name: name.clone() }],
        Written::Inet(inet) => {
            let ports = ports(reader, inet);
            let hosts = hosts(reader, inet, dual_stack);
            let (ports, hosts) = match (ports, hosts) {
                (Ok(ports), Ok(hosts)) => (ports, hosts),
                (ports, hosts) => {
                    for problem in [ports.err(), hosts.err()].into_iter().flatten() {
                        reader.refuse(key, item.place, problem);
                    }
                    return Vec::new();
                }
            };
            let each = |port: u16| {
                hosts.iter().map(move |(host, dual_stack)| {
                    let mut socket = *host;
                    socket.set_port(port);
                    Address::Inet {
                        protocol: inet.protocol,
                        socket,
                        dual_stack: *dual_stack,
                    }
                })
            };
            (ports.0..=ports.1).flat_map(each).collect()
        }
    }
}

fn ports(reader: &Reader<'_, '_>, inet: &Inet) -> Result<(u16, u16), Problem> {
    let name = match &inet.port {
        Port::Range(first, last) => return Ok((*first, *last)),
        Port::Name(name) => name,
    };
    let context = reader.context;
    let datagram = inet.protocol == Protocol::Udp;
    let known = (name.clone(), datagram);
    let cached = context.ports.borrow().get(&known).copied();
    let port = cached.unwrap_or_else(|| {
        let port = context.host.world.port(name, datagram);
        context.ports.borrow_mut().insert(known, port);
        port
    });
    port.map(|port| (port, port)).ok_or_else(|| {
        let problem = Problem::new(format!(
            "names an unknown port: `{}` is not in /etc/services",
            shown(name)
        ));
        let is_host = inet.host == Host::All && (name == "localhost" || name.contains('.'));
        let help = if is_host {
            format!("write the port, too: `\"{name}:8007\"`")
        } else {
            "write the number".to_owned()
        };
        problem.help(help)
    })
}

/// The addresses with port 0, and whether one socket serves both families.
fn hosts(
    reader: &Reader<'_, '_>,
    inet: &Inet,
    dual_stack: Option<bool>,
) -> Result<Vec<(SocketAddr, bool)>, Problem> {
    let world = reader.context.host.world;
    let v4 = |ip: Ipv4Addr| (SocketAddr::from((ip, 0)), false);
    let v6 = |ip: Ipv6Addr, dual: bool| (SocketAddr::from((ip, 0)), dual);
    Ok(match (&inet.host, inet.family) {
        (Host::All, Some(Family::V4)) => vec![v4(Ipv4Addr::UNSPECIFIED)],
        // `tcp6:` and an explicit [::] are never dual unless that is written.
        (Host::All, Some(Family::V6)) => vec![v6(
            Ipv6Addr::UNSPECIFIED,
            dual_stack == Some(true) && world.has_ipv4(),
        )],
        (Host::All, None) if !world.has_ipv6() => vec![v4(Ipv4Addr::UNSPECIFIED)],
        (Host::All, None) if !world.has_ipv4() => vec![v6(Ipv6Addr::UNSPECIFIED, false)],
        (Host::All, None) if dual_stack == Some(false) => {
            vec![v4(Ipv4Addr::UNSPECIFIED), v6(Ipv6Addr::UNSPECIFIED, false)]
        }
        (Host::All, None) => vec![v6(Ipv6Addr::UNSPECIFIED, true)],
        (Host::Ip(IpAddr::V4(ip), _), _) => vec![v4(*ip)],
        (Host::Ip(IpAddr::V6(ip), None), _) => vec![v6(
            *ip,
            ip.is_unspecified() && dual_stack == Some(true) && world.has_ipv4(),
        )],
        (Host::Ip(IpAddr::V6(ip), Some(scope)), _) => vec![(scoped(reader, *ip, scope)?, false)],
        (Host::Name(name), family) => named(reader, name, family)?
            .into_iter()
            .map(|ip| (SocketAddr::new(ip, 0), false))
            .collect(),
    })
}

fn scoped(reader: &Reader<'_, '_>, ip: Ipv6Addr, scope: &str) -> Result<SocketAddr, Problem> {
    let number = scope.parse::<u32>().ok().filter(|index| *index != 0);
    let index = reader.context.host.world.interface_index(scope).or(number);
    let unknown = || {
        Problem::new(format!("names an unknown interface `{}`", shown(scope)))
            .help("write an interface of this host")
    };
    index
        .map(|index| SocketAddr::V6(SocketAddrV6::new(ip, 0, 0, index)))
        .ok_or_else(unknown)
}

/// `localhost` is both loopbacks, whatever /etc/hosts says; a family that the host lacks is skipped.
fn named(
    reader: &Reader<'_, '_>,
    name: &str,
    family: Option<Family>,
) -> Result<Vec<IpAddr>, Problem> {
    let world = reader.context.host.world;
    let found: io::Result<Vec<IpAddr>> = if name.eq_ignore_ascii_case("localhost") {
        let v4 = world.has_ipv4().then_some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let v6 = world.has_ipv6().then_some(IpAddr::V6(Ipv6Addr::LOCALHOST));
        Ok(v4.into_iter().chain(v6).collect())
    } else {
        world.resolve(name)
    };
    let all = found.map_err(|error| {
        Problem::new(format!(
            "names a host that cannot be looked up: `{name}`: {error}"
        ))
        .help(match nearest(name, address::TYPES) {
            Some(kind) => format!("write its address; or was the type `{kind}:` meant?"),
            None => "write its address".to_owned(),
        })
    })?;
    let mut fitting = Vec::new();
    for ip in all {
        let fits = match family {
            None => true,
            Some(Family::V4) => ip.is_ipv4(),
            Some(Family::V6) => ip.is_ipv6(),
        };
        if fits && !fitting.contains(&ip) {
            fitting.push(ip);
        }
    }
    if fitting.is_empty() {
        return Err(
            Problem::new(format!("names a host without a fitting address: `{name}`"))
                .help("write an address"),
        );
    }
    Ok(fitting)
}
