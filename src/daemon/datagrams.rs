//! The child that answers the datagrams of one socket of a built-in: the rules of its service, asked about each sender.
//!
//! Invariant: what senders do is counted in this child's own books, which end with it. They may all be forged: nobody is
//! banned for a datagram, no connection's account is touched, and what is told of refusals is a few lines a minute.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime};

use crate::admission::{Arrival, Gate, House, Lists, LoadAverage, Moment, RefusalLog};
use crate::builtin;
use crate::service::{Peer, Run, Service};
use crate::sys::proc;

/// A worker that has heard nothing for this long ends, unless `idle_timeout` says otherwise.
const IDLE: Duration = Duration::from_secs(10);

/// What the child runs: `ports` are those of all datagram built-ins of the daemon. Answers its exit status.
pub(super) fn serve_datagrams(service: &Service, lists: &Lists, ports: &[u16], fd: i32) -> u8 {
    let Run::Builtin(builtin) = &service.run else {
        return 70;
    };
    let judge = RefCell::new(Judge::new(service, lists, Instant::now()));
    let idle = service.deadlines.idle.unwrap_or(IDLE);
    let status = builtin::serve_datagrams(builtin, fd, ports, idle, |peer| {
        judge.borrow_mut().admits(peer)
    });
    judge.borrow_mut().settle();
    status
}

/// The rules of the service, with books of their own.
struct Judge {
    house: House,
    gate: Gate,
    load: LoadAverage,
    log: RefusalLog,
    /// When refusals that were not told one by one are told as a number.
    due: Option<Instant>,
}

impl Judge {
    fn new(service: &Service, lists: &Lists, now: Instant) -> Self {
        let house = House::new(now);
        Self {
            gate: Gate::new(&house, &service.admission, lists, now),
            house,
            load: LoadAverage::default(),
            log: RefusalLog::default(),
            due: None,
        }
    }

    fn admits(&mut self, peer: &Peer) -> bool {
        let now = Instant::now();
        if self.due.is_some_and(|due| due <= now) {
            self.settle();
        }
        let moment = Moment {
            now,
            wall: SystemTime::now(),
            load: if self.gate.asks_load() {
                self.load.at(now, proc::load_average)
            } else {
                0.0
            },
        };
        let arrival = Arrival { peer, groups: &[] };
        let Err(refusal) = self.gate.admit_datagram(&self.house, &arrival, &moment) else {
            return true;
        };
        match self.log.tells(refusal, now) {
            Ok(true) => say(&format!(
                "datagram from {peer} refused: {}\n",
                refusal.word()
            )),
            Ok(false) => {}
            Err(due) => self.due = Some(due),
        }
        false
    }

    /// Tells how many refusals were not told.
    fn settle(&mut self) {
        self.due = None;
        let mut text = String::new();
        for (refusal, count) in self.log.settle().counts() {
            let _ = writeln!(text, "{count} more datagrams refused: {}", refusal.word());
        }
        say(&text);
    }
}

/// To the log, by way of standard error.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
