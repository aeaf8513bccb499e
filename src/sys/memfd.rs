//! Sealed anonymous files: how one process hands another a record that can no longer change.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// A new, empty one, CLOEXEC and sealable.
pub fn create(name: &str) -> io::Result<OwnedFd> {
    Ok(memfd_create(
        name,
        MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING,
    )?)
}

/// Writes `bytes` and seals the file against every change.
pub fn write_and_seal(fd: OwnedFd, bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(fd);
    file.write_all(bytes)?;
    let seals = SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_SEAL;
    fcntl(file.as_fd(), FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}

/// Reads the whole file, after a check that it is sealed: its writer cannot change it any more.
pub fn read_sealed(fd: OwnedFd, limit: u64) -> io::Result<Vec<u8>> {
    let seals = fcntl(fd.as_fd(), FcntlArg::F_GET_SEALS)?;
    if !SealFlag::from_bits_retain(seals).contains(SealFlag::F_SEAL_WRITE) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the record is not sealed",
        ));
    }
    let mut file = File::from(fd);
    let size = file.metadata()?.len();
    if size > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "the record is too large",
        ));
    }
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
