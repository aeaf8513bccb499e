//! The socket keys of the table as socket options.
//!
//! Invariant: everything is set before bind(2). What an accepted connection is to have is set on the listener, from
//! which Linux copies it: SO_KEEPALIVE and its time, TCP_NODELAY, SO_MARK, IP_TOS, the buffers (tests/it/sockets.rs looks
//! at a connection of each kind). A key that the kernel refuses is an error of the address, never passed over.

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};

use super::bind::BindError;
use crate::service::{Keepalive, SocketOptions};
use crate::sys::socket::set_number;

/// What a socket is, for the choice of options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// TCP or UDP, over IPv6 or IPv4.
    Inet {
        /// AF_INET6.
        v6: bool,
        /// TCP.
        tcp: bool,
    },
    /// Anything else.
    Local,
}

/// Sets the options of the table.
pub(super) fn set(fd: &OwnedFd, kind: Kind, options: &SocketOptions) -> Result<(), BindError> {
    buffers(fd, options)?;
    let Kind::Inet { v6, tcp } = kind else {
        return Ok(());
    };
    if let Some(device) = &options.bind_device {
        setsockopt(fd, sockopt::BindToDevice, &OsString::from(device)).map_err(|errno| {
            let mut error = BindError::call(&format!("bind_device {device}"), errno);
            if errno == Errno::ENODEV {
                error.help = Some("`ip link` lists the interfaces".to_owned());
            } else if errno == Errno::EPERM {
                error.help = Some(needs("CAP_NET_RAW"));
            }
            error
        })?;
    }
    if options.freebind == Some(true) {
        freebind(fd, v6)?;
    }
    if options.transparent {
        let (level, name) = if v6 {
            (libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT)
        } else {
            (libc::IPPROTO_IP, libc::IP_TRANSPARENT)
        };
        privileged(fd, "transparent", level, name, 1)?;
    }
    if options.reuse_port {
        number(fd, "reuse_port", libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    }
    if let Some(dscp) = options.dscp {
        let value = i32::from(dscp) << 2;
        if v6 {
            number(fd, "dscp", libc::IPPROTO_IPV6, libc::IPV6_TCLASS, value)?;
        }
        // On an IPv6 socket too: it holds for the IPv4 clients of a dual-stack one.
        number(fd, "dscp", libc::IPPROTO_IP, libc::IP_TOS, value)?;
    }
    if let Some(mark) = options.mark {
        privileged(
            fd,
            "mark",
            libc::SOL_SOCKET,
            libc::SO_MARK,
            mark.cast_signed(),
        )?;
    }
    if tcp {
        set_tcp(fd, options)?;
    }
    Ok(())
}

fn set_tcp(fd: &OwnedFd, options: &SocketOptions) -> Result<(), BindError> {
    let tcp = libc::IPPROTO_TCP;
    if options.keepalive != Keepalive::Off {
        number(fd, "keepalive", libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    }
    if let Keepalive::After(time) = options.keepalive {
        number(fd, "keepalive", tcp, libc::TCP_KEEPIDLE, seconds(time))?;
    }
    if options.nodelay {
        number(fd, "nodelay", tcp, libc::TCP_NODELAY, 1)?;
    }
    if let Some(time) = options.defer_accept {
        number(
            fd,
            "defer_accept",
            tcp,
            libc::TCP_DEFER_ACCEPT,
            seconds(time),
        )?;
    }
    Ok(())
}

/// `receive_buffer` and `send_buffer`: beyond net.core.rmem_max and wmem_max where the daemon may go there.
pub(super) fn buffers(fd: impl AsFd, options: &SocketOptions) -> Result<(), BindError> {
    for (key, size, force, name) in [
        (
            "receive_buffer",
            options.receive_buffer,
            libc::SO_RCVBUFFORCE,
            libc::SO_RCVBUF,
        ),
        (
            "send_buffer",
            options.send_buffer,
            libc::SO_SNDBUFFORCE,
            libc::SO_SNDBUF,
        ),
    ] {
        let Some(size) = size else { continue };
        // The kernel doubles it for its own use, so half of its range is the most.
        let size = i32::try_from(size).unwrap_or(i32::MAX) / 2 * 2;
        if set_number(fd.as_fd(), libc::SOL_SOCKET, force, size).is_err() {
            number(&fd, key, libc::SOL_SOCKET, name, size)?;
        }
    }
    Ok(())
}

/// Lets the socket be bound to an address that this host does not have yet.
pub(super) fn freebind(fd: &OwnedFd, v6: bool) -> Result<(), BindError> {
    let (level, name) = if v6 {
        (libc::IPPROTO_IPV6, libc::IPV6_FREEBIND)
    } else {
        (libc::IPPROTO_IP, libc::IP_FREEBIND)
    };
    number(fd, "freebind", level, name, 1)
}

/// The kernel counts whole seconds, and 0 would switch it off.
fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs_f64().ceil() as u64)
        .unwrap_or(i32::MAX)
        .max(1)
}

fn number(fd: impl AsFd, key: &str, level: i32, name: i32, value: i32) -> Result<(), BindError> {
    set_number(fd.as_fd(), level, name, value)
        .map_err(|error| BindError::call(key, Errno::from_raw(error.raw_os_error().unwrap_or(0))))
}

fn privileged(fd: &OwnedFd, key: &str, level: i32, name: i32, value: i32) -> Result<(), BindError> {
    number(fd, key, level, name, value).map_err(|mut error| {
        if error.errno == Some(libc::EPERM) {
            error.help = Some(needs("CAP_NET_ADMIN"));
        }
        error
    })
}

fn needs(capability: &str) -> String {
    format!("the daemon needs {capability}, or leave the key out")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_seconds_and_never_zero() {
        for (millis, expected) in [(1, 1), (999, 1), (1000, 1), (1001, 2), (60_000, 60)] {
            assert_eq!(seconds(Duration::from_millis(millis)), expected);
        }
        assert_eq!(seconds(Duration::from_secs(u64::MAX)), i32::MAX);
    }
}
