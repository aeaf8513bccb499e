//! The control socket's server: a few clients at a time, fixed buffers, a deadline for each.
//!
//! Invariant: no client can hold up the daemon or another client: a request is one short line, an answer is sent as it
//! is taken, who says nothing is closed first when room is needed, and everybody is closed at the deadline. Who may ask
//! is judged by the credentials that the kernel took at connect, whatever the mode of the path has become.

use std::cmp::Reverse;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use slotmap::SlotMap;

use super::token::{ControlKey, Token};
use super::{Daemon, Timer};
use crate::control::{Answer, LONGEST, Request};
use crate::handover::state::{self, Awaited};
use crate::handover::{Packer, Unpacker};
use crate::listener::{Accepted, Socket};
use crate::service::{Peer, UnixName};
use crate::sys::heirloom::Kind;
use crate::sys::poller::Interest;
use crate::sys::{socket, start, stream};

/// Clients at once.
const CLIENTS: usize = 32;
/// A client is closed after this time, whatever it waits for but a reload or an upgrade.
const DEADLINE: Duration = Duration::from_secs(5);
/// The same for one that waits for these.
const LONG_DEADLINE: Duration = Duration::from_secs(40);
/// Answers that nobody reads may take this much memory before requests are refused.
const UNREAD: usize = 32 << 20;

/// What the command line says of the control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlSocket {
    /// Nothing: the table decides.
    OfTable,
    /// There is none.
    Off,
    /// It is here.
    At(UnixName),
}

/// The socket and its clients.
#[derive(Debug, Default)]
pub(super) struct Control {
    pub(super) socket: Option<Socket>,
    clients: SlotMap<ControlKey, Client>,
}

/// One client.
#[derive(Debug)]
struct Client {
    fd: OwnedFd,
    uid: u32,
    may_change: bool,
    may_read: bool,
    request: Vec<u8>,
    /// What is left to be sent; `None` while there is no answer.
    answer: Option<Vec<u8>>,
    sent: usize,
    since: Instant,
    deadline: Instant,
    waits_for: Option<Awaited>,
}

impl Control {
    /// Who goes when room is needed: of the user who has the most silent clients, the one that has been silent for
    /// longest. So whoever crowds the socket crowds out himself.
    fn victim(&self) -> Option<ControlKey> {
        let silent = |client: &&Client| client.answer.is_none() && client.waits_for.is_none();
        let crowd = |uid| {
            let all = self.clients.values().filter(silent);
            all.filter(|client| client.uid == uid).count()
        };
        let all = self.clients.iter().filter(|(_, client)| silent(client));
        let worst = all.max_by_key(|(_, client)| (crowd(client.uid), Reverse(client.since)));
        worst.map(|(key, _)| key)
    }

    /// Bytes of answers that wait for their readers.
    fn unread(&self) -> usize {
        let answers = self.clients.values().filter_map(|it| it.answer.as_ref());
        answers.map(Vec::len).sum()
    }

    /// What a successor of this process is to know of it.
    pub(super) fn pack(&self, packer: &mut Packer) -> io::Result<state::Control> {
        let socket = self.socket.as_ref();
        let socket = socket.map(|socket| socket.pack(packer)).transpose()?;
        let clients = self.clients.values().map(|client| client.pack(packer));
        let clients = clients.collect::<io::Result<_>>()?;
        Ok(state::Control { socket, clients })
    }
}

impl Client {
    fn pack(&self, packer: &mut Packer) -> io::Result<state::ControlClient> {
        let rest = |answer: &Vec<u8>| answer.get(self.sent..).unwrap_or(&[]).to_vec();
        Ok(state::ControlClient {
            fd: packer.fd(self.fd.as_fd())?,
            uid: self.uid,
            may_change: self.may_change,
            may_read: self.may_read,
            request: self.request.clone(),
            answer: self.answer.as_ref().map(rest),
            since: packer.at(self.since),
            deadline: packer.at(self.deadline),
            waits_for: self.waits_for,
        })
    }
}

impl Daemon {
    /// Takes it over from the predecessor. Returns the clients that wait, and what for.
    pub(super) fn unpack_control(
        &mut self,
        record: state::Control,
        unpacker: &mut Unpacker,
    ) -> io::Result<Vec<(ControlKey, Awaited)>> {
        if let Some(socket) = &record.socket {
            let socket = self
                .control
                .socket
                .insert(Socket::unpack(socket, unpacker)?);
            let token = Token::Control.bits();
            self.poller.add(socket.as_fd(), Interest::Readable, token)?;
        }
        let mut waiting = Vec::new();
        for client in record.clients {
            let deadline = unpacker.at(client.deadline);
            let interest = match (&client.answer, client.waits_for) {
                (Some(_), _) => Interest::Writable,
                (None, Some(_)) => Interest::Nothing,
                (None, None) => Interest::Readable,
            };
            let key = self.control.clients.insert(Client {
                fd: unpacker.fd(&client.fd, Kind::Socket)?,
                uid: client.uid,
                may_change: client.may_change,
                may_read: client.may_read,
                request: client.request,
                answer: client.answer,
                sent: 0,
                since: unpacker.at(client.since),
                deadline,
                waits_for: client.waits_for,
            });
            self.timers.set(deadline, Timer::Control(key));
            waiting.extend(client.waits_for.map(|what| (key, what)));
            let token = Token::ControlClient(key).bits();
            if let Some(client) = self.control.clients.get(key) {
                self.poller.add(client.fd.as_fd(), interest, token)?;
            }
        }
        Ok(waiting)
    }

