//! RFC 865: a quote of the day, another one for each client, then the end.
//!
//! The quotes come from a file of fortunes, as fortune(6) has them: entries between lines of a single `%`. A child reads
//! it once, at its start.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::random::Random;
use super::text::Text;
use super::{Datagram, Texts};
use crate::sys::errno;

/// The quotes of a file, each as it is sent. A file without one is an error.
pub(super) fn read(file: &Path) -> io::Result<Texts> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes));
    let texts = read.map(|_| quotes(&bytes)).and_then(|texts| {
        let empty = || io::Error::new(io::ErrorKind::InvalidData, "it holds no quote");
        (!texts.is_empty()).then_some(texts).ok_or_else(empty)
    });
    texts.map_err(|error| {
        let why = match error.raw_os_error() {
            Some(errno) => errno::describe(errno).to_string(),
            None => error.to_string(),
        };
        let text = format!("the quotes of {} cannot be read: {why}", file.display());
        io::Error::new(error.kind(), text)
    })
}

/// The machine of a connection that came at this time.
pub(super) fn stream(texts: &Texts, now: SystemTime) -> Text<Arc<[u8]>> {
    Text::new(pick(texts.iter(), now).map_or_else(|| Arc::from([]), Arc::clone))
}

/// For datagrams.
pub(super) struct Answer(pub(super) Texts);

impl Datagram for Answer {
    fn reply(
        &mut self,
        buffer: &mut [u8],
        _length: usize,
        limit: usize,
        now: SystemTime,
    ) -> Option<usize> {
        // Whole quotes only.
        let fit = |text: &&Arc<[u8]>| text.len() <= limit.min(DATAGRAM);
        let quote = pick(self.0.iter().filter(fit), now)?;
        Some(super::put(buffer, quote))
    }
}

fn pick<'a>(
    quotes: impl Iterator<Item = &'a Arc<[u8]>> + Clone,
    now: SystemTime,
) -> Option<&'a Arc<[u8]>> {
    let count = quotes.clone().count();
    let mut quotes = quotes;
    quotes.nth(Random::at(now).below(count))
}

/// The entries of a fortune file, lines ended by CR LF.
fn quotes(file: &[u8]) -> Texts {
    let mut quotes: Vec<Vec<u8>> = vec![Vec::new()];
    for line in file.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii_end();
        if line == b"%" {
            quotes.push(Vec::new());
        } else if let Some(quote) = quotes.last_mut()
            && !(quote.is_empty() && line.is_empty())
        {
            quote.extend_from_slice(line);
            quote.extend_from_slice(b"\r\n");
        }
    }
    let whole = quotes.into_iter().map(|mut quote| {
        quote.truncate(quote.trim_ascii_end().len());
        quote
    });
    whole
        .filter(|quote| !quote.is_empty())
        .map(|quote| [&quote, &b"\r\n"[..]].concat().into())
        .collect()
}

/// More of a file is not read.
const LARGEST: u64 = 16 << 20;

/// The longest reply that the RFC allows: "a limit of 512 characters".
const DATAGRAM: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::{Next, Stream};
    use std::collections::BTreeSet;
    use std::time::Duration;

    fn texts(file: &str) -> Vec<String> {
        let texts = quotes(file.as_bytes());
        let text = |quote: &Arc<[u8]>| String::from_utf8_lossy(quote).into_owned();
        texts.iter().map(text).collect()
    }

    #[test]
    fn entries_stand_between_lines_of_a_percent_sign() {
        let cases = [
            ("", vec![]),
            ("%\n%\n\n%", vec![]),
            ("one", vec!["one\r\n"]),
            (
                "one\n%\ntwo\n  deep\n%\n",
                vec!["one\r\n", "two\r\n  deep\r\n"],
            ),
            (
                "\none\r\n\r\nmore\r\n\r\n%\r\n",
                vec!["one\r\n\r\nmore\r\n"],
            ),
            ("100 %\n%%\n%\nx\n", vec!["100 %\r\n%%\r\n", "x\r\n"]),
        ];
        for (file, expected) in cases {
            assert_eq!(texts(file), expected, "{file:?}");
        }
    }

    #[test]
    fn clients_get_any_of_the_quotes() {
        let quotes = quotes(b"a\n%\nb\n%\nc\n");
        let mut got = BTreeSet::new();
        for nanos in 0..100 {
            let mut machine = stream(
                &quotes,
                SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos),
            );
            let mut room = [0; 10];
            assert_eq!(machine.fill(&mut room), 3);
            assert_eq!(machine.next(), Next::Done);
            got.insert(room[0]);
        }
        assert_eq!(got.into_iter().collect::<Vec<_>>(), b"abc");
    }

    #[test]
    fn a_datagram_holds_a_whole_quote_or_is_not_sent() {
        let long = "x".repeat(600);
        let mut answer = Answer(quotes(format!("{long}\n%\nshort\n").as_bytes()));
        let mut buffer = [0; 2000];
        for nanos in 0..20 {
            let now = SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos);
            assert_eq!(answer.reply(&mut buffer, 0, 2000, now), Some(7));
            assert_eq!(answer.reply(&mut buffer, 7, 7, now), Some(7));
            assert_eq!(answer.reply(&mut buffer, 6, 6, now), None);
        }
        assert!(buffer.starts_with(b"short\r\n"));
    }

    #[test]
    fn a_file_that_is_of_no_use_is_named() {
        let error = read(Path::new("/nowhere/quotes")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/quotes"), "{error}");
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = read(file.path()).unwrap_err().to_string();
        assert!(error.contains("no quote"), "{error}");
        std::fs::write(file.path(), "one\n%\ntwo\n").unwrap();
        assert_eq!(read(file.path()).unwrap().len(), 2);
    }
}
