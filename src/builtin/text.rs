//! The machine of services that say one text and end.

use super::{Next, Stream};

/// Says its text once.
pub(super) struct Text<T> {
    bytes: T,
    sent: usize,
}

impl<T: AsRef<[u8]>> Text<T> {
    pub(super) fn new(bytes: T) -> Self {
        Self { bytes, sent: 0 }
    }

    fn rest(&self) -> &[u8] {
        self.bytes.as_ref().get(self.sent..).unwrap_or_default()
    }
}

impl<T: AsRef<[u8]>> Stream for Text<T> {
    fn next(&self) -> Next {
        if self.rest().is_empty() {
            Next::Done
        } else {
            Next::Write
        }
    }

    fn on_input(&mut self, _bytes: &mut [u8]) -> usize {
        0
    }

    fn on_end(&mut self) {}

    fn fill(&mut self, room: &mut [u8]) -> usize {
        let length = super::put(room, self.rest());
        self.sent += length;
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_its_text_in_any_pieces_and_ends() {
        for size in 1..30 {
            let mut text = Text::new(b"Thu Jan  1 01:00:00 1970\r\n");
            let mut said = Vec::new();
            while text.next() == Next::Write {
                let mut room = vec![0; size];
                let length = text.fill(&mut room);
                said.extend_from_slice(&room[..length]);
            }
            assert_eq!(text.next(), Next::Done);
            assert_eq!(said, b"Thu Jan  1 01:00:00 1970\r\n");
        }
        assert_eq!(Text::new([]).next(), Next::Done);
    }
}
