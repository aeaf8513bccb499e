//! Connections that begin with a PROXY header: from the accept to the admission of the client that it names.
//!
//! The header is looked at where it is (MSG_PEEK), and taken out to the byte when it is whole, so that the program finds
//! its client's first byte. It mostly comes with the connection; where it does not, epoll tells of every arrival once.
//!
//! Invariant: waiting for a header costs a bounded number of descriptors and a bounded time, and delays no other
//! connection. Nobody is asked by the rules before the true peer is known.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use slotmap::SlotMap;

use super::token::{HeaderKey, ListenerKey, ServiceKey, Token};
use super::{Daemon, Timer};
use crate::admission::{Arrival, Refusal};
use crate::connection::proxy::{self, Header};
use crate::service::{Peer, ProxyVersion};
use crate::sys::poller::Interest;
use crate::sys::stream;

/// How long a header may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections of one service that wait for theirs. Who comes then stays in the kernel's queue.
const MOST: u32 = 256;

/// What a header told.
#[derive(Clone, Debug)]
pub(super) struct Proxied {
    /// Who sent it.
    pub from: Peer,
    /// The address that the client connected to, where the header names one.
    pub local: Option<SocketAddr>,
    /// Its length: these bytes are none of the client's.
    pub length: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Headers {
    pending: SlotMap<HeaderKey, Pending>,
    /// The header is read, and something is in the way of the client.
    ready: VecDeque<Ready>,
}

#[derive(Debug)]
struct Pending {
    listener: ListenerKey,
    service: ServiceKey,
    connection: OwnedFd,
    peer: Peer,
    until: Instant,
}

#[derive(Debug)]
struct Ready {
    listener: ListenerKey,
    service: ServiceKey,
    connection: OwnedFd,
    peer: Peer,
    proxied: Box<Proxied>,
}

impl Headers {
    /// True when a client of this service waits whose header is read.
    pub(super) fn has_ready(&self, service: ServiceKey) -> bool {
        self.ready.iter().any(|ready| ready.service == service)
    }
}

/// What a look at the start of a connection finds.
#[derive(Debug)]
enum Found {
    Partial,
    Whole {
        length: usize,
        ends: Option<(SocketAddr, SocketAddr)>,
    },
    Invalid,
    /// The sender has gone.
    Gone,
}

impl Daemon {
    /// A connection of a service that expects a header.
    pub(super) fn await_header(
        &mut self,
        listener: ListenerKey,
        service: ServiceKey,
        connection: OwnedFd,
        peer: Peer,
        now: Instant,
    ) {
        let Some(live) = self.services.get_mut(service) else {
            return;
        };
        let arrival = Arrival {
            peer: &peer,
            groups: &[],
        };
        if !live.gate.may_send_header(&arrival) {
            return self.refuse(service, connection, &peer, Refusal::ProxyFrom, None, now);
        }
        live.headers += 1;
        let until = now + PATIENCE;
        let key = self.headers.pending.insert(Pending {
            listener,
            service,
            connection,
            peer,
            until,
        });
        self.on_header(key, now);
        let Some(pending) = self.headers.pending.get(key) else {
            return;
        };
        let token = Token::Header(key).bits();
        match self
            .poller
            .add(pending.connection.as_fd(), Interest::ReadableOnce, token)
        {
            Ok(()) => self.timers.set(until, Timer::Header(key)),
            Err(_) => drop(self.take_pending(key)),
        }
    }

    /// True for a service whose connections begin with a header.
    pub(super) fn has_headers(&self, service: ServiceKey) -> bool {
        self.services
            .get(service)
            .is_some_and(|live| live.service.proxy.is_some())
    }

    /// True when no further connection of this service may wait for its header. It is woken when that changes.
    pub(super) fn headers_are_full(&self, service: ServiceKey) -> bool {
        self.services
            .get(service)
            .is_some_and(|live| live.headers >= MOST)
    }

    /// Bytes have come.
    pub(super) fn on_header(&mut self, key: HeaderKey, now: Instant) {
        let Some(pending) = self.headers.pending.get(key) else {
            return;
        };
        let version = self
            .services
            .get(pending.service)
            .and_then(|live| live.service.proxy);
        let found = match version {
            Some(version) => look(pending.connection.as_fd(), version),
            // A reload took the service or its `proxy_protocol` away.
            None => Found::Gone,
        };
        if matches!(found, Found::Partial) {
            return;
        }
        let Some(pending) = self.take_pending(key) else {
            return;
        };
        let Pending {
            listener,
            service,
            connection,
            peer,
            ..
        } = pending;
        match found {
            Found::Whole { length, ends } => {
                let (client, local) = ends.unzip();
                let proxied = Box::new(Proxied {
                    from: peer.clone(),
                    local,
                    length: length as u64,
                });
                self.headers.ready.push_back(Ready {
                    listener,
                    service,
                    connection,
                    peer: client.map_or(peer, Peer::Inet),
                    proxied,
                });
            }
            Found::Invalid => {
                self.refuse(service, connection, &peer, Refusal::ProxyHeader, None, now);
            }
            Found::Gone | Found::Partial => {}
        }
    }

    /// No header has come in time.
    pub(super) fn on_header_overdue(&mut self, key: HeaderKey, now: Instant) {
        if let Some(pending) = self.take_pending(key) {
            let (service, peer) = (pending.service, pending.peer);
            self.refuse(
                service,
                pending.connection,
                &peer,
                Refusal::ProxyHeader,
                None,
                now,
            );
        }
    }

    /// At the end of a turn: the clients whose headers are read are judged, as far as there is room.
    pub(super) fn settle_headers(&mut self, now: Instant) {
        if !self.accepts() {
            return;
        }
        for _ in 0..self.headers.ready.len() {
            let Some(ready) = self.headers.ready.pop_front() else {
                return;
            };
            let Some(listener) = self.listeners.get(ready.listener) else {
                continue;
            };
            if listener.held.is_some() || self.obstacle(ready.service, true, now).is_some() {
                self.headers.ready.push_back(ready);
            } else {
                let _ = self.on_connection(
                    ready.listener,
                    ready.service,
                    ready.connection,
                    ready.peer,
                    Some(ready.proxied),
                    now,
                );
            }
        }
    }

    fn take_pending(&mut self, key: HeaderKey) -> Option<Pending> {
        let pending = self.headers.pending.remove(key)?;
        self.poller.remove(&pending.connection);
        self.timers.cancel(pending.until, Timer::Header(key));
        if let Some(live) = self.services.get_mut(pending.service) {
            live.headers -= 1;
            if live.headers + 1 == MOST {
                self.wake_service(pending.service);
            }
        }
        Some(pending)
    }
}

/// Looks, and takes a whole header out.
fn look(connection: BorrowedFd<'_>, version: ProxyVersion) -> Found {
    let mut buffer = [0; proxy::LONGEST];
    let bytes = match stream::peek_now(connection, &mut buffer) {
        Ok(0) => return Found::Gone,
        Ok(count) => buffer.get(..count).unwrap_or_default(),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Found::Partial,
        Err(_) => return Found::Gone,
    };
    match proxy::read(bytes, version) {
        Header::Partial => Found::Partial,
        Header::Invalid(_) => Found::Invalid,
        Header::Whole { length, ends } => {
            let room = buffer.get_mut(..length).unwrap_or_default();
            match stream::take_now(connection, room) {
                Ok(taken) if taken == length => Found::Whole { length, ends },
                Ok(_) | Err(_) => Found::Gone,
            }
        }
    }
}
