//! From the parts of a daemon to the state that it leaves.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;
use std::time::Instant;

use slotmap::SecondaryMap;

use super::super::state::{Child, Launch, Listener, LiveService, Task};
use super::super::token::{ChildKey, EachKey, ServiceKey};
use super::super::{ControlSocket, Daemon, Source};
use super::VERSION;
use crate::admission::Ticket;
use crate::connection::Reason;
use crate::handover::state::{self, Definition};
use crate::handover::{Packer, State};
use crate::service::Table;

impl Daemon {
    /// The state of now. `left`: nobody is served since then.
    pub(super) fn pack(&self, packer: &mut Packer, left: Instant) -> io::Result<State> {
        let mut indices = SecondaryMap::new();
        for (index, key) in self.services.keys().enumerate() {
            indices.insert(key, index);
        }
        let index = |key: ServiceKey| indices.get(key).copied();
        let definitions: HashMap<&str, usize> = self
            .table
            .iter()
            .enumerate()
            .filter(|(_, service)| service.enabled)
            .map(|(index, service)| (service.name.as_str(), index))
            .collect();
        let mut services = Vec::with_capacity(self.services.len());
        for live in self.services.values() {
            services.push(self.pack_service(live, &definitions, packer)?);
        }
        let mut each = Vec::new();
        let mut each_index: SecondaryMap<EachKey, usize> = SecondaryMap::new();
        for (key, one) in &self.each {
            if let Some(record) = one.pack(packer, index)? {
                each_index.insert(key, each.len());
                each.push(record);
            }
        }
        let mut child_index = SecondaryMap::new();
        for (index, key) in self.children.keys().enumerate() {
            child_index.insert(key, index);
        }
        let mut children = Vec::with_capacity(self.children.len());
        for child in self.children.values() {
            let each = child.each.and_then(|key| each_index.get(key).copied());
            let service = index(child.service).ok_or_else(lost)?;
            let task = pack_task(child, &child_index, packer)?;
            let lent = child.lent.and_then(|lent| {
                let listener = self.listeners.get(lent.listener)?;
                let owner = self.services.get(listener.service)?;
                let mut keys = owner.listeners.iter();
                let place = keys.position(|key| *key == lent.listener)?;
                Some((index(listener.service)?, place))
            });
            children.push(state::Child {
                lent,
                ..pack_child(child, service, each, task, packer)?
            });
        }
        let mut lingering = Vec::with_capacity(self.lingering.len());
        for one in self.lingering.values() {
            lingering.push(one.pack(packer)?);
        }
        let (files, loaded_at) = self.files.pack();
        Ok(State {
            program: VERSION.to_owned(),
            left: packer.at(left),
            started: packer.at(self.started),
            image_started: packer.at(self.image_started),
            start: self.pack_start()?,
            table: Table {
                settings: self.settings.clone(),
                services: self.table.clone(),
                files: files.iter().map(|(path, _)| path.clone()).collect(),
                lists: self.lists.lists.all(),
            },
            files,
            loaded_at,
            max_connections: self.house.max(),
            passed: self.passed.pack(packer)?,
            services,
            children,
            lingering,
            each,
            remains: self.remains.iter().map(|one| one.pack(packer)).collect(),
            refused: self.refused.pack(packer)?,
            sources: self.house.pack(packer, left),
            queueing: self.queueing.as_ref().map(|one| one.pack(packer)),
            exhausted: self.exhausted.as_ref().map(|one| one.pack(packer)),
            ids: self.ids.pack(),
            leaves: self.leaves.pack(),
            control: self.control.pack(packer)?,
            log: self.log.pack(),
            manager: self.manager.pack(),
            longest_turn: self.longest_turn,
            reload: self
                .upgrade
                .as_ref()
                .is_some_and(|upgrade| upgrade.reload.is_some()),
        })
    }

    fn pack_start(&self) -> io::Result<state::Start> {
        let host = &self.host;
        let bytes = |text: &std::ffi::OsString| text.as_bytes().to_vec();
        let image = match &self.program.path {
            Ok(path) => path.clone(),
            Err(error) => return Err(io::Error::other(error.to_string())),
        };
        Ok(state::Start {
            source: match &self.source {
                Source::Named(path) => state::Source::Named(path.clone()),
                Source::Default => state::Source::Default,
                Source::Text { name, text } => state::Source::Text(name.clone(), text.clone()),
            },
            control: match &self.overrides.control {
                ControlSocket::OfTable => state::ControlWord::OfTable,
                ControlSocket::Off => state::ControlWord::Off,
                ControlSocket::At(name) => state::ControlWord::At(name.clone()),
            },
            log_format: self.overrides.log_format,
            pid_file: self.pid_file.clone(),
            image,
            open_files: (host.soft_open_files, host.hard_open_files),
            ignored_signals: host.ignored_signals,
            oom_score_adj: host.oom_score_adj,
            nice: host.nice,
            environment: host
                .environment
                .iter()
                .map(|(name, value)| (bytes(name), bytes(value)))
                .collect(),
        })
    }

