//! The rehearsal: a child that becomes the new image, and shows that it can read the state.
//!
//! Invariant: it holds nobody's connection while the new image runs, and what it says is a text to show, not to believe.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::event::End;
use crate::handover::{Order, READY, VARIABLE};
use crate::sys::heirloom::Left;
use crate::sys::image::{self, Image};
use crate::sys::process::{self, Kill};
use crate::sys::{memfd, pipe, signals, start};

/// Of what it says, so much is looked at.
const ANSWER: u64 = 4096;
/// Of that, so much is told.
const TOLD: usize = 400;

/// One under way.
#[derive(Debug)]
pub(super) struct Rehearsal {
    pid: i32,
    pidfd: OwnedFd,
    answer: pipe::Reader,
    started: Instant,
}

impl Rehearsal {
    /// Starts one. The state is made in the child, from its copy of this process.
    pub(super) fn start(
        image: &Image,
        now: Instant,
        state: impl FnOnce() -> io::Result<Vec<u8>>,
    ) -> io::Result<Self> {
        let (answer, writer) = pipe::open(None)?;
        let Some((pid, pidfd)) = process::fork()? else {
            let problem = match work(image, &writer, state) {
                Ok(never) => match never {},
                Err(error) => image::describe(&error),
            };
            let _ = io::stderr().write_all(problem.as_bytes());
            process::exit_now(1)
        };
        Ok(Self {
            pid,
            pidfd,
            answer,
            started: now,
        })
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    pub(super) fn lasts(&self, now: Instant) -> Duration {
        now.duration_since(self.started)
    }

    /// It has ended: the new image is ready, or why it is not.
    pub(super) fn finish(self) -> Result<(), String> {
        let dead = process::reap(self.pidfd()).map_err(|error| error.to_string())?;
        let mut answer = Vec::new();
        let _ = self.answer.take(ANSWER).read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let end = match dead.map(|dead| dead.end) {
            Some(End::Status(0)) if answer.starts_with(READY) => return Ok(()),
            Some(End::Status(status)) => format!("it ended with status {status}"),
            Some(End::Signal(signal)) => format!("it was ended by signal {signal}"),
            None => "it was left".to_owned(),
        };
        let line = answer.lines().next().unwrap_or_default().trim();
        let said: String = line.chars().take(TOLD).collect();
        if said.is_empty() {
            return Err(format!("the new program did not answer, {end}"));
        }
        Err(format!("the new program: {said}"))
    }

    /// Ends it without a result.
    pub(super) fn abandon(self) {
        let _ = process::signal(self.pidfd(), Kill::Kill);
        let _ = process::wait_blocking(self.pidfd());
    }
}

/// The child's life as this image. What the loader of the new one complains about comes through the same pipe.
fn work(
    image: &Image,
    writer: &OwnedFd,
    state: impl FnOnce() -> io::Result<Vec<u8>>,
) -> io::Result<std::convert::Infallible> {
    start::speak_into(writer.as_fd())?;
    let state = state()?;
    let record = memfd::create("oxinetd-state")?;
    start::close_inherited(&[record.as_raw_fd(), image.number()])?;
    let record = memfd::write_and_seal(record, &state)?;
    signals::unblock_all()?;
    let mut left = Left::default();
    left.add(record.as_fd());
    left.pass()?;
    let order = Order::Rehearse(record.as_raw_fd()).to_string();
    Err(image.prepare(&[(VARIABLE, order.into())])?.run())
}
