//! Pipes whose reader never blocks and whose writer is an ordinary blocking stderr.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{Gid, Uid, fchown, pipe2};

/// The reading end, non-blocking.
#[derive(Debug)]
pub struct Reader(OwnedFd);

/// Opens a pipe. With an owner, `echo x >/dev/stderr`, which opens the pipe anew, works for that account.
pub fn open(owner: Option<(u32, u32)>) -> io::Result<(Reader, OwnedFd)> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    if let Some((uid, gid)) = owner {
        fchown(&writer, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    Ok((Reader(reader), writer))
}

impl Reader {
    /// One that came over an exec. It is still non-blocking: that belongs to the open file.
    pub fn inherited(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(nix::unistd::read(&self.0, buffer)?)
    }
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
