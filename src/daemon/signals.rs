//! The policy of signals, in one match, and the summary that USR1 asks for.

use std::fmt::Write;
use std::time::Instant;

use super::state::LiveService;
use super::token::ListenerKey;
use super::{Daemon, Phase, Timer};
use crate::connection::Reason;
use crate::event::Event;
use crate::service::LogLevel;
use crate::sys::process::Kill;
use crate::sys::signals::Caught;

/// Sources that the summary names.
const TOP_SOURCES: usize = 5;

impl Daemon {
    pub(super) fn on_signals(&mut self, now: Instant) {
        while let Some(signal) = self.signals.read() {
            match signal {
                Caught::Stop => self.on_stop(now),
                Caught::Reload => self.start_loading(now, None),
                Caught::Report => self.report(now),
                Caught::Upgrade => self.start_upgrade(now, None),
                Caught::Child => self.on_child_signal(now),
            }
        }
    }

    /// TERM or INT: the first one drains, the second ends at once.
    fn on_stop(&mut self, now: Instant) {
        match self.phase {
            Phase::Serving => {
                self.phase = Phase::Draining;
                self.give_up_upgrade("the daemon is ending", now);
                self.tell_manager_stopping();
                self.close_all_listeners();
                self.end_all(Reason::Shutdown, Kill::Term, now);
                self.end_orphans(Kill::Term);
                self.timers
                    .set(now + self.settings.shutdown_timeout, Timer::Shutdown);
                let connections = self.children.values().filter(|child| child.is_connection());
                let text = format!(
                    "stopping, {} connections are told to end",
                    connections.count()
                );
                self.note(LogLevel::Info, None, &text);
            }
            Phase::Draining => self.kill_all(now),
            Phase::Killing(_) => {}
        }
    }

    fn close_all_listeners(&mut self) {
        let keys: Vec<ListenerKey> = self.listeners.keys().collect();
        for key in keys {
            self.close_listener(key);
        }
    }

    /// The last line, and the lines that were lost.
    pub(super) fn tell_end(&mut self) {
        self.end_orphans(Kill::Kill);
        self.close_leaves();
        self.note(LogLevel::Info, None, "stopped");
        self.log.flush(Instant::now());
    }

    /// What the rules did: refusals by rule, how long clients waited, and who uses the most.
    fn admission_words(&self, live: &LiveService, now: Instant) -> String {
        let mut text = String::new();
        for (refusal, count) in live.counters.refused.counts() {
            let _ = write!(text, ", {count} refused for `{}`", refusal.word());
        }
        let queueing = live.queueing.map(|queueing| queueing.lasts(now));
        let queued = live.counters.queued + queueing.unwrap_or_default();
        if !queued.is_zero() {
            let _ = write!(text, ", clients waited for {}s", queued.as_secs());
        }
        if let Some(queueing) = live.queueing {
            let (lasts, reason) = (queueing.lasts(now).as_secs(), queueing.reason());
            let _ = write!(
                text,
                ", and wait now since {lasts}s, the limit is `{reason}`"
            );
        }
        for one in live.gate.top_sources(&self.house, now, TOP_SOURCES) {
            let _ = write!(text, ", {} has {}", one.source, one.live);
            if one.refused > 0 {
                let _ = write!(text, " and was refused {}", one.refused);
            }
            if let Some(ban) = one.banned_for {
                let _ = write!(text, ", banned for {}s", ban.as_secs());
            }
        }
        text
    }

    /// USR1: one line for the daemon and one for each service.
    fn report(&mut self, now: Instant) {
        let up = now.duration_since(self.started).as_secs();
        let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        let text = format!(
            "up {up}s, {} services, {} connections of at most {}, {files} descriptors, {} log lines lost",
            self.services.len(),
            self.house.live(),
            self.house
                .max()
                .map_or_else(|| "unlimited".to_owned(), |max| max.to_string()),
            self.log.lost(),
        );
        self.note(LogLevel::Info, None, &text);
        for live in self.services.values() {
            let state = if live.removed {
                "removed"
            } else if live.paused_until.is_some_and(|until| until > now)
                || live.gate.is_paused(&self.house, now)
            {
                "paused"
            } else if live.gate.is_full() {
                "full"
            } else {
                "listening"
            };
            let max = live
                .gate
                .max()
                .map_or_else(|| "unlimited".to_owned(), |max| max.to_string());
            let text = format!(
                "{state}, {} of {max} connections, {} served, {} refused, {} failed to start{}",
                live.gate.live(),
                live.counters.served,
                live.counters.refused.total(),
                live.counters.failed,
                self.admission_words(live, now),
            );
            let service = Some(live.service.name.as_str());
            Self::tell(
                &mut self.log,
                Some(live),
                &Event::Note {
                    level: LogLevel::Info,
                    service,
                    text: &text,
                },
            );
        }
    }
}
