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

use std::ffi::c_void;
use std::sync::atomic::Ordering;

use nix::libc;
use syscalls::{Sysno, raw_syscall};

use super::orders::{FAILED, Orders, Record, Steps};
use super::step::Step;

/// Runs one step: tells which, makes the call, and never comes back if it failed.
macro_rules! step {
    ($child:expr, $step:expr, $call:ident($($argument:expr),*)) => {{
        $child.record.stage.store($step as u32, Ordering::Release);
        let answer = raw_syscall!(Sysno::$call $(, $argument)*);
        if answer > MAX_ANSWER {
            $child.fail($step, answer.wrapping_neg() as u32)
        }
        answer
    }};
}

/// A child at work.
#[derive(Clone, Copy)]
struct Child<'a> {
    record: &'a Record,
    orders: &'a Orders,
    steps: &'a Steps,
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
/// Called in a fresh child, with every signal blocked; `orders` and all it points to are valid and stay unchanged until
/// the child has left.
pub(super) unsafe fn set_up(orders: *const Orders) {
    // SAFETY: the caller's promise is all that the steps ask for.
    unsafe {
        let child = Child::new(orders);
        child.own_descriptors();
        child.default_signals();
        child.session_and_limits();
        child.oom_score();
        child.root();
        child.before_identity();
        if child.steps.set_identity {
            child.identity();
            child.verify();
        }
        child.capabilities();
        child.as_user();
        child.empty_mask();
    }
}

/// The last step.
///
/// # Safety
/// As [`set_up`], which has come back.
pub(super) unsafe fn execute(orders: *const Orders) -> ! {
    // SAFETY: as in `set_up`; argv and envp end with a null pointer.
    unsafe {
        let child = Child::new(orders);
        let (argv, envp) = (child.orders.argv, child.orders.envp);
        let answer = step!(child, Step::Exec, execve(child.steps.path, argv, envp));
        child.fail(Step::Exec, answer as u32)
    }
}

/// Leaves at once: no destructor, no handler, no buffer of the parent's is touched.
pub(super) fn exit(status: u8) -> ! {
    loop {
        // SAFETY: ends this process.
        unsafe { raw_syscall!(Sysno::exit_group, status) };
    }
}

// Every method asks for what `set_up` asks for, and makes system calls over such memory and its own stack.
impl<'a> Child<'a> {
    unsafe fn new(orders: *const Orders) -> Self {
        // SAFETY: valid for as long as the child is.
        unsafe {
            let orders: &'a Orders = &*orders;
            Self {
                record: &*orders.record,
                orders,
                steps: &*orders.steps,
            }
        }
    }

    /// Until the first call has come back the descriptor table is the daemon's own.
    unsafe fn own_descriptors(self) {
        let Orders {
            connection,
            stderr,
            null,
            above,
            ..
        } = *self.orders;
        let stdin = if self.steps.listen_fds {
            null
        } else {
            connection
        };
        // SAFETY: numbers only.
        unsafe {
            let unshare = libc::CLOSE_RANGE_UNSHARE;
            step!(
                self,
                Step::Descriptors,
                close_range(above, u32::MAX, unshare)
            );
            step!(self, Step::Stdio, dup3(stdin, 0, 0));
            step!(self, Step::Stdio, dup3(stdin, 1, 0));
            if stderr >= 0 {
                step!(self, Step::Stdio, dup3(stderr, 2, 0));
            }
            // Now, not at exec: a stopped child would keep its neighbours' connections open.
            if self.steps.listen_fds {
                step!(self, Step::Stdio, dup3(connection, 3, 0));
                step!(self, Step::CloseOthers, close_range(4, u32::MAX, 0));
            } else {
                step!(self, Step::CloseOthers, close_range(3, u32::MAX, 0));
            }
        }
    }

    /// Exec resets handlers, not what is ignored.
    unsafe fn default_signals(self) {
        let mut ignored = self.steps.ignored;
        while ignored != 0 {
            let signal = ignored.trailing_zeros() + 1;
            ignored &= ignored - 1;
            // All zero is SIG_DFL without flags.
            let default: [usize; 4] = [0; 4];
            // SAFETY: reads the kernel's struct sigaction, four words.
            unsafe {
                step!(
                    self,
                    Step::Signals,
                    rt_sigaction(signal, default.as_ptr(), 0, 8)
                )
            };
        }
    }

    unsafe fn session_and_limits(self) {
        // SAFETY: reads the plan's limits.
        unsafe {
            step!(self, Step::Session, setsid());
            raw_syscall!(Sysno::umask, self.steps.umask); // cannot fail
            let mut limit = self.steps.limits;
            while limit != self.steps.limits_end {
                let (step, resource) = ((*limit).step, (*limit).resource);
                step!(self, step, prlimit64(0, resource, limit, 0));
                limit = limit.wrapping_add(1);
            }
        }
    }

    /// Only in memory of its own: the value belongs to the memory.
    unsafe fn oom_score(self) {
        let (text, length) = (self.steps.oom_text, self.steps.oom_length);
        if text.is_null() {
            return;
        }
        let path = c"/proc/self/oom_score_adj".as_ptr();
        let flags = libc::O_WRONLY | libc::O_CLOEXEC;
        // SAFETY: reads the path and the plan's text.
        unsafe {
            let file = step!(self, Step::OomScore, openat(libc::AT_FDCWD, path, flags, 0));
            step!(self, Step::OomScore, write(file, text, length));
            step!(self, Step::OomScore, close(file));
        }
    }

    unsafe fn root(self) {
        if !self.steps.root.is_null() {
            // SAFETY: reads the paths.
            unsafe {
                step!(self, Step::Root, chroot(self.steps.root));
                step!(self, Step::Root, chdir(c"/".as_ptr()));
            }
        }
    }

