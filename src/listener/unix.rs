//! Unix sockets in the file system: taken over only when stale, right in mode and owner at every instant, and removed
//! at the end only if still ours (reliability F22).
//!
//! The socket is made under a temporary name beside its path, gets its owner and mode there, listens, and is renamed
//! over the path: a client finds the old socket or the whole new one, never something between. An flock on
//! `PATH.lock` keeps two daemons from doing that at once.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg, OFlag};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Uid, fchownat};

use super::bind::BindError;
use crate::handover::{Packer, Unpacker, state};
use crate::service::SocketOptions;
use crate::sys::heirloom::Kind;
use crate::sys::start::with_empty_umask;

/// A path in the file system that is ours: unlinked at the end, if it still is.
#[derive(Debug)]
pub(super) struct OwnPath {
    path: PathBuf,
    lock_path: PathBuf,
    inode: (u64, u64),
    lock: Flock<File>,
}

impl OwnPath {
    pub(super) fn pack(&self, packer: &mut Packer) -> io::Result<state::OwnPath> {
        Ok(state::OwnPath {
            path: self.path.clone(),
            lock_path: self.lock_path.clone(),
            inode: self.inode,
            lock: packer.fd(self.lock.as_fd())?,
        })
    }

    /// The lock belongs to the open file, so it is still held; to lock it again changes nothing.
    pub(super) fn unpack(record: &state::OwnPath, unpacker: &mut Unpacker) -> io::Result<Self> {
        let file = File::from(unpacker.fd(&record.lock, Kind::File)?);
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, errno)| io::Error::from(errno))?;
        Ok(Self {
            path: record.path.clone(),
            lock_path: record.lock_path.clone(),
            inode: record.inode,
            lock,
        })
    }

    /// Takes over the path of a socket that outlived its process: the file must still be this one.
    pub(super) fn adopt(path: &Path, inode: (u64, u64)) -> Result<Self, BindError> {
        let lock_path = with_suffix(path, ".lock");
        let lock = take_lock(&lock_path)?;
        Ok(Self {
            path: path.to_owned(),
            lock_path,
            inode,
            lock,
        })
    }

    /// Gives the file to another group.
    pub(super) fn give_to_group(&self, gid: u32) -> io::Result<()> {
        let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
        let group = Some(Gid::from_raw(gid));
        Ok(fchownat(AT_FDCWD, &self.path, None, group, flags)?)
    }

    /// Device and inode of the file.
    pub(super) fn inode(&self) -> (u64, u64) {
        self.inode
    }
}

/// Device and inode of the socket at `path`.
pub(super) fn inode(path: &Path) -> Option<(u64, u64)> {
    let meta = fs::symlink_metadata(path).ok()?;
    let is_socket = meta.file_type().is_socket();
    is_socket.then(|| (meta.dev(), meta.ino()))
}

impl Drop for OwnPath {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|meta| (meta.dev(), meta.ino()) == self.inode);
        if ours {
            let _ = fs::remove_file(&self.path);
        }
        // Under the lock, which the drop of the field releases afterwards.
        let _ = fs::remove_file(&self.lock_path);
    }
}

