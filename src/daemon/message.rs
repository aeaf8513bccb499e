//! What the daemon itself says to clients: `banner` and `refuse_message`.
//!
//! Invariant: it never waits for a client. A banner goes out whole, before its program starts, or the connection is not
//! served.

use std::os::fd::AsFd;

use super::Daemon;
use super::id::ConnectionId;
use super::state::Held;
use super::token::ServiceKey;
use crate::event::Event;
use crate::sys::{datagram, errno};

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
        let text = banner.fill(&live.service.name, &held.peer, || id.as_str().to_owned());
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
