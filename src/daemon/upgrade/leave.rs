//! What the image that goes leaves, and the exec.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use super::super::{Daemon, Phase};
use crate::handover::{self, Order, Packer, VARIABLE};
use crate::sys::image::Image;
use crate::sys::memfd;

/// Launches that are in flight may take this long to land.
const LANDING: Duration = Duration::from_millis(500);

impl Daemon {
    /// Becomes `image`.
    pub(super) fn leave(&mut self, image: &Image, now: Instant) -> io::Result<Infallible> {
        if self.phase != Phase::Serving {
            return Err(io::Error::other("the daemon is ending"));
        }
        let left = Instant::now();
        self.let_launches_land(left);
        self.give_up_lists();
        self.tell_manager_reloading();
        self.log.flush(now);
        let mut packer = Packer::new();
        let bytes = handover::encode(&self.pack(&mut packer, left)?)?;
        let record = memfd::write_and_seal(memfd::create("oxinetd-state")?, &bytes)?;
        let this = match &self.program.this {
            Ok(this) => this.as_fd(),
            Err(error) => return Err(io::Error::other(error.to_string())),
        };
        let order = Order::TakeOver {
            state: record.as_raw_fd(),
            image: this.as_raw_fd(),
        };
        let mut variables = self.manager.environment();
        variables.push((VARIABLE, order.to_string().into()));
        let exec = image.prepare(&variables)?;
        let mut all = packer.left();
        all.add(record.as_fd());
        all.add(this);
        let gone = all.pass().map(|()| exec.run());
        all.keep();
        Err(gone.unwrap_or_else(|error| error))
    }

    /// Waits until the children that share this memory have left it, so that it is known what became of them. Who is stuck
    /// is a live program for the new image.
    fn let_launches_land(&mut self, since: Instant) {
        self.leaving = true;
        loop {
            let now = Instant::now();
            self.note_launches(now);
            if self.launcher.in_flight() == 0 || now.duration_since(since) >= LANDING {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.leaving = false;
    }

    /// The state of now, as bytes.
    pub(super) fn record(&self, now: Instant) -> io::Result<Vec<u8>> {
        handover::encode(&self.pack(&mut Packer::new(), now)?)
    }
}
