//! Another image of the program takes the place of this one, in the same process: nobody is cut off, and no client has to
//! come again.
//!
//! ```text
//! asked --rehearsal: a child executes the new image, which reads the state, checks it, answers--> ready or refused
//! ready --leave: launches are let land, the state is sealed, exec--> arrive: descriptors are looked at, the loop goes on
//! any failure on the other side --exec of the old image, which was held open--> arrive, with the same state
//! ```
//!
//! Decided before the exec: a reload that runs ends first, and one that is asked for meanwhile begins on the other side;
//! a reading of lists is given up, and begins anew there; a launch that is stuck is a program that runs, as far as the new
//! image knows, and its exit tells. Everything else goes over (`pack` has the list). The table goes over too, as it is in
//! force: a file that has changed is for a reload to read, and shown by `status`.

mod arrive;
mod leave;
mod pack;
mod rehearsal;
mod unpack;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::token::{ControlKey, Token};
use super::{Daemon, Phase, Timer};
use crate::control::Answer;
use crate::service::LogLevel;
use crate::sys::image::{self, Image};
use crate::sys::poller::Interest;

pub use arrive::{rehearse, take_over};
use rehearsal::Rehearsal;

/// A rehearsal may take this long.
const REHEARSAL_AT_MOST: Duration = Duration::from_secs(10);

/// The version of this program.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where the program of this process is.
#[derive(Debug)]
pub(super) struct Program {
    /// By which it was started.
    path: io::Result<PathBuf>,
    /// Its file, whatever is there now.
    this: io::Result<Image>,
}

impl Program {
    /// Opens its file. To be called when the low descriptors are taken.
    pub(super) fn open(path: io::Result<PathBuf>) -> Self {
        let this = Image::of_this_process();
        Self { path, this }
    }
}

/// An upgrade under way.
#[derive(Debug)]
pub(super) struct Upgrade {
    stage: Stage,
    /// Control clients that wait for its end.
    clients: Vec<ControlKey>,
    /// A reload was asked for meanwhile, by these clients.
    reload: Option<Vec<ControlKey>>,
}

#[derive(Debug)]
enum Stage {
    /// A reload has to end first.
    AfterReload,
    /// The new image shows that it can.
    Rehearsal(Rehearsal, Image),
    /// It can. At the end of this turn it does.
    Ready(Image),
}

impl Daemon {
    /// USR2, or a control client that waits for the end.
    pub(super) fn start_upgrade(&mut self, now: Instant, client: Option<ControlKey>) {
        if let Some(upgrade) = self.upgrade.as_mut() {
            upgrade.clients.extend(client);
            return;
        }
        self.upgrade = Some(Upgrade {
            stage: Stage::AfterReload,
            clients: client.into_iter().collect(),
            reload: None,
        });
        if self.loading.is_none() {
            self.rehearse(now);
        }
    }

    /// A reload has ended: an upgrade may have waited for it.
    pub(super) fn go_on_with_upgrade(&mut self, now: Instant) {
        if matches!(&self.upgrade, Some(upgrade) if matches!(upgrade.stage, Stage::AfterReload)) {
            self.rehearse(now);
        }
    }

    /// Puts a reload off until the upgrade has ended. False: there is none that is in the way.
    pub(super) fn put_off_reload(&mut self, client: Option<ControlKey>) -> bool {
        match self.upgrade.as_mut() {
            Some(upgrade) if !matches!(upgrade.stage, Stage::AfterReload) => {
                upgrade.reload.get_or_insert_default().extend(client);
                true
            }
            _ => false,
        }
    }

    fn rehearse(&mut self, now: Instant) {
        match self.start_rehearsal(now) {
            Ok((rehearsal, image)) => {
                self.timers.set(now + REHEARSAL_AT_MOST, Timer::Rehearsal);
                if let Some(upgrade) = self.upgrade.as_mut() {
                    upgrade.stage = Stage::Rehearsal(rehearsal, image);
                }
            }
            Err(problem) => self.end_upgrade(&problem, now),
        }
    }

