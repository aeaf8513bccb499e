//! RFC 864: lines of 72 printing characters, each beginning one character later than the line before, until the client
//! has enough. A datagram is answered with the beginning of such lines, at most 512 characters.

use std::time::SystemTime;

use super::{Datagram, Next, Stream};

#[derive(Default)]
pub(super) struct Chargen {
    /// The next line begins with this character of the ring.
    line: usize,
    /// This much of it is already out.
    column: usize,
}

impl Chargen {
    fn write(&mut self, room: &mut [u8]) {
        let mut room = room;
        while !room.is_empty() {
            let whole: &[u8; LINE] = &line(self.line);
            let rest = whole.get(self.column..).unwrap_or_default();
            let length = super::put(room, rest);
            room = room.get_mut(length..).unwrap_or_default();
            self.column += length;
            if self.column == LINE {
                self.column = 0;
                self.line = (self.line + 1) % CHARACTERS;
            }
        }
    }
}

impl Stream for Chargen {
    fn next(&self) -> Next {
        Next::Write
    }

    fn on_input(&mut self, _bytes: &mut [u8]) -> usize {
        0
    }

    /// It talks on: the RFC's connection ends when the client closes it.
    fn on_end(&mut self) {}

    fn fill(&mut self, room: &mut [u8]) -> usize {
        self.write(room);
        room.len()
    }
}

impl Datagram for Chargen {
    fn reply(
        &mut self,
        buffer: &mut [u8],
        _length: usize,
        limit: usize,
        _now: SystemTime,
    ) -> Option<usize> {
        let length = limit.min(DATAGRAM);
        self.column = 0;
        self.write(buffer.get_mut(..length)?);
        Some(length)
    }
}

/// The line that begins with character `first` of the ring.
fn line(first: usize) -> [u8; LINE] {
    std::array::from_fn(|column| match column {
        72 => b'\r',
        73 => b'\n',
        _ => b' ' + ((first + column) % CHARACTERS) as u8,
    })
}

/// Space to tilde.
const CHARACTERS: usize = 95;

/// 72 characters, CR, LF.
const LINE: usize = 74;

/// The longest reply that the RFC allows.
const DATAGRAM: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_is_that_of_the_rfc() {
        let mut chargen = Chargen::default();
        let mut text = vec![0; 96 * LINE];
        assert_eq!(chargen.fill(&mut text), text.len());
        let lines: Vec<&[u8]> = text.chunks(LINE).collect();
        // The first two lines as RFC 864 prints them, and the whole round.
        assert_eq!(
            lines[0],
            b" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg\r\n"
        );
        assert_eq!(
            lines[1],
            b"!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefgh\r\n"
        );
        assert!(lines[94].starts_with(b"~ !\"#"));
        assert_eq!(lines[95], lines[0]);
    }

    #[test]
    fn pieces_join_to_the_same_stream() {
        let mut whole = [0; 5000];
        Chargen::default().fill(&mut whole);
        let mut chargen = Chargen::default();
        let mut joined = Vec::new();
        for size in (1..).take_while(|size| size * (size + 1) / 2 <= 5000) {
            let mut piece = vec![0; size];
            assert_eq!(chargen.next(), Next::Write);
            assert_eq!(chargen.fill(&mut piece), size);
            joined.extend(piece);
        }
        assert_eq!(joined, whole[..joined.len()]);
    }

    #[test]
    fn a_reply_is_whole_lines_up_to_the_limit() {
        let now = SystemTime::UNIX_EPOCH;
        let mut chargen = Chargen::default();
        let mut buffer = [0; 2000];
        assert_eq!(chargen.reply(&mut buffer, 1, 2000, now), Some(512));
        assert!(buffer.starts_with(b" !\"#"));
        assert_eq!(chargen.reply(&mut buffer, 5, 5, now), Some(5));
        assert!(buffer.starts_with(b"&'()*"), "the lines go on rotating");
    }
}
