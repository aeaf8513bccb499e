//! The daemon's state as plain values, for `status`.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::state::{Child, ListenerState, LiveService};
use super::token::ServiceKey;
use super::{Daemon, limits};
use crate::admission::SourceUse;
use crate::control::metrics;
use crate::control::status::{
    Connection, Daemon as DaemonStatus, Line, Service as ServiceStatus, Source as SourceStatus,
    State, Status,
};
use crate::handover::state::Fingerprint;
use crate::service::{Builtin, BuiltinKind, Peer, Run, Service};
use crate::sys::proc;

/// Sources that `status NAME` names.
const TOP_SOURCES: usize = 10;

/// The files of the table in force, and what they looked like when they were read.
#[derive(Debug)]
pub(super) struct Files {
    files: Vec<(PathBuf, Option<Fingerprint>)>,
    loaded_at: SystemTime,
}

impl Files {
    /// Looks at the files now.
    pub(super) fn look(paths: &[PathBuf]) -> Self {
        let files = paths
            .iter()
            .map(|path| (path.clone(), fingerprint(path)))
            .collect();
        Self {
            files,
            loaded_at: SystemTime::now(),
        }
    }

    /// What a successor of this process is to know of them.
    pub(super) fn pack(&self) -> (Vec<(PathBuf, Option<Fingerprint>)>, SystemTime) {
        (self.files.clone(), self.loaded_at)
    }

    /// The same, from the predecessor.
    pub(super) fn unpack(
        files: Vec<(PathBuf, Option<Fingerprint>)>,
        loaded_at: SystemTime,
    ) -> Self {
        Self { files, loaded_at }
    }

    fn changed(&self) -> Vec<String> {
        let changed = self
            .files
            .iter()
            .filter(|(path, before)| fingerprint(path) != *before);
        changed
            .map(|(path, _)| path.display().to_string())
            .collect()
    }
}

fn fingerprint(path: &std::path::Path) -> Option<Fingerprint> {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.ino(), meta.size(), meta.modified().ok()?))
}

impl Daemon {
    /// Everything, or one service with its details. `None`: there is no such service.
    pub(super) fn status(&self, name: Option<&str>, now: Instant) -> Option<Status> {
        let services = match name {
            None => {
                let removed = self.services.iter().filter(|(_, live)| live.removed);
                let table = self
                    .table
                    .iter()
                    .map(|service| self.service_status(service, now));
                table
                    .chain(removed.map(|(_, live)| live_status(live, self, now)))
                    .collect()
            }
            Some(name) => {
                let service = self.table.iter().find(|service| service.name == name)?;
                let mut status = self.service_status(service, now);
                if let Some(key) = self.names.get(name) {
                    self.add_details(&mut status, *key, now);
                }
                vec![status]
            }
        };
        Some(Status {
            daemon: self.daemon_status(now),
            services,
        })
    }

    /// What a child of `service` serves, if that is the state of now.
    pub(super) fn metrics_for(&self, service: ServiceKey, now: Instant) -> Option<Builtin> {
        let live = self.services.get(service)?;
        match &live.service.run {
            Run::Builtin(builtin) if matches!(builtin.kind, BuiltinKind::Metrics { .. }) => {
                let text = metrics::render(&self.status(None, now)?);
                let kind = BuiltinKind::Metrics { text };
                Some(Builtin {
                    kind,
                    ..builtin.clone()
                })
            }
            Run::Builtin(_) | Run::Program(_) | Run::Redirect(_) => None,
        }
    }

