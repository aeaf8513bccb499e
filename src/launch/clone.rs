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

/// Clones this process onto another stack. Answers the kernel's value: a pid, or a negated errno.
///
/// # Safety
/// `stack_top` is the 16-aligned end of a writable stack that nobody else uses until `*tid` is 0; `pidfd` and `tid`
/// are writable; `entry` may be called with `argument`, touches no thread-local and never returns; every signal is
/// blocked.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn clone_onto(
    flags: usize,
    stack_top: *mut c_void,
    pidfd: *mut i32,
    tid: *mut u32,
    entry: Entry,
    argument: *const c_void,
) -> isize {
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
            inlateout("rax") syscalls::Sysno::clone as usize => answer,
            in("rdi") flags,
            in("rsi") stack_top,
            in("rdx") pidfd,
            in("r10") tid,
            in("r8") 0usize, // no thread-local area of its own: it must not use any
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

/// As above. The order of the last two arguments of clone differs here.
///
/// # Safety
/// As above.
#[cfg(target_arch = "aarch64")]
pub(super) unsafe fn clone_onto(
    flags: usize,
    stack_top: *mut c_void,
    pidfd: *mut i32,
    tid: *mut u32,
    entry: Entry,
    argument: *const c_void,
) -> isize {
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
            in("x8") syscalls::Sysno::clone as usize,
            inlateout("x0") flags as isize => answer,
            in("x1") stack_top,
            in("x2") pidfd,
            in("x3") 0usize, // no thread-local area of its own: it must not use any
            in("x4") tid,
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
pub(super) unsafe fn clone_onto(
    _flags: usize,
    _stack_top: *mut c_void,
    _pidfd: *mut i32,
    _tid: *mut u32,
    _entry: Entry,
    _argument: *const c_void,
) -> isize {
    -(nix::libc::ENOSYS as isize)
}
