//! The end of a connection that the daemon brings about: TERM, `stop_timeout`, KILL of the whole tree.
//!
//! Invariant: no number is signalled that could be somebody else's by now. A process group is signalled only while its
//! leader is not reaped, any other process only by a pidfd whose start time was compared. A leader that dies after TERM
//! is told and released at once, but stays a zombie, so that his number keeps naming his group, until nothing of the
//! tree is left.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use super::id::ConnectionId;
use super::state::{Child, Launch, Task};
use super::token::ChildKey;
use super::{Daemon, Timer};
use crate::connection::{self, Reason};
use crate::handover::{Packer, Unpacker, state};
use crate::service::LogLevel;
use crate::sys::family::{self, Process};
use crate::sys::process::{self, Kill};
use crate::sys::socket;

/// Trees are looked at again after this time.
const PAUSE: Duration = Duration::from_millis(50);

/// A dead leader whose tree may not be.
#[derive(Debug)]
pub(super) struct Remains {
    pid: i32,
    pidfd: OwnedFd,
    id: ConnectionId,
    leaf: bool,
    kill_at: Instant,
}

impl Remains {
    /// What a successor of this process is to know of it.
    pub(super) fn pack(&self, packer: &Packer) -> state::Remains {
        state::Remains {
            pid: self.pid,
            id: self.id.as_str().to_owned(),
            leaf: self.leaf,
            kill_at: packer.at(self.kill_at),
        }
    }
}

impl Daemon {
    /// Takes one over from the predecessor.
    pub(super) fn take_remains(
        &mut self,
        record: &state::Remains,
        pidfd: OwnedFd,
        unpacker: &Unpacker,
    ) {
        self.remains.push(Remains {
            pid: record.pid,
            pidfd,
            id: ConnectionId::from_text(&record.id),
            leaf: record.leaf,
            kill_at: unpacker.at(record.kill_at),
        });
        self.trees_due = true;
    }

    /// Ends a connection. The first reason stands. TERM goes to the process group; KILL, at once or after
    /// `stop_timeout`, to everything that descends from the program.
    pub(super) fn end(&mut self, key: ChildKey, reason: Reason, kill: Kill, now: Instant) {
        let Some(child) = self.children.get_mut(key) else {
            return;
        };
        child.reason.get_or_insert(reason);
        match (kill, &child.task) {
            (Kill::Term, _) if child.kill_at.is_some() => {}
            (Kill::Term, task) => {
                let is_worker = matches!(task, Task::Worker(_));
                match (task, &child.connection) {
                    // Whoever serves it reads its end, and tells.
                    (Task::Passed { .. }, Some(connection)) => {
                        socket::shut_down(connection.as_fd());
                    }
                    (Task::Own, _) => signal_group(child, Kill::Term),
                    (Task::Passed { .. } | Task::Worker(_), _) => {}
                }
                let stop = self
                    .services
                    .get(child.service)
                    .map_or(PAUSE, |live| live.service.deadlines.stop);
                let at = now + stop;
                child.kill_at = Some(at);
                self.set_due(key, Some(at));
                if is_worker {
                    self.retire(key);
                }
            }
            (Kill::Kill, Task::Passed { worker, .. }) => {
                let worker = *worker;
                let what = format!("did not end connection {} in time", child.id.as_str());
                self.distrust(worker, &what, now);
            }
            (Kill::Kill, Task::Own | Task::Worker(_)) => {
                child.kill_at = Some(now);
                self.set_due(key, None);
                self.doomed.push(key);
            }
        }
    }

    /// Ends every connection.
    pub(super) fn end_all(&mut self, reason: Reason, kill: Kill, now: Instant) {
        let keys: Vec<ChildKey> = self.children.keys().collect();
        for key in keys {
            self.end(key, reason, kill, now);
        }
    }

    /// Keeps what is left of a child that died while it was being ended.
    pub(super) fn keep_remains(&mut self, child: Child, kill_at: Instant) {
        let Some(pidfd) = child.pidfd else {
            return;
        };
        self.remains.push(Remains {
            pid: child.pid,
            pidfd,
            id: child.id,
            leaf: child.leaf,
            kill_at,
        });
        self.trees_due = true;
    }

    /// At the end of a turn: kills the trees that are to die, all with one look at the processes.
    pub(super) fn settle_trees(&mut self, now: Instant) {
        if self.doomed.is_empty() && !self.trees_due {
            return;
        }
        self.trees_due = false;
        let doomed = std::mem::take(&mut self.doomed);
        let remains = std::mem::take(&mut self.remains);
        let all = self.look_at_trees(&doomed, &remains, now);
        for key in doomed {
            if let Some(child) = self.children.get(key) {
                if child.launch == Launch::Done && (child.leaf || all.is_some()) {
                    let all = all.as_deref().unwrap_or(&[]);
                    self.kill_tree(all, child.pid, &child.id, child.leaf, true);
                }
                signal_group(child, Kill::Kill);
            }
        }
        for one in remains {
            let waits = !one.leaf && all.is_none();
            if waits || self.look_after(&one, all.as_deref().unwrap_or(&[]), now) {
                self.remains.push(one);
            } else if one.leaf {
                self.leave_leaf(one.id, now);
            }
        }
        if !self.remains.is_empty() {
            self.timers.set(now + PAUSE, Timer::Trees);
        }
    }

