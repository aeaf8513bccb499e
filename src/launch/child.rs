//! What a child does between clone and its program: a straight line of raw system calls.
//!
//! Invariant: nothing here reads or writes a thread-local (errno is one), allocates, locks, panics, returns after a
//! failed step, or holds a value with a destructor: the parent runs on in the same memory. The only words that it
//! writes are its own stack, its record and its own text of LISTEN_PID. It knows no service: only [`Orders`].
//! The essay in the parent module says why this is safe.
#![expect(
    unsafe_code,
    reason = "the child that shares memory: raw system calls only"
)]

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::libc;
use syscalls::{Sysno, raw_syscall};

use super::step::Step;

/// The words that parent and child share, in memory that stays shared even when the rest is private.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Record {
    /// Not 0 from before the clone until the kernel says that the child has left this memory (see [`Record::left`]).
    pub(super) tid: AtomicU32,
    /// The step in hand, with [`FAILED`] or [`STARTED`].
    pub(super) stage: AtomicU32,
    /// Why the step failed.
    pub(super) errno: AtomicU32,
}

/// The step in hand failed, the child is exiting.
pub(super) const FAILED: u32 = 1 << 8;
/// The set-up is done and the built-in runs.
pub(super) const STARTED: u32 = 1 << 9;

impl Record {
    /// True when the child needs neither its record nor its slot any more: it has executed its program or is dead.
    pub(super) fn left(&self) -> bool {
        let word = self.tid.load(Ordering::Acquire);
        // Shared memory: cleared (CLONE_CHILD_CLEARTID). Private memory: marked, as a robust futex of a dead owner.
        word == 0 || word & OWNER_DIED != 0
    }
}

/// FUTEX_OWNER_DIED.
const OWNER_DIED: u32 = 0x4000_0000;

/// What every child of a service does the same: points into the memory of the plan, which outlives the launch.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Steps {
    pub(super) path: *const c_char,
    /// Null: the root stays.
    pub(super) root: *const c_char,
    pub(super) directory: *const c_char,
    /// Null: oom_score_adj stays.
    pub(super) oom_text: *const u8,
    pub(super) oom_length: usize,
    pub(super) groups: *const u32,
    pub(super) group_count: usize,
    pub(super) limits: *const RawLimit,
    pub(super) limit_count: usize,
    /// Null: the limit of processes stays.
    pub(super) processes: *const RawLimit,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) umask: u32,
    pub(super) nice: i32,
    /// Bit n - 1: reset signal n.
    pub(super) ignored: u64,
    /// Bit n: drop capability n from the bounding set.
    pub(super) bounding: u64,
    /// Bit n: keep capability n.
    pub(super) capabilities: u64,
    pub(super) set_nice: bool,
    pub(super) set_identity: bool,
    pub(super) set_capabilities: bool,
    pub(super) no_new_privileges: bool,
    /// The connection goes to fd 3, and fds 0 and 1 to /dev/null.
    pub(super) listen_fds: bool,
}

/// A limit as prlimit(2) takes it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct RawLimit {
    pub(super) soft: u64,
    pub(super) hard: u64,
    pub(super) resource: u32,
    pub(super) step: Step,
}

/// What one child does: its own numbers and words.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Orders {
    pub(super) steps: *const Steps,
    pub(super) record: *const Record,
    pub(super) argv: *const *const c_char,
    pub(super) envp: *const *const c_char,
    /// Null: fd 2 comes from `stderr`.
    pub(super) stderr_path: *const c_char,
    /// Null, or room for the decimal digits of the pid and a NUL.
    pub(super) listen_pid: *mut u8,
    /// The low number of the connection.
    pub(super) connection: i32,
    /// The low number for fd 2; -1: it stays what it is.
    pub(super) stderr: i32,
    /// A low number that is /dev/null.
    pub(super) null: i32,
    /// The number after the highest that the child needs.
    pub(super) above: u32,
}

impl Orders {
    /// No orders yet.
    pub(super) const EMPTY: Self = Self {
        steps: ptr::null(),
        record: ptr::null(),
        argv: ptr::null(),
        envp: ptr::null(),
        stderr_path: ptr::null(),
        listen_pid: ptr::null_mut(),
        connection: -1,
        stderr: -1,
        null: -1,
        above: 0,
    };
}

