//! The addresses of a service: taken already, below the ports that everybody may bind, beside a directory that is not
//! there.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use super::Survey;
use crate::config::diagnostic::shown;
use crate::config::keys::Key;
use crate::config::source::Place;
use crate::config::surroundings::{Bound, Holder};
use crate::service::{Address, Protocol, UnixName};

const CAP_NET_BIND_SERVICE: u32 = 10;
/// Our own name: a daemon that runs holds the ports of its table.
const OURSELVES: &str = "oxinetd";

pub(super) fn look(survey: &Survey<'_, '_, '_>) {
    let bound = survey.surroundings.bound();
    let mut told = None;
    for (address, place) in survey.service.listen.iter().zip(survey.places) {
        // A range of ports, all of them taken or low, is told once.
        if told == Some(*place) {
            continue;
        }
        let problem = match address {
            Address::Inet {
                protocol,
                socket,
                dual_stack,
            } => {
                low_port(survey, *socket, *place)
                    || taken(
                        survey,
                        &bound,
                        (*protocol, *socket, *dual_stack),
                        address,
                        *place,
                    )
            }
            Address::Unix { name, .. } => unix(survey, name, *place),
            Address::Vsock { .. } | Address::Inherited { .. } => false,
        };
        if problem {
            told = Some(*place);
        }
    }
    device(survey);
}

fn low_port(survey: &Survey<'_, '_, '_>, socket: SocketAddr, place: Place) -> bool {
    let first_free = survey.surroundings.first_free_port();
    let may = survey.surroundings.capabilities() & (1 << CAP_NET_BIND_SERVICE) != 0;
    let port = socket.port();
    if may || port == 0 || port >= first_free {
        return false;
    }
    let title = format!(
        "{} needs a right that is not here",
        survey.reader.subject(Key::Listen)
    );
    let label = format!("port {port} is below {first_free}");
    let help = format!(
        "start oxinetd as root, give it CAP_NET_BIND_SERVICE, or sysctl net.ipv4.ip_unprivileged_port_start={port}"
    );
    survey.warn_at(place, title, &label, &help);
    true
}

fn taken(
    survey: &Survey<'_, '_, '_>,
    bound: &[Bound],
    (protocol, socket, dual_stack): (Protocol, SocketAddr, bool),
    address: &Address,
    place: Place,
) -> bool {
    if survey.service.socket.reuse_port || socket.port() == 0 {
        return false;
    }
    let same = |other: &&Bound| {
        other.protocol == protocol
            && other.socket.port() == socket.port()
            && overlap(socket, dual_stack, other.socket)
    };
    let Some(other) = bound.iter().find(same) else {
        return false;
    };
    let Some((who, help)) = holder(survey.surroundings.holder(other.inode)) else {
        return false;
    };
    let title = format!(
        "{}: {address} is taken already",
        survey.reader.subject(Key::Listen)
    );
    survey.warn_at(
        place,
        title,
        &format!("{} is held by {who}", other.socket),
        &help,
    );
    true
}

/// True when the two cannot be bound at once. A wildcard of IPv6 may or may not take IPv4 along; the usual is that it
/// does.
fn overlap(ours: SocketAddr, dual_stack: bool, theirs: SocketAddr) -> bool {
    let wildcard_v4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    match (ours.ip(), theirs.ip().to_canonical()) {
        (IpAddr::V6(_), IpAddr::V4(_)) => dual_stack,
        (IpAddr::V4(_), IpAddr::V6(theirs)) => theirs.is_unspecified(),
        (ours @ IpAddr::V4(_), theirs) => {
            ours == theirs || ours == wildcard_v4 || theirs == wildcard_v4
        }
        (ours @ IpAddr::V6(_), theirs) => {
            ours == theirs || ours.is_unspecified() || theirs.is_unspecified()
        }
    }
}

/// Who holds a socket and what to do; `None`: we do.
fn holder(holder: Option<Holder>) -> Option<(String, String)> {
    let Some(holder) = holder else {
        let help = "check as root to see by which; stop it, or write another address";
        return Some(("another process".to_owned(), help.to_owned()));
    };
    if holder.name == OURSELVES {
        return None;
    }
    let help = if holder.pid == 1 {
        "a socket unit does: systemctl disable --now it, or take its socket by `listen = \"fd:NAME\"`"
    } else {
        "stop it, or write another address"
    };
    let who = format!("pid {} ({})", holder.pid, shown(&holder.name));
    Some((who, help.to_owned()))
}

fn unix(survey: &Survey<'_, '_, '_>, name: &UnixName, place: Place) -> bool {
    let text = name.to_string();
    let subject = survey.reader.subject(Key::Listen);
    if let UnixName::Path(path) = name {
        let directory = path.parent().unwrap_or(Path::new("/"));
        if survey.surroundings.look(Path::new("/"), directory).is_err() {
            let directory = shown(&directory.to_string_lossy());
            let title = format!("{subject} is in a directory that is not there");
            survey.warn_at(
                place,
                title,
                &format!("{directory} is not found"),
                &format!("mkdir {directory}, at boot by tmpfiles.d(5)"),
            );
            return true;
        }
        let there = survey.surroundings.look(Path::new("/"), path);
        if there.is_ok_and(|there| !there.is_socket()) {
            let title = format!("{subject} names what is there already, and is no socket");
            survey.warn_at(
                place,
                title,
                "never replaced",
                "remove it, or write another path",
            );
            return true;
        }
    }
    let Some((who, help)) = survey
        .surroundings
        .bound_unix(&text)
        .and_then(|inode| holder(survey.surroundings.holder(inode)))
    else {
        return false;
    };
    let title = format!("{subject}: unix {text} is taken already");
    survey.warn_at(place, title, &format!("held by {who}"), &help);
    true
}

fn device(survey: &Survey<'_, '_, '_>) {
    let world = survey.reader.context.host.world;
    if let Some(device) = &survey.service.socket.bind_device
        && world.interface_index(device).is_none()
    {
        let what = format!("names an interface that is not there: `{}`", shown(device));
        survey.warn(
            Key::BindDevice,
            &what,
            "not found",
            "write one that `ip link` lists",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_are_those_of_the_kernel() {
        for (ours, dual, theirs, expected) in [
            ("127.0.0.1:79", false, "127.0.0.1:79", true),
            ("127.0.0.1:79", false, "127.0.0.2:79", false),
            ("127.0.0.1:79", false, "0.0.0.0:79", true),
            ("0.0.0.0:79", false, "127.0.0.2:79", true),
            ("127.0.0.1:79", false, "[::]:79", true),
            ("127.0.0.1:79", false, "[::1]:79", false),
            ("127.0.0.1:79", false, "[::ffff:127.0.0.1]:79", true),
            ("[::]:79", false, "127.0.0.1:79", false),
            ("[::]:79", true, "127.0.0.1:79", true),
            ("[::]:79", true, "[::1]:79", true),
            ("[::1]:79", false, "[::]:79", true),
        ] {
            let is = overlap(ours.parse().unwrap(), dual, theirs.parse().unwrap());
            assert_eq!(is, expected, "{ours} {dual} {theirs}");
        }
    }
}
