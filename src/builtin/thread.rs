//! The thread model: one process for a service, a thread for each client, blocking calls.
//!
//! Invariant: a thread owns its connection and nothing else, and has a small stack. No client is dropped for want of a
//! thread: it waits until there is one, and the daemon, who notices that nobody is taken in any more, waits too.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Builder, Scope};
use std::time::Duration;

use super::worker::{Door, End, MOST, Passed, room};
use super::{IO_ERROR, Maker, blocking};

/// Serves the connections that come through `fd` until no more will come and all have ended. Returns the exit status: 0,
/// or 74 (EX_IOERR) when `fd` is of no use.
pub(super) fn serve(maker: Maker, fd: RawFd) -> u8 {
    let Ok(door) = Door::open(fd) else {
        return IO_ERROR;
    };
    let house = House {
        maker,
        door,
        live: AtomicUsize::new(0),
    };
    thread::scope(|scope| house.receive(scope))
}

/// What the threads share.
struct House {
    maker: Maker,
    door: Door,
    /// Threads.
    live: AtomicUsize,
}

impl House {
    fn receive<'a>(&'a self, scope: &'a Scope<'a, '_>) -> u8 {
        let room = room();
        let mut passed = Vec::new();
        loop {
            while self.live.load(Ordering::Relaxed) + MOST > room {
                thread::sleep(RETRY);
            }
            match self.door.take(true, &mut passed) {
                Ok(true) => {}
                Ok(false) => return 0,
                Err(_) => return IO_ERROR,
            }
            for client in passed.drain(..) {
                self.live.fetch_add(1, Ordering::Relaxed);
                let client = Arc::new(client);
                while Builder::new()
                    .stack_size(STACK)
                    .spawn_scoped(scope, {
                        let client = Arc::clone(&client);
                        move || self.serve(&client)
                    })
                    .is_err()
                {
                    thread::sleep(RETRY);
                }
            }
        }
    }

    fn serve(&self, client: &Passed) {
        let mut machine = self.maker.stream();
        let status = blocking::drive(machine.as_mut(), client.fd.as_raw_fd());
        let number = client.number;
        self.live.fetch_sub(1, Ordering::Relaxed);
        self.door.tell(&[End { number, status }]);
    }
}

/// Four pages for the small buffer and what is around it would do; the rest is for builds without optimization, and is
/// never touched.
const STACK: usize = 64 * 1024;

/// How soon a want of threads or descriptors is looked at again.
const RETRY: Duration = Duration::from_millis(50);