    /// The processes of the trees that have no control group to tell. `None`: nobody asks, or the last look was too
    /// recent: finding orphans costs with the number of children (8 us for each), so looks take a twentieth of the time
    /// at most.
    fn look_at_trees(
        &mut self,
        doomed: &[ChildKey],
        remains: &[Remains],
        now: Instant,
    ) -> Option<Vec<Process>> {
        let dying = doomed.iter().filter_map(|key| self.children.get(*key));
        let leaders: Vec<i32> = dying
            .filter(|child| !child.leaf)
            .map(|child| child.pid)
            .chain(remains.iter().filter(|one| !one.leaf).map(|one| one.pid))
            .collect();
        if leaders.is_empty() || self.trees_next.is_some_and(|next| now < next) {
            return None;
        }
        let begin = Instant::now();
        let mut known: Vec<i32> = remains.iter().map(|one| one.pid).collect();
        known.sort_unstable();
        let orphans = self.orphans();
        let orphans = orphans
            .into_iter()
            .filter(|pid| known.binary_search(pid).is_err());
        let all = family::descendants(leaders.into_iter().chain(orphans));
        self.trees_next = Some(now + begin.elapsed() * 20);
        Some(all)
    }

    /// A dead child that stays for now, or that somebody else reaps.
    pub(super) fn is_kept_zombie(&self, pid: i32) -> bool {
        self.remains.iter().any(|one| one.pid == pid)
            || self.own_readers().any(|reader| reader == pid)
    }

    /// Children of ours that serve no connection: they are reaped by who made them.
    fn own_readers(&self) -> impl Iterator<Item = i32> {
        let loading = self.loading.as_ref().map(super::reload::Loading::pid);
        loading
            .into_iter()
            .chain(self.lists.reader())
            .chain(self.rehearsal_pid())
    }

    /// Whatever is left of dead leaders' trees has had its time.
    pub(super) fn kill_remains(&mut self, now: Instant) {
        for one in &mut self.remains {
            one.kill_at = one.kill_at.min(now);
        }
        self.trees_due = true;
    }

    /// True as long as something of the tree is left.
    fn look_after(&self, one: &Remains, all: &[Process], now: Instant) -> bool {
        let kill = one.kill_at <= now;
        if self.kill_tree(all, one.pid, &one.id, one.leaf, kill) {
            return true;
        }
        let _ = process::reap(one.pidfd.as_fd());
        false
    }

    /// Looks whether more than the leader is left of a tree, and kills it all if asked to. The leader is not reaped.
    fn kill_tree(
        &self,
        all: &[Process],
        leader: i32,
        id: &ConnectionId,
        leaf: bool,
        kill: bool,
    ) -> bool {
        if leaf && let Some(populated) = self.leaf_is_populated(id) {
            let done = !kill || !populated || self.kill_leaf(id);
            if done {
                return populated;
            }
        }
        let mark = format!("OXINETD_CONN_ID={}", id.as_str());
        let marked = |pid: i32| family::has_variable(pid, &mark);
        let members = connection::members(all, leader, process::own_pid(), marked);
        if kill {
            // The group first: nobody in it is to see, and tell, that another was killed.
            let _ = process::signal_group(leader, Kill::Kill);
            for member in &members {
                let _ = family::signal(member, Kill::Kill);
            }
        }
        !members.is_empty()
    }

    /// What descends from this process and is no child that it made: re-parented when its parent died.
    pub(super) fn orphans(&self) -> Vec<i32> {
        let Some(children) = family::children(process::own_pid()) else {
            return Vec::new();
        };
        let mut known: Vec<i32> = self
            .children
            .values()
            .map(|child| child.pid)
            .chain(self.remains.iter().map(|one| one.pid))
            .chain(self.own_readers())
            .collect();
        known.sort_unstable();
        children
            .into_iter()
            .filter(|pid| known.binary_search(pid).is_err())
            .collect()
    }

    /// The daemon stops: what outlived its connection is told to end, and at the very end is killed.
    pub(super) fn end_orphans(&mut self, kill: Kill) {
        let orphans = self.orphans();
        let own = process::own_pid();
        let living: Vec<Process> = family::descendants(orphans.iter().copied())
            .into_iter()
            .filter(|process| !process.zombie && process.pid != own)
            .filter(|process| process.parent != own || orphans.contains(&process.pid))
            .collect();
        if family::children(own).is_none() || living.is_empty() {
            return;
        }
        for process in &living {
            let _ = family::signal(process, kill);
        }
        if kill == Kill::Kill {
            let text = format!(
                "{} processes that outlived their connections are killed",
                living.len()
            );
            self.note(LogLevel::Info, None, &text);
        }
    }
}

/// Signals the child's process group; before the program runs there may be no such group yet, so the child alone.
fn signal_group(child: &Child, kill: Kill) {
    let _ = match (child.launch, &child.pidfd) {
        (Launch::Running | Launch::Failed, Some(pidfd)) => process::signal(pidfd.as_fd(), kill),
        (Launch::Done | Launch::Running | Launch::Failed, _) => {
            process::signal_group(child.pid, kill)
        }
    };
}
