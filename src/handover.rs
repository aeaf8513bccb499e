//! Records that one oxinetd process hands another through a sealed memfd: the load child to the daemon, and an old
//! image to its successor.
//!
//! Invariant: a record names its version first; one of another version is refused whole, never guessed at.

use std::io;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::service::Table;

/// Version of every record that this binary writes and understands.
const VERSION: u32 = 1;

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

#[derive(Serialize)]
struct Outgoing<'a, T> {
    version: u32,
    record: &'a T,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Deserialize)]
struct Incoming<T> {
    record: T,
}

/// The bytes of a record.
pub fn encode<T: Serialize>(record: &T) -> io::Result<Vec<u8>> {
    Ok(serde_json::to_vec(&Outgoing {
        version: VERSION,
        record,
    })?)
}

/// The record in `bytes`.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    let Version { version } = serde_json::from_slice(bytes)?;
    if version != VERSION {
        let text = format!("a record of version {version}, where version {VERSION} is understood");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let Incoming { record } = serde_json::from_slice(bytes)?;
    Ok(record)
}

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
        let error = decode::<Loaded>(br#"{"version":2,"record":{}}"#).unwrap_err();
        assert!(error.to_string().contains("version 2"));
        assert!(decode::<Loaded>(b"junk").is_err());
    }
}
