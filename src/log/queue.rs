//! The lines that a sink has not taken yet.
//!
//! Invariant: never more than 256 KiB. When that is full, new lines are counted instead of kept, until the sink has taken
//! everything: so one outage ends in one line with the exact number, at the place where the lines are missing.

use std::collections::VecDeque;

/// Records in order of their arrival, each a run of bytes.
#[derive(Default)]
pub(super) struct Queue {
    bytes: Vec<u8>,
    /// Where the first record (or what is left of it) starts in `bytes`.
    head: usize,
    /// What is left of each record.
    lengths: VecDeque<usize>,
    lost: u64,
}

impl Queue {
    /// Keeps the record that `frame` appends, or counts it as lost.
    pub(super) fn push(&mut self, frame: impl FnOnce(&mut Vec<u8>)) {
        if self.lost > 0 || !self.make_room() {
            self.lost += 1;
            return;
        }
        let before = self.bytes.len();
        frame(&mut self.bytes);
        self.lengths.push_back(self.bytes.len() - before);
    }

    /// Everything, for sinks that take a stream.
    pub(super) fn all(&self) -> &[u8] {
        self.bytes.get(self.head..).unwrap_or_default()
    }

    /// The oldest record, for sinks that take datagrams.
    pub(super) fn first(&self) -> Option<&[u8]> {
        let length = self.lengths.front()?;
        self.bytes.get(self.head..self.head + length)
    }

    /// What is left of each record.
    pub(super) fn all_records(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.all();
        self.lengths.iter().map(move |length| {
            let (record, after) = rest.split_at_checked(*length).unwrap_or((rest, &[]));
            rest = after;
            record
        })
    }

    /// Counts lines that were lost after those that wait.
    pub(super) fn lose(&mut self, lines: u64) {
        self.lost += lines;
    }

    /// The first `count` bytes are gone.
    pub(super) fn consume(&mut self, count: usize) {
        self.head += count;
        let mut count = count;
        while let Some(length) = self.lengths.front_mut() {
            if *length > count {
                *length -= count;
                break;
            }
            count -= *length;
            self.lengths.pop_front();
        }
        if self.lengths.is_empty() {
            self.head = 0;
            self.bytes.clear();
            self.bytes.shrink_to(KEPT);
        }
    }

    /// The oldest record is given up.
    pub(super) fn drop_first(&mut self) {
        if let Some(length) = self.lengths.front().copied() {
            self.consume(length);
            self.lost += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    pub(super) fn records(&self) -> usize {
        self.lengths.len()
    }

    /// Lines lost since the last call, once there is room to tell it.
    pub(super) fn take_lost(&mut self) -> Option<u64> {
        (self.lost > 0 && self.is_empty()).then(|| std::mem::take(&mut self.lost))
    }

    /// Lines lost and not told yet.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    fn make_room(&mut self) -> bool {
        if self.bytes.len() - self.head > LIMIT - RECORD {
            return false;
        }
        if self.bytes.len() > LIMIT - RECORD {
            self.bytes.drain(..self.head);
            self.head = 0;
        }
        // Doubling from a power of two ends at LIMIT exactly.
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(KEPT);
        }
        true
    }
}

const LIMIT: usize = 256 * 1024;

/// More than any record has: 1 KiB of text, escaped once more for JSON, and the names around it.
const RECORD: usize = 8 * 1024;

/// What an idle queue holds on to.
const KEPT: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn push(queue: &mut Queue, text: &[u8]) {
        queue.push(|out| out.extend_from_slice(text));
    }

    #[test]
    fn bytes_leave_in_order_and_in_any_pieces() {
        let mut queue = Queue::default();
        for text in [b"one\n".as_slice(), b"two\n", b"three\n"] {
            push(&mut queue, text);
        }
        assert_eq!(queue.first(), Some(b"one\n".as_slice()));
        queue.consume(2);
        assert_eq!(queue.all(), b"e\ntwo\nthree\n");
        assert_eq!(queue.first(), Some(b"e\n".as_slice()));
        queue.consume(5);
        assert_eq!(queue.first(), Some(b"\nthree\n".get(..1).unwrap()));
        queue.drop_first();
        assert_eq!(queue.records(), 1);
        queue.consume(6);
        assert!(queue.is_empty());
        assert_eq!(queue.take_lost(), Some(1));
        assert_eq!(queue.take_lost(), None);
    }

    #[test]
    fn a_full_queue_counts_until_it_is_empty() {
        let mut queue = Queue::default();
        let line = [b'x'; 1000];
        for _ in 0..1000 {
            push(&mut queue, &line);
        }
        let kept = queue.records();
        assert!((200..=256).contains(&kept), "{kept}");
        assert_eq!(queue.lost(), 1000 - kept as u64);
        assert!(queue.bytes.capacity() <= LIMIT);
        queue.consume(1000);
        push(&mut queue, &line);
        assert_eq!((queue.records(), queue.take_lost()), (kept - 1, None));
        queue.consume((kept - 1) * 1000);
        assert_eq!(queue.take_lost(), Some(1001 - kept as u64));
        assert!(queue.bytes.capacity() <= KEPT);
        push(&mut queue, &line);
        assert_eq!(queue.records(), 1);
    }

    #[test]
    fn a_queue_that_is_never_empty_reuses_its_space() {
        let mut queue = Queue::default();
        push(&mut queue, &[b'x'; 1000]);
        for _ in 0..10_000 {
            push(&mut queue, &[b'x'; 1000]);
            queue.consume(1000);
        }
        assert_eq!((queue.records(), queue.lost()), (1, 0));
        assert!(queue.bytes.capacity() <= LIMIT);
    }
}
