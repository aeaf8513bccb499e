//! What one launch needs besides the connection: a stderr pipe, a control group.
//!
//! Invariant: a launch that fails gives back all of it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::Daemon;
use super::id::ConnectionId;
use super::output::Output;
use super::state::LiveService;
use super::token::{EachKey, ServiceKey};
use crate::service::Stderr;

/// It, for one connection.
#[derive(Debug)]
pub(super) struct Equipment {
    each: Option<(EachKey, OwnedFd)>,
    leaf: Option<File>,
}

impl Equipment {
    /// The key of the connection's own stderr pipe.
    pub(super) fn each(&self) -> Option<EachKey> {
        self.each.as_ref().map(|(each, _)| *each)
    }

    /// True when there is a control group.
    pub(super) fn has_leaf(&self) -> bool {
        self.leaf.is_some()
    }

    /// The directory of the control group.
    pub(super) fn cgroup(&self) -> Option<BorrowedFd<'_>> {
        self.leaf.as_ref().map(AsFd::as_fd)
    }

    /// What the child gets as fd 2, if that comes from the daemon.
    pub(super) fn stderr<'a>(&'a self, live: &'a LiveService) -> Option<BorrowedFd<'a>> {
        match live.service.process.stderr {
            Stderr::Log => live.output.as_ref().map(Output::writer),
            Stderr::LogEach => self.each.as_ref().map(|(_, writer)| writer.as_fd()),
            Stderr::Client | Stderr::Null | Stderr::Inherit | Stderr::File(_) => None,
        }
    }
}

impl Daemon {
    /// Gets it.
    pub(super) fn equip(
        &mut self,
        service: ServiceKey,
        id: &ConnectionId,
    ) -> io::Result<Equipment> {
        self.open_output(service)?;
        let each = self.open_each(service, *id)?;
        match self.open_leaf(service, id) {
            Ok(leaf) => Ok(Equipment { each, leaf }),
            Err(error) => {
                if let Some((each, _)) = each {
                    self.close_each(each);
                }
                Err(error)
            }
        }
    }

    /// Gives it back.
    pub(super) fn unequip(&mut self, equipment: &Equipment, id: &ConnectionId) {
        if let Some(each) = equipment.each() {
            self.close_each(each);
        }
        if equipment.has_leaf() {
            self.close_leaf(id);
        }
    }
}
