//! Connections whose program has ended: closed at once, or after a lingering close.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use super::token::{LingerKey, Token};
use super::{Daemon, Timer};
use crate::connection::{AtExit, Linger, at_exit};
use crate::handover::{Packer, Unpacker, state};
use crate::service::{Run, Service, most_lingering};
use crate::sys::heirloom::Kind;
use crate::sys::poller::Interest;
use crate::sys::{socket, tcp};

/// A connection that lingers.
#[derive(Debug)]
pub(super) struct Lingering {
    connection: OwnedFd,
    linger: Linger,
}

impl Lingering {
    /// What a successor of this process is to know of it.
    pub(super) fn pack(&self, packer: &mut Packer) -> io::Result<state::Lingering> {
        Ok(state::Lingering {
            connection: packer.fd(self.connection.as_fd())?,
            until: packer.at(self.linger.until()),
            left: self.linger.left(),
        })
    }
}

impl Daemon {
    /// Takes one over from the predecessor.
    pub(super) fn unpack_lingering(
        &mut self,
        record: &state::Lingering,
        unpacker: &mut Unpacker,
    ) -> io::Result<()> {
        let connection = unpacker.fd(&record.connection, Kind::Socket)?;
        let linger = Linger::resume(unpacker.at(record.until), record.left);
        self.linger(Lingering { connection, linger });
        Ok(())
    }

    /// The program of this connection has ended. The descriptor is out of epoll.
    pub(super) fn close_connection(
        &mut self,
        connection: OwnedFd,
        service: &Service,
        shared: bool,
        now: Instant,
    ) {
        let time = match service.run {
            Run::Program(_) if !shared => service.deadlines.linger,
            // They have lingered already, in their own child.
            Run::Program(_) | Run::Builtin(_) | Run::Redirect(_) => None,
        };
        let unread = tcp::unread(connection.as_fd());
        // Nothing unread is the rule: one call and the close.
        if let Some(time) = time.filter(|_| unread > 0) {
            self.linger_for(connection, service, time, unread, now);
        }
    }

    /// The daemon itself has answered, and the request may still come.
    pub(super) fn linger_in_any_case(
        &mut self,
        connection: OwnedFd,
        service: &Service,
        now: Instant,
    ) {
        if let Some(time) = service.deadlines.linger {
            let unread = tcp::unread(connection.as_fd()).max(1);
            self.linger_for(connection, service, time, unread, now);
        }
    }

    fn linger_for(
        &mut self,
        connection: OwnedFd,
        service: &Service,
        time: Duration,
        unread: u64,
        now: Instant,
    ) {
        let fd = connection.as_fd();
        let state = tcp::info(fd).map_or(tcp::CLOSE, |info| info.state);
        let AtExit::Linger(time) = at_exit(Some(time), state, unread, self.has_room_to_linger())
        else {
            return;
        };
        socket::shut_down_writing(fd);
        let linger = Linger::new(now, time, unread, service.deadlines.linger_max);
        self.linger(Lingering { connection, linger });
    }

    fn linger(&mut self, lingering: Lingering) {
        let until = lingering.linger.until();
        let key = self.lingering.insert(lingering);
        self.timers.set(until, Timer::Linger(key));
        self.on_lingering(key);
        if let Some(lingering) = self.lingering.get(key)
            && self
                .poller
                .add(
                    lingering.connection.as_fd(),
                    Interest::Readable,
                    Token::Linger(key).bits(),
                )
                .is_err()
        {
            self.end_linger(key);
        }
    }

    /// A connection that lingers costs a descriptor that no ticket counts.
    fn has_room_to_linger(&self) -> bool {
        (self.lingering.len() as u64) < most_lingering(self.open_files)
    }

    /// Input has come, or the end of it.
    pub(super) fn on_lingering(&mut self, key: LingerKey) {
        let Some(lingering) = self.lingering.get_mut(key) else {
            return;
        };
        let goes_on = match tcp::discard(lingering.connection.as_fd(), lingering.linger.most()) {
            Ok(count) => lingering.linger.discarded(count),
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        if !goes_on {
            self.end_linger(key);
        }
    }

    /// Closes it.
    pub(super) fn end_linger(&mut self, key: LingerKey) {
        if let Some(lingering) = self.lingering.remove(key) {
            self.timers
                .cancel(lingering.linger.until(), Timer::Linger(key));
            self.poller.remove(&lingering.connection);
        }
    }

    /// Its time is over. What has come until now is discarded, so that the close is orderly if the client is silent.
    pub(super) fn on_linger_over(&mut self, key: LingerKey) {
        self.on_lingering(key);
        self.end_linger(key);
    }
}
