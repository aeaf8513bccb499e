//! epoll with plain 64-bit tokens: the one place where the daemon sleeps.
//!
//! Trap kept here: a registration belongs to the pair (open file, number), so a descriptor must be removed *before* it
//! is closed, or a child that still holds the file keeps a stale token alive.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// What a descriptor is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Bytes, connections, an exit; level-triggered.
    Readable,
    /// That bytes have come, or the end; each arrival once (bytes that stay unread must not spin the loop).
    ReadableOnce,
    /// Room to write; level-triggered.
    Writable,
    /// Either; level-triggered.
    Both,
    /// Errors and hang-ups only, told once (held connections: a half-close must not spin the loop).
    HangUpOnce,
    /// That the peer has finished sending or is gone, told once.
    EndOnce,
    /// Nothing for now; errors are still told.
    Nothing,
}

impl Interest {
    fn flags(self) -> EpollFlags {
        match self {
            Self::Readable => EpollFlags::EPOLLIN,
            Self::ReadableOnce => EpollFlags::EPOLLIN | EpollFlags::EPOLLET,
            Self::Writable => EpollFlags::EPOLLOUT,
            Self::Both => EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT,
            Self::HangUpOnce => EpollFlags::EPOLLONESHOT,
            Self::EndOnce => EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLONESHOT,
            Self::Nothing => EpollFlags::empty(),
        }
    }
}

/// An epoll set and the events of its last wait.
#[derive(Debug)]
pub struct Poller {
    epoll: Epoll,
    events: Vec<EpollEvent>,
    ready: usize,
}

impl Poller {
    /// An empty set that tells up to `batch` events a wait.
    pub fn new(batch: usize) -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            events: vec![EpollEvent::empty(); batch],
            ready: 0,
        })
    }

    /// Starts watching `fd`.
    pub fn add(&self, fd: BorrowedFd<'_>, interest: Interest, token: u64) -> io::Result<()> {
        Ok(self
            .epoll
            .add(fd, EpollEvent::new(interest.flags(), token))?)
    }

    /// Changes what `fd` is watched for.
    pub fn modify(&self, fd: BorrowedFd<'_>, interest: Interest, token: u64) -> io::Result<()> {
        Ok(self
            .epoll
            .modify(fd, &mut EpollEvent::new(interest.flags(), token))?)
    }

    /// Stops watching `fd`. To be called before it is closed. Removing what was not there does no harm.
    pub fn remove(&self, fd: impl AsFd) {
        let _ = self.epoll.delete(fd);
    }

    /// Sleeps until something is ready or `timeout` is over (`None`: for ever), and returns how many events there are.
    /// Parts of a millisecond are rounded up, so that a timer is never early.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let timeout = match timeout {
            None => EpollTimeout::NONE,
            Some(time) => {
                let millis = time.as_nanos().div_ceil(1_000_000);
                EpollTimeout::try_from(i32::try_from(millis).unwrap_or(i32::MAX))
                    .unwrap_or(EpollTimeout::MAX)
            }
        };
        self.ready = match self.epoll.wait(&mut self.events, timeout) {
            Ok(ready) => ready,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(errno) => return Err(errno.into()),
        };
        Ok(self.ready)
    }

    /// The token of event `index` of the last wait.
    pub fn token(&self, index: usize) -> Option<u64> {
        self.events
            .get(..self.ready)?
            .get(index)
            .map(EpollEvent::data)
    }

    /// The epoll descriptor itself, for the fd budget.
    pub fn raw_fd(&self) -> RawFd {
        self.epoll.0.as_raw_fd()
    }
}
