//! Records that one oxinetd process hands another through a sealed memfd: the load child to the daemon, and an old
//! image to its successor.
//!
//! Invariant: a record names its version first; one of another version is refused whole, never guessed at.

mod order;
mod pack;
pub mod state;
mod table;

use std::io;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::service::Table;

pub use order::{Order, READY, VARIABLE};
pub use pack::{Packer, Unpacker};
pub use state::State;

/// The first line of every record: the version that this binary writes, and the newest that it understands. A text, so
/// that `strings` tells it of any binary. It goes up when an older binary would misunderstand a record, not when a field is
/// added.
const FORMAT: &str = "oxinetd handover 1";

/// The oldest version that is understood.
const OLDEST: u32 = 1;

/// The largest record that is read: a table of 4 MiB files resolves to less.
pub const LIMIT: u64 = 256 << 20;

/// What the load child found.
#[derive(Debug, Serialize, Deserialize)]
pub struct Loaded {
    /// The table; `None` if anything was an error.
    pub table: Option<Table>,
    /// Every problem with its source lines, for a person; empty if there is none.
    pub report: String,
    /// Every problem on a line of its own, for the log.
    pub brief: String,
    /// True if the table in the binary was used because there is no file.
    pub embedded: bool,
}

/// The bytes of a record.
pub fn encode<T: Serialize>(record: &T) -> io::Result<Vec<u8>> {
    let mut bytes = format!("{FORMAT}\n").into_bytes();
    serde_json::to_writer(&mut bytes, record)?;
    Ok(bytes)
}

/// The record in `bytes`.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    let end = bytes
        .iter()
        .take(LONGEST_LINE)
        .position(|byte| *byte == b'\n');
    let (line, record) = end
        .and_then(|end| bytes.split_at_checked(end))
        .ok_or_else(|| invalid("it has no version"))?;
    let newest = version(FORMAT.as_bytes()).unwrap_or(OLDEST);
    match version(line) {
        Some(version) if (OLDEST..=newest).contains(&version) => {}
        Some(version) => {
            return Err(invalid(&format!(
                "it has version {version}, and versions {OLDEST} to {newest} are understood here"
            )));
        }
        None => return Err(invalid("it has no version")),
    }
    Ok(serde_json::from_slice(record)?)
}

/// The state in `bytes`, if it makes sense.
pub fn decode_state(bytes: &[u8]) -> io::Result<State> {
    let state: State = decode(bytes)?;
    state.check()?;
    Ok(state)
}

fn version(line: &[u8]) -> Option<u32> {
    let line = std::str::from_utf8(line).ok()?;
    line.strip_prefix("oxinetd handover ")?.parse().ok()
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the record is not understood: {what}"),
    )
}

const LONGEST_LINE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives() {
        let loaded = Loaded {
            table: None,
            report: "line\n".to_owned(),
            brief: String::new(),
            embedded: true,
        };
        let back: Loaded = decode(&encode(&loaded).unwrap()).unwrap();
        assert_eq!((back.report.as_str(), back.embedded), ("line\n", true));
    }

    #[test]
    fn another_version_is_refused() {
        for (bytes, word) in [
            (&b"oxinetd handover 2\n{}"[..], "version 2"),
            (b"oxinetd handover 0\n{}", "version 0"),
            (b"oxinetd handover\n{}", "no version"),
            (b"junk", "no version"),
        ] {
            let error = decode::<Loaded>(bytes).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
        assert!(decode::<Loaded>(b"oxinetd handover 1\njunk").is_err());
    }
}
