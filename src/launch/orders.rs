//! What a child reads (its orders and steps) and what it writes (its record): the layout on which both sides agree.
//!
//! Invariant: plain words and pointers only, nothing with a destructor. Orders and steps do not change while a child may
//! read them; a record is atomic, because both sides use it at the same time.

use std::ffi::c_char;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

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

/// In [`Record::stage`]: the step in hand failed, the child is exiting.
pub(super) const FAILED: u32 = 1 << 8;
/// In [`Record::stage`]: the set-up is done and the built-in runs.
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
    /// One past the last.
    pub(super) limits_end: *const RawLimit,
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
