//! Datagrams with the address that they were sent to, so that an answer can come from there.
//!
//! By raw calls: `nix` reads the name of a sender that has none (unix sockets) from memory that nobody wrote.

#![expect(
    unsafe_code,
    reason = "recvmsg and sendmsg with control messages, on a socket that a child knows by number only"
)]

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{SockaddrStorage, getsockname, setsockopt, sockopt};

use crate::service::Peer;

/// A datagram as it came.
#[derive(Clone, Copy)]
pub struct Arrival {
    /// Its length in the buffer.
    pub length: usize,
    from: libc::sockaddr_storage,
    from_length: libc::socklen_t,
    notes: Notes,
}

/// What the kernel told beside the bytes.
#[derive(Clone, Copy, Default)]
struct Notes {
    to: Option<Destination>,
    /// SCM_CREDENTIALS.
    sender: Option<libc::ucred>,
    /// SCM_TIMESTAMPNS.
    arrived: Option<Stamp>,
}

/// When a datagram came, by the kernel's clock: seconds and nanoseconds.
pub type Stamp = (i64, i64);

/// IP_PKTINFO or IPV6_PKTINFO.
#[derive(Clone, Copy)]
enum Destination {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

impl Arrival {
    /// The sender, in its own family even on a dual-stack socket; `None`: not of the internet.
    pub fn from(&self) -> Option<SocketAddr> {
        let (ip, port): (IpAddr, u16) = match i32::from(self.from.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says that the kernel wrote a sockaddr_in, and a storage is larger and as aligned.
                let from = unsafe { *(&raw const self.from).cast::<libc::sockaddr_in>() };
                (v4(from.sin_addr).into(), from.sin_port)
            }
            libc::AF_INET6 => {
                // SAFETY: as above, for sockaddr_in6.
                let from = unsafe { *(&raw const self.from).cast::<libc::sockaddr_in6>() };
                let ip = v6(from.sin6_addr);
                if ip.to_ipv4_mapped().is_none() {
                    let port = u16::from_be(from.sin6_port);
                    return Some(SocketAddrV6::new(ip, port, 0, from.sin6_scope_id).into());
                }
                (ip.to_canonical(), from.sin6_port)
            }
            _ => return None,
        };
        Some(SocketAddr::new(ip, u16::from_be(port)))
    }

    /// The sender, for rules about who may come; `None`: a unix client whose credentials were not asked for in time.
    pub fn peer(&self) -> Option<Peer> {
        if let Some(from) = self.from() {
            return Some(Peer::Inet(from));
        }
        self.notes.sender.map(|sender| Peer::Unix {
            uid: sender.uid,
            gid: sender.gid,
            pid: sender.pid,
        })
    }

    /// When it came, if that was asked for.
    pub fn arrived(&self) -> Option<Stamp> {
        self.notes.arrived
    }

    /// True: the sender has an address to answer to (unix clients often have none).
    pub fn can_be_answered(&self) -> bool {
        self.from_length as usize > mem::size_of::<libc::sa_family_t>()
    }

    /// The address in the datagram's header; `None`: not known.
    pub fn to(&self) -> Option<IpAddr> {
        Some(match self.notes.to? {
            Destination::V4(info) => v4(info.ipi_addr).into(),
            Destination::V6(info) => v6(info.ipi6_addr).to_canonical(),
        })
    }

    /// True: it was sent to all hosts of a network. (The kernel names an address of ours that differs from the header's.)
    pub fn is_broadcast(&self) -> bool {
        match self.notes.to {
            Some(Destination::V4(info)) => {
                info.ipi_spec_dst.s_addr != 0 && info.ipi_spec_dst.s_addr != info.ipi_addr.s_addr
            }
            Some(Destination::V6(_)) | None => false,
        }
    }
}

fn v4(address: libc::in_addr) -> Ipv4Addr {
    Ipv4Addr::from(address.s_addr.to_ne_bytes())
}

fn v6(address: libc::in6_addr) -> Ipv6Addr {
    Ipv6Addr::from(address.s6_addr)
}

/// Asks the kernel to tell the destination of every datagram on the socket. Returns the port that it is bound to; `None`
/// for families without ports.
pub fn prepare(fd: RawFd) -> io::Result<Option<u16>> {
    let bound: SockaddrStorage = getsockname(fd)?;
    // SAFETY: getsockname has just found the number open, and it is borrowed for this call only.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    if let Some(bound) = bound.as_sockaddr_in() {
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        return Ok(Some(bound.port()));
    }
    if let Some(bound) = bound.as_sockaddr_in6() {
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        return Ok(Some(bound.port()));
    }
    Ok(None)
}

/// The next datagram, without waiting (WouldBlock).
pub fn receive(fd: RawFd, buffer: &mut [u8]) -> io::Result<Arrival> {
    look(fd, buffer, libc::MSG_DONTWAIT)
}

/// Looks who sent the next datagram, without waiting (WouldBlock). It stays where it is, and nothing of it is read.
pub fn peek(fd: BorrowedFd<'_>) -> io::Result<Arrival> {
    look(fd.as_raw_fd(), &mut [], libc::MSG_DONTWAIT | libc::MSG_PEEK)
}

/// Throws the next datagram away, unread.
pub fn drop_next(fd: BorrowedFd<'_>) {
    let _ = look(fd.as_raw_fd(), &mut [], libc::MSG_DONTWAIT);
}

