//! The daemon's own stderr: a terminal, a supervisor's pipe or socket, a file.
//!
//! Invariant: never waits for the reader, and never changes the mode of a description that other processes share.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::lines::{Lines, Prefix};
use super::queue::Queue;
use super::sink::Medium;
use crate::event::Event;
use crate::service::LogFormat;
use crate::sys::{datagram, output};

pub(super) struct Stderr {
    lines: Lines,
    fd: Box<dyn AsFd>,
    way: Way,
}

enum Way {
    /// A regular file.
    File,
    Socket,
    /// A pipe or terminal, by a non-blocking description of our own.
    Own(OwnedFd),
    /// The same where that cannot be had: asked before each small write.
    Poll,
}

impl Stderr {
    /// `fd` is descriptor 2; `journal`: the service manager reads it.
    pub(super) fn on(fd: Box<dyn AsFd>, journal: bool, format: LogFormat) -> Self {
        let kind = output::kind(fd.as_fd()).unwrap_or(output::Kind::Other);
        let prefix = match kind {
            _ if journal => Prefix::Priority,
            output::Kind::File => Prefix::Stamp,
            output::Kind::Socket | output::Kind::Other => Prefix::None,
        };
        let way = match kind {
            output::Kind::File => Way::File,
            output::Kind::Socket => Way::Socket,
            output::Kind::Other => {
                output::reopen_nonblocking(fd.as_fd()).map_or(Way::Poll, Way::Own)
            }
        };
        Self {
            lines: Lines::new(prefix, format),
            fd,
            way,
        }
    }
}

impl Medium for Stderr {
    fn frame(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        self.lines.push(event, out);
    }

    fn send(&mut self, queue: &mut Queue) -> io::Result<()> {
        while !queue.is_empty() {
            let (fd, all) = (self.fd.as_fd(), queue.all());
            let written = match &self.way {
                Way::File => output::write(fd, all)?,
                Way::Socket => datagram::send_now(fd, all)?,
                Way::Own(own) => output::write(own.as_fd(), all)?,
                Way::Poll if output::is_writable(fd) => {
                    output::write(fd, all.get(..PIPE_BUF).unwrap_or(all))?
                }
                Way::Poll => return Err(io::ErrorKind::WouldBlock.into()),
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            queue.consume(written);
        }
        Ok(())
    }
}

/// What poll(2) promises room for: a pipe has a free page.
const PIPE_BUF: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_pipe_gets_plain_lines_and_is_never_waited_for() {
        for polled in [false, true] {
            let (mut reader, writer) = io::pipe().unwrap();
            let mut stderr = Stderr::on(Box::new(writer), false, LogFormat::Text);
            assert!(matches!(stderr.way, Way::Own(_)));
            if polled {
                stderr.way = Way::Poll;
            }
            let mut queue = Queue::default();
            for _ in 0..10_000 {
                queue.push(|out| stderr.frame(&Event::Resume { service: "ssh" }, out));
            }
            let error = stderr.send(&mut queue).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            let mut text = vec![0; 65536];
            reader.read_exact(&mut text).unwrap();
            assert!(text.starts_with(b"RESUME: ssh\nRESUME: ssh\n"));
            stderr.send(&mut queue).unwrap();
            drop(stderr);
            text.clear();
            reader.read_to_end(&mut text).unwrap();
            assert!(text.ends_with(b"RESUME: ssh\n"));
            assert_eq!(text.len(), 10_000 * 12 - 65536);
        }
    }
}
