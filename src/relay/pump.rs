//! Two directions of bytes at once, until both have ended.
//!
//! Invariant: a direction holds a bounded number of bytes, and reads nothing more before they are gone, so a slow reader
//! slows its writer; the other direction goes on. The end of a direction is passed on after its last byte.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use crate::sys::poll::{self, Wish};
use crate::sys::splice::Channel;

/// What carries the bytes of one direction.
pub(super) trait Carrier {
    /// Takes what there is, without waiting. 0: the end.
    fn take(&mut self, from: BorrowedFd<'_>) -> io::Result<usize>;
    /// Gives what is held, as much as `to` takes now.
    fn give(&mut self, to: BorrowedFd<'_>) -> io::Result<usize>;
    /// True when everything has been given.
    fn is_empty(&self) -> bool;
}

impl Carrier for Channel {
    fn take(&mut self, from: BorrowedFd<'_>) -> io::Result<usize> {
        self.take(from)
    }

    fn give(&mut self, to: BorrowedFd<'_>) -> io::Result<usize> {
        self.give(to)
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

/// One direction. Its descriptors never wait.
pub(super) struct Flow<'a> {
    pub(super) from: BorrowedFd<'a>,
    pub(super) to: BorrowedFd<'a>,
    pub(super) carrier: &'a mut dyn Carrier,
    /// Tells `to` that no more comes.
    pub(super) end: &'a mut dyn FnMut(),
}

/// The process behind the second direction's source.
pub(super) struct Watch<'a> {
    /// Its pidfd.
    pub(super) fd: BorrowedFd<'a>,
    /// What is to be done at its exit. Afterwards the end of what it said is the end of all.
    pub(super) then: &'a mut dyn FnMut(),
}

/// How it ended.
#[derive(Debug)]
pub(super) enum End {
    /// Both directions have ended in order.
    Both,
    /// A connection that was read from broke.
    Broken,
    /// For so long no byte came or went.
    Idle,
}

/// Moves bytes until the end.
pub(super) fn run(
    mut flows: [Flow<'_>; 2],
    idle: Option<Duration>,
    watch: Option<Watch<'_>>,
) -> End {
    let mut over = [false; 2];
    let has_watch = watch.is_some();
    let mut watch = watch;
    loop {
        if has_watch && watch.is_none() && over == [false, true] {
            return End::Both;
        }
        let mut wishes = Vec::with_capacity(2);
        for (flow, over) in flows.iter().zip(over) {
            if !over {
                wishes.push(if flow.carrier.is_empty() {
                    Wish::Read(flow.from)
                } else {
                    Wish::Write(flow.to)
                });
            }
        }
        if let Some(watch) = &watch {
            wishes.push(Wish::Read(watch.fd));
        }
        if wishes.is_empty() {
            return End::Both;
        }
        let deadline = idle.and_then(|time| Instant::now().checked_add(time));
        let mut ready = poll::wait_for(&wishes, deadline).into_iter();
        let mut nothing = true;
        for (flow, over) in flows.iter_mut().zip(&mut over) {
            if *over || ready.next() != Some(true) {
                continue;
            }
            nothing = false;
            match step(flow) {
                Ok(is_over) => *over = is_over,
                Err(_) => return End::Broken,
            }
        }
        if ready.next() == Some(true)
            && let Some(watch) = watch.take()
        {
            nothing = false;
            (watch.then)();
        }
        if nothing {
            return End::Idle;
        }
    }
}

/// Moves what can be moved now. True: this direction has ended. An error is one of the reading side.
fn step(flow: &mut Flow<'_>) -> io::Result<bool> {
    if flow.carrier.is_empty() {
        match flow.carrier.take(flow.from) {
            Ok(0) => {
                (flow.end)();
                return Ok(true);
            }
            Ok(_) => {}
            Err(error) if is_for_now(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    match flow.carrier.give(flow.to) {
        Ok(_) => Ok(false),
        Err(error) if is_for_now(&error) => Ok(false),
        // Who no longer listens may still have something to say: that is the other direction's to find out.
        Err(_) => Ok(true),
    }
}

fn is_for_now(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