    /// What needs privileges, but belongs late.
    unsafe fn before_identity(self) {
        // SAFETY: numbers only.
        unsafe {
            let mut bounding = self.steps.bounding;
            while bounding != 0 {
                let capability = bounding.trailing_zeros();
                bounding &= bounding - 1;
                step!(
                    self,
                    Step::Bounding,
                    prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0)
                );
            }
            if self.steps.capabilities != 0 {
                step!(
                    self,
                    Step::KeepCapabilities,
                    prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0)
                );
            }
            // Late, because a nice child waits; not later, because a value below 0 needs a capability.
            if self.steps.set_nice {
                step!(
                    self,
                    Step::Nice,
                    setpriority(libc::PRIO_PROCESS, 0, self.steps.nice)
                );
            }
        }
    }

    /// Groups before gid before uid: each needs what the next one takes away.
    unsafe fn identity(self) {
        let Steps {
            uid,
            gid,
            groups,
            group_count,
            ..
        } = *self.steps;
        // SAFETY: reads the plan's groups.
        unsafe {
            step!(self, Step::Groups, setgroups(group_count, groups));
            step!(self, Step::Gid, setresgid(gid, gid, gid));
            step!(self, Step::Uid, setresuid(uid, uid, uid));
        }
    }

    /// Makes sure that it is so, and that root cannot come back.
    unsafe fn verify(self) {
        let Steps {
            uid,
            gid,
            capabilities,
            ..
        } = *self.steps;
        let (mut real, mut effective, mut saved) = (u32::MAX, u32::MAX, u32::MAX);
        let (r, e, s) = (&raw mut real, &raw mut effective, &raw mut saved);
        // SAFETY: writes the three words.
        unsafe {
            step!(self, Step::Verify, getresgid(r, e, s));
            if *r != gid || *e != gid || *s != gid {
                self.fail(Step::Verify, libc::EPERM as u32);
            }
            step!(self, Step::Verify, getresuid(r, e, s));
            if *r != uid || *e != uid || *s != uid {
                self.fail(Step::Verify, libc::EPERM as u32);
            }
            let harmless = uid != 0 && capabilities & (1 << CAP_SETUID) == 0;
            if harmless && raw_syscall!(Sysno::setresuid, 0, 0, 0) <= MAX_ANSWER {
                self.fail(Step::Verify, libc::EPERM as u32);
            }
        }
    }

    unsafe fn capabilities(self) {
        if !self.steps.set_capabilities {
            return;
        }
        let low = self.steps.capabilities as u32;
        let high = (self.steps.capabilities >> 32) as u32;
        let header: [u32; 2] = [CAPABILITY_VERSION_3, 0];
        // Effective, permitted, inheritable; low words first.
        let sets: [u32; 6] = [low, low, low, high, high, high];
        // SAFETY: reads the two arrays.
        unsafe {
            step!(
                self,
                Step::Capabilities,
                capset(header.as_ptr(), sets.as_ptr())
            );
            let (clear, raise) = (libc::PR_CAP_AMBIENT_CLEAR_ALL, libc::PR_CAP_AMBIENT_RAISE);
            step!(
                self,
                Step::Ambient,
                prctl(libc::PR_CAP_AMBIENT, clear, 0, 0, 0)
            );
            let mut kept = self.steps.capabilities;
            while kept != 0 {
                let capability = kept.trailing_zeros();
                kept &= kept - 1;
                step!(
                    self,
                    Step::Ambient,
                    prctl(libc::PR_CAP_AMBIENT, raise, capability, 0, 0)
                );
            }
        }
    }

    /// What is to happen with the rights of the user, and counts for him.
    unsafe fn as_user(self) {
        let (processes, path) = (self.steps.processes, self.orders.stderr_path);
        // SAFETY: reads the plan's limit and paths.
        unsafe {
            if !processes.is_null() {
                let resource = (*processes).resource;
                step!(
                    self,
                    Step::LimitProcesses,
                    prlimit64(0, resource, processes, 0)
                );
            }
            if !path.is_null() {
                // The lowest free number is 2 then. A FIFO without a reader holds this child, but nobody else.
                let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_NOCTTY;
                step!(self, Step::StderrFile, close(2));
                let file = step!(
                    self,
                    Step::StderrFile,
                    openat(libc::AT_FDCWD, path, flags, 0o666)
                );
                if file != 2 {
                    self.fail(Step::StderrFile, libc::EBADF as u32);
                }
            }
            step!(self, Step::WorkingDirectory, chdir(self.steps.directory));
            if self.steps.no_new_privileges {
                let call = libc::PR_SET_NO_NEW_PRIVS;
                step!(self, Step::NoNewPrivileges, prctl(call, 1, 0, 0, 0));
            }
            if !self.orders.listen_pid.is_null() {
                write_decimal(self.orders.listen_pid, raw_syscall!(Sysno::getpid));
            }
        }
    }

    /// Signals that came meanwhile take effect here.
    unsafe fn empty_mask(self) {
        let nothing: u64 = 0;
        let set = &raw const nothing;
        // SAFETY: reads eight bytes.
        unsafe {
            step!(
                self,
                Step::SignalMask,
                rt_sigprocmask(libc::SIG_SETMASK, set, 0, 8)
            )
        };
    }

    /// Tells the parent and exits. The errno first: the parent reads it when it sees the mark.
    fn fail(self, step: Step, errno: u32) -> ! {
        self.record.errno.store(errno, Ordering::Relaxed);
        self.record
            .stage
            .store(step as u32 | FAILED, Ordering::Release);
        exit(127)
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
