//! What the daemon and a worker say to each other, over a pair of sockets that carries whole records (`sys::pass`).
//!
//! ```text
//! daemon -> worker   number, number, …          connections to serve, each with its descriptor
//! daemon -> worker   end of file                no more will come: serve those that you have, and exit
//! worker -> daemon   number, status; …          connections that have ended, with what a child of their own would exit
//! ```
//!
//! Invariant: a connection that a worker was given is told of exactly once when it is over. The daemon holds a descriptor
//! of it until then, and ends it by shutting both directions down: so the worker knows no deadline and obeys no command.

use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use crate::sys::pass;
use crate::sys::start;

/// Connections in one record at most.
pub const MOST: usize = pass::MOST;

/// The end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// As the daemon has numbered it.
    pub number: u64,
    /// As an exit status: 0 also when the client went away.
    pub status: u8,
}

/// The record that passes these connections on.
pub fn passing(numbers: impl Iterator<Item = u64>) -> Vec<u8> {
    numbers.flat_map(u64::to_ne_bytes).collect()
}

/// The ends in a record of a worker. `None`: it is no such record.
pub fn ends(record: &[u8]) -> Option<Vec<End>> {
    let (words, rest) = record.as_chunks::<8>();
    let (pairs, odd) = words.as_chunks::<2>();
    if !rest.is_empty() || !odd.is_empty() || pairs.is_empty() {
        return None;
    }
    let end = |[number, status]: &[[u8; 8]; 2]| {
        let status = u8::try_from(u64::from_ne_bytes(*status)).ok()?;
        let number = u64::from_ne_bytes(*number);
        Some(End { number, status })
    };
    pairs.iter().map(end).collect()
}

/// The longest record of a worker.
pub const ENDS: usize = MOST * 16;

/// A connection that the daemon has passed on.
pub(super) struct Passed {
    /// To be told at its end.
    pub(super) number: u64,
    /// It, in blocking mode, as the daemon holds the same open file.
    pub(super) fd: OwnedFd,
}

/// The worker's side.
pub(super) struct Door {
    pair: OwnedFd,
}

impl Door {
    /// Takes over the descriptor that the daemon has put on `fd`.
    pub(super) fn open(fd: RawFd) -> io::Result<Self> {
        // Not where standard streams are.
        let pair = start::take_over(fd, 3)?;
        Ok(Self { pair })
    }

    /// The descriptor, to be watched.
    pub(super) fn pair(&self) -> &OwnedFd {
        &self.pair
    }

    /// Takes what the daemon passes on. False: no more will come. With `wait` it waits for something, else WouldBlock.
    pub(super) fn take(&self, wait: bool, passed: &mut Vec<Passed>) -> io::Result<bool> {
        let mut record = [0; MOST * 8];
        let mut fds = Vec::with_capacity(MOST);
        let length = pass::receive(self.pair.as_fd(), &mut record, &mut fds, wait)?;
        let (numbers, _) = record.get(..length).unwrap_or_default().as_chunks::<8>();
        let mut fds = fds.into_iter();
        for number in numbers {
            let number = u64::from_ne_bytes(*number);
            match fds.next() {
                Some(fd) => passed.push(Passed { number, fd }),
                // The kernel had no descriptor for it.
                None => self.tell(&[End {
                    number,
                    status: NO_RESOURCES,
                }]),
            }
        }
        Ok(length > 0)
    }

    /// Tells ends, and waits until the daemon takes them. Nobody is left to be told when the daemon has gone.
    pub(super) fn tell(&self, ends: &[End]) {
        for ends in ends.chunks(MOST) {
            while let Err(error) = self.tell_now(ends) {
                if error.kind() != io::ErrorKind::WouldBlock {
                    return;
                }
                pass::wait_for_room(self.pair.as_fd());
            }
        }
    }

    /// Tells at most [`MOST`] ends without waiting (WouldBlock).
    pub(super) fn tell_now(&self, ends: &[End]) -> io::Result<()> {
        let mut record = [[0; 8]; MOST * 2];
        for ([number, status], end) in record.as_chunks_mut::<2>().0.iter_mut().zip(ends) {
            *number = end.number.to_ne_bytes();
            *status = u64::from(end.status).to_ne_bytes();
        }
        let length = ends.len().min(MOST) * 2;
        let record = record.get(..length).unwrap_or_default().as_flattened();
        pass::send(self.pair.as_fd(), record, &[])
    }
}

/// Connections that a worker may hold within its descriptors.
pub(super) fn room() -> usize {
    let files = start::raise_open_files().unwrap_or(FILES);
    usize::try_from(files).map_or(usize::MAX, |files| {
        files.saturating_sub(OWN_FILES).max(MOST)
    })
}

/// EX_OSERR of sysexits.h: no descriptor for a connection.
const NO_RESOURCES: u8 = 71;
/// What a process may open at least.
const FILES: u64 = 256;
/// Standard streams, the door, an epoll set, one for what a built-in reads.
const OWN_FILES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsRawFd, IntoRawFd};
    use std::os::unix::net::UnixStream;

    #[test]
    fn records_are_read_as_they_were_written() {
        let all = [
            End {
                number: 0,
                status: 0,
            },
            End {
                number: u64::MAX,
                status: 255,
            },
        ];
        let (daemon, worker) = pass::pair().unwrap();
        let door = Door::open(worker.into_raw_fd()).unwrap();
        door.tell(&all);
        let mut record = [0; ENDS];
        let length = pass::receive(daemon.as_fd(), &mut record, &mut Vec::new(), false).unwrap();
        assert_eq!(ends(&record[..length]).unwrap(), all);
    }

    #[test]
    fn what_is_no_record_is_no_end() {
        for record in [&[][..], &[0; 8], &[0; 15], &[0; 17], &[0; 24], &[1; 16]] {
            assert_eq!(ends(record), None, "{record:?}");
        }
        assert!(ends(&[0; 32]).is_some());
    }

    #[test]
    fn connections_are_taken_with_their_numbers_until_the_end() {
        let (daemon, worker) = pass::pair().unwrap();
        let door = Door::open(worker.into_raw_fd()).unwrap();
        let (one, _other) = UnixStream::pair().unwrap();
        let record = passing([7, 9].into_iter());
        pass::send(daemon.as_fd(), &record, &[one.as_fd(), one.as_fd()]).unwrap();
        pass::end(daemon.as_fd());
        let mut passed = Vec::new();
        assert!(door.take(true, &mut passed).unwrap());
        assert!(!door.take(true, &mut passed).unwrap());
        let numbers: Vec<u64> = passed.iter().map(|one| one.number).collect();
        assert_eq!(numbers, [7, 9]);
        assert!(passed.iter().all(|one| one.fd.as_raw_fd() > 2));
    }

    #[test]
    fn a_connection_without_a_descriptor_is_over_at_once() {
        let (daemon, worker) = pass::pair().unwrap();
        let door = Door::open(worker.into_raw_fd()).unwrap();
        pass::send(daemon.as_fd(), &passing([5].into_iter()), &[]).unwrap();
        let mut passed = Vec::new();
        assert!(door.take(true, &mut passed).unwrap());
        assert!(passed.is_empty());
        let mut record = [0; ENDS];
        let length = pass::receive(daemon.as_fd(), &mut record, &mut Vec::new(), false).unwrap();
        let status = NO_RESOURCES;
        assert_eq!(
            ends(&record[..length]).unwrap(),
            [End { number: 5, status }]
        );
    }
}
