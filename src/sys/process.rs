//! Children by pidfd: signal them, reap them, and know what they used.
#![expect(
    unsafe_code,
    reason = "raw waitid(2) with rusage and pidfd_send_signal(2), which libc does not wrap"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::libc;

use crate::event::End;

/// What waitid(2) told of a dead child.
#[derive(Clone, Copy, Debug)]
pub struct Dead {
    /// Its pid.
    pub pid: i32,
    /// How it ended.
    pub end: End,
    /// User and system time, its reaped descendants included.
    pub cpu: Duration,
    /// Largest resident set, KiB.
    pub max_rss: u64,
}

/// Reaps the child behind `pidfd`. `None`: it is still alive.
pub fn reap(pidfd: BorrowedFd<'_>) -> io::Result<Option<Dead>> {
    wait(libc::P_PIDFD, pidfd.as_raw_fd().cast_unsigned())
}

/// Tells how the child behind `pidfd` ended and leaves it a zombie, so that its number stays its own. `None`: it is
/// still alive.
pub fn peek(pidfd: BorrowedFd<'_>) -> io::Result<Option<Dead>> {
    wait_for(
        libc::P_PIDFD,
        pidfd.as_raw_fd().cast_unsigned(),
        libc::WNOWAIT,
    )
}

/// Reaps the child `pid` if it is dead.
pub fn reap_pid(pid: i32) -> io::Result<Option<Dead>> {
    wait(libc::P_PID, pid.cast_unsigned())
}

/// The pid of a dead child, which is left as it is. `None`: there is none.
pub fn peek_any() -> io::Result<Option<i32>> {
    match wait_for(libc::P_ALL, 0, libc::WNOWAIT) {
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(None),
        other => Ok(other?.map(|dead| dead.pid)),
    }
}

/// Waits for the end of a child that is about to end.
pub fn wait_blocking(pidfd: BorrowedFd<'_>) -> io::Result<Option<Dead>> {
    let mut polled = [nix::poll::PollFd::new(pidfd, nix::poll::PollFlags::POLLIN)];
    while let Err(errno) = nix::poll::poll(&mut polled, nix::poll::PollTimeout::NONE) {
        if errno != nix::errno::Errno::EINTR {
            return Err(errno.into());
        }
    }
    reap(pidfd)
}

fn wait(kind: libc::idtype_t, id: libc::id_t) -> io::Result<Option<Dead>> {
    wait_for(kind, id, 0)
}

fn wait_for(kind: libc::idtype_t, id: libc::id_t, more: i32) -> io::Result<Option<Dead>> {
    // SAFETY: all-zero values are valid for both C types.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the types that the kernel fills; the raw call has a fifth argument
    // for the rusage, which libc's waitid hides.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_waitid,
            kind,
            id,
            &raw mut info,
            libc::WEXITED | libc::WNOHANG | more,
            &raw mut usage,
        )
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel filled the SIGCHLD variant of the union, or left zeros.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    let end = if info.si_code == libc::CLD_EXITED {
        End::Status(status)
    } else {
        End::Signal(status)
    };
    let cpu = duration(usage.ru_utime) + duration(usage.ru_stime);
    Ok(Some(Dead {
        pid,
        end,
        cpu,
        max_rss: usage.ru_maxrss.cast_unsigned(),
    }))
}

fn duration(time: libc::timeval) -> Duration {
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_usec as u32 * 1_000)
}

/// The signals that the daemon sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// SIGTERM.
    Term,
    /// SIGKILL.
    Kill,
}

impl Kill {
    fn number(self) -> i32 {
        match self {
            Self::Term => libc::SIGTERM,
            Self::Kill => libc::SIGKILL,
        }
    }
}

/// This process.
pub fn own_pid() -> i32 {
    nix::unistd::getpid().as_raw()
}

/// Names this process for ps(1): the first 15 bytes.
pub fn set_name(name: &str) {
    if let Ok(name) = std::ffi::CString::new(name) {
        let _ = nix::sys::prctl::set_name(&name);
    }
}

/// A descriptor of the process `pid`.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: plain values.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us (CLOEXEC by definition).
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Signals the one process behind `pidfd`; no pid can be mistaken.
pub fn signal(pidfd: BorrowedFd<'_>, kill: Kill) -> io::Result<()> {
    // SAFETY: a system call on plain values; a null siginfo means the one of kill(2).
    let answer = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            kill.number(),
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Signals the process group that `leader` leads. Only for a leader that has not been reaped: afterwards the number may
/// be somebody else's.
pub fn signal_group(leader: i32, kill: Kill) -> io::Result<()> {
    // SAFETY: kill(2) takes plain values; leader is positive, so only its own group is meant.
    if leader > 1 && unsafe { libc::kill(-leader, kill.number()) } == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// Forks. `Ok(None)` in the child. The caller must be single-threaded, which the daemon always is.
pub fn fork() -> io::Result<Option<(i32, OwnedFd)>> {
    // SAFETY: the process has one thread, so no lock can be held by another one in the child.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        // The child is ours and not reaped, so the pid is still its own.
        pid => Ok(Some((pid, open(pid)?))),
    }
}

/// From now on TERM, INT and HUP are not for this process.
pub fn ignore_stops() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        // SAFETY: SIG_IGN is no function of ours.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Ends this process by the signal that ended another; answers the status of one that exited.
pub fn end_like(end: End) -> u8 {
    match end {
        End::Status(status) => status as u8,
        End::Signal(signal) => {
            let none = libc::rlimit {
                rlim_cur: 0,
                rlim_max: 0,
            };
            // SAFETY: plain values, and a pointer to one on this stack. There is nothing to dump.
            unsafe {
                libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
                libc::signal(signal, libc::SIG_DFL);
                libc::raise(signal);
            }
            (128 + signal) as u8
        }
    }
}

/// Leaves a forked child at once: no destructor, no atexit handler, no buffered output of the parent.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit(2) has no requirements.
    unsafe { libc::_exit(status) }
}
