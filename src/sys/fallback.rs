//! The way back: until a new image is ready, whatever ends it makes this process the old image again.
//!
//! Invariant: while a way back is armed, a fault, a panic or an abort of this image ends in the exec of the old one with
//! the same process id and the same descriptors. Only a kill from outside does not.
#![expect(unsafe_code, reason = "handlers of fatal signals that only exec")]

use std::sync::atomic::{AtomicPtr, Ordering};
use std::{io, ptr};

use nix::libc;
use nix::sys::signal::{SigSet, Signal};

use super::image::Exec;

/// What a fault is told by.
const FATAL: [Signal; 6] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGILL,
    Signal::SIGFPE,
    Signal::SIGABRT,
    Signal::SIGSYS,
];

static EXEC: AtomicPtr<Exec> = AtomicPtr::new(ptr::null_mut());

/// An armed way back.
#[derive(Debug)]
pub struct Fallback(());

impl Fallback {
    /// Arms it. The exec is kept until the end of this image.
    pub fn arm(exec: Exec) -> io::Result<Self> {
        EXEC.store(Box::into_raw(Box::new(exec)), Ordering::Release);
        handle(go_back as *const () as libc::sighandler_t);
        SigSet::from_iter(FATAL).thread_unblock()?;
        Ok(Self(()))
    }

    /// This image is ready: its faults are its own from now on.
    pub fn disarm(self) -> io::Result<()> {
        SigSet::from_iter(FATAL).thread_block()?;
        handle(libc::SIG_DFL);
        Ok(())
    }
}

fn handle(handler: libc::sighandler_t) {
    // SAFETY: an all-zero sigaction is a valid value of the C type.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    // The runtime has set up a stack for handlers: an overrun of the ordinary one comes here too.
    action.sa_flags = libc::SA_ONSTACK;
    for signal in FATAL {
        // SAFETY: the handler makes one system call with what was prepared, and does not return.
        unsafe { libc::sigaction(signal as i32, &raw const action, ptr::null_mut()) };
    }
}

/// The handler: nothing here allocates, locks or returns.
extern "C" fn go_back(_signal: libc::c_int) {
    let exec = EXEC.load(Ordering::Acquire);
    if !exec.is_null() {
        // SAFETY: it was made by `arm` from a box that is never freed.
        let _ = unsafe { (*exec).run() };
    }
    // SAFETY: _exit(2) has no requirements.
    unsafe { libc::_exit(71) };
}
