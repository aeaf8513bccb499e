//! Where an xinetd service listens: port, protocol, bind, and the flags about families.

use std::net::IpAddr;

use super::merge::Record;
use super::translate::{LeftOut, why};
use crate::convert::access::{Families, is_host_name};
use crate::convert::entry::Entry;
use crate::convert::note::Place;
use crate::convert::services::Port;
use crate::convert::session::Session;

/// What is known of the socket.
#[derive(Clone, Debug)]
pub(super) struct Socket {
    pub(super) datagram: bool,
    pub(super) families: Families,
}

/// Socket type and protocol, one inferred from the other.
pub(super) fn datagram(name: &str, record: &Record) -> Result<bool, LeftOut> {
    let text = |attribute: &str| record.one(attribute).map(|w| w.text.to_ascii_lowercase());
    match (text("socket_type").as_deref(), text("protocol").as_deref()) {
        (Some("stream"), Some("tcp") | None) | (None, Some("tcp")) => Ok(false),
        (Some("dgram"), Some("udp") | None) | (None, Some("udp")) => Ok(true),
        (None, None) => Err(why(
            name,
            format!("`{name}` has neither `socket_type` nor `protocol`, so xinetd drops it"),
        )),
        (kind, protocol) => {
            let kind = kind.unwrap_or("?");
            let protocol = protocol.unwrap_or("no protocol");
            Err(why(
                kind,
                format!("`{name}`: `{kind}` sockets of `{protocol}` are not offered"),
            ))
        }
    }
}

/// Sets `listen`. `flags` are in upper case.
pub(super) fn listen(
    session: &mut Session<'_>,
    entry: &mut Entry,
    name: &str,
    record: &Record,
    flags: &[String],
    unlisted: bool,
) -> Result<Socket, LeftOut> {
    let datagram = datagram(name, record)?;
    let protocol = if datagram { "udp" } else { "tcp" };
    let port = port(session, name, record, protocol, unlisted, &entry.place)?;
    let has = |flag: &str| flags.iter().any(|f| f == flag);
    let (v4, v6) = (has("IPV4"), has("IPV6"));
    if v4 && v6 {
        let text = "`IPv4` and `IPv6` together: some versions of xinetd drop the service, here it has both";
        session.notes.note(&entry.place, text);
    }
    let v4_only = v4 && !v6;
    // Naming the attribute in a service switches it on, whatever its value is.
    let v6_only = record.one("v6only").filter(|_| !v4_only);
    if let Some(word) = v6_only.filter(|w| w.text.eq_ignore_ascii_case("no")) {
        let text = "`v6only = no` switches v6only on in xinetd, so IPv4 was not served, and is not here: write \
                    `listen` without `tcp6:` to serve it";
        session.notes.note(&word.place, text);
    }
    let family = match (v4_only, v6_only.is_some()) {
        (true, _) => "4",
        (false, true) => "6",
        (false, false) => "",
    };
    let families = Families {
        v4: family != "6",
        v6: family != "4",
    };
    let kind = |family: &str| {
        if datagram || !family.is_empty() {
            format!("{protocol}{family}:")
        } else {
            String::new()
        }
    };
    let Some(bind) = record.one("bind") else {
        entry.set("listen", format!("{}{port}", kind(family)));
        return Ok(Socket { datagram, families });
    };
    match bind.text.parse::<IpAddr>() {
        Ok(ip) if ip.is_multicast() => Err(why(
            name,
            format!("`{name}`: oxinetd joins no multicast group such as `{ip}`"),
        )),
        Ok(IpAddr::V4(ip)) if family != "6" && (v4 || !v6) => {
            entry.set("listen", format!("{}{ip}:{port}", kind("")));
            let families = Families {
                v4: true,
                v6: false,
            };
            Ok(Socket { datagram, families })
        }
        // A v6 socket on `::` takes IPv4 too.
        Ok(IpAddr::V6(ip)) if family != "4" && ip.is_unspecified() => {
            entry.set("listen", format!("{}{port}", kind(family)));
            Ok(Socket { datagram, families })
        }
        Ok(IpAddr::V6(ip)) if family != "4" => {
            entry.set("listen", format!("{}[{ip}]:{port}", kind("")));
            let families = Families {
                v4: false,
                v6: true,
            };
            Ok(Socket { datagram, families })
        }
        Ok(ip) => Err(why(
            name,
            format!("`{name}`: `bind = {ip}` is of another family than its flags"),
        )),
        Err(_) if !is_host_name(&bind.text) => Err(why(
            name,
            format!("`{name}`: `bind = {}` is no address", bind.text),
        )),
        Err(_) => {
            let text = format!(
                "xinetd takes one address of `{}`; here all of them are bound",
                bind.text
            );
            session.notes.note(&bind.place, text);
            entry.set("listen", format!("{protocol}{family}:{}:{port}", bind.text));
            Ok(Socket { datagram, families })
        }
    }
}

fn port(
    session: &mut Session<'_>,
    name: &str,
    record: &Record,
    protocol: &str,
    unlisted: bool,
    place: &Place,
) -> Result<String, LeftOut> {
    let Some(word) = record.one("port") else {
        if unlisted {
            return Err(why(
                name,
                format!("`{name}` is UNLISTED and has no `port`, so xinetd drops it"),
            ));
        }
        return session
            .port(name, protocol, place)
            .map_err(|text| why(name, text));
    };
    let Ok(port) = word.text.parse::<u16>() else {
        return Err(why(
            name,
            format!(
                "`{name}`: `port = {}` is no port, so xinetd drops it",
                word.text
            ),
        ));
    };
    if !unlisted {
        match session.services.port(name, protocol) {
            Port::Listed(listed) if listed == port => {}
            Port::Listed(listed) => {
                let text = format!(
                    "/etc/services gives `{name}` port {listed}, so xinetd would drop the service; {port} is written"
                );
                session.notes.note(&word.place, text);
            }
            Port::Assigned(assigned) if assigned == port => {}
            Port::Assigned(_) | Port::Unknown => {
                let text = format!(
                    "`{name}` is not in /etc/services here, and not UNLISTED: xinetd would drop it; {port} is written"
                );
                session.notes.note(&word.place, text);
            }
        }
    }
    Ok(port.to_string())
}
