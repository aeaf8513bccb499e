//! The text that was read, and places in it.
//!
//! Invariant: a place always names a file of the same load; asking for a position outside of the text answers with the
//! text's end, never with a panic. This module knows nothing of TOML.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Number of a file within one load; 0 is the main file.
pub type FileId = u32;

/// A stretch of text in a file.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Place {
    /// The file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Place {
    /// The place of `span` in `file`.
    pub fn new(file: FileId, span: Range<usize>) -> Self {
        Self {
            file,
            start: u32::try_from(span.start).unwrap_or(u32::MAX),
            end: u32::try_from(span.end).unwrap_or(u32::MAX),
        }
    }
}

/// One file of the load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// As the user knows it: its path, `<embedded>`, `<command line>`.
    pub name: String,
    /// Its text; empty when it could not be read.
    pub text: String,
    /// First byte of each line.
    lines: Vec<u32>,
    /// For each line the file and line that it was made of; empty: it is itself.
    made_of: Vec<(String, u32)>,
}

impl SourceFile {
    /// Takes a text in.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let ends = text.bytes().zip(1u32..).filter(|(byte, _)| *byte == b'\n');
        let lines = std::iter::once(0)
            .chain(ends.map(|(_, next)| next))
            .collect();
        Self {
            name: name.into(),
            text,
            lines,
            made_of: Vec::new(),
        }
    }

    /// The same text, whose lines were made of lines of other files.
    #[must_use]
    pub fn made_of(self, made_of: Vec<(String, u32)>) -> Self {
        Self { made_of, ..self }
    }

    /// The file and line that a byte comes from.
    pub fn origin(&self, byte: u32) -> (&str, u32) {
        let (line, _) = self.position(byte);
        match self.made_of.get(line - 1).or(self.made_of.last()) {
            Some((file, line)) => (file, *line),
            None => (&self.name, u32::try_from(line).unwrap_or(u32::MAX)),
        }
    }

    /// Line and column of a byte, both from 1; the column counts characters, as editors do.
    pub fn position(&self, byte: u32) -> (usize, usize) {
        let byte = (byte as usize).min(self.text.len());
        let line = self
            .lines
            .partition_point(|start| *start as usize <= byte)
            .max(1);
        let start = self.line_start(line);
        let before = self.text.as_bytes().get(start..byte).unwrap_or_default();
        let column = before.iter().filter(|byte| (**byte & 0xC0) != 0x80).count();
        (line, column + 1)
    }

    /// The bytes from the start of `line` to the end of `last`, without its newline; lines count from 1.
    pub fn window(&self, line: usize, last: usize) -> Range<usize> {
        let start = self.line_start(line);
        let end = self
            .lines
            .get(last)
            .map_or(self.text.len(), |next| *next as usize - 1);
        start..end.max(start)
    }

    fn line_start(&self, line: usize) -> usize {
        line.checked_sub(1)
            .and_then(|index| self.lines.get(index))
            .map_or(self.text.len(), |start| *start as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::SourceFile;

    #[test]
    fn positions_count_characters_from_one() {
        let file = SourceFile::new("x", "a\nbé = 1\n");
        for (byte, expected) in [
            (0, (1, 1)),
            (1, (1, 2)),
            (2, (2, 1)),
            (6, (2, 4)),
            (99, (3, 1)),
        ] {
            assert_eq!(file.position(byte), expected, "byte {byte}");
        }
        assert_eq!(&file.text[file.window(2, 2)], "bé = 1");
        assert_eq!(file.window(3, 3), 10..10);
    }
}
