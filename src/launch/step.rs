//! The steps of a child between its birth and its program, and how a failed one is told.
//!
//! Invariant: a step's number is what the child writes into its record, so the order here is the order in `child`.
//! This module knows no service: the words that belong to a step (`exec /usr/bin/git`) are in [`Plan::describe`].
//!
//! [`Plan::describe`]: super::Plan::describe

use std::fmt;

use nix::libc;

/// What a child was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Step {
    /// Making a private copy of the descriptor table.
    Descriptors,
    /// Putting the connection on fds 0 and 1 (or 3), and fd 2 where it belongs.
    Stdio,
    /// Closing everything that is not its own.
    CloseOthers,
    /// Resetting ignored signals.
    Signals,
    /// Starting a session.
    Session,
    /// Setting `limits.open_files`.
    LimitOpenFiles,
    /// Setting `limits.cpu_time`.
    LimitCpuTime,
    /// Setting `limits.address_space`.
    LimitAddressSpace,
    /// Setting `limits.data`.
    LimitData,
    /// Setting `limits.stack`.
    LimitStack,
    /// Setting `limits.file_size`.
    LimitFileSize,
    /// Setting `limits.core`.
    LimitCore,
    /// Setting `limits.locked_memory`.
    LimitLockedMemory,
    /// Writing oom_score_adj.
    OomScore,
    /// Entering the new root.
    Root,
    /// Dropping capabilities from the bounding set.
    Bounding,
    /// Asking to keep capabilities over the change of user.
    KeepCapabilities,
    /// Setting the nice value.
    Nice,
    /// Setting the supplementary groups.
    Groups,
    /// Setting the group.
    Gid,
    /// Setting the user.
    Uid,
    /// Making sure that user and group are what they should be, and that root cannot come back.
    Verify,
    /// Setting the capabilities.
    Capabilities,
    /// Setting the ambient capabilities.
    Ambient,
    /// Setting `limits.processes`, which counts for the new user.
    LimitProcesses,
    /// Opening the file for standard error, as the user.
    StderrFile,
    /// Entering the working directory, as the user.
    WorkingDirectory,
    /// Setting no_new_privs.
    NoNewPrivileges,
    /// Emptying the signal mask.
    SignalMask,
    /// Executing the program.
    Exec,
}

impl Step {
    const ALL: [Self; 30] = [
        Self::Descriptors,
        Self::Stdio,
        Self::CloseOthers,
        Self::Signals,
        Self::Session,
        Self::LimitOpenFiles,
        Self::LimitCpuTime,
        Self::LimitAddressSpace,
        Self::LimitData,
        Self::LimitStack,
        Self::LimitFileSize,
        Self::LimitCore,
        Self::LimitLockedMemory,
        Self::OomScore,
        Self::Root,
        Self::Bounding,
        Self::KeepCapabilities,
        Self::Nice,
        Self::Groups,
        Self::Gid,
        Self::Uid,
        Self::Verify,
        Self::Capabilities,
        Self::Ambient,
        Self::LimitProcesses,
        Self::StderrFile,
        Self::WorkingDirectory,
        Self::NoNewPrivileges,
        Self::SignalMask,
        Self::Exec,
    ];

    /// The step with this number; the last one for a number that no child of ours writes.
    pub(super) fn from_number(number: u8) -> Self {
        Self::ALL
            .get(usize::from(number))
            .copied()
            .unwrap_or(Self::Exec)
    }

    /// The system call that the step makes, as the log names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Descriptors | Self::CloseOthers => "close_range",
            Self::Stdio => "dup3",
            Self::Signals => "sigaction",
            Self::Session => "setsid",
            Self::LimitOpenFiles => "setrlimit open_files",
            Self::LimitCpuTime => "setrlimit cpu_time",
            Self::LimitAddressSpace => "setrlimit address_space",
            Self::LimitData => "setrlimit data",
            Self::LimitStack => "setrlimit stack",
            Self::LimitFileSize => "setrlimit file_size",
            Self::LimitCore => "setrlimit core",
            Self::LimitLockedMemory => "setrlimit locked_memory",
            Self::OomScore => "oom_score_adj",
            Self::Root => "chroot",
            Self::Bounding => "bounding set",
            Self::KeepCapabilities => "keepcaps",
            Self::Nice => "nice",
            Self::Groups => "setgroups",
            Self::Gid => "setgid",
            Self::Uid => "setuid",
            Self::Verify => "check of the identity",
            Self::Capabilities => "capset",
            Self::Ambient => "ambient capabilities",
            Self::LimitProcesses => "setrlimit processes",
            Self::StderrFile => "open stderr",
            Self::WorkingDirectory => "chdir",
            Self::NoNewPrivileges => "no_new_privs",
            Self::SignalMask => "sigprocmask",
            Self::Exec => "exec",
        }
    }

    /// What an administrator should know when the system's own word for `errno` misleads.
    pub fn hint(self, errno: i32) -> Option<&'static str> {
        match (self, errno) {
            (Self::Exec, libc::EAGAIN) => {
                Some("this user has too many processes (limits.processes)")
            }
            (Self::Exec, libc::ENOEXEC) => {
                Some("not a program: a script needs `#!` in its first line")
            }
            (Self::Exec, libc::ENOENT) => {
                Some("the program, or the interpreter that it names, is not there")
            }
            (Self::Exec, libc::E2BIG) => Some("arguments and environment are too long"),
            (Self::Exec, libc::ETXTBSY) => Some("somebody is still writing the program"),
            (Self::Exec, libc::EACCES) => {
                Some("the service's user may not execute it, or its file system is mounted noexec")
            }
            (Self::Groups, libc::EPERM) => Some("a user namespace may forbid setgroups"),
            (step, libc::EPERM) if step.name().starts_with("setrlimit") => {
                Some("above the hard limit of the daemon")
            }
            (Self::WorkingDirectory, libc::EACCES) => Some("the service's user may not enter it"),
            (Self::Verify, libc::EPERM) => Some("the new identity did not hold"),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back_to_their_steps() {
        for (number, step) in Step::ALL.into_iter().enumerate() {
            assert_eq!(step as usize, number);
            assert_eq!(Step::from_number(step as u8), step);
        }
        assert_eq!(Step::from_number(255), Step::Exec);
    }

    #[test]
    fn misleading_errors_have_a_hint() {
        for (step, errno, word) in [
            (Step::Exec, libc::EAGAIN, "too many processes"),
            (Step::Exec, libc::ENOEXEC, "#!"),
            (Step::LimitStack, libc::EPERM, "hard limit"),
        ] {
            assert!(step.hint(errno).is_some_and(|hint| hint.contains(word)));
        }
        assert_eq!(Step::Session.hint(libc::EPERM), None);
    }
}
