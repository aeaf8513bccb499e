//! The program file of this process, and that of its successor: found, held, executed by descriptor.
//!
//! Executed is the very file that was opened: a package that is unpacked meanwhile cannot slip in another one, and the
//! image that runs can come back when its file has been replaced.
#![expect(
    unsafe_code,
    reason = "execveat(2) has no safe wrapper; descriptors are kept over it by number"
)]

use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::ptr;

use nix::libc;

/// The path by which this process was started, so that a link to the newest version is followed again: the word of the
/// command line, or where PATH has it, or where the file itself lies. To be asked before anything changes cwd or PATH.
pub fn path() -> io::Result<PathBuf> {
    let this = fs::metadata(THIS)?;
    let is_this = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|other| (other.dev(), other.ino()) == (this.dev(), this.ino()))
    };
    let word = std::env::args_os().next().unwrap_or_default();
    let directories = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates: Vec<PathBuf> = Vec::new();
    if word.as_bytes().contains(&b'/') {
        candidates.extend(std::path::absolute(&word));
    } else {
        candidates.extend(
            std::env::split_paths(&directories)
                .filter(|directory| directory.is_absolute())
                .map(|directory| directory.join(&word)),
        );
    }
    match candidates.into_iter().find(is_this) {
        Some(path) => Ok(path),
        None => fs::read_link(THIS),
    }
}

/// A program file that is held open.
#[derive(Debug)]
pub struct Image(OwnedFd);

impl Image {
    /// The file of this process, whatever has become of its name.
    pub fn of_this_process() -> io::Result<Self> {
        let options = libc::O_PATH | libc::O_CLOEXEC;
        let file = File::options()
            .read(true)
            .custom_flags(options)
            .open(THIS)?;
        Ok(Self(file.into()))
    }

    /// The file at `path`. Only a regular file is one.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        Ok(Self(file.into()))
    }

    /// One that this process got over an exec.
    pub fn inherited(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// The number of its descriptor.
    pub fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Another descriptor of the same file.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// The exec, all of it made ready: the words of this process again, its environment, and these variables.
    pub fn prepare(&self, variables: &[(&str, OsString)]) -> io::Result<Exec> {
        let words = std::env::args_os().map(word).collect::<io::Result<_>>()?;
        let mut environment = Vec::new();
        for (name, value) in std::env::vars_os() {
            environment.push(pair(&name, &value)?);
        }
        for (name, value) in variables {
            environment.push(pair(name.as_ref(), value)?);
        }
        Ok(Exec::new(self.number(), words, environment))
    }
}

impl AsFd for Image {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A prepared exec: nothing is left to be allocated, so that it can be made anywhere.
#[derive(Debug)]
pub struct Exec {
    image: RawFd,
    words: Pointers,
    environment: Pointers,
}

impl Exec {
    fn new(image: RawFd, words: Vec<CString>, environment: Vec<CString>) -> Self {
        Self {
            image,
            words: Pointers::to(words),
            environment: Pointers::to(environment),
        }
    }

    /// Makes this process that program. Comes back only if it could not be done. Async-signal-safe.
    pub fn run(&self) -> io::Error {
        // SAFETY: both lists end in a null pointer and point to text that lives as long as they do; the path is a
        // constant.
        unsafe {
            libc::syscall(
                libc::SYS_execveat,
                self.image,
                c"".as_ptr(),
                self.words.list.as_ptr(),
                self.environment.list.as_ptr(),
                libc::AT_EMPTY_PATH,
            );
        }
        io::Error::last_os_error()
    }
}

/// Texts, and the list of pointers to them that the kernel takes.
#[derive(Debug)]
struct Pointers {
    list: Vec<*const libc::c_char>,
    _texts: Vec<CString>,
}

impl Pointers {
    fn to(texts: Vec<CString>) -> Self {
        let list = texts.iter().map(|text| text.as_ptr());
        Self {
            list: list.chain([ptr::null()]).collect(),
            _texts: texts,
        }
    }
}

/// What is wrong with a file that the kernel does not execute, in words.
pub fn describe(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOEXEC) => "it is no program for this machine".to_owned(),
        // The interpreter that the file names is what is not found: the file itself is open.
        Some(libc::ENOENT) => "it is a script, or its dynamic loader is missing".to_owned(),
        Some(libc::EACCES) => "it may not be executed".to_owned(),
        _ => error.to_string(),
    }
}

/// Gives this process the name that tools show, which after an exec by descriptor is a number.
pub fn set_name(path: &Path) {
    let name = path.file_name().unwrap_or(OsStr::new("oxinetd"));
    if let Ok(name) = word(name.to_owned()) {
        let _ = nix::sys::prctl::set_name(&name);
    }
}

fn word(text: OsString) -> io::Result<CString> {
    CString::new(text.into_encoded_bytes()).map_err(io::Error::other)
}

fn pair(name: &OsStr, value: &OsStr) -> io::Result<CString> {
    let mut text = name.to_owned();
    text.push("=");
    text.push(value);
    word(text)
}

const THIS: &str = "/proc/self/exe";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_found_and_held() {
        let found = path().unwrap();
        assert!(found.is_absolute());
        assert_eq!(
            fs::metadata(&found).unwrap().ino(),
            fs::metadata(THIS).unwrap().ino()
        );
        assert!(Image::of_this_process().unwrap().number() > 2);
        assert!(Image::open(Path::new("/dev/null")).is_err());
    }
}
