//! RFC 862: sends back whatever arrives, to the last byte of a client that has finished sending.

use std::time::SystemTime;

use super::{Datagram, Next, Stream};

#[derive(Default)]
pub(super) struct Echo {
    ended: bool,
}

impl Stream for Echo {
    fn next(&self) -> Next {
        if self.ended { Next::Done } else { Next::Read }
    }

    fn on_input(&mut self, bytes: &mut [u8]) -> usize {
        bytes.len()
    }

    fn on_end(&mut self) {
        self.ended = true;
    }

    fn fill(&mut self, _room: &mut [u8]) -> usize {
        0
    }
}

impl Datagram for Echo {
    fn reply(
        &mut self,
        _buffer: &mut [u8],
        length: usize,
        limit: usize,
        _now: SystemTime,
    ) -> Option<usize> {
        (length <= limit).then_some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_output_is_the_input_whatever_the_chunks(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..20)
        ) {
            let mut echo = Echo::default();
            let mut output = Vec::new();
            for chunk in &chunks {
                prop_assert_eq!(echo.next(), Next::Read);
                let mut buffer = chunk.clone();
                let length = echo.on_input(&mut buffer);
                output.extend_from_slice(&buffer[..length]);
            }
            echo.on_end();
            prop_assert_eq!(echo.next(), Next::Done);
            prop_assert_eq!(output, chunks.concat());
        }
    }

    #[test]
    fn a_datagram_comes_back_as_it_is() {
        let mut buffer = *b"hello, rest";
        let now = SystemTime::UNIX_EPOCH;
        let mut echo = Echo::default();
        assert_eq!(echo.reply(&mut buffer, 5, 5, now), Some(5));
        assert_eq!(echo.reply(&mut buffer, 0, 0, now), Some(0));
        assert_eq!(echo.reply(&mut buffer, 5, 4, now), None);
        assert_eq!(&buffer, b"hello, rest");
    }
}
