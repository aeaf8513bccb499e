//! Entry onto a new stack: a child that shares memory with its parent and runs on beside it.
//!
//! Invariant: the parent's registers and stack are untouched by the child; the child starts with an aligned stack, no
//! frame above it, and never comes back. This module knows nothing of plans or slots.
#![expect(unsafe_code, reason = "clone onto a stack is assembly")]

use std::ffi::c_void;

/// What the child runs.
pub(super) type Entry = unsafe extern "C" fn(*const c_void) -> !;

/// True where this file knows the machine; elsewhere every child gets memory of its own.
pub(super) const SUPPORTED: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

/// Makes a clone-like call that gives the child another stack. Answers the kernel's value: a pid, or a negated errno.
///
/// # Safety
/// `call` with `arguments` is clone or clone3, and gives the child a 16-aligned writable stack that nobody else uses until
/// the child has left; what else it points to is writable; `entry` may be called with `argument`, touches no
/// thread-local and never returns; every signal is blocked.
#[cfg(target_arch = "x86_64")]
unsafe fn enter(
    call: syscalls::Sysno,
    arguments: [usize; 5],
    entry: Entry,
    argument: *const c_void,
) -> isize {
    let [first, second, third, fourth, fifth] = arguments;
    let answer: isize;
    // SAFETY: the parent falls through with only rax, rcx and r11 changed. The child sees 0, has its own stack, and
    // calls `entry`, which does not return.
    unsafe {
        core::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp", // the end of the frames, for unwinders
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") call as usize => answer,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            in("r10") fourth,
            in("r8") fifth,
            in("r12") argument,
            in("r13") entry,
            // `out`, not `lateout`: the call destroys them before the inputs are all used.
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    answer
}

/// As above.
///
/// # Safety
/// As above.
#[cfg(target_arch = "aarch64")]
unsafe fn enter(
    call: syscalls::Sysno,
    arguments: [usize; 5],
    entry: Entry,
    argument: *const c_void,
) -> isize {
    let [first, second, third, fourth, fifth] = arguments;
    let answer: isize;
    // SAFETY: the kernel keeps every register but x0. The child sees 0, has its own stack, and calls `entry`, which
    // does not return.
    unsafe {
        core::arch::asm!(
            "svc #0",
            "cbnz x0, 2f",
            "mov x29, xzr", // the end of the frames, for unwinders
            "mov x30, xzr",
            "mov x0, x10",
            "blr x9",
            "brk #1",
            "2:",
            in("x8") call as usize,
            inlateout("x0") first as isize => answer,
            in("x1") second,
            in("x2") third,
            in("x3") fourth,
            in("x4") fifth,
            in("x9") entry,
            in("x10") argument,
            options(nostack),
        );
    }
    answer
}

/// Not known here.
///
/// # Safety
/// None needed: it only answers ENOSYS.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn enter(
    _call: syscalls::Sysno,
    _arguments: [usize; 5],
    _entry: Entry,
    _argument: *const c_void,
) -> isize {
    -(nix::libc::ENOSYS as isize)
}

/// Clones this process onto another stack. Answers the kernel's value: a pid, or a negated errno. No thread-local area
/// is given to the child: it must not use any.
///
/// # Safety
/// `stack_top` is the 16-aligned end of a writable stack that nobody else uses until `*tid` is 0; `pidfd` and `tid`
/// are writable; `entry` may be called with `argument`, touches no thread-local and never returns; every signal is
/// blocked.
pub(super) unsafe fn clone_onto(
    flags: usize,
    stack_top: *mut c_void,
    pidfd: *mut i32,
    tid: *mut u32,
    entry: Entry,
    argument: *const c_void,
) -> isize {
    // The order of the last two differs: x86_64 takes the tid before the thread-local area.
    let (fourth, fifth) = if cfg!(target_arch = "x86_64") {
        (tid as usize, 0)
    } else {
        (0, tid as usize)
    };
    let arguments = [flags, stack_top as usize, pidfd as usize, fourth, fifth];
    // SAFETY: promised by the caller.
    unsafe { enter(syscalls::Sysno::clone, arguments, entry, argument) }
}

/// `struct clone_args` (clone3(2), 5.7).
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct Arguments {
    pub(super) flags: u64,
    pub(super) pidfd: u64,
    pub(super) child_tid: u64,
    pub(super) parent_tid: u64,
    pub(super) exit_signal: u64,
    /// The lowest byte, where clone takes the end.
    pub(super) stack: u64,
    pub(super) stack_size: u64,
    pub(super) tls: u64,
    pub(super) set_tid: u64,
    pub(super) set_tid_size: u64,
    pub(super) cgroup: u64,
}

/// The same by clone3.
///
/// # Safety
/// As [`clone_onto`], for what the arguments name.
pub(super) unsafe fn clone3_onto(
    arguments: &Arguments,
    entry: Entry,
    argument: *const c_void,
) -> isize {
    let arguments = [
        std::ptr::from_ref(arguments) as usize,
        size_of::<Arguments>(),
        0,
        0,
        0,
    ];
    // SAFETY: promised by the caller.
    unsafe { enter(syscalls::Sysno::clone3, arguments, entry, argument) }
}

/// The child is born into a control group (5.7).
pub(super) const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
