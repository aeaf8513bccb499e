//! Children with memory of their own: built-ins, plans that would change the daemon's memory map, and every child
//! where the sharing clone is refused.
//!
//! A raw clone with CLONE_FILES, not fork(3): the table is shared until the child copies its low part, so the cost does
//! not grow with the daemon's descriptors. Memory is a copy, so after the set-up a built-in is ordinary Rust.
//!
//! Invariant: the child never comes back to the caller; destructors of the daemon's values never run in it.
#![expect(
    unsafe_code,
    reason = "a raw clone, and what glibc would have done after it"
)]

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::Ordering;

use nix::libc;
use syscalls::{Sysno, raw_syscall};

use super::Body;
use super::behind;
use super::child;
use super::clone::{Arguments, CLONE_INTO_CGROUP};
use super::orders::{Orders, Record, STARTED};
use super::plan::Finish;

/// The shared mapping of all records: start and length.
pub(super) type Shared = (*mut c_void, usize);

/// Where glibc keeps the thread id that it believes in; null when the kernel does not tell.
///
/// The kernel writes the child's own id there, which glibc's fork would have done.
pub(super) fn tid_address() -> *mut u32 {
    let mut address: *mut u32 = ptr::null_mut();
    // SAFETY: writes one pointer to this stack. Without CONFIG_CHECKPOINT_RESTORE it answers EINVAL and writes nothing.
    unsafe { raw_syscall!(Sysno::prctl, PR_GET_TID_ADDRESS, &raw mut address, 0, 0, 0) };
    address
}

/// Forks. Answers the kernel's value in the parent: a pid, or a negated errno.
///
/// # Safety
/// `orders` and what they point to are valid and stay unchanged until the child has left; every signal is blocked;
/// this process has one thread; `tid` is from [`tid_address`].
pub(super) unsafe fn fork(
    orders: &Orders,
    finish: Finish,
    body: Body<'_>,
    shared: Shared,
    pidfd: &mut i32,
    tid: *mut u32,
    cgroup: Option<i32>,
) -> isize {
    let mut flags = libc::CLONE_FILES | libc::CLONE_PIDFD | libc::SIGCHLD;
    if !tid.is_null() {
        flags |= libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID;
    }
    let pidfd = ptr::from_mut(pidfd);
    // SAFETY: memory is copied, the stack too: both sides go on from here, each with its own.
    let answer = unsafe {
        if let Some(cgroup) = cgroup {
            let arguments = Arguments {
                flags: (flags & !libc::SIGCHLD) as u64 | CLONE_INTO_CGROUP,
                pidfd: pidfd as u64,
                child_tid: tid as u64,
                exit_signal: libc::SIGCHLD as u64,
                cgroup: cgroup as u64,
                ..Arguments::default()
            };
            raw_syscall!(Sysno::clone3, &raw const arguments, size_of::<Arguments>())
        } else if TID_IS_FOURTH {
            raw_syscall!(Sysno::clone, flags, 0, pidfd, tid, 0)
        } else {
            raw_syscall!(Sysno::clone, flags, 0, pidfd, 0, tid)
        }
    };
    if answer != 0 {
        return answer.cast_signed();
    }
    // SAFETY: this is the child, and the caller has promised the rest.
    unsafe { live(orders, finish, body, shared) }
}

/// The whole life of the child.
///
/// # Safety
/// As [`fork`], in the child.
unsafe fn live(orders: &Orders, finish: Finish, body: Body<'_>, shared: Shared) -> ! {
    // SAFETY: promised by the caller. The list lies on this stack, which is never left.
    unsafe {
        let record = orders.record;
        let mut list = RobustList::EMPTY;
        mark_leaving(&raw mut list, record);
        child::set_up(orders);
        match finish {
            Finish::Program => child::execute(orders),
            Finish::Behind if !behind::start(orders).unwrap_or(true) => child::exit(127),
            Finish::Behind | Finish::Own => {
                forget_record(record, shared);
                let status = catch_unwind(AssertUnwindSafe(|| body(connection(orders))));
                child::exit(status.unwrap_or(PANICKED))
            }
        }
    }
}

/// The number on which the child has its connection.
///
/// # Safety
/// The orders and their steps are valid.
unsafe fn connection(orders: &Orders) -> i32 {
    // SAFETY: promised by the caller.
    if unsafe { (*orders.steps).listen_fds } {
        3
    } else {
        0
    }
}

/// Has the kernel tell the parent when this child executes its program or dies.
///
/// CLONE_CHILD_CLEARTID does it only where memory is shared. A robust futex that the child owns does it in every case:
/// exec and exit mark it as one whose owner has died. The word is in the shared mapping, the list is not.
///
/// # Safety
/// `list` stays where it is until then.
unsafe fn mark_leaving(list: *mut RobustList, record: *const Record) {
    // SAFETY: as promised; the kernel reads the list when this process executes or exits.
    unsafe {
        let word = (&raw const (*record).tid) as usize;
        let entry = &raw mut (*list).entry;
        *entry = list as usize;
        (*list).first = entry as usize;
        (*list).offset = word.wrapping_sub(entry as usize);
        let tid = raw_syscall!(Sysno::gettid);
        (*record).tid.store(tid as u32, Ordering::Release);
        // Refused only by odd sandboxes: then the parent learns it from the child's death (`settle_dead`).
        raw_syscall!(Sysno::set_robust_list, list, HEAD_LENGTH);
    }
}

/// Tells the parent that the set-up is done, and gives up the memory that is shared with other launches.
///
/// # Safety
/// The record is not used afterwards.
unsafe fn forget_record(record: *const Record, shared: Shared) {
    // SAFETY: the list is unregistered before the word is released, because the parent may then use the record for
    // another child.
    unsafe {
        raw_syscall!(Sysno::set_robust_list, 0, HEAD_LENGTH);
        (*record).stage.store(STARTED, Ordering::Release);
        (*record).tid.store(0, Ordering::Release);
        raw_syscall!(Sysno::munmap, shared.0, shared.1);
    }
}

/// `struct robust_list_head` of the kernel, and its one entry.
#[repr(C)]
struct RobustList {
    first: usize,
    offset: usize,
    pending: usize,
    entry: usize,
}

impl RobustList {
    const EMPTY: Self = Self {
        first: 0,
        offset: 0,
        pending: 0,
        entry: 0,
    };
}

const HEAD_LENGTH: usize = 3 * size_of::<usize>();
const PR_GET_TID_ADDRESS: i32 = 40;
/// clone(2) takes the tid before the thread area on these machines, after it on the others.
const TID_IS_FOURTH: bool = cfg!(any(target_arch = "x86_64", target_arch = "loongarch64"));
/// What Rust exits with after a panic.
const PANICKED: u8 = 101;

#[cfg(not(target_pointer_width = "64"))]
compile_error!(
    "oxinetd needs a 64-bit Linux: the launch path makes raw system calls of 64-bit machines"
);