    fn pack_service(
        &self,
        live: &LiveService,
        definitions: &HashMap<&str, usize>,
        packer: &mut Packer,
    ) -> io::Result<state::Live> {
        let definition = match definitions.get(live.service.name.as_str()) {
            Some(index) if !live.removed => Definition::Table(*index),
            _ => Definition::Removed(Rc::clone(&live.service)),
        };
        let mut listeners = Vec::with_capacity(live.listeners.len());
        for listener in live
            .listeners
            .iter()
            .filter_map(|key| self.listeners.get(*key))
        {
            listeners.push(pack_listener(listener, packer)?);
        }
        let output = live.output.as_ref();
        let counters = &live.counters;
        Ok(state::Live {
            definition,
            listeners,
            gate: live.gate.pack(),
            start_failures: live.back_off.failures(),
            paused_until: live.paused_until.map(|until| packer.at(until)),
            held_off: live.held_off,
            draining: live.draining,
            failure: live.failure.clone(),
            output: output.map(|output| output.pack(packer)).transpose()?,
            pace: live.pace.pack(packer),
            served: counters.served,
            refused: counters.refused.words(),
            queued: counters.queued,
            failed: counters.failed,
            last: counters
                .last
                .as_ref()
                .map(|(peer, at)| (peer.clone(), packer.at(*at))),
            refusal_log: live.refusal_log.pack(packer),
            queueing: live.queueing.as_ref().map(|one| one.pack(packer)),
            recent: live.recent.borrow().lines().cloned().collect(),
        })
    }
}

fn pack_listener(listener: &Listener, packer: &mut Packer) -> io::Result<state::Listener> {
    let socket = listener.socket.as_ref();
    let held = match &listener.held {
        Some(held) => held.ticket.pack().map(|ticket| {
            Ok::<_, io::Error>(state::Held {
                connection: packer.fd(held.connection.as_fd())?,
                peer: held.peer.clone(),
                ticket,
                since: packer.at(held.since),
                greeted: held.greeted,
            })
        }),
        None => None,
    };
    Ok(state::Listener {
        asked: listener.asked.clone(),
        socket: socket.map(|socket| socket.pack(packer)).transpose()?,
        held: held.transpose()?,
        lost: listener.lost.clone(),
        attempts: listener.attempts,
    })
}

fn pack_child(
    child: &Child,
    service: usize,
    each: Option<usize>,
    task: state::Task,
    packer: &mut Packer,
) -> io::Result<state::Child> {
    let connection = child.connection.as_ref();
    let (active, received, acked) = child.clock.activity();
    Ok(state::Child {
        service,
        pid: child.pid,
        id: child.id.as_str().to_owned(),
        task,
        peer: child.peer.clone(),
        ticket: child.ticket.as_ref().and_then(Ticket::pack),
        started: packer.at(child.started),
        failed: child.launch == Launch::Failed,
        connection: connection.map(|fd| packer.fd(fd.as_fd())).transpose()?,
        watched: child.watched,
        active: (packer.at(active), received, acked),
        due: child.due.map(|due| packer.at(due)),
        reason: child.reason.map(|reason| Reason::word(reason).to_owned()),
        kill_at: child.kill_at.map(|at| packer.at(at)),
        header: child.header,
        leaf: child.leaf,
        each,
        lent: None,
    })
}

fn pack_task(
    child: &Child,
    indices: &SecondaryMap<ChildKey, usize>,
    packer: &mut Packer,
) -> io::Result<state::Task> {
    Ok(match &child.task {
        Task::Own => state::Task::Own,
        Task::Worker(worker) => state::Task::Worker(worker.pack(packer)?),
        Task::Passed { worker, number } => state::Task::Passed {
            worker: indices.get(*worker).copied().ok_or_else(lost)?,
            number: *number,
        },
    })
}

/// The books are kept so that it cannot be.
fn lost() -> io::Error {
    io::Error::other("a child without its service or worker")
}