    fn start_rehearsal(&self, now: Instant) -> Result<(Rehearsal, Image), String> {
        if self.phase != Phase::Serving {
            return Err("the daemon is ending".to_owned());
        }
        let unknown = |error: &io::Error| format!("where this program lies is not known: {error}");
        self.program.this.as_ref().map_err(unknown)?;
        let path = self.program.path.as_ref().map_err(unknown)?;
        let image = Image::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let rehearsal = Rehearsal::start(&image, now, || self.record(now))
            .map_err(|error| format!("no child can be made for the rehearsal: {error}"))?;
        self.poller
            .add(
                rehearsal.pidfd(),
                Interest::Readable,
                Token::Rehearsal.bits(),
            )
            .map_err(|error| format!("epoll: {error}"))?;
        Ok((rehearsal, image))
    }

    /// The rehearsal's process.
    pub(super) fn rehearsal_pid(&self) -> Option<i32> {
        match &self.upgrade.as_ref()?.stage {
            Stage::Rehearsal(rehearsal, _) => Some(rehearsal.pid()),
            Stage::AfterReload | Stage::Ready(_) => None,
        }
    }

    /// It has ended.
    pub(super) fn on_rehearsed(&mut self, now: Instant) {
        let Some(mut upgrade) = self
            .upgrade
            .take_if(|one| matches!(one.stage, Stage::Rehearsal(..)))
        else {
            return;
        };
        let Stage::Rehearsal(rehearsal, image) =
            std::mem::replace(&mut upgrade.stage, Stage::AfterReload)
        else {
            return;
        };
        self.poller.remove(rehearsal.pidfd());
        let result = rehearsal.finish();
        if result.is_ok() {
            upgrade.stage = Stage::Ready(image);
        }
        self.upgrade = Some(upgrade);
        if let Err(problem) = result {
            self.end_upgrade(&problem, now);
        }
    }

    /// It may have had its time.
    pub(super) fn on_rehearsal_overdue(&mut self, now: Instant) {
        let overdue = match &self.upgrade {
            Some(Upgrade {
                stage: Stage::Rehearsal(rehearsal, _),
                ..
            }) => rehearsal.lasts(now) >= REHEARSAL_AT_MOST,
            _ => false,
        };
        if overdue {
            self.give_up_upgrade("the new program did not answer within 10 s", now);
        }
    }

    /// Ends an upgrade that has come no further than its rehearsal.
    pub(super) fn give_up_upgrade(&mut self, problem: &str, now: Instant) {
        let Some(upgrade) = self.upgrade.as_mut() else {
            return;
        };
        let stage = std::mem::replace(&mut upgrade.stage, Stage::AfterReload);
        if let Stage::Rehearsal(rehearsal, _) = stage {
            self.poller.remove(rehearsal.pidfd());
            rehearsal.abandon();
        }
        self.end_upgrade(problem, now);
    }

    /// At the end of a turn: goes, if the time has come. Comes back only if that failed.
    pub(super) fn settle_upgrade(&mut self, now: Instant) {
        let Some(Upgrade {
            stage: Stage::Ready(image),
            ..
        }) = &self.upgrade
        else {
            return;
        };
        // Held by value: `leave` changes the rest.
        let problem = match image.try_clone() {
            Ok(image) => match self.leave(&image, now) {
                Ok(never) => match never {},
                Err(error) => error,
            },
            Err(error) => error,
        };
        self.tell_manager_reloaded();
        self.end_upgrade(&image::describe(&problem), now);
    }

    /// Tells everybody that this image serves on, and why.
    fn end_upgrade(&mut self, problem: &str, now: Instant) {
        let Some(upgrade) = self.upgrade.take() else {
            return;
        };
        self.tell_failed_upgrade(problem, upgrade.clients);
        if let Some(clients) = upgrade.reload {
            self.start_load_child(now, clients);
        }
    }

    fn tell_failed_upgrade(&mut self, problem: &str, clients: Vec<ControlKey>) {
        let text = format!("no upgrade, version {VERSION} serves on: {problem}");
        self.note(LogLevel::Error, None, &text);
        self.answer_all(clients, &Answer::Error(text));
    }
}
