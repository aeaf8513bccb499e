//! How descriptors and moments get into a [`State`](super::State) and out of it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use super::state::{Descriptor, Kind, Stamp};
use crate::sys::clock::Anchor;
use crate::sys::heirloom::{self, Found, Identity, Left};

/// Used by an image that goes.
#[derive(Debug)]
pub struct Packer {
    anchor: Anchor,
    left: Left,
}

impl Packer {
    /// Nothing is packed yet.
    pub fn new() -> Self {
        Self {
            anchor: Anchor::now(),
            left: Left::default(),
        }
    }

    /// A descriptor that goes over.
    pub fn fd(&mut self, fd: BorrowedFd<'_>) -> io::Result<Descriptor> {
        let Identity {
            device,
            inode,
            kind,
        } = heirloom::identity(fd)?;
        self.left.add(fd);
        Ok(Descriptor {
            number: fd.as_raw_fd(),
            device,
            inode,
            kind,
        })
    }

    /// A moment.
    pub fn at(&self, at: Instant) -> Stamp {
        Stamp(self.anchor.nanos(at))
    }

    /// What was packed.
    pub fn left(self) -> Left {
        self.left
    }
}

impl Default for Packer {
    fn default() -> Self {
        Self::new()
    }
}

/// Used by an image that comes.
#[derive(Debug)]
pub struct Unpacker {
    anchor: Anchor,
    found: Found,
}

impl Unpacker {
    /// For these descriptors, after a look at each of them.
    pub fn new(descriptors: &[Descriptor]) -> io::Result<Self> {
        let mut found = Found::default();
        for one in descriptors {
            let left = Identity {
                device: one.device,
                inode: one.inode,
                kind: one.kind,
            };
            found.look(one.number, left)?;
        }
        Ok(Self {
            anchor: Anchor::now(),
            found,
        })
    }

    /// A descriptor, to be looked at before it is taken.
    pub fn peek(&self, one: &Descriptor) -> io::Result<BorrowedFd<'_>> {
        self.found.peek(one.number)
    }

    /// A descriptor. What follows must not fail before it has its place: who goes back needs it open.
    pub fn fd(&mut self, one: &Descriptor, kind: Kind) -> io::Result<OwnedFd> {
        if one.kind != kind {
            let text = format!("descriptor {} is no {kind:?}", one.number);
            return Err(io::Error::other(text));
        }
        self.found.take(one.number)
    }

    /// A moment. One that this clock does not have is now.
    pub fn at(&self, at: Stamp) -> Instant {
        self.anchor.instant(at.0).unwrap_or_else(Instant::now)
    }

    /// What was unpacked.
    pub fn found(self) -> Found {
        self.found
    }
}
