//! The kernel's word that an interface or an address has come or gone (rtnetlink(7)).
//!
//! Only that something happened is told: what is read is thrown away.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

use super::start;

/// A socket that becomes readable at each change.
#[derive(Debug)]
pub struct Changes(OwnedFd);

impl Changes {
    /// Starts to listen. The descriptor is `floor` or above.
    pub fn open(floor: RawFd) -> io::Result<Self> {
        // RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR of linux/rtnetlink.h.
        const GROUPS: u32 = 0x1 | 0x10 | 0x100;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let protocol = SockProtocol::NetlinkRoute;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        let fd = start::lift(&fd, floor)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
        Ok(Self(fd))
    }

    /// Throws away what has been told. True if anything was, messages that were too many (ENOBUFS) among it.
    pub fn drain(&self) -> bool {
        let mut buffer = [0; 512];
        let mut any = false;
        // As many as the kernel's buffer holds, and not for ever.
        for _ in 0..4096 {
            match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(_) | Err(Errno::ENOBUFS) => any = true,
                Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        any
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
