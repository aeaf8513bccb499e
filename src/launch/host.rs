//! What the daemon found when it started: the part of its own state that children get back.
//!
//! Invariant: taken once, before the daemon changes anything of itself (limits, dispositions, signal mask).
//! This module knows no service.
#![expect(unsafe_code, reason = "getpriority has no safe wrapper")]

use std::ffi::OsString;
use std::io;

use nix::sys::resource::{Resource, getrlimit};
use syscalls::{Sysno, raw_syscall};

/// The surroundings of the daemon at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Soft RLIMIT_NOFILE: the daemon raises its own, children get this one back.
    pub soft_open_files: u64,
    /// Hard RLIMIT_NOFILE.
    pub hard_open_files: u64,
    /// For `pass_env`.
    pub environment: Vec<(OsString, OsString)>,
    /// Bit n - 1: signal n was ignored. Children reset them; exec would pass them on.
    pub ignored_signals: u64,
    /// oom_score_adj, -1000 to 1000.
    pub oom_score_adj: i32,
    /// Nice value, -20 to 19.
    pub nice: i32,
    /// No child may share the daemon's memory: `fs.suid_dumpable` is 1, so that the kernel would open the shared
    /// memory to the service's user at the change of the user id.
    pub private_always: bool,
    /// The daemon may change identities: it is root, or has CAP_SETUID.
    pub privileged: bool,
    /// The capability bounding set, bit n: capability n. To be read again when the daemon has dropped some.
    pub bounding: u64,
}

impl Host {
    /// Looks around.
    pub fn found() -> io::Result<Self> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let privileged =
            nix::unistd::geteuid().is_root() || mask(&status, "CapEff:") & (1 << CAP_SETUID) != 0;
        Ok(Self {
            soft_open_files: soft,
            hard_open_files: hard,
            environment: std::env::vars_os().collect(),
            ignored_signals: mask(&status, "SigIgn:"),
            oom_score_adj: number("/proc/self/oom_score_adj").unwrap_or(0),
            nice: nice(),
            // 2 is safe: tracing asks for exactly 1. Unknown (no /proc) is taken for the worst.
            private_always: privileged
                && number("/proc/sys/fs/suid_dumpable").is_none_or(|value| value == 1),
            privileged,
            bounding: mask(&status, "CapBnd:"),
        })
    }
}

fn number(path: &str) -> Option<i32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// A hexadecimal mask out of /proc/self/status; 0 when it is not there.
fn mask(status: &str, name: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|value| u64::from_str_radix(value.trim(), 16).ok())
        .unwrap_or(0)
}

fn nice() -> i32 {
    // SAFETY: reads one number of this process. The kernel answers 20 - nice, so that no answer looks like an error.
    let answer = unsafe { raw_syscall!(Sysno::getpriority, 0, 0) };
    i32::try_from(answer).map_or(0, |answer| 20 - answer)
}

const CAP_SETUID: u32 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_read_from_status() {
        let status = "Name:\tx\nSigIgn:\t0000000000001000\nCapBnd:\t000001ffffffffff\n";
        assert_eq!(mask(status, "SigIgn:"), 1 << 12);
        assert_eq!(mask(status, "CapBnd:"), 0x1ff_ffff_ffff);
        assert_eq!(mask(status, "CapEff:"), 0);
        assert_eq!(mask("SigIgn:\tzz\n", "SigIgn:"), 0);
    }

    #[test]
    fn this_process_is_found() {
        let host = Host::found().unwrap();
        assert!(host.soft_open_files <= host.hard_open_files);
        assert!((-20..=19).contains(&host.nice));
        // Rust's runtime ignores SIGPIPE, signal 13.
        assert_ne!(host.ignored_signals & (1 << 12), 0);
    }
}
