//! The files that a conversion reads: through a trait, so that it is a pure function in tests, and bounded in size,
//! number and time, whatever the files are.
//!
//! Invariant: only regular files are opened (a FIFO would hang the reader), at most [`LARGEST`] bytes each.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Bytes that a file may have; the same as for the table itself.
pub const LARGEST: u64 = 4 << 20;

/// Directory entries that are looked at.
const MOST_ENTRIES: usize = 10_000;

/// Where the input comes from.
pub trait Files {
    /// The content of a regular file, or of `/dev/null`.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The names of the regular files (or links to such) of a directory, in byte order; `NotADirectory` for
    /// everything else.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
}

/// The real file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path == Path::new("/dev/null") {
            return Ok(Vec::new());
        }
        // Looked at before it is opened: opening a FIFO blocks, opening a device may do anything.
        regular(&std::fs::metadata(path)?)?;
        let file = File::open(path)?;
        regular(&file.metadata()?)?;
        let mut bytes = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LARGEST {
            return Err(io::Error::other("larger than 4 MiB"));
        }
        Ok(bytes)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path)?.take(MOST_ENTRIES) {
            let entry = entry?;
            let is_file = std::fs::metadata(entry.path()).is_ok_and(|m| m.is_file());
            if let (true, Ok(name)) = (is_file, entry.file_name().into_string()) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}

fn regular(metadata: &std::fs::Metadata) -> io::Result<()> {
    if metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    if metadata.len() > LARGEST {
        return Err(io::Error::other("larger than 4 MiB"));
    }
    Ok(())
}

/// Files that exist only in memory: for tests, and for command lines given as arguments.
#[derive(Clone, Debug, Default)]
pub struct Memory(BTreeMap<PathBuf, Vec<u8>>);

impl Memory {
    /// With one more file.
    #[must_use]
    pub fn with(mut self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> Self {
        self.0.insert(path.into(), content.into());
        self
    }
}

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let not_found = || io::Error::from(io::ErrorKind::NotFound);
        let bytes = self.0.get(path).ok_or_else(not_found)?;
        if bytes.len() as u64 > LARGEST {
            return Err(io::Error::other("larger than 4 MiB"));
        }
        Ok(bytes.clone())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        if self.0.contains_key(path) {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        }
        let inside = self.0.keys().filter(|p| p.parent() == Some(path));
        let names: Vec<String> = inside
            .filter_map(|p| p.file_name()?.to_str().map(str::to_owned))
            .collect();
        if names.is_empty() {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        Ok(names)
    }
}

/// Why a file cannot be read, without the number.
pub(super) fn reason(error: &io::Error) -> String {
    use io::ErrorKind as Kind;
    let known = [
        (Kind::NotFound, "there is no such file or directory"),
        (Kind::PermissionDenied, "permission denied"),
        (Kind::NotADirectory, "not a directory"),
        (Kind::IsADirectory, "is a directory"),
    ];
    if let Some((_, text)) = known.iter().find(|(kind, _)| *kind == error.kind()) {
        return (*text).to_owned();
    }
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// A file as text.
#[derive(Debug)]
pub(super) struct Text {
    /// Its lines, without their ends.
    pub(super) lines: Vec<String>,
    /// It was not UTF-8 and was read as Latin-1: bytes above 127 will be other bytes in the table.
    pub(super) latin1: bool,
}

/// Bytes to lines: BOM and CRLF go, Latin-1 is read, NUL means that this is no text at all.
pub(super) fn decode(bytes: &[u8]) -> Result<Text, &'static str> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err("is UTF-16, write it as UTF-8");
    }
    if bytes.contains(&0) {
        return Err("holds NUL bytes, so it is not a configuration file");
    }
    let (text, latin1) = match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), false),
        Err(_) => (bytes.iter().map(|b| char::from(*b)).collect(), true),
    };
    // `lines` takes LF and CRLF; a lone CR within a line stays data.
    let lines = text.lines().map(str::to_owned).collect();
    Ok(Text { lines, latin1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decode_takes_what_editors_write() {
        for (bytes, lines, latin1) in [
            (&b"a\nb\n"[..], vec!["a", "b"], false),
            (b"a\r\nb\r\n", vec!["a", "b"], false),
            (b"\xef\xbb\xbfa", vec!["a"], false),
            (b"gr\xfc\xdfe", vec!["grüße"], true),
            (b"", vec![], false),
        ] {
            let text = decode(bytes).unwrap();
            assert_eq!(
                (text.lines, text.latin1),
                (lines.iter().map(ToString::to_string).collect(), latin1)
            );
        }
        assert!(decode(b"a\0b").is_err());
        assert!(decode(b"\xff\xfea\0").is_err());
    }

    #[test]
    fn only_regular_files_of_bounded_size_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let big = dir.path().join("big");
        File::create(&big).unwrap().set_len(100 << 20).unwrap();
        assert_eq!(
            Disk.read(&big).unwrap_err().to_string(),
            "larger than 4 MiB"
        );
        assert_eq!(
            Disk.read(dir.path()).unwrap_err().kind(),
            io::ErrorKind::IsADirectory
        );
        assert!(Disk.read(Path::new("/dev/zero")).is_err());
        assert_eq!(Disk.read(Path::new("/dev/null")).unwrap(), b"");
        // A socket stands for a FIFO here: neither is a regular file, and neither may be opened.
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(
            Disk.read(&socket).unwrap_err().to_string(),
            "not a regular file"
        );
        assert_eq!(Disk.list(dir.path()).unwrap(), ["big"]);
    }
}
