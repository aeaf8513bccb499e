//! Sockets: what the listener, the connection and the load child need of the kernel.
#![expect(
    unsafe_code,
    reason = "accept4(2) and getsockname(2) fill addresses of several families"
)]

use std::ffi::OsStr;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::libc;
use nix::sys::socket::{MsgFlags, Shutdown, getsockopt, recv, setsockopt, shutdown, sockopt};

use crate::service::{Address, Peer, Protocol, UnixKind, UnixName};

/// A socket address as the kernel gave it.
struct Raw {
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl Raw {
    fn empty() -> Self {
        // SAFETY: an all-zero sockaddr_storage is a valid value (AF_UNSPEC).
        let storage = unsafe { std::mem::zeroed() };
        Self {
            storage,
            length: size_of::<libc::sockaddr_storage>() as libc::socklen_t,
        }
    }

    /// The address as one of `T`, when the kernel wrote that much.
    fn read<T: Copy>(&self) -> Option<T> {
        let pointer = (&raw const self.storage).cast::<T>();
        // SAFETY: sockaddr_storage is at least as large and as aligned as any address type, and the kernel wrote at
        // least size_of::<T>() bytes of it.
        (self.length as usize >= size_of::<T>()).then(|| unsafe { *pointer })
    }

    /// The address as one of `T`; what the kernel did not write is zero.
    fn read_prefix<T: Copy>(&self) -> T {
        const { assert!(size_of::<T>() <= size_of::<libc::sockaddr_storage>()) };
        // SAFETY: as in `read`; the storage was zero before the kernel wrote to it, which is a value of each address type.
        unsafe { *(&raw const self.storage).cast::<T>() }
    }

    fn inet(&self) -> Option<SocketAddr> {
        match i32::from(self.storage.ss_family) {
            libc::AF_INET => self.read::<libc::sockaddr_in>().map(|raw| {
                let ip = Ipv4Addr::from(u32::from_be(raw.sin_addr.s_addr));
                SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(raw.sin_port)))
            }),
            libc::AF_INET6 => self.read::<libc::sockaddr_in6>().map(|raw| {
                let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr);
                let port = u16::from_be(raw.sin6_port);
                match ip.to_ipv4_mapped() {
                    Some(v4) => SocketAddr::V4(SocketAddrV4::new(v4, port)),
                    None => SocketAddr::V6(SocketAddrV6::new(ip, port, 0, raw.sin6_scope_id)),
                }
            }),
            _ => None,
        }
    }

    /// The name of a unix socket; `None`: it has none, or one that is no text.
    fn unix(&self) -> Option<UnixName> {
        let length = (self.length as usize).checked_sub(size_of::<libc::sa_family_t>())?;
        let raw = self.read_prefix::<libc::sockaddr_un>();
        let bytes: Vec<u8> = raw
            .sun_path
            .iter()
            .map(|byte| byte.cast_unsigned())
            .collect();
        match bytes.get(..length)? {
            [] => None,
            [0, name @ ..] => Some(UnixName::Abstract(
                std::str::from_utf8(name).ok()?.to_owned(),
            )),
            path => {
                let path = path.split(|byte| *byte == 0).next()?;
                Some(UnixName::Path(OsStr::from_bytes(path).into()))
            }
        }
    }
}

