//! Descriptors that outlive an exec: marked by the image that goes, recognized and taken over by the one that comes.
//!
//! Invariant: a number is taken over once, never 0 to 2, and only if it is still the file that was left: the same device
//! and inode, of the expected type. Numbers do not lie in reach of peers or children; this guards against our own mistakes.
#![expect(
    unsafe_code,
    reason = "descriptors are named by number until they are taken over"
)]

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::stat::{SFlag, fstat};

pub use crate::handover::state::Kind;

/// What identifies an open file, as long as it lives: no two sockets or pipes have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Device.
    pub device: u64,
    /// Inode.
    pub inode: u64,
    /// What it is.
    pub kind: Kind,
}

/// That of an open descriptor.
pub fn identity(fd: BorrowedFd<'_>) -> io::Result<Identity> {
    let stat = fstat(fd)?;
    let format = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    let kind = [
        (SFlag::S_IFSOCK, Kind::Socket),
        (SFlag::S_IFIFO, Kind::Pipe),
        (SFlag::S_IFREG, Kind::File),
    ];
    let kind = kind.into_iter().find(|(flag, _)| *flag == format);
    let (_, kind) = kind.ok_or_else(|| io::Error::other("neither socket, pipe nor file"))?;
    Ok(Identity {
        device: stat.st_dev,
        inode: stat.st_ino,
        kind,
    })
}

/// Descriptors of an image that goes.
#[derive(Debug, Default)]
pub struct Left(Vec<RawFd>);

impl Left {
    /// Remembers one that is to outlive the exec.
    pub fn add(&mut self, fd: BorrowedFd<'_>) {
        self.0.push(fd.as_raw_fd());
    }

    /// Lets them all pass the next exec.
    pub fn pass(&self) -> io::Result<()> {
        self.0.iter().try_for_each(|fd| mark(*fd, FdFlag::empty()))
    }

    /// Lets none of them pass: there was no exec.
    pub fn keep(&self) {
        for fd in &self.0 {
            let _ = mark(*fd, FdFlag::FD_CLOEXEC);
        }
    }
}

/// Descriptors that an image found when it came.
#[derive(Debug, Default)]
pub struct Found {
    known: HashSet<RawFd>,
    taken: HashSet<RawFd>,
}

impl Found {
    /// Looks whether this one is what was left. Nothing is taken yet: who finds something wrong can still go back.
    pub fn look(&mut self, number: RawFd, left: Identity) -> io::Result<()> {
        let wrong = |what: String| io::Error::other(format!("descriptor {number}: {what}"));
        if number <= 2 || self.known.contains(&number) {
            return Err(wrong("it is named twice, or is not ours".to_owned()));
        }
        // SAFETY: only used for a look, which fails if the number is not open.
        let there = identity(unsafe { BorrowedFd::borrow_raw(number) })
            .map_err(|error| wrong(error.to_string()))?;
        if there != left {
            return Err(wrong("it is not what was left".to_owned()));
        }
        self.known.insert(number);
        Ok(())
    }

    /// One that was looked at, for a closer look.
    pub fn peek(&self, number: RawFd) -> io::Result<BorrowedFd<'_>> {
        self.free(number)?;
        // SAFETY: it is open, and nobody owns it until it is taken.
        Ok(unsafe { BorrowedFd::borrow_raw(number) })
    }

    /// Takes over one that was looked at.
    pub fn take(&mut self, number: RawFd) -> io::Result<OwnedFd> {
        self.free(number)?;
        self.taken.insert(number);
        // SAFETY: it is open, and nobody in this image owns it yet: numbers are handed out once.
        Ok(unsafe { OwnedFd::from_raw_fd(number) })
    }

    fn free(&self, number: RawFd) -> io::Result<()> {
        if self.known.contains(&number) && !self.taken.contains(&number) {
            return Ok(());
        }
        let text = format!("descriptor {number} was not left, or is taken");
        Err(io::Error::other(text))
    }

    /// Lets none of them pass another exec: this image stays.
    pub fn keep(&self) {
        for fd in &self.taken {
            let _ = mark(*fd, FdFlag::FD_CLOEXEC);
        }
    }
}

/// Takes over a number that came with the exec itself.
pub fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        let text = format!("descriptor {number} is not ours");
        return Err(io::Error::other(text));
    }
    // SAFETY: only used for a look, which fails if the number is not open.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(fd, FcntlArg::F_GETFD)?;
    // SAFETY: it is open, and this image has just begun: nobody owns it yet.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn mark(number: RawFd, flag: FdFlag) -> io::Result<()> {
    // SAFETY: only used for one call, which fails if the number is not open.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(fd, FcntlArg::F_SETFD(flag))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsFd, IntoRawFd};

    #[test]
    fn only_the_file_that_was_left_is_taken_and_once() {
        let (reader, writer) = std::io::pipe().unwrap();
        let left = identity(reader.as_fd()).unwrap();
        let number = OwnedFd::from(reader).into_raw_fd();
        let mut found = Found::default();
        let other = |device, inode, kind| Identity {
            device,
            inode,
            kind,
        };
        for wrong in [
            other(left.device, left.inode, Kind::Socket),
            other(left.device, left.inode + 1, Kind::Pipe),
            other(left.device + 1, left.inode, Kind::Pipe),
        ] {
            assert!(found.look(number, wrong).is_err());
        }
        assert!(found.look(1, left).is_err());
        assert!(found.look(9_999, left).is_err());
        assert!(found.take(number).is_err(), "not looked at");
        found.look(number, left).unwrap();
        assert!(found.look(number, left).is_err(), "named twice");
        let taken = found.take(number).unwrap();
        assert!(found.take(number).is_err(), "twice");
        assert!(found.peek(number).is_err());
        drop((taken, writer));
    }

    #[test]
    fn marks_go_and_come_back() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let closes = || {
            let flags = fcntl(reader.as_fd(), FcntlArg::F_GETFD).unwrap();
            FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC)
        };
        assert!(closes());
        let mut left = Left::default();
        left.add(reader.as_fd());
        left.pass().unwrap();
        assert!(!closes());
        left.keep();
        assert!(closes());
    }
}
