//! The service manager's socket (sd_notify(3)): datagrams of `KEY=value` lines, perhaps with a descriptor.
//!
//! Invariant: nothing here waits; a manager whose queue is full answers WouldBlock.
#![expect(
    unsafe_code,
    reason = "clock_gettime(2) of CLOCK_MONOTONIC, as RELOADING=1 wants it"
)]

use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::libc;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sendmsg, socket,
};

/// The way to the manager.
#[derive(Debug)]
pub struct Manager {
    socket: OwnedFd,
    address: UnixAddr,
}

impl Manager {
    /// The manager behind `name`: a path, or `@` and an abstract name.
    pub fn at(name: &OsStr) -> io::Result<Self> {
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => UnixAddr::new_abstract(name)?,
            None => UnixAddr::new(Path::new(name))?,
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        Ok(Self { socket, address })
    }

    /// Moves the descriptor up to `floor` or above, out of the way of launches.
    pub fn above(self, floor: RawFd) -> io::Result<Self> {
        let socket = super::start::lift(&self.socket, floor)?;
        Ok(Self { socket, ..self })
    }

    /// Sends one message.
    pub fn send(&self, message: &str, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let bytes = [IoSlice::new(message.as_bytes())];
        let fds: Vec<RawFd> = fd.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&fds)];
        let rights = if fds.is_empty() { &[] } else { &rights[..] };
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let to = Some(&self.address);
        sendmsg(self.socket.as_raw_fd(), &bytes, rights, flags, to)?;
        Ok(())
    }
}

impl AsRawFd for Manager {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// CLOCK_MONOTONIC in microseconds.
pub fn monotonic_micros() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live value of the type that the kernel fills.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.cast_unsigned() * 1_000_000 + time.tv_nsec.cast_unsigned() / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 100];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn a_manager_is_found_by_path_and_by_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("oxinetd-manager-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        for (listening, name) in [
            (UnixDatagram::bind(&path).unwrap(), path.as_os_str()),
            (
                UnixDatagram::bind_addr(&address).unwrap(),
                OsStr::new(&format!("@{name}")),
            ),
        ] {
            let manager = Manager::at(name).unwrap();
            manager.send("READY=1\n", None).unwrap();
            assert_eq!(received(&listening), "READY=1\n");
            manager
                .send("FDSTORE=1\n", Some(listening.as_fd()))
                .unwrap();
            assert_eq!(received(&listening), "FDSTORE=1\n");
        }
    }

    #[test]
    fn a_full_queue_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let _listening = UnixDatagram::bind(&path).unwrap();
        let manager = Manager::at(path.as_os_str()).unwrap();
        let error = (0..10_000).find_map(|_| manager.send("WATCHDOG=1\n", None).err());
        assert_eq!(error.unwrap().kind(), io::ErrorKind::WouldBlock);
    }
}
