//! Launch slots: what one launch needs until its child has left the daemon's memory.
//!
//! Invariant: a slot is in the pool, or in the hands of one launch; what a child may touch (its record, its orders, its
//! words, its stack) stays where it is until then. The pool grows when all slots are held, so a stuck child costs its
//! slot only. This module knows neither plans nor descriptors.
#![expect(
    unsafe_code,
    reason = "mappings: stacks with a guard page, records in shared memory"
)]

use std::ffi::c_void;
use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;

use nix::libc;

use super::environment::Words;
use super::orders::{Orders, Record};

/// All slots.
#[derive(Debug)]
pub(super) struct Pool {
    records: Mapping,
    idle: Vec<Slot>,
    made: usize,
}

/// What one launch needs.
#[derive(Debug)]
pub(super) struct Slot {
    record: NonNull<Record>,
    stack: Option<Mapping>,
    /// Boxed: the child reads it while the slot may move.
    pub(super) orders: Box<Orders>,
    /// argv, the environment, and other text of this connection.
    pub(super) words: Words,
}

impl Pool {
    /// An empty pool. The records are mapped, 64 bytes each, but only touched pages cost memory.
    pub(super) fn new() -> io::Result<Self> {
        let length = MOST * size_of::<Record>();
        Ok(Self {
            records: Mapping::new(length, libc::MAP_SHARED | libc::MAP_NORESERVE)?,
            idle: Vec::new(),
            made: 0,
        })
    }

    /// True when [`Pool::take`] has a slot.
    pub(super) fn has_room(&self) -> bool {
        !self.idle.is_empty() || self.made < MOST
    }

    /// A slot with a fresh record.
    pub(super) fn take(&mut self) -> io::Result<Slot> {
        let slot = match self.idle.pop() {
            Some(slot) => slot,
            None if self.made < MOST => {
                // SAFETY: `made` is less than the number of records in the mapping; zero is a valid record.
                let record = unsafe { self.records.start.cast::<Record>().add(self.made) };
                self.made += 1;
                Slot {
                    record,
                    stack: None,
                    orders: Box::new(Orders::EMPTY),
                    words: Words::default(),
                }
            }
            None => return Err(io::Error::from_raw_os_error(libc::EAGAIN)),
        };
        let record = slot.record();
        record.stage.store(0, Ordering::Relaxed);
        record.errno.store(0, Ordering::Relaxed);
        record.tid.store(1, Ordering::Release);
        Ok(slot)
    }

    /// Takes a slot back whose child has left (or was never made).
    pub(super) fn give_back(&mut self, mut slot: Slot) {
        if self.idle.len() >= WARM {
            slot.stack = None;
            slot.words = Words::default();
        }
        self.idle.push(slot);
    }

    /// The shared mapping: a child that goes on as a built-in gives it up, so that it cannot touch other launches.
    pub(super) fn shared_memory(&self) -> (*mut c_void, usize) {
        (self.records.start.as_ptr(), self.records.length)
    }
}

impl Slot {
    /// The words that the child shares.
    pub(super) fn record(&self) -> &Record {
        // SAFETY: it lies in the pool's mapping, which lives as long as the daemon; all fields are atomic.
        unsafe { self.record.as_ref() }
    }

    /// The 16-aligned end of the slot's stack, mapped at the first use.
    pub(super) fn stack_top(&mut self) -> io::Result<*mut c_void> {
        let stack = match self.stack.take() {
            Some(stack) => stack,
            None => Mapping::stack()?,
        };
        let stack = self.stack.insert(stack);
        Ok(stack
            .start
            .as_ptr()
            .cast::<u8>()
            .wrapping_add(stack.length)
            .cast())
    }
}

/// Anonymous memory.
#[derive(Debug)]
struct Mapping {
    start: NonNull<c_void>,
    length: usize,
}

impl Mapping {
    fn new(length: usize, flags: i32) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                flags | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        match NonNull::new(start) {
            Some(start) if start.as_ptr() != libc::MAP_FAILED => Ok(Self { start, length }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// A stack whose lowest page is a guard: an overrun kills the child, and nobody else.
    fn stack() -> io::Result<Self> {
        let guard = page();
        let stack = Self::new(guard + STACK, libc::MAP_PRIVATE | libc::MAP_STACK)?;
        // SAFETY: the first page of the mapping just made.
        if unsafe { libc::mprotect(stack.start.as_ptr(), guard, libc::PROT_NONE) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(stack)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no child uses it: slots come back only when their child has left.
        unsafe { libc::munmap(self.start.as_ptr(), self.length) };
    }
}

fn page() -> usize {
    // SAFETY: reads a constant of the system.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(65536)
}

/// Launches in flight at once, of all services; a power of two, 1 MiB of address space.
const MOST: usize = 16384;
/// Idle slots that keep their stack.
const WARM: usize = 64;
/// The child's own frames take a few hundred bytes.
const STACK: usize = 16384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_come_back_and_are_used_again() {
        let mut pool = Pool::new().unwrap();
        let mut slot = pool.take().unwrap();
        let top = slot.stack_top().unwrap();
        assert_eq!(top as usize % 16, 0);
        assert!(!slot.record().left());
        slot.record().tid.store(0, Ordering::Relaxed);
        assert!(slot.record().left());
        slot.record().stage.store(9, Ordering::Relaxed);
        pool.give_back(slot);
        let mut again = pool.take().unwrap();
        assert_eq!(again.stack_top().unwrap(), top);
        assert_eq!(again.record().stage.load(Ordering::Relaxed), 0);
        assert!(!again.record().left());
    }

    #[test]
    fn records_of_different_slots_are_apart() {
        let mut pool = Pool::new().unwrap();
        let slots: Vec<Slot> = (0..1000).map(|_| pool.take().unwrap()).collect();
        slots[999].record().errno.store(7, Ordering::Relaxed);
        assert!(
            slots[..999]
                .iter()
                .all(|slot| slot.record().errno.load(Ordering::Relaxed) == 0)
        );
        assert_eq!(pool.made, 1000);
    }
}