/// Runs one step: tells which, makes the call, and never comes back if it failed.
macro_rules! step {
    ($record:expr, $stage:expr, $($call:tt)+) => {{
        (*$record).stage.store($stage as u32, Ordering::Release);
        let answer = raw_syscall!($($call)+);
        if answer > MAX_ANSWER {
            fail($record, $stage as u32, answer.wrapping_neg() as u32)
        }
        answer
    }};
}

/// Entry of a child that shares memory.
///
/// # Safety
/// As [`set_up`]; the argument is an [`Orders`].
pub(super) unsafe extern "C" fn program(orders: *const c_void) -> ! {
    let orders = orders.cast::<Orders>();
    // SAFETY: handed on.
    unsafe {
        set_up(orders);
        execute(orders)
    }
}

/// Every step before the program, in the order of the design. Comes back only if all of them succeeded.
///
/// # Safety
/// Called in a fresh child, with every signal blocked; `orders` and all it points to stay valid and unchanged until
/// the child has left.
#[expect(
    clippy::too_many_lines,
    reason = "a straight line, to be read from top to bottom"
)]
pub(super) unsafe fn set_up(orders: *const Orders) {
    // SAFETY: the caller promises that the orders, the steps, the record and everything they point to are valid.
    // Every call names only such memory or this stack.
    unsafe {
        let record = (*orders).record;
        let steps = (*orders).steps;

        // Until this call the descriptor table is the daemon's own.
        step!(
            record,
            Step::Descriptors,
            Sysno::close_range,
            (*orders).above,
            u32::MAX,
            libc::CLOSE_RANGE_UNSHARE
        );

        let connection = (*orders).connection;
        let stdin = if (*steps).listen_fds {
            (*orders).null
        } else {
            connection
        };
        step!(record, Step::Stdio, Sysno::dup3, stdin, 0, 0);
        step!(record, Step::Stdio, Sysno::dup3, stdin, 1, 0);
        if (*orders).stderr >= 0 {
            step!(record, Step::Stdio, Sysno::dup3, (*orders).stderr, 2, 0);
        }
        if (*steps).listen_fds {
            step!(record, Step::Stdio, Sysno::dup3, connection, 3, 0);
            step!(
                record,
                Step::CloseOthers,
                Sysno::close_range,
                4,
                u32::MAX,
                0
            );
        } else {
            // Now, not at exec: a stopped child would keep its neighbours' connections open.
            step!(
                record,
                Step::CloseOthers,
                Sysno::close_range,
                3,
                u32::MAX,
                0
            );
        }

        let mut ignored = (*steps).ignored;
        while ignored != 0 {
            let signal = ignored.trailing_zeros() + 1;
            ignored &= ignored - 1;
            // All zero is SIG_DFL without flags.
            let default: [usize; 4] = [0; 4];
            step!(
                record,
                Step::Signals,
                Sysno::rt_sigaction,
                signal,
                default.as_ptr(),
                0,
                8
            );
        }

        step!(record, Step::Session, Sysno::setsid);
        raw_syscall!(Sysno::umask, (*steps).umask); // cannot fail

        let mut index = 0;
        while index < (*steps).limit_count {
            let limit = (*steps).limits.add(index);
            step!(
                record,
                (*limit).step,
                Sysno::prlimit64,
                0,
                (*limit).resource,
                limit,
                0
            );
            index += 1;
        }

        if !(*steps).oom_text.is_null() {
            let path = c"/proc/self/oom_score_adj".as_ptr();
            let file = step!(
                record,
                Step::OomScore,
                Sysno::openat,
                libc::AT_FDCWD,
                path,
                libc::O_WRONLY | libc::O_CLOEXEC,
                0
            );
            step!(
                record,
                Step::OomScore,
                Sysno::write,
                file,
                (*steps).oom_text,
                (*steps).oom_length
            );
            step!(record, Step::OomScore, Sysno::close, file);
        }

        if !(*steps).root.is_null() {
            step!(record, Step::Root, Sysno::chroot, (*steps).root);
            step!(record, Step::Root, Sysno::chdir, c"/".as_ptr());
        }

        // Needs CAP_SETPCAP, so before the user changes.
        let mut bounding = (*steps).bounding;
        while bounding != 0 {
            let capability = bounding.trailing_zeros();
            bounding &= bounding - 1;
            step!(
                record,
                Step::Bounding,
                Sysno::prctl,
                libc::PR_CAPBSET_DROP,
                capability,
                0,
                0,
                0
            );
        }
        if (*steps).capabilities != 0 {
            step!(
                record,
                Step::KeepCapabilities,
                Sysno::prctl,
                libc::PR_SET_KEEPCAPS,
                1,
                0,
                0,
                0
            );
        }
        // Late, because a nice child waits; before the user changes, because less than 0 needs a capability.
        if (*steps).set_nice {
            step!(
                record,
                Step::Nice,
                Sysno::setpriority,
                libc::PRIO_PROCESS,
                0,
                (*steps).nice
            );
        }

        if (*steps).set_identity {
            become_user(record, steps);
        }

        if (*steps).set_capabilities {
            let low = (*steps).capabilities as u32;
            let high = ((*steps).capabilities >> 32) as u32;
            let header: [u32; 2] = [CAPABILITY_VERSION_3, 0];
            // Effective, permitted, inheritable; low words first.
            let data: [u32; 6] = [low, low, low, high, high, high];
            step!(
                record,
                Step::Capabilities,
                Sysno::capset,
                header.as_ptr(),
                data.as_ptr()
            );
            step!(
                record,
                Step::Ambient,
                Sysno::prctl,
                libc::PR_CAP_AMBIENT,
                libc::PR_CAP_AMBIENT_CLEAR_ALL,
                0,
                0,
                0
            );
            let mut kept = (*steps).capabilities;
            while kept != 0 {
                let capability = kept.trailing_zeros();
                kept &= kept - 1;
                step!(
                    record,
                    Step::Ambient,
                    Sysno::prctl,
                    libc::PR_CAP_AMBIENT,
                    libc::PR_CAP_AMBIENT_RAISE,
                    capability,
                    0,
                    0
                );
            }
        }

        if !(*steps).processes.is_null() {
            step!(
                record,
                Step::LimitProcesses,
                Sysno::prlimit64,
                0,
                (*(*steps).processes).resource,
                (*steps).processes,
                0
            );
        }
        if !(*orders).stderr_path.is_null() {
            // The lowest free number is 2 then. A FIFO without a reader holds this child, and its slot until the
            // deadline, but nobody else.
            step!(record, Step::StderrFile, Sysno::close, 2);
            let how: [u64; 3] = [STDERR_FLAGS as u64, 0o666, RESOLVE_NO_SYMLINKS];
            let path = (*orders).stderr_path;
            let at = libc::AT_FDCWD;
            let mut file = raw_syscall!(Sysno::openat2, at, path, how.as_ptr(), 24);
            // Sandboxes that do not know the call answer so: then at least the last part is no link.
            if file == ENOSYS || file == EPERM {
                file = step!(
                    record,
                    Step::StderrFile,
                    Sysno::openat,
                    at,
                    path,
                    STDERR_FLAGS,
                    0o666
                );
            }
            if file > MAX_ANSWER {
                fail(record, Step::StderrFile as u32, file.wrapping_neg() as u32);
            }
            if file != 2 {
                fail(record, Step::StderrFile as u32, libc::EBADF as u32);
            }
        }
        step!(
            record,
            Step::WorkingDirectory,
            Sysno::chdir,
            (*steps).directory
        );
        if (*steps).no_new_privileges {
            step!(
                record,
                Step::NoNewPrivileges,
                Sysno::prctl,
                libc::PR_SET_NO_NEW_PRIVS,
                1,
                0,
                0,
                0
            );
        }
        if !(*orders).listen_pid.is_null() {
            write_decimal((*orders).listen_pid, raw_syscall!(Sysno::getpid));
        }

        let nothing: u64 = 0;
        step!(
            record,
            Step::SignalMask,
            Sysno::rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const nothing,
            0,
            8
        );
    }
}