/// Binds `fd`, a socket of this kind, to `path` and lets `listen` start it.
pub(super) fn bind_path(
    fd: &OwnedFd,
    path: &Path,
    kind: SockType,
    options: &SocketOptions,
    listen: impl FnOnce() -> Result<(), BindError>,
) -> Result<OwnPath, BindError> {
    let lock_path = with_suffix(path, ".lock");
    let lock = take_lock(&lock_path)?;
    check_free(path, kind)?;
    let temporary = with_suffix(path, &format!(".{}", std::process::id()));
    let inode = match bind_at(fd, &temporary, options).and_then(|inode| listen().map(|()| inode)) {
        Ok(inode) => inode,
        Err(error) => {
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
    };
    if let Err(error) = fs::rename(&temporary, path) {
        let _ = fs::remove_file(&temporary);
        return Err(io_error(&format!("rename to {}", path.display()), &error));
    }
    Ok(OwnPath {
        path: path.to_owned(),
        lock_path,
        inode,
        lock,
    })
}

/// Binds at a temporary name and gives the file its owner and mode. The mode is right from the first instant: it is
/// set on the socket before bind(2) makes the file, which takes it from there under an empty umask. Until the caller
/// listens, nobody can connect, so the owner is right in time too.
fn bind_at(
    fd: &OwnedFd,
    temporary: &Path,
    options: &SocketOptions,
) -> Result<(u64, u64), BindError> {
    let _ = fs::remove_file(temporary);
    let directory = temporary.parent().unwrap_or(Path::new("/"));
    let mode = Mode::from_bits_truncate(options.mode);
    fchmod(fd.as_fd(), mode).map_err(|errno| BindError::call("fchmod", errno))?;
    // The directory by its descriptor: a path of 107 bytes must not become too long by its temporary suffix.
    let handle = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_PATH | OFlag::O_DIRECTORY).bits())
        .open(directory)
        .map_err(|error| directory_error("open", directory, &error))?;
    let name = temporary.file_name().unwrap_or_default();
    let short = Path::new("/proc/self/fd")
        .join(handle.as_raw_fd().to_string())
        .join(name);
    let address = UnixAddr::new(temporary)
        .or_else(|_| UnixAddr::new(&short))
        .map_err(|errno| BindError::call(&format!("the path {}", temporary.display()), errno))?;
    with_empty_umask(|| nix::sys::socket::bind(fd.as_raw_fd(), &address))
        .map_err(|errno| directory_error("bind in", directory, &errno.into()))?;
    if options.owner.is_some() || options.group.is_some() {
        let (owner, group) = (
            options.owner.map(Uid::from_raw),
            options.group.map(Gid::from_raw),
        );
        fchownat(
            AT_FDCWD,
            temporary,
            owner,
            group,
            AtFlags::AT_SYMLINK_NOFOLLOW,
        )
        .map_err(|errno| BindError::call(&format!("chown {}", temporary.display()), errno))?;
    }
    let meta = fs::symlink_metadata(temporary).map_err(|error| io_error("stat", &error))?;
    Ok((meta.dev(), meta.ino()))
}

/// The lock file beside the path. It is opened anew when another daemon removed it between our open and our lock.
fn take_lock(lock_path: &Path) -> Result<Flock<File>, BindError> {
    let directory = lock_path.parent().unwrap_or(Path::new("/"));
    for _ in 0..8 {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
            .open(lock_path)
            .map_err(|error| directory_error("make a socket in", directory, &error))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
            if errno == Errno::EWOULDBLOCK {
                BindError::found(
                    "the path is in use",
                    format!("another daemon holds {}", lock_path.display()),
                )
            } else {
                BindError::call("flock", errno)
            }
        })?;
        let ours = lock.metadata().map(|meta| meta.ino()).ok();
        if ours.is_some() && ours == fs::symlink_metadata(lock_path).map(|meta| meta.ino()).ok() {
            return Ok(lock);
        }
    }
    Err(BindError::found(
        "the lock file keeps changing",
        format!("look who else uses {}", lock_path.display()),
    ))
}

/// The path must be absent, or a socket that nobody has open any more.
fn check_free(path: &Path, kind: SockType) -> Result<(), BindError> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error(&format!("look at {}", path.display()), &error)),
    };
    if !meta.file_type().is_socket() {
        let what = if meta.is_symlink() {
            "a symbolic link"
        } else if meta.is_dir() {
            "a directory"
        } else {
            "a file"
        };
        return Err(BindError::found(
            format!("{} exists and is {what}, not a socket", path.display()),
            "remove it, or choose another path",
        ));
    }
    match try_connect(path, kind) {
        Err(Errno::ECONNREFUSED) => Ok(()),
        // EPROTOTYPE is one too: somebody has it open, as another type of socket.
        _ => Err(BindError::found(
            format!("another program listens on {}", path.display()),
            "`ss -xap` shows it",
        )),
    }
}

/// Connects without waiting: a full queue is somebody's queue too.
fn try_connect(path: &Path, kind: SockType) -> nix::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = nix::sys::socket::socket(AddressFamily::Unix, kind, flags, None)?;
    nix::sys::socket::connect(fd.as_raw_fd(), &UnixAddr::new(path)?)
}

/// An error in a directory, with what is to be done about it.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "io::ErrorKind is an open list"
)]
fn directory_error(what: &str, directory: &Path, error: &io::Error) -> BindError {
    let mut bind = io_error(&format!("{what} {}", directory.display()), error);
    bind.help = match error.kind() {
        io::ErrorKind::NotFound => Some("create the directory".to_owned()),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Some("the daemon must be able to write there".to_owned())
        }
        _ => None,
    };
    bind
}

fn io_error(what: &str, error: &io::Error) -> BindError {
    BindError {
        what: what.to_owned(),
        errno: error.raw_os_error(),
        help: None,
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
