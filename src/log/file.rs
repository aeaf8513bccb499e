//! A log file: appended to, opened anew at every reload (for logrotate).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::lines::{Lines, Prefix};
use super::queue::Queue;
use super::sink::Medium;
use crate::event::Event;
use crate::service::LogFormat;
use crate::sys::output;

pub(super) struct LogFile {
    path: PathBuf,
    file: Option<OwnedFd>,
    lines: Lines,
}

impl LogFile {
    pub(super) fn new(path: &Path, format: LogFormat) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            lines: Lines::new(Prefix::Stamp, format),
        }
    }
}

impl Medium for LogFile {
    fn frame(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        self.lines.push(event, out);
    }

    fn send(&mut self, queue: &mut Queue) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(output::open_append(&self.path)?),
        };
        while !queue.is_empty() {
            match output::write(file.as_fd(), queue.all())? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => queue.consume(written),
            }
        }
        Ok(())
    }
}
