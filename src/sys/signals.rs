//! Signals as descriptors: everything is blocked from the first line of main, for good, and read by signalfd.
//!
//! Invariant: no handler of ours ever runs. A child that shares the daemon's memory therefore cannot run one either
//! (launch.md 3.4), and nothing that the starter ignored reaches a program.
#![expect(
    unsafe_code,
    reason = "sigaction(2) is needed to read and reset dispositions"
)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::libc;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Blocks every signal of this thread and resets every disposition that was "ignore" (SIGPIPE, which Rust's runtime
/// ignores, among them). To be called once, before anything else.
pub fn block_all_and_reset() -> io::Result<()> {
    SigSet::all().thread_block()?;
    for number in 1..=libc::SIGRTMAX() {
        reset_if_ignored(number);
    }
    Ok(())
}

/// Sets `number` back to its default when it is ignored. Numbers that cannot be changed (KILL, STOP) are left.
fn reset_if_ignored(number: i32) {
    // SAFETY: an all-zero sigaction is a valid value of the C type.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live value; a null first argument only reads.
    let read = unsafe { libc::sigaction(number, std::ptr::null(), &raw mut action) };
    if read == 0 && action.sa_sigaction == libc::SIG_IGN {
        action.sa_sigaction = libc::SIG_DFL;
        // SAFETY: the pointer is to a live value that sets the default action; no handler is installed.
        let _ = unsafe { libc::sigaction(number, &raw const action, std::ptr::null_mut()) };
    }
}

/// Sets the default disposition and empties the mask: for a forked child that lives on as ordinary code.
pub fn unblock_all() -> io::Result<()> {
    Ok(SigSet::empty().thread_set_mask()?)
}

/// The signals that the daemon handles, as numbers read from a descriptor.
#[derive(Debug)]
pub struct Signals(SignalFd);

/// What the daemon understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caught {
    /// TERM or INT: stop.
    Stop,
    /// HUP: reload.
    Reload,
    /// USR1: tell the state.
    Report,
    /// USR2: upgrade.
    Upgrade,
    /// CHLD: an orphan may have died.
    Child,
}

impl Signals {
    /// Opens the descriptor; `orphans` adds CHLD, needed only by PID 1 and subreapers.
    pub fn open(orphans: bool) -> io::Result<Self> {
        let mut set = SigSet::empty();
        for signal in [
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGHUP,
            Signal::SIGUSR1,
            Signal::SIGUSR2,
        ] {
            set.add(signal);
        }
        if orphans {
            set.add(Signal::SIGCHLD);
        }
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(SignalFd::with_flags(&set, flags)?))
    }

    /// The next pending signal.
    pub fn read(&mut self) -> Option<Caught> {
        let info = self.0.read_signal().ok().flatten()?;
        match info.ssi_signo.cast_signed() {
            libc::SIGHUP => Some(Caught::Reload),
            libc::SIGUSR1 => Some(Caught::Report),
            libc::SIGUSR2 => Some(Caught::Upgrade),
            libc::SIGCHLD => Some(Caught::Child),
            _ => Some(Caught::Stop),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
