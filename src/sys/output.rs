//! Writing to descriptors that somebody else made (stderr), and to files that only grow.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, SFlag, fchmod, fstat};

/// What a descriptor leads to, as far as writing differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file: writing never waits for a reader.
    File,
    /// A socket.
    Socket,
    /// A pipe, a terminal, a device.
    Other,
}

/// The kind of `fd`.
pub fn kind(fd: BorrowedFd<'_>) -> io::Result<Kind> {
    let format = SFlag::from_bits_truncate(fstat(fd)?.st_mode) & SFlag::S_IFMT;
    Ok(if format == SFlag::S_IFREG {
        Kind::File
    } else if format == SFlag::S_IFSOCK {
        Kind::Socket
    } else {
        Kind::Other
    })
}

/// Device and inode of `fd`.
pub fn identity(fd: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    let stat = fstat(fd)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// A second open file description of the pipe or terminal behind `fd`, non-blocking, for writing. `fd` itself, which
/// other processes share, keeps its mode.
///
/// Fails for sockets, without /proc, and where the file belongs to another user.
pub fn reopen_nonblocking(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    Ok(open(path.as_str(), flags, Mode::empty())?)
}

/// True: a write of at most PIPE_BUF (4096) bytes would not wait now.
pub fn is_writable(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::POLLOUT)];
    let ready = poll(&mut fds, PollTimeout::ZERO);
    ready == Ok(1) && fds[0].revents() == Some(PollFlags::POLLOUT)
}

/// Opens a file for appending, for its owner alone; it is made if it is not there. No part of its path is followed if it
/// is a link, and what is no regular file is refused (ENOTSUP).
pub fn append_private(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_WRONLY
        | OFlag::O_CREAT
        | OFlag::O_APPEND
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_NOCTTY
        | OFlag::O_CLOEXEC;
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    let how = OpenHow::new()
        .flags(flags)
        .mode(mode)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    let fd = match openat2(AT_FDCWD, path, how) {
        // A sandbox that does not know the call. Then at least the last part is no link.
        Err(Errno::ENOSYS) => open(path, flags, mode)?,
        result => result?,
    };
    if kind(fd.as_fd())? != Kind::File {
        return Err(Errno::ENOTSUP.into());
    }
    Ok(File::from(fd))
}

/// write(2).
pub fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    Ok(nix::unistd::write(fd, bytes)?)
}

/// Opens a log file for appending. A new one gets mode 0640 whatever the umask; a symbolic link is refused (ELOOP), and a
/// FIFO without a reader (ENXIO): it would wait.
pub fn open_append(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_WRONLY
        | OFlag::O_APPEND
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_NOCTTY
        | OFlag::O_CLOEXEC;
    let new = flags | OFlag::O_CREAT | OFlag::O_EXCL;
    match open(path, new, Mode::S_IRUSR | Mode::S_IWUSR) {
        Ok(fd) => {
            fchmod(fd.as_fd(), Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IRGRP)?;
            Ok(fd)
        }
        Err(Errno::EEXIST) => Ok(open(path, flags, Mode::empty())?),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::{Read, Write};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_log_file_is_made_appended_to_and_never_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        for text in ["a", "b"] {
            fs::File::from(open_append(&path).unwrap())
                .write_all(text.as_bytes())
                .unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "ab");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o640
        );
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let error = open_append(&link).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::ELOOP as i32));
    }

    #[test]
    fn a_full_pipe_is_noticed_and_keeps_its_mode() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        assert_eq!(kind(writer.as_fd()).unwrap(), Kind::Other);
        assert!(is_writable(writer.as_fd()));
        let mut own = fs::File::from(reopen_nonblocking(writer.as_fd()).unwrap());
        while own.write(&[b'x'; 4096]).is_ok() {}
        assert!(!is_writable(writer.as_fd()));
        let flags = nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_GETFL).unwrap();
        assert!(!OFlag::from_bits_truncate(flags).contains(OFlag::O_NONBLOCK));
        reader.read_exact(&mut [0; 4096]).unwrap();
        assert!(is_writable(writer.as_fd()));
        drop(reader);
        assert!(!is_writable(writer.as_fd()), "nobody reads");
    }
}