/// Groups, gid, uid; then makes sure that it is so, and that root cannot come back.
///
/// # Safety
/// As [`set_up`].
unsafe fn become_user(record: *const Record, steps: *const Steps) {
    // SAFETY: as in `set_up`.
    unsafe {
        let (uid, gid) = ((*steps).uid, (*steps).gid);
        step!(
            record,
            Step::Groups,
            Sysno::setgroups,
            (*steps).group_count,
            (*steps).groups
        );
        step!(record, Step::Gid, Sysno::setresgid, gid, gid, gid);
        step!(record, Step::Uid, Sysno::setresuid, uid, uid, uid);

        let (mut real, mut effective, mut saved) = (u32::MAX, u32::MAX, u32::MAX);
        step!(
            record,
            Step::Verify,
            Sysno::getresgid,
            &raw mut real,
            &raw mut effective,
            &raw mut saved
        );
        if real != gid || effective != gid || saved != gid {
            fail(record, Step::Verify as u32, libc::EPERM as u32);
        }
        (real, effective, saved) = (u32::MAX, u32::MAX, u32::MAX);
        step!(
            record,
            Step::Verify,
            Sysno::getresuid,
            &raw mut real,
            &raw mut effective,
            &raw mut saved
        );
        if real != uid || effective != uid || saved != uid {
            fail(record, Step::Verify as u32, libc::EPERM as u32);
        }
        if uid != 0
            && (*steps).capabilities & (1 << CAP_SETUID) == 0
            && raw_syscall!(Sysno::setresuid, 0, 0, 0) <= MAX_ANSWER
        {
            fail(record, Step::Verify as u32, libc::EPERM as u32);
        }
    }
}

