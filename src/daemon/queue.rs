//! Services (and the daemon as a whole) that leave clients in the kernel's queue: told when it begins, each minute while
//! it lasts, and when it is over.
//!
//! A service at its limit meets it again with each connection that ends, so that "full" comes and goes many times a
//! second. What is told is the time during which clients had to wait: it is over when nobody met the limit for a second.

use std::time::{Duration, Instant};

use super::token::ServiceKey;
use super::{Daemon, Timer};
use crate::admission::{Refusal, Wait};
use crate::event::Event;
use crate::handover::{Packer, Unpacker, state};
use crate::service::LogLevel;

const LOOK: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_secs(60);

/// Clients wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queueing {
    since: Instant,
    /// When a client last met the limit.
    met: Instant,
    told: Instant,
    reason: &'static str,
}

impl Queueing {
    /// What a successor of this process is to know of it.
    pub(super) fn pack(&self, packer: &Packer) -> state::Queueing {
        state::Queueing {
            since: packer.at(self.since),
            met: packer.at(self.met),
            told: packer.at(self.told),
            reason: self.reason.to_owned(),
        }
    }
    /// For how long.
    pub(super) fn lasts(&self, now: Instant) -> Duration {
        now.duration_since(self.since)
    }

    /// The word of the limit.
    pub(super) fn reason(&self) -> &'static str {
        self.reason
    }
}

impl Daemon {
    /// Clients waited already when the predecessor left.
    pub(super) fn unpack_queueing(
        &mut self,
        key: Option<ServiceKey>,
        record: &state::Queueing,
        unpacker: &Unpacker,
    ) {
        let queueing = Queueing {
            since: unpacker.at(record.since),
            met: unpacker.at(record.met),
            told: unpacker.at(record.told),
            reason: Refusal::from_word(&record.reason)
                .unwrap_or(Refusal::Connections)
                .word(),
        };
        self.timers.set(Instant::now() + LOOK, Timer::Queue(key));
        match key {
            None => self.queueing = Some(queueing),
            Some(key) => {
                if let Some(live) = self.services.get_mut(key) {
                    live.queueing = Some(queueing);
                }
            }
        }
    }

    /// A client met a limit and waits in the queue. `None`: that of the whole daemon.
    pub(super) fn note_queue(&mut self, key: Option<ServiceKey>, wait: &Wait, now: Instant) {
        let queueing = match key {
            None => &mut self.queueing,
            Some(key) => match self.services.get_mut(key) {
                Some(live) => &mut live.queueing,
                None => return,
            },
        };
        if let Some(queueing) = queueing {
            queueing.met = now;
            queueing.reason = wait.reason.word();
            return;
        }
        *queueing = Some(Queueing {
            since: now,
            met: now,
            told: now,
            reason: wait.reason.word(),
        });
        self.timers.set(now + LOOK, Timer::Queue(key));
        let live = key.and_then(|key| self.services.get(key));
        let event = Event::Pause {
            service: live.map_or("*", |live| &live.service.name),
            reason: wait.reason.word(),
            period: wait
                .until
                .filter(|_| wait.paused)
                .map(|until| until.saturating_duration_since(now)),
        };
        Self::tell(&mut self.log, live, &event);
    }

    /// Looks whether clients still wait.
    pub(super) fn on_queue_look(&mut self, key: Option<ServiceKey>, now: Instant) {
        let ready = key.is_some_and(|key| self.headers.has_ready(key));
        let live = key.and_then(|key| self.services.get_mut(key));
        let (queueing, still) = match (key, live) {
            (None, _) => (&mut self.queueing, self.house.is_full()),
            (Some(_), Some(live)) => {
                let somebody = ready || !live.waiting.is_empty();
                let still = somebody && live.gate.wait(&self.house, now).is_some();
                (&mut live.queueing, still)
            }
            (Some(_), None) => return,
        };
        let Some(state) = queueing else {
            return;
        };
        let lasts = state.lasts(now);
        let ended = !still && now.duration_since(state.met) >= LOOK;
        let tell = !ended && now.duration_since(state.told) >= AGAIN;
        let reason = state.reason;
        if ended {
            *queueing = None;
        } else if tell {
            state.told = now;
        }
        if !ended {
            self.timers.set(now + LOOK, Timer::Queue(key));
        }
        if ended && let Some(live) = key.and_then(|key| self.services.get_mut(key)) {
            live.counters.queued += lasts;
        }
        if ended || tell {
            self.tell_queue(key, reason, lasts, ended);
        }
    }

    fn tell_queue(&mut self, key: Option<ServiceKey>, reason: &str, lasts: Duration, ended: bool) {
        let live = key.and_then(|key| self.services.get(key));
        let name = live.map(|live| live.service.name.as_str());
        let seconds = lasts.as_secs();
        let text = if ended {
            let service = name.unwrap_or("*");
            Self::tell(&mut self.log, live, &Event::Resume { service });
            format!("clients waited for {seconds}s, the limit was `{reason}`")
        } else {
            format!("clients have been waiting for {seconds}s, the limit is `{reason}`")
        };
        let event = Event::Note {
            level: if ended {
                LogLevel::Info
            } else {
                LogLevel::Warning
            },
            service: name,
            text: &text,
        };
        Self::tell(&mut self.log, live, &event);
    }
}
