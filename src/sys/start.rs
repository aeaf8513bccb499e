//! The process at its start: what it inherited is looked at once, and made what a daemon needs.
#![expect(
    unsafe_code,
    reason = "descriptors named by number are taken over from the starter; the environment is rebuilt"
)]

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};

use crate::service::low_descriptors;

/// Above this number live the descriptors that the daemon keeps; launch slots own the numbers below.
pub fn floor(open_files: u64) -> RawFd {
    low_descriptors(open_files) as RawFd
}

/// Raises the soft limit of open files to the hard one and returns it.
pub fn raise_open_files() -> io::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// Takes over the descriptor `number` from the starter: moved to `floor` or above, CLOEXEC, the old number closed.
pub fn take_over(number: RawFd, floor: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the number is only used for one fcntl, which fails if it is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let high = fcntl(borrowed, FcntlArg::F_DUPFD_CLOEXEC(floor))?;
    if number > 2 {
        // SAFETY: nothing in this process owns the starter's descriptor yet.
        drop(unsafe { OwnedFd::from_raw_fd(number) });
    }
    // SAFETY: fcntl has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(high) })
}

/// A second descriptor for what `fd` leads to, at `floor` or above, CLOEXEC.
pub fn lift(fd: &OwnedFd, floor: RawFd) -> io::Result<OwnedFd> {
    let high = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(floor))?;
    // SAFETY: fcntl has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(high) })
}

/// Takes over the descriptors that the starter passed (sd_listen_fds(3)), each with its name. They are meant for this
/// process if LISTEN_PID says so; else there are none.
pub fn take_passed(floor: RawFd) -> io::Result<Vec<(String, OwnedFd)>> {
    /// SD_LISTEN_FDS_START.
    const FIRST: RawFd = 3;
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Ok(Vec::new());
    }
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let names = names.split(':').map(str::to_owned);
    let unnamed = std::iter::repeat("unknown".to_owned());
    (FIRST..)
        .take(number("LISTEN_FDS").unwrap_or(0) as usize)
        .zip(names.filter(|name| !name.is_empty()).chain(unnamed))
        .map(|(fd, name)| Ok((name, take_over(fd, floor)?)))
        .collect()
}

/// Makes `fd` standard error, and /dev/null the other two.
pub fn speak_into(fd: BorrowedFd<'_>) -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    Ok(nix::unistd::dup2_stderr(fd)?)
}

/// Closes every descriptor from 3 up except `kept` (sorted or not): nothing of the starter reaches a program.
pub fn close_inherited(kept: &[RawFd]) -> io::Result<()> {
    let mut kept: Vec<u32> = kept
        .iter()
        .filter_map(|fd| u32::try_from(*fd).ok())
        .filter(|fd| *fd > 2)
        .collect();
    kept.sort_unstable();
    let mut first = 3;
    for fd in kept {
        if first < fd {
            close_range(first, fd - 1)?;
        }
        first = fd + 1;
    }
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: closes numbers; at the start, or in a fresh child, no live value owns one of them.
    let answer = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if answer >= 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ENOSYS) {
        return Err(io::Error::other(
            "this kernel has no close_range: Linux 5.9 or newer is needed",
        ));
    }
    Err(error)
}

/// Variables that the daemon's own parts read later: local time, colours, what the log goes by. They stay in the daemon,
/// and no program gets them from it.
const KEPT: [&str; 8] = [
    "container",
    "TZ",
    "NO_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "TERM",
    "XDG_RUNTIME_DIR",
    "JOURNAL_STREAM",
];

/// What a service manager says to this process and to no other.
const MANAGERS: [&str; 7] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "FDSTORE",
];

/// Takes the environment away and returns it: programs get one that is built from scratch. What the service manager says
/// to the daemon is not in it, so that not even `pass_env` hands it on.
pub fn take_environment() -> Vec<(OsString, OsString)> {
    let mut all: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    for (name, _) in &all {
        let text = name.to_string_lossy();
        if !KEPT.contains(&text.as_ref()) {
            // SAFETY: the process has one thread.
            unsafe { std::env::remove_var(name) };
        }
    }
    all.retain(|(name, _)| !MANAGERS.contains(&name.to_string_lossy().as_ref()));
    all
}

/// Takes away what the image before said of the service manager.
pub fn forget_manager() {
    for name in MANAGERS {
        take_variable(name);
    }
}

/// Takes one variable out of the environment. Text that is not UTF-8 is none of ours.
pub fn take_variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok()?;
    // SAFETY: the process has one thread.
    unsafe { std::env::remove_var(name) };
    Some(value)
}

/// umask 077 and cwd /: what is created is private, and no file system is held busy.
pub fn settle() -> io::Result<()> {
    umask(Mode::from_bits_truncate(0o077));
    Ok(nix::unistd::chdir("/")?)
}

/// Runs `body` with an empty umask, for a mode that is to be exactly what was asked.
pub fn with_empty_umask<T>(body: impl FnOnce() -> T) -> T {
    let old = umask(Mode::empty());
    let result = body();
    umask(old);
    result
}

/// Makes this process the one that orphans of its descendants are re-parented to, so that none escapes it.
pub fn adopt_orphans() {
    let _ = nix::sys::prctl::set_child_subreaper(true);
}

/// True when orphans are re-parented to this process: PID 1 of a pid namespace, or a child subreaper.
pub fn adopts_orphans() -> bool {
    nix::unistd::getpid().as_raw() == 1 || nix::sys::prctl::get_child_subreaper().unwrap_or(false)
}

/// Effective uid and gid.
pub fn identity() -> (u32, u32) {
    (
        nix::unistd::geteuid().as_raw(),
        nix::unistd::getegid().as_raw(),
    )
}
