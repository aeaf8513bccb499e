//! RFC 863: throws away whatever arrives and answers nothing.

use std::time::SystemTime;

use super::{Datagram, Next, Stream};

#[derive(Default)]
pub(super) struct Discard {
    ended: bool,
}

impl Stream for Discard {
    fn next(&self) -> Next {
        if self.ended { Next::Done } else { Next::Read }
    }

    fn on_input(&mut self, _bytes: &mut [u8]) -> usize {
        0
    }

    fn on_end(&mut self) {
        self.ended = true;
    }

    fn fill(&mut self, _room: &mut [u8]) -> usize {
        0
    }
}

impl Datagram for Discard {
    fn reply(&mut self, _: &mut [u8], _: usize, _: usize, _: SystemTime) -> Option<usize> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_back() {
        let mut discard = Discard::default();
        assert_eq!(discard.next(), Next::Read);
        assert_eq!(discard.on_input(&mut [1; 10]), 0);
        assert_eq!(discard.next(), Next::Read);
        discard.on_end();
        assert_eq!(discard.next(), Next::Done);
        let reply = discard.reply(&mut [1; 10], 10, 10, SystemTime::UNIX_EPOCH);
        assert_eq!(reply, None);
    }
}
