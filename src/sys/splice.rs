//! Bytes from one descriptor to another through a pipe, without a look at them: splice(2).

#![expect(unsafe_code, reason = "nix has splice only with a feature of its own")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::libc;
use nix::unistd::pipe2;

/// A pipe that holds what has been taken and not yet given.
#[derive(Debug)]
pub struct Channel {
    reader: OwnedFd,
    writer: OwnedFd,
    held: usize,
}

impl Channel {
    /// An empty one.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        Ok(Self {
            reader,
            writer,
            held: 0,
        })
    }

    /// True when everything has been given.
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Takes what there is, without waiting if `from` does not wait. 0: its end.
    pub fn take(&mut self, from: BorrowedFd<'_>) -> io::Result<usize> {
        let count = splice(from, self.writer.as_fd(), MOST)?;
        self.held += count;
        Ok(count)
    }

    /// Gives what is held, as much as `to` takes now.
    pub fn give(&mut self, to: BorrowedFd<'_>) -> io::Result<usize> {
        let count = splice(self.reader.as_fd(), to, self.held)?;
        self.held = self.held.saturating_sub(count);
        Ok(count)
    }
}

fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    // SAFETY: plain values; null offsets are for descriptors that have none.
    let count = unsafe {
        libc::splice(
            from.as_raw_fd(),
            std::ptr::null_mut(),
            to.as_raw_fd(),
            std::ptr::null_mut(),
            most,
            libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK,
        )
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// The size of a pipe.
const MOST: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_is_taken_is_given_and_the_end_is_told() {
        let (mut client, from) = UnixStream::pair().unwrap();
        let (to, mut server) = UnixStream::pair().unwrap();
        from.set_nonblocking(true).unwrap();
        let mut channel = Channel::new().unwrap();
        let nothing = channel.take(from.as_fd()).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        client.write_all(b"hello").unwrap();
        assert_eq!(channel.take(from.as_fd()).unwrap(), 5);
        assert!(!channel.is_empty());
        assert_eq!(channel.give(to.as_fd()).unwrap(), 5);
        assert!(channel.is_empty());
        let mut text = [0; 5];
        server.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"hello");
        drop(client);
        assert_eq!(channel.take(from.as_fd()).unwrap(), 0);
    }
}