    /// Somebody connects.
    pub(super) fn on_control(&mut self, now: Instant) {
        for _ in 0..CLIENTS {
            let Some(socket) = self.control.socket.as_ref() else {
                return;
            };
            match socket.accept() {
                Accepted::Connection(fd, peer) => self.add_control_client(fd, &peer, now),
                Accepted::Lost(_) => {}
                Accepted::Empty | Accepted::Exhausted(_) | Accepted::Broken(_) => return,
            }
        }
    }

    fn add_control_client(&mut self, fd: OwnedFd, peer: &Peer, now: Instant) {
        if self.control.clients.len() >= CLIENTS {
            match self.control.victim() {
                Some(key) => self.drop_control_client(key),
                None => return, // everybody is being answered: this one is closed
            }
        }
        let (may_read, may_change) = self.rights(&fd, peer);
        let uid = match peer {
            Peer::Unix { uid, .. } => *uid,
            Peer::Inet(_) | Peer::Vsock { .. } => u32::MAX,
        };
        let deadline = now + DEADLINE;
        let key = self.control.clients.insert(Client {
            fd,
            uid,
            may_change,
            may_read,
            request: Vec::new(),
            answer: None,
            sent: 0,
            since: now,
            deadline,
            waits_for: None,
        });
        self.timers.set(deadline, Timer::Control(key));
        let Some(client) = self.control.clients.get(key) else {
            return;
        };
        if self
            .poller
            .add(
                client.fd.as_fd(),
                Interest::Readable,
                Token::ControlClient(key).bits(),
            )
            .is_err()
        {
            self.control.clients.remove(key);
        }
    }

    /// Who may read and who may change, by the peer's credentials.
    fn rights(&self, fd: &OwnedFd, peer: &Peer) -> (bool, bool) {
        let Peer::Unix { uid, gid, .. } = peer else {
            return (false, false);
        };
        let may_change = *uid == 0 || *uid == start::identity().0;
        let group = self.settings.control_gid;
        let may_read =
            may_change || *gid == group || socket::peer_groups(fd.as_fd()).contains(&group);
        (may_read, may_change)
    }

    /// A client has sent something, or takes more of its answer.
    pub(super) fn on_control_client(&mut self, key: ControlKey, now: Instant) {
        let Some(client) = self.control.clients.get_mut(key) else {
            return;
        };
        if client.answer.is_some() {
            return self.send_answer(key);
        }
        if client.waits_for.is_some() {
            // It is not watched for more than this: it is gone.
            return self.drop_control_client(key);
        }
        let mut buffer = [0_u8; LONGEST];
        let count = match stream::receive_now(client.fd.as_raw_fd(), &mut buffer) {
            Ok(0) => return self.drop_control_client(key),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
            Err(_) => return self.drop_control_client(key),
        };
        client
            .request
            .extend_from_slice(buffer.get(..count).unwrap_or(&[]));
        let line = client.request.iter().position(|byte| *byte == b'\n');
        let request = match line {
            Some(end) => Request::parse(client.request.get(..end).unwrap_or(&[])),
            None if client.request.len() < LONGEST => return,
            None => Err(format!("a request has {LONGEST} bytes at most")),
        };
        let (may_read, may_change) = (client.may_read, client.may_change);
        let answer = match request {
            Err(problem) => Some(Answer::Error(problem)),
            Ok(request) if may_change || may_read && request.only_reads() => self.obey(key, &request, now),
            Ok(_) => Some(Answer::Error(
                "permission denied: root and the daemon's own user may change things, [daemon] control_group may ask for status"
                    .to_owned(),
            )),
        };
        if let Some(answer) = answer {
            self.answer_control_client(key, &answer);
        }
    }

    /// Remembers that a client waits for the end of a reload or an upgrade.
    pub(super) fn wait_for(&mut self, key: ControlKey, what: Awaited, now: Instant) {
        if let Some(client) = self.control.clients.get_mut(key) {
            client.waits_for = Some(what);
            let token = Token::ControlClient(key).bits();
            let _ = self
                .poller
                .modify(client.fd.as_fd(), Interest::Nothing, token);
            client.deadline = now + LONG_DEADLINE;
            self.timers.set(client.deadline, Timer::Control(key));
        }
    }

    /// Gives a client its answer.
    pub(super) fn answer_control_client(&mut self, key: ControlKey, answer: &Answer) {
        let crowded = Answer::Error("too many answers wait to be read, ask again".to_owned());
        let answer = if self.control.unread() < UNREAD {
            answer
        } else {
            &crowded
        };
        let Some(client) = self.control.clients.get_mut(key) else {
            return;
        };
        let mut bytes = serde_json::to_vec(answer).unwrap_or_default();
        bytes.push(b'\n');
        client.answer = Some(bytes);
        client.waits_for = None;
        self.send_answer(key);
    }

    fn send_answer(&mut self, key: ControlKey) {
        let Some(client) = self.control.clients.get_mut(key) else {
            return;
        };
        let rest = client
            .answer
            .as_ref()
            .and_then(|answer| answer.get(client.sent..))
            .unwrap_or(&[]);
        match stream::send_now(client.fd.as_raw_fd(), rest) {
            Ok(sent) if sent < rest.len() => client.sent += sent,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => return self.drop_control_client(key),
        }
        let _ = self.poller.modify(
            client.fd.as_fd(),
            Interest::Writable,
            Token::ControlClient(key).bits(),
        );
    }

    /// The time of a client may be over.
    pub(super) fn on_control_deadline(&mut self, key: ControlKey, now: Instant) {
        if self
            .control
            .clients
            .get(key)
            .is_some_and(|client| client.deadline <= now)
        {
            self.drop_control_client(key);
        }
    }

    fn drop_control_client(&mut self, key: ControlKey) {
        if let Some(client) = self.control.clients.remove(key) {
            self.poller.remove(&client.fd);
        }
    }
}
