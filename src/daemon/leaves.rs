//! The control groups of connections: who gets one, and when it goes.
//!
//! A service gets one for its `cgroup` limits, and, where the tree may be written, for the sake of a sure end: `cgroup.kill`
//! reaches what left its session. For the limits a failure is the launch's; for the end there is another way (`ending`).

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use super::id::ConnectionId;
use super::token::ServiceKey;
use super::{Daemon, Timer};
use crate::handover::state;
use crate::launch::LaunchError;
use crate::sandbox::cgroup::{self, Tree};
use crate::service::{Cgroup, OnDisconnect, Service, Table};

/// Groups that could not be removed are tried again after this time.
const PAUSE: Duration = Duration::from_secs(5);

/// The tree, and the groups that outlive their connections.
#[derive(Debug, Default)]
pub(super) struct Leaves {
    tree: Option<Tree>,
    /// Passed on to connections.
    controllers: BTreeSet<&'static str>,
    /// It was tried without need, and refused: not again.
    refused: bool,
    stale: Vec<ConnectionId>,
}

/// What a service wants of a control group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Nothing,
    Kill,
    Limits,
}

fn want(service: &Service) -> Want {
    let rules = &service.deadlines;
    if service.process.cgroup != Cgroup::default() {
        Want::Limits
    } else if rules.timeout.is_some()
        || rules.idle.is_some()
        || rules.first_byte.is_some()
        || rules.on_disconnect != OnDisconnect::Ignore
    {
        Want::Kill
    } else {
        Want::Nothing
    }
}

impl Leaves {
    /// Opens the tree for what the services of a table ask for.
    pub(super) fn prepare(&mut self, table: &Table) -> Result<(), String> {
        let enabled = table.services.iter().filter(|service| service.enabled);
        let mut wanted = BTreeSet::new();
        for service in enabled {
            if want(service) == Want::Limits {
                let limits = &service.process.cgroup;
                cgroup::check(limits)
                    .map_err(|problem| format!("service {}: {problem}", service.name))?;
                wanted.extend(cgroup::controllers(limits));
            }
        }
        wanted.extend(self.controllers.iter().copied());
        if wanted != self.controllers {
            self.tree = Some(Tree::open(&wanted).map_err(|problem| problem.to_string())?);
            self.controllers = wanted;
        }
        Ok(())
    }

    /// What a successor of this process is to know of them.
    pub(super) fn pack(&self) -> state::Leaves {
        let text = |id: &ConnectionId| id.as_str().to_owned();
        state::Leaves {
            base: self.tree.as_ref().map(|tree| tree.base().to_owned()),
            controllers: self
                .controllers
                .iter()
                .map(|name| (*name).to_owned())
                .collect(),
            refused: self.refused,
            stale: self.stale.iter().map(text).collect(),
        }
    }

    /// Goes on with the tree of the predecessor.
    pub(super) fn unpack(record: state::Leaves) -> Self {
        Self {
            tree: record.base.and_then(Tree::going_on),
            controllers: cgroup::known(&record.controllers),
            refused: record.refused,
            stale: record
                .stale
                .iter()
                .map(|id| ConnectionId::from_text(id))
                .collect(),
        }
    }

    /// True when groups wait for the end of their last process.
    pub(super) fn are_stale(&self) -> bool {
        !self.stale.is_empty()
    }

    /// The group of a new connection, if its service wants one.
    pub(super) fn create(&mut self, service: &Service, id: &str) -> io::Result<Option<File>> {
        let want = want(service);
        if want == Want::Nothing || want == Want::Kill && self.refused {
            return Ok(None);
        }
        if self.tree.is_none() {
            match Tree::open(&self.controllers) {
                Ok(tree) => self.tree = Some(tree),
                Err(_) if want == Want::Kill => self.refused = true,
                Err(problem) => return Err(io::Error::other(problem)),
            }
        }
        let Some(tree) = &self.tree else {
            return Ok(None);
        };
        match tree.create(id, &service.process.cgroup) {
            Ok(group) => Ok(Some(group)),
            Err(_) if want == Want::Kill => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Daemon {
    /// The group of a new connection, if its service wants one.
    pub(super) fn open_leaf(
        &mut self,
        service: ServiceKey,
        id: &ConnectionId,
    ) -> io::Result<Option<File>> {
        match self.services.get(service) {
            Some(live) => self.leaves.create(&live.service, id.as_str()),
            None => Ok(None),
        }
    }

    /// A launch with a group failed. True if it is to be tried without one: the birth into the group is what was refused
    /// here, and no limit depends on it.
    pub(super) fn goes_without_leaf(&mut self, service: ServiceKey, error: &LaunchError) -> bool {
        let kill_only = self
            .services
            .get(service)
            .is_some_and(|live| want(&live.service) == Want::Kill);
        let refused = kill_only
            && error.step == LaunchError::INTO_CGROUP
            && !crate::sys::errno::is_exhaustion(error.errno);
        self.leaves.refused |= refused;
        refused
    }

    /// Removes the group of a launch that failed.
    pub(super) fn close_leaf(&self, id: &ConnectionId) {
        if let Some(tree) = &self.leaves.tree {
            tree.remove(id.as_str());
        }
    }

    /// Whether somebody lives in the group of a connection.
    pub(super) fn leaf_is_populated(&self, id: &ConnectionId) -> Option<bool> {
        self.leaves.tree.as_ref()?.is_populated(id.as_str())
    }

    /// Kills them. False: this kernel cannot.
    pub(super) fn kill_leaf(&self, id: &ConnectionId) -> bool {
        self.leaves
            .tree
            .as_ref()
            .is_some_and(|tree| tree.kill(id.as_str()).is_ok())
    }

    /// The program of a connection has ended: its group goes, or waits for a descendant who lives on. True: one does.
    pub(super) fn leave_leaf(&mut self, id: ConnectionId, now: Instant) -> bool {
        let Some(tree) = &self.leaves.tree else {
            return false;
        };
        if tree.remove(id.as_str()) {
            return false;
        }
        if self.leaves.stale.is_empty() {
            self.timers.set(now + PAUSE, Timer::Leaves);
        }
        self.leaves.stale.push(id);
        true
    }

    /// Removes the groups whose last process has gone.
    pub(super) fn on_leaves(&mut self, now: Instant) {
        if let Some(tree) = &self.leaves.tree {
            self.leaves.stale.retain(|id| !tree.remove(id.as_str()));
        }
        if !self.leaves.stale.is_empty() {
            self.timers.set(now + PAUSE, Timer::Leaves);
        }
    }

    /// The daemon ends.
    pub(super) fn close_leaves(&mut self) {
        if let Some(tree) = &self.leaves.tree {
            for id in &self.leaves.stale {
                let _ = tree.kill(id.as_str());
            }
            self.leaves.stale.retain(|id| !tree.remove(id.as_str()));
            tree.close();
        }
    }
}
