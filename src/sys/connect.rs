//! Connecting to a server, for a child that may wait.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrLike, UnixAddr, VsockAddr, connect as call,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use crate::service::{Address, UnixName};

/// A stream connection to `address`, blocking and CLOEXEC, or the reason why there is none after `patience` at most.
///
/// TCP connections send small segments at once and probe a silent server, because who passes bytes on must not add to
/// the delay, and must learn of the server's end.
pub fn connect(address: &Address, patience: Duration) -> io::Result<OwnedFd> {
    match address {
        Address::Inet { socket, .. } => {
            let stream = TcpStream::connect_timeout(socket, patience)?;
            stream.set_nodelay(true)?;
            setsockopt(&stream, sockopt::KeepAlive, &true)?;
            Ok(stream.into())
        }
        Address::Unix { name, .. } => {
            let address = match name {
                UnixName::Path(path) => UnixAddr::new(path)?,
                UnixName::Abstract(name) => UnixAddr::new_abstract(name.as_bytes())?,
            };
            connect_within(AddressFamily::Unix, &address, patience)
        }
        Address::Vsock { cid, port } => {
            connect_within(AddressFamily::Vsock, &VsockAddr::new(*cid, *port), patience)
        }
        Address::Inherited { .. } => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// The time to send bounds the time to connect of these families.
fn connect_within(
    family: AddressFamily,
    address: &dyn SockaddrLike,
    patience: Duration,
) -> io::Result<OwnedFd> {
    let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let seconds = i64::try_from(patience.as_secs()).unwrap_or(i64::MAX).max(1);
    setsockopt(&fd, sockopt::SendTimeout, &TimeVal::new(seconds, 0))?;
    call(fd.as_raw_fd(), address)?;
    setsockopt(&fd, sockopt::SendTimeout, &TimeVal::new(0, 0))?;
    Ok(fd)
}
