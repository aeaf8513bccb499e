//! Escaping: how foreign bytes become part of a log line, and back.
//!
//! Invariant: what leaves [`push`] holds no byte below 0x20, no 0x7f, no C1 control, no line or paragraph separator and
//! nothing that turns or hides text on a terminal. Bytes that are no such character's UTF-8 become `\xNN`, characters
//! above U+007F become `\u{…}`, a backslash becomes two, so that [`unescape`] gives back the original.

use std::fmt::{self, Write};

/// Appends `bytes` in escaped form, at most `limit` bytes of it. What does not fit is counted at the end: ` [+17 bytes]`
/// (on top of the limit).
pub fn push(out: &mut String, bytes: &[u8], limit: usize) {
    let end = out.len().saturating_add(limit);
    let mut left = bytes.len();
    for chunk in bytes.utf8_chunks() {
        let mut plain = 0;
        for (at, c) in chunk.valid().char_indices() {
            // Runs of plain text are copied whole: that is nearly every line.
            if is_plain(c) && out.len() + (at + c.len_utf8() - plain) <= end {
                continue;
            }
            push_run(out, chunk.valid(), plain, at, &mut left);
            if is_plain(c) || !push_escaped(out, c, end) {
                return push_rest(out, left);
            }
            left -= c.len_utf8();
            plain = at + c.len_utf8();
        }
        push_run(out, chunk.valid(), plain, chunk.valid().len(), &mut left);
        for byte in chunk.invalid() {
            if out.len() + 4 > end {
                return push_rest(out, left);
            }
            push_hex(out, *byte);
            left -= 1;
        }
    }
}

fn push_run(out: &mut String, text: &str, from: usize, to: usize, left: &mut usize) {
    out.push_str(text.get(from..to).unwrap_or_default());
    *left -= to - from;
}

fn push_rest(out: &mut String, left: usize) {
    push_format(out, format_args!(" [+{left} bytes]"));
}

/// False: it would not fit before `end`.
fn push_escaped(out: &mut String, c: char, end: usize) -> bool {
    let before = out.len();
    match c {
        '\\' => out.push_str("\\\\"),
        '\0'..='\x7f' => push_hex(out, c as u8),
        _ => push_format(out, format_args!("\\u{{{:x}}}", u32::from(c))),
    }
    let fits = out.len() <= end;
    if !fits {
        out.truncate(before);
    }
    fits
}

fn push_hex(out: &mut String, byte: u8) {
    push_format(out, format_args!("\\x{byte:02x}"));
}

/// Writing to a `String` cannot fail.
pub(super) fn push_format(out: &mut String, arguments: fmt::Arguments<'_>) {
    let _ = out.write_fmt(arguments);
}

fn is_plain(c: char) -> bool {
    c != '\\' && !is_dangerous(c)
}

/// Characters that end a line, drive a terminal, or make a reader see something else than what is there.
pub(crate) fn is_dangerous(c: char) -> bool {
    match c {
        ' '..='~' => false,
        '\0'..='\u{9f}' => true,
        _ => matches!(c,
            // Bidirectional marks, embeddings and isolates; line and paragraph separator; deprecated format characters.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
            // Byte order mark, interlinear annotation, tags.
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'),
    }
}

/// The bytes that [`push`] was given, if it had room for all of them.
///
/// `None`: not the output of [`push`].
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        rest = if let Some(after) = after.strip_prefix('\\') {
            bytes.push(b'\\');
            after
        } else if let Some(after) = after.strip_prefix('x') {
            bytes.push(u8::from_str_radix(after.get(..2)?, 16).ok()?);
            after.get(2..)?
        } else {
            let (code, after) = after.strip_prefix("u{")?.split_once('}')?;
            let c = char::from_u32(u32::from_str_radix(code, 16).ok()?)?;
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            after
        };
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(bytes: &[u8], limit: usize) -> String {
        let mut out = String::new();
        push(&mut out, bytes, limit);
        out
    }

    #[test]
    fn foreign_bytes_are_escaped() {
        let cases: &[(&[u8], &str)] = &[
            (b"plain text = \"quoted\"", "plain text = \"quoted\""),
            ("grüße, 世界".as_bytes(), "grüße, 世界"),
            (
                b"a\nFAIL: ssh address from=1.2.3.4",
                "a\\x0aFAIL: ssh address from=1.2.3.4",
            ),
            (b"\x1b[31m\t\x7f\0", "\\x1b[31m\\x09\\x7f\\x00"),
            (b"C:\\x41", "C:\\\\x41"),
            (b"\xff\xc3(", "\\xff\\xc3("),
            ("\u{85}\u{9b}".as_bytes(), "\\u{85}\\u{9b}"),
            (
                "\u{2028}\u{202e}\u{2066}".as_bytes(),
                "\\u{2028}\\u{202e}\\u{2066}",
            ),
        ];
        for (bytes, text) in cases {
            assert_eq!(escaped(bytes, 1024), *text);
        }
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        assert_eq!(escaped(b"abcdef", 6), "abcdef");
        assert_eq!(escaped(b"abcdef", 5), "abcde [+1 bytes]");
        assert_eq!(escaped(b"abc\ndef", 6), "abc [+4 bytes]");
        assert_eq!(escaped("aé".as_bytes(), 2), "a [+2 bytes]");
        assert_eq!(escaped(b"a\xff\xff", 6), "a\\xff [+1 bytes]");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_one_harmless_line_that_parses_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = escaped(&bytes, 1024);
            prop_assert!(!text.chars().any(is_dangerous));
            prop_assert_eq!(unescape(&text), Some(bytes));
        }

        #[test]
        fn any_text_is_one_harmless_line_that_parses_back(input in "\\PC*|[\\x00-\\u{2fff}]{0,100}") {
            let text = escaped(input.as_bytes(), 4096);
            prop_assert!(!text.chars().any(is_dangerous));
            prop_assert_eq!(unescape(&text), Some(input.into_bytes()));
        }

        #[test]
        fn the_limit_holds(bytes in proptest::collection::vec(any::<u8>(), 0..200), limit in 0_usize..100) {
            let text = escaped(&bytes, limit);
            let kept = text.rfind(" [+").unwrap_or(text.len());
            prop_assert!(kept <= limit);
        }
    }
}
