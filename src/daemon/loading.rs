//! The load child: it reads, resolves and checks the table, and hands it back through a sealed memfd.
//!
//! A slow directory service stalls it and nobody else, no module of one ever lives in the daemon, and what parsing
//! allocates goes with it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use crate::config::{self, diagnostic::Format};
use crate::handover::{self, Loaded};
use crate::sys::process::{self, Kill};
use crate::sys::world::SystemWorld;
use crate::sys::{memfd, signals, start};

/// Where the table comes from, at the start and at each reload.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file named by the user.
    Named(PathBuf),
    /// `/etc/oxinetd.toml`, or the table in the binary if there is none.
    Default,
    /// A text made of the command line.
    Text {
        /// What messages call it.
        name: String,
        /// TOML.
        text: String,
    },
}

impl Source {
    fn main(&self) -> config::Main<'_> {
        match self {
            Self::Named(path) => config::Main::Named(path),
            Self::Default => config::Main::Default,
            Self::Text { name, text } => config::Main::Text { name, text },
        }
    }

    /// Loads in this process, and words the report.
    fn load(&self, color: bool) -> Loaded {
        let (euid, egid) = start::identity();
        let world = SystemWorld::new();
        let loaded = config::load(&self.main(), &config::Host::new(euid, egid, &world));
        Loaded {
            table: loaded.table,
            report: loaded.report.render(Format::Human { color }),
            brief: loaded.report.render(Format::Short),
            embedded: loaded.embedded,
        }
    }
}

/// A load in progress.
#[derive(Debug)]
pub(super) struct LoadChild {
    pid: i32,
    pidfd: OwnedFd,
    record: OwnedFd,
}

impl LoadChild {
    /// Starts one.
    pub(super) fn start(source: &Source, color: bool) -> io::Result<Self> {
        Self::run("oxinetd-table", || handover::encode(&source.load(color)))
    }

    /// Starts a child that hands back the bytes that `make` makes.
    pub(super) fn run(name: &str, make: impl FnOnce() -> io::Result<Vec<u8>>) -> io::Result<Self> {
        let record = memfd::create(name)?;
        match process::fork()? {
            Some((pid, pidfd)) => Ok(Self { pid, pidfd, record }),
            None => process::exit_now(match Self::work(make, record) {
                Ok(()) => 0,
                Err(_) => 71,
            }),
        }
    }

    /// The child's whole life. It closes the daemon's descriptors first: a client must not wait for a slow load to see
    /// the end of its connection.
    fn work(make: impl FnOnce() -> io::Result<Vec<u8>>, record: OwnedFd) -> io::Result<()> {
        start::close_inherited(&[record.as_raw_fd()])?;
        signals::unblock_all()?;
        memfd::write_and_seal(record, &make()?).map(drop)
    }

    /// Reaps the child, if it has ended, and reads what it found.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        let dead = process::reap(self.pidfd.as_fd())?;
        match dead.map(|dead| dead.end) {
            Some(crate::event::End::Status(0)) => memfd::read_sealed(self.record, handover::LIMIT),
            Some(end) => Err(io::Error::other(format!("the load child ended by {end:?}"))),
            None => Err(io::Error::other("the load child was left")),
        }
    }

    /// Its process id.
    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// Ends it without a result.
    pub(super) fn abandon(self) {
        let _ = process::signal(self.pidfd.as_fd(), Kill::Kill);
        let _ = process::wait_blocking(self.pidfd.as_fd());
    }
}

impl AsFd for LoadChild {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}
