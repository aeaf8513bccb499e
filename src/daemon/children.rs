//! Children from launch to reap: what the launch came to, their exits, their end at a stop.

use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use slotmap::{Key, KeyData};

use super::state::{Child, Launch};
use super::token::{ChildKey, ServiceKey};
use super::{Daemon, Phase, Timer, watch};
use crate::connection::Reason;
use crate::event::{End, Event};
use crate::launch::Outcome;
use crate::service::{LogLevel, Peer};
use crate::sys::errno;
use crate::sys::process::{self, Dead, Kill};

/// Dead children looked at in one sweep.
const SWEEP: usize = 1024;
/// Sweeps for orphans are at least this far apart.
const ORPHAN_PAUSE: Duration = Duration::from_millis(100);

impl Daemon {
    /// Notes what became of the launches in flight.
    pub(super) fn note_launches(&mut self, now: Instant) {
        if self.launcher.in_flight() == 0 {
            return;
        }
        let mut settled = std::mem::take(&mut self.settled);
        self.launcher.sweep(now, &mut settled);
        for one in settled.drain(..) {
            self.on_settled(KeyData::from_ffi(one.key).into(), one.outcome, now);
        }
        self.settled = settled;
    }

    fn on_settled(&mut self, key: ChildKey, outcome: Outcome, now: Instant) {
        let Some(service) = self.children.get(key).map(|child| child.service) else {
            return;
        };
        // Its share of launches is free again.
        self.wake_service(service);
        let Some(child) = self.children.get_mut(key) else {
            return;
        };
        match outcome {
            Outcome::Started => {
                child.launch = Launch::Done;
                // A worker has to live for a while first.
                if child.is_connection() {
                    self.on_program_started(service);
                } else if let Some(live) = self.services.get_mut(service) {
                    live.failure = None;
                }
            }
            Outcome::Failed { step, errno } => {
                child.launch = Launch::Failed;
                let (peer, id) = (child.peer.clone(), child.id);
                let words = self.step_words(service, step);
                self.on_launch_failed(service, &words, errno, peer.as_ref(), id.as_str(), now);
            }
            // The exit that follows tells by which signal.
            Outcome::Killed { .. } => child.launch = Launch::Done,
            Outcome::Stuck { step } => {
                if let Some(pidfd) = &child.pidfd {
                    let _ = process::signal(pidfd.as_fd(), Kill::Kill);
                }
                child.launch = Launch::Failed;
                let (peer, id) = (child.peer.clone(), child.id);
                let words = format!("launch stuck at step {}", self.step_words(service, step));
                self.on_launch_failed(
                    service,
                    &words,
                    errno::ETIMEDOUT,
                    peer.as_ref(),
                    id.as_str(),
                    now,
                );
            }
        }
    }

    fn step_words(&self, service: ServiceKey, step: crate::launch::Step) -> String {
        self.services
            .get(service)
            .map_or_else(String::new, |live| live.plan.describe(step))
    }

    pub(super) fn on_program_started(&mut self, service: ServiceKey) {
        let Some(live) = self.services.get_mut(service) else {
            return;
        };
        live.failure = None;
        if live.back_off.succeeded() {
            Self::tell(
                &mut self.log,
                Some(live),
                &Event::Resume {
                    service: &live.service.name,
                },
            );
        }
    }

    /// A program did not start: told, counted, and after some in a row the service backs off.
    pub(super) fn on_launch_failed(
        &mut self,
        service: ServiceKey,
        step: &str,
        errno: i32,
        peer: Option<&Peer>,
        id: &str,
        now: Instant,
    ) {
        let Some(live) = self.services.get_mut(service) else {
            return;
        };
        live.counters.failed += 1;
        live.failure = Some(format!("{step}: {}", errno::describe(errno)));
        let name = &live.service.name;
        let event = Event::LaunchFailed {
            service: name,
            step,
            errno,
            peer,
            id,
        };
        Self::tell(&mut self.log, Some(live), &event);
        self.back_off(service, now);
    }

    /// A start that came to nothing: after some in a row the service pauses.
    pub(super) fn back_off(&mut self, service: ServiceKey, now: Instant) {
        let Some(live) = self.services.get_mut(service) else {
            return;
        };
        if let Some(pause) = live.back_off.failed() {
            live.paused_until = Some(now + pause);
            self.timers.set(now + pause, Timer::Wake(service));
            let event = Event::Pause {
                service: &live.service.name,
                reason: "start failures",
                period: Some(pause),
            };
            Self::tell(&mut self.log, Some(live), &event);
        }
    }

    pub(super) fn on_pause_over(&mut self, key: ServiceKey, now: Instant) {
        let Some(live) = self.services.get_mut(key) else {
            return;
        };
        if live.paused_until.is_none_or(|until| until <= now) {
            live.paused_until = None;
            self.wake_service(key);
        }
    }

