//! What the daemon itself says to clients: `banner` and `refuse_message`.
//!
//! Invariant: it never waits for a client. A banner goes out whole, before its program starts, or the connection is not
//! served.

use std::fmt::Write;
use std::os::fd::AsFd;

use super::Daemon;
use super::id::ConnectionId;
use super::state::Held;
use super::token::ServiceKey;
use crate::event::Event;
use crate::service::{Peer, Piece, Specifier, Template};
use crate::sys::{datagram, errno};

/// A template with its specifiers replaced. `id` is asked once at most.
pub(super) fn text(
    template: &Template,
    service: &str,
    peer: &Peer,
    id: impl FnOnce() -> ConnectionId,
) -> String {
    let mut text = String::new();
    let mut id = Some(id);
    let mut made = None;
    for piece in &template.0 {
        match piece {
            Piece::Text(literal) => text.push_str(literal),
            Piece::Specifier(Specifier::Service) => text.push_str(service),
            Piece::Specifier(Specifier::RemoteAddr) => {
                let _ = write!(text, "{peer}");
            }
            Piece::Specifier(Specifier::RemotePort) => {
                if let Some(port) = peer.port() {
                    let _ = write!(text, "{port}");
                }
            }
            Piece::Specifier(Specifier::Id) => {
                if let Some(id) = id.take() {
                    made = Some(id());
                }
                text.push_str(made.as_ref().map_or("", ConnectionId::as_str));
            }
        }
    }
    text
}

impl Daemon {
    /// Sends the banner of the service, if it has one. False: it does not fit the send buffer of a connection that has
    /// just begun, which only a tiny `send_buffer` does; the connection is not served then.
    ///
    /// A client that has gone is no failure: its program finds out.
    pub(super) fn greet(&mut self, service: ServiceKey, held: &Held, id: ConnectionId) -> bool {
        let Some(live) = self.services.get_mut(service) else {
            return true;
        };
        let Some(banner) = &live.service.banner else {
            return true;
        };
        let text = text(banner, &live.service.name, &held.peer, || id);
        let errno = match datagram::send_now(held.connection.as_fd(), text.as_bytes()) {
            Ok(sent) if sent < text.len() => errno::ENOBUFS,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => errno::ENOBUFS,
            Ok(_) | Err(_) => return true,
        };
        live.counters.failed += 1;
        let event = Event::LaunchFailed {
            service: &live.service.name,
            step: "banner, which is longer than the send buffer",
            errno,
            peer: Some(&held.peer),
            id: id.as_str(),
        };
        Self::tell(&mut self.log, Some(live), &event);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::id::ConnectionIds;
    use std::time::SystemTime;

    #[test]
    fn specifiers_are_replaced_and_one_id_serves_all() {
        let specifiers = [
            Specifier::Service,
            Specifier::RemoteAddr,
            Specifier::RemotePort,
            Specifier::Id,
            Specifier::Id,
        ];
        let mut pieces = vec![Piece::Text("<".to_owned())];
        for specifier in specifiers {
            pieces.push(Piece::Specifier(specifier));
            pieces.push(Piece::Text("|".to_owned()));
        }
        let mut ids = ConnectionIds::new(SystemTime::UNIX_EPOCH);
        let template = Template(pieces);
        let inet = Peer::Inet("192.0.2.7:99".parse().unwrap());
        let told = text(&template, "x", &inet, || ids.next());
        assert_eq!(told, "<x|192.0.2.7|99|000000-0000|000000-0000|");
        let unix = Peer::Unix {
            uid: 1,
            gid: 1,
            pid: 1,
        };
        let told = text(&template, "x", &unix, || ids.next());
        assert_eq!(told, "<x|unix||000000-0001|000000-0001|");
    }
}
