//! `banner`, `banner_success` and `banner_fail`: before the program, and in place of it.

use std::path::Path;

use super::merge::{Record, Word};
use crate::convert::entry::{Entry, literal};
use crate::convert::files::{decode, reason};
use crate::convert::session::Session;

pub(super) fn banners(
    session: &mut Session<'_>,
    entry: &mut Entry,
    record: &Record,
    datagram: bool,
) {
    let [always, success, fail] =
        ["banner", "banner_success", "banner_fail"].map(|a| record.one(a));
    if datagram {
        for word in [always, success, fail].into_iter().flatten() {
            session
                .notes
                .note(&word.place, "a banner on datagrams: left out");
        }
        return;
    }
    match (always, success) {
        (Some(file), None) | (None, Some(file)) => {
            entry.set("banner", format!("@{}", literal(&file.text)));
        }
        (Some(one), Some(two)) => {
            if let (Some(one), Some(two)) = (content(session, one), content(session, two)) {
                entry.set("banner", literal(&format!("{one}{two}")));
            }
        }
        (None, None) => {}
    }
    // The refused saw `banner` as well.
    let refused: Vec<String> = [always, fail]
        .into_iter()
        .flatten()
        .filter_map(|w| content(session, w))
        .collect();
    if !refused.is_empty() {
        entry.set("refuse_message", literal(&refused.concat()));
    }
}

/// A banner's text; why it cannot be had is a note.
fn content(session: &mut Session<'_>, word: &Word) -> Option<String> {
    const LONGEST: usize = 4096;
    let text = match session.files.read(Path::new(&word.text)) {
        Ok(bytes) if bytes.len() > LONGEST => Err("is longer than 4 KiB".to_owned()),
        Ok(bytes) => match (decode(&bytes), String::from_utf8(bytes)) {
            (Ok(_), Ok(text)) => Ok(text),
            _ => Err("is no UTF-8 text".to_owned()),
        },
        Err(error) => Err(format!("cannot be read here ({})", reason(&error))),
    };
    match text {
        Ok(text) => {
            let said = format!("the text of {} was taken over as it is now", word.text);
            session.notes.note(&word.place, said);
            Some(text)
        }
        Err(reason) => {
            let said = format!("{} {reason}: refused clients do not get it", word.text);
            session.notes.note(&word.place, said);
            None
        }
    }
}