/// The last step.
///
/// # Safety
/// As [`set_up`], which has come back.
pub(super) unsafe fn execute(orders: *const Orders) -> ! {
    // SAFETY: as in `set_up`; argv and envp end with a null pointer.
    unsafe {
        let record = (*orders).record;
        let path = (*(*orders).steps).path;
        let answer = step!(
            record,
            Step::Exec,
            Sysno::execve,
            path,
            (*orders).argv,
            (*orders).envp
        );
        fail(record, Step::Exec as u32, answer as u32)
    }
}

/// Tells the parent and exits. The errno first: the parent reads it when it sees the mark.
unsafe fn fail(record: *const Record, stage: u32, errno: u32) -> ! {
    // SAFETY: the record is valid as long as the child has not left.
    unsafe {
        (*record).errno.store(errno, Ordering::Relaxed);
        (*record).stage.store(stage | FAILED, Ordering::Release);
        exit(127)
    }
}

/// Leaves at once: no destructor, no handler, no buffer of the parent's is touched.
pub(super) fn exit(status: u8) -> ! {
    loop {
        // SAFETY: ends this process.
        unsafe {
            raw_syscall!(Sysno::exit_group, status);
        }
    }
}

/// Decimal digits and a NUL. Divides by a constant only: no check that could panic.
///
/// # Safety
/// There is room for 21 bytes.
unsafe fn write_decimal(text: *mut u8, number: usize) {
    let mut length = 1;
    let mut rest = number / 10;
    while rest > 0 {
        length += 1;
        rest /= 10;
    }
    // SAFETY: a usize has at most 20 digits, and the NUL is the 21st byte.
    unsafe {
        let mut place = text.add(length);
        *place = 0;
        rest = number;
        while place != text {
            place = place.sub(1);
            *place = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
}

/// Answers above this are negated error numbers.
const MAX_ANSWER: usize = usize::MAX - 4095;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;
const CAP_SETUID: u32 = 7;
const STDERR_FLAGS: i32 =
    libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_NOCTTY | libc::O_NOFOLLOW;
const RESOLVE_NO_SYMLINKS: u64 = 4;
const ENOSYS: usize = (libc::ENOSYS as usize).wrapping_neg();
const EPERM: usize = (libc::EPERM as usize).wrapping_neg();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_written_with_their_end() {
        for (number, expected) in [
            (0, &b"0\0"[..]),
            (7, b"7\0"),
            (4_194_304, b"4194304\0"),
            (usize::MAX, b"18446744073709551615\0"),
        ] {
            let mut text = [b'x'; 21];
            // SAFETY: 21 bytes.
            unsafe { write_decimal(text.as_mut_ptr(), number) };
            assert!(text.starts_with(expected));
        }
    }
}
