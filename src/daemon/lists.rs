//! The `@/path/list` files of rules: looked at once a second, read again when they have changed.
//!
//! They are read by a child, like the table: a file on a dead server stalls nobody. Contents with an error are told and
//! not taken: the list that was in force stays. This file reads nothing; `config::list` does.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::loading::LoadChild;
use super::token::Token;
use super::{Daemon, Timer};
use crate::admission::Lists;
use crate::config;
use crate::handover;
use crate::service::{List, LogLevel};
use crate::sys::poller::Interest;
use crate::sys::world::{Look, SystemWorld};

const EVERY: Duration = Duration::from_secs(1);
/// A reading may take this long.
const AT_MOST: Duration = Duration::from_secs(30);

/// The lists of the table in force, and what their files looked like when they were read.
#[derive(Debug, Default)]
pub(super) struct ListFiles {
    pub(super) lists: Lists,
    looks: HashMap<PathBuf, Option<Look>>,
    reading: Option<Reading>,
    /// A timer is set.
    watching: bool,
}

#[derive(Debug)]
struct Reading {
    child: LoadChild,
    started: Instant,
}

/// What the child hands back for each file.
type Record = Vec<(PathBuf, Result<List, Vec<String>>)>;

impl ListFiles {
    /// The pid of the child that reads.
    pub(super) fn reader(&self) -> Option<i32> {
        self.reading.as_ref().map(|reading| reading.child.pid())
    }
}

impl Daemon {
    /// The lists of a new table. Each is read once more at the first look: between the load and now it may have changed.
    pub(super) fn set_lists(&mut self, lists: Lists, now: Instant) {
        self.lists.lists = lists;
        self.lists.looks.clear();
        for (key, live) in &mut self.services {
            let _ = key;
            let paths = self.lists.lists.paths();
            live.gate
                .reread(&live.service.admission, &self.lists.lists, &paths);
        }
        if !self.lists.lists.is_empty() && !self.lists.watching {
            self.lists.watching = true;
            self.timers.set(now + EVERY, Timer::Lists);
        }
    }

    /// Looks at the files; those that have changed are read.
    pub(super) fn on_lists_look(&mut self, now: Instant) {
        if self.lists.lists.is_empty() {
            self.lists.watching = false;
            return;
        }
        self.timers.set(now + EVERY, Timer::Lists);
        if let Some(reading) = &self.lists.reading {
            if now.duration_since(reading.started) >= AT_MOST {
                self.give_up_reading();
            }
            return;
        }
        let looks = self.lists.lists.paths().into_iter().map(|path| {
            let look = Look::at(path);
            (path.to_owned(), look)
        });
        let changed: Vec<(PathBuf, Option<Look>)> = looks
            .filter(|(path, look)| self.lists.looks.get(path) != Some(look))
            .collect();
        if changed.is_empty() {
            return;
        }
        let paths: Vec<PathBuf> = changed.iter().map(|(path, _)| path.clone()).collect();
        self.lists.looks.extend(changed);
        let started = LoadChild::run("oxinetd-lists", || handover::encode(&read(&paths)));
        let added = started.and_then(|child| {
            self.poller
                .add(child.as_fd(), Interest::Readable, Token::Lists.bits())?;
            Ok(child)
        });
        match added {
            Ok(child) => {
                self.lists.reading = Some(Reading {
                    child,
                    started: now,
                });
            }
            Err(error) => self.forget_looks(&format!("no child can be made: {error}")),
        }
    }

    /// The child has read them.
    pub(super) fn on_lists_read(&mut self) {
        let Some(Reading { child, .. }) = self.lists.reading.take() else {
            return;
        };
        self.poller.remove(&child);
        let record: Record = match child.finish().and_then(|bytes| handover::decode(&bytes)) {
            Ok(record) => record,
            Err(error) => return self.forget_looks(&error.to_string()),
        };
        let mut changed = Vec::new();
        for (path, result) in record {
            match result {
                Ok(list) if self.lists.lists.has(&path) => {
                    if self.lists.lists.replace(list) {
                        changed.push(path);
                    }
                }
                Ok(_) => {}
                Err(problems) => self.tell_bad_list(&problems),
            }
        }
        let paths: Vec<&Path> = changed.iter().map(PathBuf::as_path).collect();
        for live in self.services.values_mut() {
            live.gate
                .reread(&live.service.admission, &self.lists.lists, &paths);
        }
        if !paths.is_empty() {
            self.end_workers(None, Instant::now());
        }
        for path in changed {
            let text = format!("{} has changed and is in force", path.display());
            self.note(LogLevel::Info, None, &text);
        }
    }

    fn tell_bad_list(&mut self, problems: &[String]) {
        for problem in problems {
            let text = format!("{problem}; the list as it was stays in force");
            self.note(LogLevel::Error, None, &text);
        }
    }

    /// Gives up a reading; all of them are read again after the exec that comes next, or at the next look.
    pub(super) fn give_up_lists(&mut self) {
        if let Some(Reading { child, .. }) = self.lists.reading.take() {
            self.poller.remove(&child);
            child.abandon();
            self.lists.looks.clear();
        }
    }

    fn give_up_reading(&mut self) {
        if let Some(Reading { child, .. }) = self.lists.reading.take() {
            self.poller.remove(&child);
            child.abandon();
            self.forget_looks("reading took over 30 s, is a file system stuck?");
        }
    }

    /// They are read again at the next look.
    fn forget_looks(&mut self, problem: &str) {
        self.lists.looks.clear();
        let text = format!("lists of sources cannot be read again: {problem}");
        self.note(LogLevel::Error, None, &text);
    }
}

fn read(paths: &[PathBuf]) -> Record {
    let world = SystemWorld::new();
    let one = |path: &PathBuf| (path.clone(), config::list::read(&world, path));
    paths.iter().map(one).collect()
}