/// Accepts one connection: blocking, CLOEXEC, with the peer from accept4's own answer (a later getpeername fails when
/// the client has already reset, reliability F3).
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, Peer)> {
    let mut raw = Raw::empty();
    // SAFETY: both pointers are to live values; the length says how much room there is.
    let fd = unsafe {
        libc::accept4(
            listener.as_raw_fd(),
            (&raw mut raw.storage).cast(),
            &raw mut raw.length,
            libc::SOCK_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let peer = peer_of(&raw, fd.as_fd());
    Ok((fd, peer))
}

fn peer_of(raw: &Raw, fd: BorrowedFd<'_>) -> Peer {
    if let Some(address) = raw.inet() {
        return Peer::Inet(address);
    }
    if i32::from(raw.storage.ss_family) == libc::AF_VSOCK
        && let Some(vsock) = raw.read::<libc::sockaddr_vm>()
    {
        return Peer::Vsock {
            cid: vsock.svm_cid,
            port: vsock.svm_port,
        };
    }
    match getsockopt(&fd, sockopt::PeerCredentials) {
        Ok(credentials) => Peer::Unix {
            uid: credentials.uid(),
            gid: credentials.gid(),
            pid: credentials.pid(),
        },
        Err(_) => Peer::Unix {
            uid: u32::MAX,
            gid: u32::MAX,
            pid: 0,
        },
    }
}

/// The local address of an IP socket; v4-mapped ones as IPv4.
pub fn local_inet(fd: BorrowedFd<'_>) -> Option<SocketAddr> {
    local(fd)?.inet()
}

/// The local port of a vsock socket.
pub fn local_vsock(fd: BorrowedFd<'_>) -> Option<(u32, u32)> {
    let vsock = local(fd)?.read::<libc::sockaddr_vm>()?;
    Some((vsock.svm_cid, vsock.svm_port))
}

fn local(fd: BorrowedFd<'_>) -> Option<Raw> {
    let mut raw = Raw::empty();
    // SAFETY: both pointers are to live values; the length says how much room there is.
    let answer = unsafe {
        libc::getsockname(
            fd.as_raw_fd(),
            (&raw mut raw.storage).cast(),
            &raw mut raw.length,
        )
    };
    (answer == 0).then_some(raw)
}

/// SO_COOKIE, a number that is unique among all sockets of the machine; 0 where the kernel has none.
pub fn cookie(fd: BorrowedFd<'_>) -> u64 {
    integer_option(fd, libc::SOL_SOCKET, libc::SO_COOKIE)
}

/// Sets an integer socket option.
pub fn set_number(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the pointer is to a live integer of the length given.
    let answer = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// An integer socket option.
pub fn number(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    let mut value = 0_i32;
    let mut length = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the pointers are to live values and the length is that of the value.
    let answer = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    if answer == 0 {
        Ok(value)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The address that a socket of any kind is bound to, with the type of the socket. Fails for what is no socket, and with
/// InvalidInput for one of a kind that no service listens on.
pub fn address(fd: BorrowedFd<'_>) -> io::Result<Address> {
    let kind = number(fd, libc::SOL_SOCKET, libc::SO_TYPE)?;
    let raw = local(fd).ok_or_else(io::Error::last_os_error)?;
    let family = i32::from(raw.storage.ss_family);
    let unknown = || io::Error::from(io::ErrorKind::InvalidInput);
    match (family, kind) {
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_STREAM | libc::SOCK_DGRAM) => {
            let only_v6 =
                family == libc::AF_INET6 && number(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY)? != 0;
            let socket = raw.inet().ok_or_else(unknown)?;
            Ok(Address::Inet {
                protocol: if kind == libc::SOCK_STREAM {
                    Protocol::Tcp
                } else {
                    Protocol::Udp
                },
                socket,
                dual_stack: socket.is_ipv6() && socket.ip().is_unspecified() && !only_v6,
            })
        }
        (libc::AF_UNIX, _) => Ok(Address::Unix {
            kind: match kind {
                libc::SOCK_STREAM => UnixKind::Stream,
                libc::SOCK_DGRAM => UnixKind::Datagram,
                libc::SOCK_SEQPACKET => UnixKind::SeqPacket,
                _ => return Err(unknown()),
            },
            name: raw.unix().ok_or_else(unknown)?,
        }),
        (libc::AF_VSOCK, libc::SOCK_STREAM) => {
            let vsock = raw.read::<libc::sockaddr_vm>().ok_or_else(unknown)?;
            Ok(Address::Vsock {
                cid: vsock.svm_cid,
                port: vsock.svm_port,
            })
        }
        _ => Err(unknown()),
    }
}

/// True for a socket whose messages have bounds and senders: it is never accepted on.
pub fn is_datagram(fd: BorrowedFd<'_>) -> bool {
    number(fd, libc::SOL_SOCKET, libc::SO_TYPE).is_ok_and(|kind| kind == libc::SOCK_DGRAM)
}

/// An integer socket option of 8 bytes.
fn integer_option(fd: BorrowedFd<'_>, level: i32, name: i32) -> u64 {
    let mut value = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the pointers are to live values and the length is that of the value.
    let answer = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    if answer == 0 { value } else { 0 }
}

/// The supplementary groups of a unix peer, as they were at its connect.
pub fn peer_groups(fd: BorrowedFd<'_>) -> Vec<u32> {
    // Whoever is in more than 256 is asked about again, with room for all: the kernel has told how many they are.
    let mut groups = vec![0_u32; 256];
    for _ in 0..2 {
        let mut length = (groups.len() * size_of::<u32>()) as libc::socklen_t;
        // SAFETY: the pointer is to `length` bytes of live memory.
        let answer = unsafe {
            libc::getsockopt(
                fd.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        groups.resize(length as usize / size_of::<u32>(), 0);
        if answer == 0 {
            return groups;
        }
    }
    Vec::new()
}

/// Ends the connection by RST instead of FIN at its close.
pub fn reset_on_close(fd: BorrowedFd<'_>) {
    let _ = setsockopt(
        &fd,
        sockopt::Linger,
        &libc::linger {
            l_onoff: 1,
            l_linger: 0,
        },
    );
}

/// Discards at most `most` bytes of what has been received, without waiting. 0: the peer has ended its direction.
/// TCP does it without copying them (MSG_TRUNC, tcp(7)).
#[inline(never)] // Else every turn of the loop would touch its pages, and every built-in forked from it own them.
pub fn discard_now(fd: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    let mut scratch = [0; 16 << 10];
    let most = most.min(scratch.len());
    let Some(room) = scratch.get_mut(..most) else {
        return Ok(0);
    };
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
    Ok(recv(fd.as_raw_fd(), room, flags)?)
}

/// Lets the peer send little before it has to wait.
pub fn shrink_receive_buffer(fd: BorrowedFd<'_>) {
    let _ = setsockopt(&fd, sockopt::RcvBuf, &2048);
}

/// Ends both directions, whoever else holds the socket.
pub fn shut_down(fd: BorrowedFd<'_>) {
    let _ = shutdown(fd.as_raw_fd(), Shutdown::Both);
}

/// Ends our direction: the peer reads EOF.
pub fn shut_down_writing(fd: BorrowedFd<'_>) {
    let _ = shutdown(fd.as_raw_fd(), Shutdown::Write);
}

/// True for a socket on which connections are accepted.
pub fn is_listening(fd: BorrowedFd<'_>) -> bool {
    getsockopt(&fd, sockopt::AcceptConn).unwrap_or(false)
}

/// Ends listening, whoever else holds the socket.
pub fn stop_listening(fd: BorrowedFd<'_>) {
    let _ = shutdown(fd.as_raw_fd(), Shutdown::Both);
}

/// The error that the socket holds, cleared by the look.
pub fn pending_error(fd: BorrowedFd<'_>) -> Option<i32> {
    getsockopt(&fd, sockopt::SocketError)
        .ok()
        .filter(|errno| *errno != 0)
}

/// True when the host has the family at all.
pub fn has_family(v6: bool) -> bool {
    let family = if v6 { libc::AF_INET6 } else { libc::AF_INET };
    // SAFETY: plain values; the descriptor is owned at once.
    let fd = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return false;
    }
    // SAFETY: the kernel has just made this descriptor for us.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    !v6 || std::path::Path::new("/proc/net/if_inet6").exists()
}
