//! What only `check` asks of the host: is everything there that the table will need? `run` does not ask, because all of
//! it may change before a connection comes.
//!
//! Invariant: asking changes nothing: nothing is bound, started or written.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::world::Metadata;
use crate::service::Protocol;

/// Bytes of a file that [`Surroundings::look`] reads: headers and the name of an interpreter are within.
pub const HEAD: usize = 4096;

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name on the host: absolute, without links.
    pub path: PathBuf,
    /// Owner, type and permissions.
    pub metadata: Metadata,
    /// The first [`HEAD`] bytes of a regular file; `None`: it cannot be read.
    pub head: Option<Vec<u8>>,
    /// Its file system is mounted `noexec`.
    pub noexec: bool,
}

impl Found {
    /// True for a regular file.
    pub fn is_file(&self) -> bool {
        self.is_of_type(0o100_000)
    }

    /// True for a directory.
    pub fn is_directory(&self) -> bool {
        self.is_of_type(0o040_000)
    }

    /// True for a socket.
    pub fn is_socket(&self) -> bool {
        self.is_of_type(0o140_000)
    }

    fn is_of_type(&self, kind: u32) -> bool {
        self.metadata.mode & 0o170_000 == kind
    }
}

/// A socket that somebody listens on, or that takes datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Its transport.
    pub protocol: Protocol,
    /// Its address.
    pub socket: SocketAddr,
    /// The number by which its holder is found.
    pub inode: u64,
}

/// A process that holds a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// Its program.
    pub name: String,
}

/// What a kernel may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Sockets between virtual machines.
    Vsock,
    /// File system rules that a process sets itself.
    Landlock,
    /// Filters of system calls.
    Seccomp,
    /// User namespaces that an ordinary user may make.
    UserNamespaces,
}

/// The questions.
pub trait Surroundings {
    /// What stands at `path` for a process whose root is `root`: links stay inside.
    fn look(&self, root: &Path, path: &Path) -> io::Result<Found>;
    /// True when an access control list says more about the file than its mode.
    fn has_acl(&self, path: &Path) -> bool;
    /// The TCP sockets that listen and the UDP sockets that are bound.
    fn bound(&self) -> Vec<Bound>;
    /// The inode of the unix socket that listens at this name (`@` first: abstract).
    fn bound_unix(&self, name: &str) -> Option<u64>;
    /// Who holds a socket; `None`: it cannot be seen.
    fn holder(&self, inode: u64) -> Option<Holder>;
    /// The hard limit of open descriptors.
    fn open_files(&self) -> u64;
    /// The effective capabilities, bit n: capability n.
    fn capabilities(&self) -> u64;
    /// Ports below this one take CAP_NET_BIND_SERVICE.
    fn first_free_port(&self) -> u16;
    /// Why the kernel does not offer this.
    fn lacks(&self, feature: Feature) -> Option<String>;
}
