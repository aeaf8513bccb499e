//! A sink: a queue, the medium that empties it, and the patience between two attempts.
//!
//! Invariant: a medium that cannot take a line costs at most one attempt a second in the long run, and no waiting.

use std::io;
use std::time::{Duration, Instant};

use super::queue::Queue;
use crate::event::Event;
use crate::handover::state;
use crate::service::LogTarget;
use crate::sys::datagram;

/// What takes lines: one file for each.
pub(super) trait Medium {
    /// Appends the event's record, as this medium wants it.
    fn frame(&mut self, event: &Event<'_>, out: &mut Vec<u8>);

    /// Hands over as much as is taken without waiting, and removes it from the queue.
    fn send(&mut self, queue: &mut Queue) -> io::Result<()>;
}

pub(super) struct Sink {
    target: LogTarget,
    medium: Box<dyn Medium>,
    queue: Queue,
    /// Lines lost and told already.
    told: u64,
    /// The next attempt and the pause after it, if it fails.
    retry: Option<(Instant, Duration)>,
    /// The trouble of this outage has been told.
    complained: bool,
}

/// What became of a flush.
pub(super) struct Flushed {
    /// When to try again; `None`: all is done.
    pub(super) again: Option<Instant>,
    /// A new trouble, to be told elsewhere.
    pub(super) trouble: Option<io::Error>,
}

impl Sink {
    pub(super) fn new(target: LogTarget, medium: Box<dyn Medium>) -> Self {
        Self {
            target,
            medium,
            queue: Queue::default(),
            told: 0,
            retry: None,
            complained: false,
        }
    }

    pub(super) fn target(&self) -> &LogTarget {
        &self.target
    }

    /// Keeps the line for the next flush.
    pub(super) fn write(&mut self, event: &Event<'_>) {
        let medium = &mut self.medium;
        self.queue.push(|out| medium.frame(event, out));
    }

    pub(super) fn flush(&mut self, now: Instant) -> Flushed {
        if let Some((at, _)) = self.retry
            && at > now
        {
            return Flushed {
                again: Some(at),
                trouble: None,
            };
        }
        let before = self.queue.records();
        match self.send() {
            Ok(()) => {
                self.retry = None;
                self.complained = false;
                Flushed {
                    again: None,
                    trouble: None,
                }
            }
            Err(error) => {
                let pause = match self.retry {
                    Some((_, pause)) if self.queue.records() >= before => pause,
                    _ => SHORTEST,
                };
                let at = now + pause;
                self.retry = Some((at, (pause * 2).min(LONGEST)));
                let is_new = !self.complained && !datagram::is_full(&error);
                self.complained |= is_new;
                Flushed {
                    again: Some(at),
                    trouble: is_new.then_some(error),
                }
            }
        }
    }

    fn send(&mut self) -> io::Result<()> {
        loop {
            match self.medium.send(&mut self.queue) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(()) => match self.queue.take_lost() {
                    Some(lines) => {
                        self.told += lines;
                        self.write(&Event::Lost { lines });
                    }
                    None => return Ok(()),
                },
            }
        }
    }

    /// Goes on with another medium, which gets the lines that wait.
    pub(super) fn replace(&mut self, medium: Box<dyn Medium>) {
        self.medium = medium;
        self.retry = None;
    }

    /// What waits, for a successor of this process; `None`: nothing.
    pub(super) fn pack(&self) -> Option<state::Stuck> {
        (!self.is_empty()).then(|| state::Stuck {
            target: self.target.clone(),
            records: self.queue.all_records().map(<[u8]>::to_vec).collect(),
            lost: self.queue.lost(),
        })
    }

    /// Waits with these lines, as the predecessor did.
    pub(super) fn unpack(&mut self, stuck: &state::Stuck) {
        for record in &stuck.records {
            self.queue.push(|out| out.extend_from_slice(record));
        }
        self.queue.lose(stuck.lost);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Lines lost since the sink was made.
    pub(super) fn lost(&self) -> u64 {
        self.told + self.queue.lost()
    }
}

/// Full queues are often emptied at once: a log daemon that is only busy.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    /// Takes lines while it is told to.
    #[derive(Clone, Default)]
    struct Fake(Rc<RefCell<(Option<io::ErrorKind>, String)>>);

    impl Medium for Fake {
        fn frame(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
            let mut line = String::new();
            event.push_line(&mut line);
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        }

        fn send(&mut self, queue: &mut Queue) -> io::Result<()> {
            let mut inner = self.0.borrow_mut();
            if let Some(kind) = inner.0 {
                return Err(kind.into());
            }
            inner.1.push_str(&String::from_utf8_lossy(queue.all()));
            queue.consume(queue.all().len());
            Ok(())
        }
    }

    #[test]
    fn an_outage_ends_in_one_line_with_the_number() {
        let fake = Fake::default();
        let mut sink = Sink::new(LogTarget::Stderr, Box::new(fake.clone()));
        let mut now = Instant::now();
        fake.0.borrow_mut().0 = Some(io::ErrorKind::WouldBlock);
        for _ in 0..50_000 {
            sink.write(&Event::Resume { service: "ssh" });
        }
        let kept = sink.queue.records() as u64;
        let mut attempts = 0;
        let end = now + Duration::from_secs(60);
        while now < end {
            let flushed = sink.flush(now);
            assert!(flushed.trouble.is_none(), "a full sink is no trouble");
            now = flushed.again.unwrap();
            attempts += 1;
        }
        assert!((60..=71).contains(&attempts), "{attempts}");
        assert_eq!(sink.lost(), 50_000 - kept);
        fake.0.borrow_mut().0 = None;
        assert_eq!(sink.flush(now).again, None);
        assert_eq!(sink.lost(), 50_000 - kept);
        let text = fake.0.borrow().1.clone();
        assert_eq!(text.lines().count() as u64, kept + 1);
        assert!(text.ends_with(&format!("LOST: lines={}\n", 50_000 - kept)));
    }

    #[test]
    fn trouble_is_told_once_for_each_outage() {
        let fake = Fake::default();
        let mut sink = Sink::new(LogTarget::Stderr, Box::new(fake.clone()));
        let mut now = Instant::now();
        for _ in 0..2 {
            fake.0.borrow_mut().0 = Some(io::ErrorKind::PermissionDenied);
            sink.write(&Event::Resume { service: "ssh" });
            let first = sink.flush(now);
            assert!(first.trouble.is_some());
            now = first.again.unwrap();
            let second = sink.flush(now);
            assert!(second.trouble.is_none());
            now = second.again.unwrap();
            fake.0.borrow_mut().0 = None;
            assert!(sink.flush(now).again.is_none());
        }
    }
}