    /// A pidfd is readable: the child has ended.
    pub(super) fn on_child(&mut self, key: ChildKey, now: Instant) {
        self.note_dead_launch(key, now);
        let Some(child) = self.children.get(key) else {
            return;
        };
        let Some(pidfd) = child.pidfd.as_ref().map(AsFd::as_fd) else {
            return;
        };
        // The leader of a tree that is to end stays a zombie until the tree is gone (`ending`).
        let dead = if child.kill_at.is_some() {
            process::peek(pidfd)
        } else {
            process::reap(pidfd)
        };
        match dead {
            Ok(Some(dead)) => self.on_exit(key, &dead, now),
            Ok(None) => {}
            Err(error) => {
                // Somebody else reaped it, which only a tracer can do: its status is lost, its room is not.
                let text = format!("the exit status of pid {} is lost: {error}", child.pid);
                self.note(LogLevel::Warning, None, &text);
                if let Some(mut child) = self.release(key) {
                    self.finish_run(&mut child, false, now);
                }
            }
        }
    }

    /// A child that is dead tells of its launch before it is reaped, so that the exit can be judged.
    fn note_dead_launch(&mut self, key: ChildKey, now: Instant) {
        if self
            .children
            .get(key)
            .is_some_and(|child| child.launch != Launch::Done)
            && let Some(one) = self.launcher.settle_dead(key.data().as_ffi())
        {
            self.on_settled(key, one.outcome, now);
        }
    }

    fn on_exit(&mut self, key: ChildKey, dead: &Dead, now: Instant) {
        let Some(mut child) = self.release(key) else {
            return;
        };
        let service = child.service;
        self.finish_output(&child, now);
        self.on_worker_exit(key, &child, dead, now);
        let is_whole = child.launch != Launch::Failed
            && child.reason.is_none()
            && matches!(dead.end, End::Status(_));
        self.finish_run(&mut child, is_whole, now);
        let Some(live) = self.services.get(service) else {
            return;
        };
        let rules = Rc::clone(&live.service);
        if rules.log.exit && child.launch != Launch::Failed && child.is_connection() {
            let event = Event::Exit {
                service: &rules.name,
                pid: child.pid,
                end: dead.end,
                duration: now.saturating_duration_since(child.started),
                bytes: watch::account(&child),
                cpu: Some(dead.cpu),
                max_rss: Some(dead.max_rss),
                reason: child.reason.map(Reason::word),
                id: child.id.as_str(),
            };
            Self::tell(&mut self.log, Some(live), &event);
        }
        let connection = child.connection.take();
        let mut shared = false;
        if let Some(kill_at) = child.kill_at {
            self.keep_remains(child, kill_at);
        } else if child.leaf {
            shared = self.leave_leaf(child.id, now);
        }
        if let Some(connection) = connection {
            self.close_connection(connection, &rules, shared, now);
        }
        self.forget_if_gone(service);
    }

    /// Takes a child out of the books: its ticket goes back, its socket, and who waited for room is woken.
    pub(super) fn release(&mut self, key: ChildKey) -> Option<Child> {
        self.set_due(key, None);
        let mut child = self.children.remove(key)?;
        if let Some(pidfd) = &child.pidfd {
            self.poller.remove(pidfd);
        }
        if let Some(connection) = &child.connection {
            self.unwatch(connection, child.watched);
        }
        if let Some(run) = &child.run {
            self.poller.remove(&run.reader);
        }
        drop(child.ticket.take());
        self.take_back(key, &child, Instant::now());
        if let Some(live) = self.services.get_mut(child.service) {
            live.children -= 1;
        }
        self.wake_service(child.service);
        self.wake_one_resting();
        Some(child)
    }

    /// A removed service goes with its last child.
    pub(super) fn forget_if_gone(&mut self, key: ServiceKey) {
        if self
            .services
            .get(key)
            .is_some_and(|live| live.removed && live.children == 0)
        {
            self.close_output(key);
            self.services.remove(key);
        }
    }

    /// The drain is over: whatever still runs is killed, and waited for a moment only.
    pub(super) fn kill_all(&mut self, now: Instant) {
        if self.phase == Phase::Serving {
            return;
        }
        let programs = self.children.values().filter(|child| child.pidfd.is_some());
        let programs = programs.count();
        if programs > 0 {
            let text = format!("{programs} programs did not end in time and are killed");
            self.note(LogLevel::Warning, None, &text);
        }
        self.end_all(Reason::Shutdown, Kill::Kill, now);
        self.kill_remains(now);
        self.phase = Phase::Killing(now + Duration::from_secs(5));
    }

    /// Reaps what was re-parented to this process, and nothing that it made itself: these have their pidfds.
    pub(super) fn reap_orphans(&mut self, now: Instant) {
        self.orphans_due = false;
        self.orphans_swept = Some(now);
        for _ in 0..SWEEP {
            let Ok(Some(pid)) = process::peek_any() else {
                return;
            };
            let own = self
                .children
                .iter()
                .find(|(_, child)| child.pid == pid && child.pidfd.is_some())
                .map(|(key, _)| key);
            if let Some(key) = own {
                self.on_child(key, now);
            }
            let kept = self.is_kept_zombie(pid);
            if !kept && own.is_none() {
                let _ = process::reap_pid(pid);
            }
            if kept || self.children.values().any(|child| child.pid == pid) {
                // It hides those behind it from the look, but not for long.
                break;
            }
        }
        self.on_child_signal(now);
    }

    /// SIGCHLD: there may be orphans. Sweeps are bounded to ten a second.
    pub(super) fn on_child_signal(&mut self, now: Instant) {
        if self.orphans_due {
            return;
        }
        let next = self
            .orphans_swept
            .map_or(now, |last| (last + ORPHAN_PAUSE).max(now));
        self.orphans_due = true;
        self.timers.set(next, Timer::Orphans);
    }
}
