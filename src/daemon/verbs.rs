//! What control requests do.

use std::time::{Instant, SystemTime};

use super::Daemon;
use super::token::{ControlKey, ServiceKey};
use crate::admission::{Arrival, Moment};
use crate::connection::Reason;
use crate::control::{Answer, Request};
use crate::handover::state::Awaited;
use crate::service::{LogLevel, Peer};
use crate::sys::proc;
use crate::sys::process::Kill;

impl Daemon {
    /// Does what a client asks for. `None`: the answer comes later.
    pub(super) fn obey(
        &mut self,
        client: ControlKey,
        request: &Request,
        now: Instant,
    ) -> Option<Answer> {
        Some(match request {
            Request::Status(name) => match self.status(name.as_deref(), now) {
                Some(status) => Answer::Status(Box::new(status)),
                None => unknown(name.as_deref().unwrap_or_default()),
            },
            Request::Try(name, client) => match client.parse::<Peer>() {
                Ok(peer) => self.standing(name, &peer, now),
                Err(()) => Answer::Error(format!(
                    "`{client}` is no client: write an address, `uid:1000` or `vsock:3`"
                )),
            },
            Request::Reload => {
                self.wait_for(client, Awaited::Reload, now);
                self.start_loading(now, Some(client));
                return None;
            }
            Request::Upgrade => {
                self.wait_for(client, Awaited::Upgrade, now);
                self.start_upgrade(now, Some(client));
                return None;
            }
            Request::LogLevel(level) => {
                self.log.set_level(*level);
                self.note(
                    LogLevel::Info,
                    None,
                    "the log level was changed by a control client, until the next reload",
                );
                Answer::Done("changed until the next reload".to_owned())
            }
            Request::Kill(id) => self.kill_connection(id),
            Request::Unban(source) => self.unban(source, now),
            Request::Pause(name)
            | Request::Resume(name)
            | Request::Drain(name)
            | Request::KillService(name) => match self.names.get(name).copied() {
                Some(key) => self.obey_for(key, request),
                None => unknown(name),
            },
        })
    }

    /// What counts of a client at a service. Asking counts nothing.
    fn standing(&mut self, name: &str, peer: &Peer, now: Instant) -> Answer {
        let key = self.names.get(name).copied();
        let Some(live) = key.and_then(|key| self.services.get(key)) else {
            return unknown(name);
        };
        let moment = Moment {
            now,
            wall: SystemTime::now(),
            load: self.load.at(now, proc::load_average),
        };
        let arrival = Arrival { peer, groups: &[] };
        Answer::Standing(live.gate.standing(&self.house, &arrival, &moment))
    }

    /// Lifts the bans of a source, at every service that has banned it: an address, or the prefix that `status` shows.
    fn unban(&mut self, source: &str, now: Instant) -> Answer {
        let address = source
            .split_once('/')
            .map_or(source, |(address, _)| address);
        let Ok(peer) = address.parse::<Peer>() else {
            return Answer::Error(format!(
                "`{source}` is no source: write an address, a prefix as `status` shows it, or `uid:1000`"
            ));
        };
        let lifted: Vec<&str> = self
            .services
            .values()
            .filter(|live| live.gate.unban(&self.house, &peer, now))
            .map(|live| live.service.name.as_str())
            .collect();
        if lifted.is_empty() {
            Answer::Error(format!("{source} is not banned"))
        } else {
            Answer::Done(format!("{source} may come again: {}", lifted.join(", ")))
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "only requests that name a service come here"
    )]
    fn obey_for(&mut self, key: ServiceKey, request: &Request) -> Answer {
        let Some(live) = self.services.get_mut(key) else {
            return Answer::Error("gone".to_owned());
        };
        let name = live.service.name.clone();
        let told = match request {
            Request::Pause(_) => {
                live.held_off = true;
                format!("{name} is paused until `oxinetd resume {name}`")
            }
            Request::Resume(_) => {
                live.held_off = false;
                live.draining = false;
                live.paused_until = None;
                live.back_off.succeeded();
                self.wake_service(key);
                format!("{name} accepts again")
            }
            Request::Drain(_) => {
                live.held_off = true;
                live.draining = true;
                let count = self.end_service(key, Reason::Drained, Kill::Term);
                format!("{name} accepts no more, {} told to end", connections(count))
            }
            _ => {
                let count = self.end_service(key, Reason::Killed, Kill::Term);
                format!("of {name}, {} told to end", connections(count))
            }
        };
        let text = format!("by a control client: {told}");
        self.note(LogLevel::Info, Some(&name), &text);
        Answer::Done(told)
    }

    fn kill_connection(&mut self, id: &str) -> Answer {
        let key = self
            .children
            .iter()
            .find(|(_, child)| child.is_connection() && child.id.as_str() == id)
            .map(|(key, _)| key);
        let Some(key) = key else {
            return Answer::Error(format!(
                "no live connection has the id {id}; `oxinetd status NAME` lists them"
            ));
        };
        self.end(key, Reason::Killed, Kill::Term, Instant::now());
        Answer::Done(format!("connection {id} is told to end"))
    }

    /// Tells every child of a service to end; returns how many.
    pub(super) fn end_service(&mut self, service: ServiceKey, reason: Reason, kill: Kill) -> usize {
        let now = Instant::now();
        let keys: Vec<_> = self
            .children
            .iter()
            .filter(|(_, child)| child.is_connection() && child.service == service)
            .map(|(key, _)| key)
            .collect();
        for key in &keys {
            self.end(*key, reason, kill, now);
        }
        keys.len()
    }
}

/// `1 connection is`, `2 connections are`.
fn connections(count: usize) -> String {
    match count {
        1 => "1 connection is".to_owned(),
        _ => format!("{count} connections are"),
    }
}

fn unknown(name: &str) -> Answer {
    Answer::Error(format!(
        "no service is called {name}; `oxinetd status` lists them"
    ))
}
