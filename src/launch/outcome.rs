//! How launches end, as the daemon is told.
//!
//! Invariant: every launch that was made ends in exactly one outcome other than [`Outcome::Stuck`].

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;

use nix::libc;

use super::orders::{FAILED, STARTED};
use super::step::Step;

/// A child that was made.
#[derive(Debug)]
pub struct Launched {
    /// Its process id.
    pub pid: i32,
    /// Its pidfd, close-on-exec.
    pub pidfd: OwnedFd,
}

/// A child that could not be made. Nothing is held for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaunchError {
    /// What the daemon was doing.
    pub step: &'static str,
    /// The system error.
    pub errno: i32,
}

/// News of a launch.
#[derive(Debug)]
pub struct Settled {
    /// As given to [`Launcher::launch`].
    pub key: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The program (or built-in) runs, or has run.
    Started,
    /// A step failed; the program never ran, and the child is exiting with 127.
    Failed {
        /// Which.
        step: Step,
        /// The system error.
        errno: i32,
    },
    /// A signal ended the child at this step; the program never ran.
    Killed {
        /// Which.
        step: Step,
    },
    /// Over five seconds old, and still at this step. Told once. The caller has to kill it by its pidfd: the end is
    /// settled by [`Launcher::settle_dead`](super::Launcher::settle_dead), and no sweep looks at it again.
    Stuck {
        /// Which.
        step: Step,
    },
}

impl Outcome {
    /// What the record of a child that has left says.
    pub(super) fn of(stage: u32, errno: u32) -> Self {
        let step = Self::step(stage);
        if stage & FAILED != 0 {
            Self::Failed {
                step,
                errno: errno.cast_signed(),
            }
        } else if stage & STARTED != 0 || step == Step::Exec {
            Self::Started
        } else {
            Self::Killed { step }
        }
    }

    /// The step in a record.
    pub(super) fn step(stage: u32) -> Step {
        Step::from_number(stage as u8)
    }
}

impl LaunchError {
    /// The step that only children with a control group have.
    pub const INTO_CGROUP: &'static str = "clone3 into the control group";

    pub(super) fn new(step: &'static str, error: &io::Error) -> Self {
        Self {
            step,
            errno: error.raw_os_error().unwrap_or(libc::EIO),
        }
    }
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}",
            self.step,
            io::Error::from_raw_os_error(self.errno)
        )
    }
}

impl std::error::Error for LaunchError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_the_departed_are_read() {
        let exec = Step::Exec as u32;
        let gid = Step::Gid as u32;
        for (stage, outcome) in [
            (exec, Outcome::Started),
            (STARTED, Outcome::Started),
            (gid, Outcome::Killed { step: Step::Gid }),
            (
                0,
                Outcome::Killed {
                    step: Step::Descriptors,
                },
            ),
            (
                gid | FAILED,
                Outcome::Failed {
                    step: Step::Gid,
                    errno: 1,
                },
            ),
            (
                exec | FAILED,
                Outcome::Failed {
                    step: Step::Exec,
                    errno: 1,
                },
            ),
        ] {
            assert_eq!(Outcome::of(stage, 1), outcome);
        }
    }
}