    fn daemon_status(&self, now: Instant) -> DaemonStatus {
        DaemonStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            up: now.duration_since(self.started).as_secs(),
            image_up: now.duration_since(self.image_started).as_secs(),
            files: self
                .files
                .files
                .iter()
                .map(|(path, _)| path.display().to_string())
                .collect(),
            loaded_at: seconds(self.files.loaded_at),
            changed_files: self.files.changed(),
            connections: self.house.live(),
            max_connections: self.house.max().map(Into::into),
            served: self.served(),
            refused: self.refusals(),
            lost_lines: self.log.lost(),
            open_files: self.open_files,
            longest_turn: u64::try_from(self.longest_turn.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Connections that the services have served.
    pub(super) fn served(&self) -> u64 {
        let all = self.services.values();
        all.map(|live| live.counters.served).sum()
    }

    /// Connections that the services have refused.
    pub(super) fn refusals(&self) -> u64 {
        let all = self.services.values();
        all.map(|live| live.counters.refused.total()).sum()
    }

    /// True if the service fails.
    pub(super) fn fails(&self, live: &LiveService, now: Instant) -> bool {
        self.state(live, now).0 == State::Failing
    }

    fn service_status(&self, service: &Service, now: Instant) -> ServiceStatus {
        match self
            .names
            .get(&service.name)
            .and_then(|key| self.services.get(*key))
        {
            Some(live) => live_status(live, self, now),
            None => ServiceStatus {
                state: State::Disabled,
                ..blank(service)
            },
        }
    }

    fn add_details(&self, status: &mut ServiceStatus, key: ServiceKey, now: Instant) {
        if let Some(live) = self.services.get(key) {
            let top = live.gate.top_sources(&self.house, now, TOP_SOURCES);
            status.sources = top.iter().map(source_status).collect();
            status.limits = limits::words(&live.service);
            let recent = live.recent.borrow();
            status.lines = recent.lines().map(line_status).collect();
        }
        status.connections = self
            .children
            .values()
            .filter(|child| child.service == key && child.is_connection())
            .map(|child| connection_status(child, now))
            .collect();
    }

    /// What a service does now, why, and until when.
    fn state(&self, live: &LiveService, now: Instant) -> (State, String, Option<Duration>) {
        let left = live
            .paused_until
            .map(|until| until.saturating_duration_since(now));
        let mut listeners = live
            .listeners
            .iter()
            .filter_map(|key| self.listeners.get(*key));
        let unbound = listeners.find(|listener| listener.state == ListenerState::Closed);
        if live.removed {
            (State::Removed, String::new(), None)
        } else if live.draining {
            (State::Draining, "by command".to_owned(), None)
        } else if live.held_off {
            (State::Paused, "by command".to_owned(), None)
        } else if let Some(failure) = &live.failure {
            (State::Failing, failure.clone(), left)
        } else if let Some(listener) = unbound {
            let problem = listener.problem.as_deref().unwrap_or("closed");
            let again = listener.retry_at;
            (
                State::Failing,
                format!("{}: {problem}", listener.asked),
                again.map(|at| at.saturating_duration_since(now)),
            )
        } else if let Some((_, pid)) = live.listeners.iter().find_map(|key| self.owner_of(*key)) {
            (State::Held, format!("by pid {pid}"), None)
        } else if left.is_some_and(|left| !left.is_zero()) {
            (State::Paused, "rate".to_owned(), left)
        } else if live.gate.is_paused(&self.house, now) {
            (State::Paused, "rate".to_owned(), None)
        } else if live.gate.is_full() {
            (State::Full, "connections".to_owned(), None)
        } else {
            (State::Listening, String::new(), None)
        }
    }
}

fn blank(service: &Service) -> ServiceStatus {
    ServiceStatus {
        name: service.name.clone(),
        description: service.description.clone(),
        origin: format!("{}:{}", service.origin.file.display(), service.origin.line),
        listen: service.listen.iter().map(ToString::to_string).collect(),
        state: State::Listening,
        detail: String::new(),
        left: None,
        live: 0,
        max: service.admission.max_connections.map(Into::into),
        served: 0,
        refused: Vec::new(),
        failed: 0,
        last: None,
        limits: Vec::new(),
        sources: Vec::new(),
        connections: Vec::new(),
        lines: Vec::new(),
    }
}

fn live_status(live: &LiveService, daemon: &Daemon, now: Instant) -> ServiceStatus {
    let (state, detail, left) = daemon.state(live, now);
    let open = live
        .listeners
        .iter()
        .filter_map(|key| daemon.listeners.get(*key));
    let listen = open.map(|listener| {
        listener
            .socket
            .as_ref()
            .map_or(&listener.asked, |socket| &socket.bound)
            .to_string()
    });
    ServiceStatus {
        listen: listen.collect(),
        state,
        detail,
        left: left.map(|left| left.as_secs() + 1),
        live: if live.service.wait {
            live.children
        } else {
            live.gate.live()
        },
        max: if live.service.wait {
            u32::try_from(live.listeners.len()).ok()
        } else {
            live.gate.max().map(Into::into)
        },
        served: live.counters.served,
        refused: live
            .counters
            .refused
            .counts()
            .map(|(refusal, count)| (refusal.word().to_owned(), count))
            .collect(),
        failed: live.counters.failed,
        last: live
            .counters
            .last
            .as_ref()
            .map(|(peer, at)| (name(peer.as_ref()), now.duration_since(*at).as_secs())),
        ..blank(&live.service)
    }
}

fn source_status(one: &SourceUse) -> SourceStatus {
    SourceStatus {
        source: one.source.to_string(),
        live: one.live,
        refused: one.refused,
        banned: one.banned_for.map(|left| left.as_secs() + 1),
    }
}

fn line_status((at, text): &(SystemTime, String)) -> Line {
    Line {
        at: seconds(*at),
        text: text.clone(),
    }
}

/// Seconds since 1970.
fn seconds(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Who came; nothing for a child that was lent a socket.
fn name(peer: Option<&Peer>) -> String {
    peer.map_or_else(String::new, ToString::to_string)
}

fn connection_status(child: &Child, now: Instant) -> Connection {
    let usage = child.pidfd.as_ref().and_then(|_| proc::usage(child.pid));
    Connection {
        id: child.id.as_str().to_owned(),
        pid: child.pid,
        peer: name(child.peer.as_ref()),
        port: child.peer.as_ref().and_then(Peer::port),
        age: now.duration_since(child.started).as_secs_f64(),
        cpu: usage.map(|usage| usage.cpu.as_secs_f64()),
        memory: usage.map(|usage| usage.memory),
        bytes: super::watch::account(child),
    }
}

/// Who came last, and when.
pub(super) type Last = Option<(Option<Peer>, Instant)>;
