//! What resolving a table asks the host: accounts, names, files.
//!
//! Invariant: `config` reaches the host through [`World`] alone, so that every rule is tested without it. The real one
//! is `sys::world`.

use std::ffi::OsString;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::surroundings::Surroundings;
use crate::service::Cgroup;

/// An entry of the user database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

/// Owner and permissions of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Type and permissions, as st_mode.
    pub mode: u32,
}

/// What opening a file of the configuration found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// A regular file, read to the limit.
    Regular {
        /// At most one byte more than the limit.
        bytes: Vec<u8>,
        /// Of the open descriptor.
        metadata: Metadata,
        /// The name of the open descriptor's file: absolute, without links.
        path: PathBuf,
    },
    /// `/dev/null`: the file is masked.
    Null,
    /// A directory, a FIFO, another device.
    Other,
}

/// The questions.
pub trait World {
    /// The user of this name.
    fn user(&self, name: &str) -> io::Result<Option<Account>>;
    /// The user of this id.
    fn user_by_id(&self, uid: u32) -> io::Result<Option<Account>>;
    /// The id of the group of this name.
    fn group(&self, name: &str) -> io::Result<Option<u32>>;
    /// All groups of a user, `gid` among them.
    fn groups_of(&self, name: &str, gid: u32) -> io::Result<Vec<u32>>;
    /// Names for suggestions.
    fn user_names(&self) -> Vec<String>;
    /// Names for suggestions.
    fn group_names(&self) -> Vec<String>;
    /// The port of a name in /etc/services.
    fn port(&self, name: &str, datagram: bool) -> Option<u16>;
    /// The addresses of a host name.
    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
    /// The index of a network interface.
    fn interface_index(&self, name: &str) -> Option<u32>;
    /// True when the host knows the time zone.
    fn has_timezone(&self, name: &str) -> bool;
    /// True when IPv4 sockets can be made.
    fn has_ipv4(&self) -> bool;
    /// True when IPv6 sockets can be made.
    fn has_ipv6(&self) -> bool;
    /// Opens a file without ever blocking and reads at most `limit` + 1 bytes of it.
    fn read(&self, path: &Path, limit: usize) -> io::Result<Opened>;
    /// The names in a directory.
    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>>;
    /// Owner and permissions, of a link itself.
    fn metadata(&self, path: &Path) -> io::Result<Metadata>;
    /// `XDG_RUNTIME_DIR`.
    fn runtime_dir(&self) -> Option<PathBuf>;
    /// Why control groups cannot be limited so on this host, and what to do.
    fn cgroup_problem(&self, _limits: &Cgroup) -> Option<String> {
        None
    }
    /// True for a regular file with an execute permission, through links.
    fn is_executable(&self, path: &Path) -> bool;
}

/// The daemon that the table is for, and its host.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    /// Effective user id of the daemon.
    pub euid: u32,
    /// Effective group id of the daemon.
    pub egid: u32,
    /// The host.
    pub world: &'a dyn World,
    /// Its surroundings, for `check`, which looks whether everything is there.
    pub surroundings: Option<&'a dyn Surroundings>,
    /// What is written is kept with its places, for [`super::explain`].
    pub explains: bool,
}

impl<'a> Host<'a> {
    /// A daemon with these ids on this host.
    pub fn new(user: u32, group: u32, world: &'a dyn World) -> Self {
        Self {
            euid: user,
            egid: group,
            world,
            surroundings: None,
            explains: false,
        }
    }

    /// The same for `check`.
    #[must_use]
    pub fn looking_at(self, surroundings: &'a dyn Surroundings) -> Self {
        Self {
            surroundings: Some(surroundings),
            ..self
        }
    }

    /// True when the daemon may take other accounts.
    pub fn is_root(&self) -> bool {
        self.euid == 0
    }
}