fn look(fd: RawFd, buffer: &mut [u8], flags: libc::c_int) -> io::Result<Arrival> {
    let mut control = Control([0; CONTROL]);
    // SAFETY: all zeroes is a value of these plain C structures: no name, no buffers.
    let (mut from, mut message) = unsafe {
        (
            mem::zeroed::<libc::sockaddr_storage>(),
            mem::zeroed::<libc::msghdr>(),
        )
    };
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    message.msg_name = (&raw mut from).cast();
    message.msg_namelen = mem::size_of_val(&from) as libc::socklen_t;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL as _;
    // SAFETY: every pointer in the message leads to memory of the given length that outlives the call.
    let length = unsafe { libc::recvmsg(fd, &raw mut message, flags) };
    Ok(Arrival {
        length: Errno::result(length)? as usize,
        notes: notes(&message),
        from_length: message.msg_namelen,
        from,
    })
}

/// `message` is as recvmsg has left it.
fn notes(message: &libc::msghdr) -> Notes {
    let mut notes = Notes::default();
    // SAFETY: the message's control buffer is alive, aligned, and as long as the kernel wrote into msg_controllen; the
    // macros stay within it and give null at the end. A control message of each type holds the structure named, and is
    // read without assuming its alignment.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while let Some(control) = header.as_ref() {
            let data = libc::CMSG_DATA(header);
            match (control.cmsg_level, control.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    notes.to = Some(Destination::V4(ptr::read_unaligned(data.cast())));
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    notes.to = Some(Destination::V6(ptr::read_unaligned(data.cast())));
                }
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => {
                    notes.sender = Some(ptr::read_unaligned(data.cast()));
                }
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    let time: libc::timespec = ptr::read_unaligned(data.cast());
                    notes.arrived = Some((time.tv_sec, time.tv_nsec));
                }
                _ => {}
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    notes
}

/// Answers `arrival` from the address that it was sent to, without waiting.
pub fn answer(fd: RawFd, arrival: &Arrival, bytes: &[u8]) -> io::Result<()> {
    let mut control = Control([0; CONTROL]);
    // SAFETY: all zeroes is a value of this plain C structure: no name, no buffers.
    let mut message = unsafe { mem::zeroed::<libc::msghdr>() };
    let mut part = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    message.msg_name = (&raw const arrival.from).cast_mut().cast();
    message.msg_namelen = arrival.from_length;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    match arrival.notes.to {
        Some(Destination::V4(asked)) => {
            let is_known = asked.ipi_spec_dst.s_addr != 0;
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                // Not filled in for a datagram that came before `prepare`.
                ipi_spec_dst: if is_known {
                    asked.ipi_spec_dst
                } else {
                    asked.ipi_addr
                },
                ipi_addr: asked.ipi_addr,
            };
            control.attach(&mut message, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
        }
        Some(Destination::V6(asked)) => {
            // A link-local address means nothing without its link; elsewhere routing decides.
            let is_local = v6(asked.ipi6_addr).is_unicast_link_local();
            let info = libc::in6_pktinfo {
                ipi6_addr: asked.ipi6_addr,
                ipi6_ifindex: if is_local { asked.ipi6_ifindex } else { 0 },
            };
            control.attach(&mut message, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
        }
        None => {}
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: every pointer in the message leads to memory of the given length that outlives the call, and sendmsg only
    // reads from it.
    Errno::result(unsafe { libc::sendmsg(fd, &raw const message, flags) })?;
    Ok(())
}

/// True: trouble of one datagram (an ICMP error of an earlier answer, no memory for a moment, a signal). Anything else
/// would come again at once.
pub fn is_passing(error: &io::Error) -> bool {
    const PASSING: [Errno; 9] = [
        Errno::EINTR,
        Errno::ECONNREFUSED,
        Errno::EHOSTUNREACH,
        Errno::EHOSTDOWN,
        Errno::ENETUNREACH,
        Errno::ENETDOWN,
        Errno::ENOPROTOOPT,
        Errno::EMSGSIZE,
        Errno::ENOBUFS,
    ];
    PASSING
        .iter()
        .any(|errno| error.raw_os_error() == Some(*errno as i32))
}

/// Room for control messages, aligned as their headers want it.
#[repr(align(8))]
struct Control([u8; CONTROL]);

impl Control {
    /// Makes `data` the one control message of `message`.
    fn attach<T: Copy>(&mut self, message: &mut libc::msghdr, level: i32, kind: i32, data: T) {
        let size = mem::size_of::<T>() as libc::c_uint;
        // SAFETY: CMSG_SPACE of either packet info is at most 40, less than the buffer, so the first header and the data
        // behind it lie within; header and data are written without reading what was there.
        unsafe {
            message.msg_control = self.0.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(size) as _;
            if let Some(header) = libc::CMSG_FIRSTHDR(message).as_mut() {
                header.cmsg_level = level;
                header.cmsg_type = kind;
                header.cmsg_len = libc::CMSG_LEN(size) as _;
                ptr::write_unaligned(libc::CMSG_DATA(header).cast(), data);
            }
        }
    }
}

/// More than CMSG_SPACE of in6_pktinfo (40), ucred (32), timespec (32) and the datagram's time to live (24) together.
const CONTROL: usize = 128;
