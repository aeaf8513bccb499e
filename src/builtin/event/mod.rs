//! The event model: one process and one thread for all clients of a service, by I/O multiplexing.
//!
//! Invariant: nothing in the loop waits but epoll. A client costs the memory of its [`Client`], and a buffer only while
//! there is something that it has not taken yet.

mod client;

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, RawFd};
use std::time::Instant;

use slotmap::{Key, KeyData, SlotMap, new_key_type};

use super::worker::{Door, End, MOST, room};
use super::{IO_ERROR, Maker};
use crate::sys::poller::{Interest, Poller};
use client::{Client, Step};

/// Serves the connections that come through `fd` until no more will come and all have ended. Returns the exit status: 0,
/// or 74 (EX_IOERR) when `fd` or epoll is of no use.
pub(super) fn serve(maker: Maker, fd: RawFd) -> u8 {
    let worker = Door::open(fd).and_then(|door| Worker::new(maker, door));
    match worker.and_then(|mut worker| worker.run()) {
        Ok(()) => 0,
        Err(_) => IO_ERROR,
    }
}

new_key_type! {
    /// A connection.
    struct ClientKey;
}

struct Worker {
    maker: Maker,
    door: Door,
    poller: Poller,
    clients: SlotMap<ClientKey, Client>,
    /// Connections whose time matters.
    due: BTreeSet<(Instant, ClientKey)>,
    /// Not told yet.
    ended: Vec<End>,
    /// More connections may come.
    open: bool,
    /// What the door is watched for; `None`: nothing, not even its end.
    watched: Option<Interest>,
    /// Connections at most.
    room: usize,
    /// For bytes that are passing through.
    scratch: Vec<u8>,
}

impl Worker {
    fn new(maker: Maker, door: Door) -> io::Result<Self> {
        Ok(Self {
            maker,
            door,
            poller: Poller::new(EVENTS)?,
            clients: SlotMap::with_key(),
            due: BTreeSet::new(),
            ended: Vec::new(),
            open: true,
            watched: None,
            room: room(),
            scratch: vec![0; client::CHUNK],
        })
    }

    fn run(&mut self) -> io::Result<()> {
        while self.open || !self.clients.is_empty() || !self.ended.is_empty() {
            self.watch_door()?;
            let first = self.due.first().map(|(at, _)| *at);
            let timeout = first.map(|at| at.saturating_duration_since(Instant::now()));
            let ready = self.poller.wait(timeout)?;
            let now = Instant::now();
            for index in 0..ready {
                match self.poller.token(index) {
                    Some(DOOR) => self.on_door(now)?,
                    Some(token) => self.go_on(KeyData::from_ffi(token).into(), now),
                    None => {}
                }
            }
            while let Some((at, key)) = self.due.first().copied()
                && at <= now
            {
                self.go_on(key, now);
            }
            self.tell_ends();
        }
        Ok(())
    }

    /// Watches the door for what is wanted of it now.
    fn watch_door(&mut self) -> io::Result<()> {
        let room = self.open && self.clients.len() + MOST <= self.room;
        let wanted = match (room, !self.ended.is_empty()) {
            (true, true) => Some(Interest::Both),
            (true, false) => Some(Interest::Readable),
            (false, true) => Some(Interest::Writable),
            (false, false) => None,
        };
        if wanted != self.watched {
            self.poller.remove(self.door.pair());
            if let Some(interest) = wanted {
                self.poller.add(self.door.pair().as_fd(), interest, DOOR)?;
            }
            self.watched = wanted;
        }
        Ok(())
    }

    /// Connections have come, or the end of them; or ends can be told, which is done after every round.
    fn on_door(&mut self, now: Instant) -> io::Result<()> {
        let mut passed = Vec::new();
        while self.open && self.clients.len() + MOST <= self.room {
            match self.door.take(false, &mut passed) {
                Ok(open) => self.open = open,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
            for one in passed.drain(..) {
                let client = Client::new(one, self.maker.stream());
                let key = self.clients.insert(client);
                // What it asks has come meanwhile, as a rule.
                self.go_on(key, now);
            }
        }
        Ok(())
    }

    /// A client can go on, or its time has come.
    fn go_on(&mut self, key: ClientKey, now: Instant) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let before = client.until();
        let step = client.go_on(&mut self.scratch, now);
        let until = client.until();
        if before != until {
            if let Some(at) = before {
                self.due.remove(&(at, key));
            }
            if let Some(at) = until {
                self.due.insert((at, key));
            }
        }
        let step = match step {
            Step::Wait(interest) => match client.watch(&self.poller, interest, key.data().as_ffi())
            {
                Ok(()) => return,
                Err(_) => IO_ERROR,
            },
            Step::Over(status) => status,
        };
        self.end(key, step);
    }

    fn end(&mut self, key: ClientKey, status: u8) {
        let Some(client) = self.clients.remove(key) else {
            return;
        };
        if let Some(at) = client.until() {
            self.due.remove(&(at, key));
        }
        let number = client.close(&self.poller);
        self.ended.push(End { number, status });
    }

    /// Tells what the daemon takes; the rest waits for room.
    fn tell_ends(&mut self) {
        let mut told = 0;
        for ends in self.ended.chunks(MOST) {
            match self.door.tell_now(ends) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Told, or nobody is left to be told.
                Ok(()) | Err(_) => told += ends.len(),
            }
        }
        self.ended.drain(..told);
    }
}

/// No key of a connection has these bits.
const DOOR: u64 = 0;

/// Events of one round.
const EVENTS: usize = 256;
