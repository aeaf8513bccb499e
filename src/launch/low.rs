//! The low descriptors: the few numbers that a child takes over when it makes its table private.
//!
//! Invariant: the numbers from 3 to the floor are always in use (placeholders of /dev/null), so that every other
//! descriptor of the daemon lands above them by itself, and a child copies at most 64 entries. A set is given back only after its child
//! has a private table, because until then a change here is a change there.
//! This module knows nothing of children.
#![expect(unsafe_code, reason = "descriptors are numbers here")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// All sets, and the descriptor that fills unused numbers.
#[derive(Debug)]
pub(super) struct Low {
    free: Vec<Set>,
    /// Sets whose numbers could not be given back yet.
    stale: Vec<Set>,
    /// /dev/null, above the floor.
    null: OwnedFd,
}

/// Four numbers in a row, owned by one launch.
#[derive(Debug)]
pub(super) struct Set {
    first: RawFd,
}

impl Set {
    /// The client, or what else stands on fd 0.
    pub(super) fn connection(&self) -> RawFd {
        self.first
    }

    /// What stands on fd 2.
    pub(super) fn stderr(&self) -> RawFd {
        self.first + 1
    }

    /// Always /dev/null.
    pub(super) fn null(&self) -> RawFd {
        self.first + 2
    }

    /// The first number that does not belong to the set.
    pub(super) fn above(&self) -> u32 {
        (self.first + WIDTH) as u32
    }
}

impl Low {
    /// Fills the free low numbers. Numbers that are in use already stay what they are, and cost their set.
    pub(super) fn new(floor: RawFd) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open("/dev/null")?;
        let null = fcntl(&file, FcntlArg::F_DUPFD_CLOEXEC(floor))?;
        // SAFETY: the number has just been made and belongs to nobody else.
        let null: OwnedFd = unsafe { std::os::fd::FromRawFd::from_raw_fd(null) };
        drop(file);
        let mut ours = vec![false; floor.unsigned_abs() as usize];
        loop {
            let number = fcntl(&null, FcntlArg::F_DUPFD_CLOEXEC(3))?;
            let Some(place) = usize::try_from(number).ok().and_then(|at| ours.get_mut(at)) else {
                // SAFETY: made by the call above; all low numbers are taken.
                unsafe { libc::close(number) };
                break;
            };
            *place = true;
        }
        let whole = |first: &RawFd| {
            (*first..first + WIDTH).all(|number| ours.get(number as usize) == Some(&true))
        };
        // The lowest is taken first: a child copies the table up to its own numbers.
        let free: Vec<Set> = (FIRST..floor)
            .step_by(WIDTH as usize)
            .rev()
            .filter(whole)
            .map(|first| Set { first })
            .collect();
        if free.is_empty() {
            return Err(io::Error::other(
                "the low descriptors are in use; start the daemon without inherited descriptors",
            ));
        }
        Ok(Self {
            free,
            stale: Vec::new(),
            null,
        })
    }

    /// True when a launch can have a set.
    pub(super) fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    /// A set with the connection, and what goes to fd 2.
    pub(super) fn take(
        &mut self,
        connection: BorrowedFd<'_>,
        stderr: Option<BorrowedFd<'_>>,
    ) -> io::Result<Set> {
        let set = self
            .free
            .pop()
            .ok_or_else(|| io::Error::from_raw_os_error(libc::EAGAIN))?;
        let placed = place(connection.as_raw_fd(), set.connection())
            .and_then(|()| stderr.map_or(Ok(()), |fd| place(fd.as_raw_fd(), set.stderr())));
        match placed {
            Ok(()) => Ok(set),
            Err(error) => {
                self.retire(set);
                Err(error)
            }
        }
    }

    /// Puts the placeholders back: the daemon's low copy of the connection is closed by that.
    pub(super) fn retire(&mut self, set: Set) {
        self.stale.push(set);
        self.retry();
    }

    /// Sets that could not be given back: what the kernel refuses for the moment (EBUSY) is tried again.
    pub(super) fn stale(&self) -> usize {
        self.stale.len()
    }

    /// Tries again.
    pub(super) fn retry(&mut self) {
        let mut index = 0;
        while let Some(set) = self.stale.get(index) {
            let null = self.null.as_raw_fd();
            let back = place(null, set.connection()).and_then(|()| place(null, set.stderr()));
            if back.is_ok() {
                let set = self.stale.swap_remove(index);
                self.free.push(set);
            } else {
                index += 1;
            }
        }
    }
}

/// Makes `number`, which belongs to a set, a copy of `fd`.
fn place(fd: RawFd, number: RawFd) -> io::Result<()> {
    loop {
        // SAFETY: `number` belongs to a set of ours: nobody else's descriptor is replaced.
        if unsafe { libc::dup3(fd, number, libc::O_CLOEXEC) } >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Where the first set begins: 3 stays free for `stdio = "listen_fds"`.
const FIRST: RawFd = 4;
/// Connection, stderr, and two of /dev/null.
const WIDTH: RawFd = 4;
