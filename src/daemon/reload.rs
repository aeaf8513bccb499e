//! A reload: a child reads the table, and it takes the place of the old one, whole or not at all (`change`).
//!
//! Invariant: whoever asked for one is answered once, when it is over; who asks while one runs gets the next, as the
//! files may have changed since this one read them.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::loading::LoadChild;
use super::token::{ControlKey, Token};
use super::{Daemon, Phase, Timer};
use crate::control::{Answer, Diff};
use crate::event::Event;
use crate::handover::{self, Loaded};
use crate::service::LogLevel;
use crate::sys::poller::Interest;

/// A load may take this long; then the old table stays.
const LOAD_AT_MOST: Duration = Duration::from_secs(30);

/// A load in progress.
#[derive(Debug)]
pub(super) struct Loading {
    child: LoadChild,
    started: Instant,
    /// Control clients that wait for its end.
    clients: Vec<ControlKey>,
    /// Another was asked for meanwhile, by these clients: the files may have changed since this one read them.
    again: Option<Vec<ControlKey>>,
}

impl Loading {
    /// The load child.
    pub(super) fn pid(&self) -> i32 {
        self.child.pid()
    }
}

impl Daemon {
    /// Reads the table again: for HUP, or for a control client that waits for the end.
    pub(super) fn start_loading(&mut self, now: Instant, client: Option<ControlKey>) {
        if self.phase != Phase::Serving {
            return self.answer_all(client, &Answer::Error("the daemon is ending".to_owned()));
        }
        if self.put_off_reload(client) {
            return;
        }
        if let Some(loading) = self.loading.as_mut() {
            loading.again.get_or_insert_default().extend(client);
            return;
        }
        self.start_load_child(now, client.into_iter().collect());
    }

    pub(super) fn start_load_child(&mut self, now: Instant, clients: Vec<ControlKey>) {
        self.tell_manager_reloading();
        let started = LoadChild::start(&self.source, false).and_then(|child| {
            self.poller
                .add(child.as_fd(), Interest::Readable, Token::Loading.bits())?;
            Ok(child)
        });
        match started {
            Ok(child) => {
                self.loading = Some(Loading {
                    child,
                    started: now,
                    clients,
                    again: None,
                });
                self.timers.set(now + LOAD_AT_MOST, Timer::Loading);
            }
            Err(error) => {
                let problem = format!("the load child cannot be made: {error}");
                self.end_reload(Err(problem), clients);
            }
        }
    }

    pub(super) fn on_load_overdue(&mut self, now: Instant) {
        let overdue = |loading: &Loading| now.duration_since(loading.started) >= LOAD_AT_MOST;
        if self.loading.as_ref().is_some_and(overdue)
            && let Some(loading) = self.loading.take()
        {
            self.poller.remove(&loading.child);
            loading.child.abandon();
            let problem =
                "reading the table took over 30 s: is a directory service or file system stuck?";
            self.end_reload(Err(problem.to_owned()), loading.clients);
            self.go_on_with_upgrade(now);
        }
    }

    pub(super) fn on_loaded(&mut self, now: Instant) {
        let Some(loading) = self.loading.take() else {
            return;
        };
        self.poller.remove(&loading.child);
        let record = loading.child.finish();
        let result = match record.and_then(|bytes| handover::decode(&bytes)) {
            Ok(loaded) => self.adopt(loaded),
            Err(error) => Err(error.to_string()),
        };
        self.end_reload(result, loading.clients);
        match loading.again {
            Some(clients) => self.start_load_child(now, clients),
            None => self.go_on_with_upgrade(now),
        }
    }

    /// Tells everybody how a reload went.
    fn end_reload(&mut self, result: Result<Diff, String>, clients: Vec<ControlKey>) {
        let answer = match result {
            Ok(diff) => {
                self.log.write(
                    &Event::Reloaded {
                        added: diff.added.len(),
                        changed: diff.changed.len(),
                        removed: diff.removed.len(),
                        kept: diff.kept,
                    },
                    None,
                );
                Answer::Reloaded(diff)
            }
            Err(problem) => {
                let first = problem.lines().next().unwrap_or_default();
                let text = format!("reload refused, the old table stays in force: {first}");
                self.note(LogLevel::Error, None, &text);
                Answer::Rejected(problem)
            }
        };
        self.answer_all(clients, &answer);
        self.tell_manager_reloaded();
    }

    pub(super) fn answer_all(
        &mut self,
        clients: impl IntoIterator<Item = ControlKey>,
        answer: &Answer,
    ) {
        for client in clients {
            self.answer_control_client(client, answer);
        }
    }

    /// Puts a loaded table in force, or says why not.
    fn adopt(&mut self, loaded: Loaded) -> Result<Diff, String> {
        let level = if loaded.table.is_some() {
            LogLevel::Warning
        } else {
            LogLevel::Error
        };
        for line in loaded.brief.lines() {
            self.note(level, None, line);
        }
        let Some(table) = loaded.table else {
            return Err(loaded.report);
        };
        let change = self.prepare(&table)?;
        Ok(Diff {
            report: loaded.report,
            ..self.commit(change, table)
        })
    }
}
