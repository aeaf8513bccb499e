//! From an address to an open socket, with an error that tells the way out.

use std::fmt;
use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, SockaddrIn6, UnixAddr, VsockAddr,
    listen, setsockopt, sockopt,
};
use nix::unistd::geteuid;

use super::options::{self, Kind};
use super::{Socket, unix};
use crate::service::{Address, Protocol, SocketOptions, UnixKind, UnixName};
use crate::sys::socket as sys_socket;

/// Why an address could not be opened.
#[derive(Debug)]
pub struct BindError {
    /// The call that failed, or what was found: `bind`, `listen`, `the path is a directory`, …
    pub what: String,
    /// The kernel's reason.
    pub errno: Option<i32>,
    /// The way out.
    pub help: Option<String>,
}

impl BindError {
    pub(super) fn call(what: &str, errno: Errno) -> Self {
        Self {
            what: what.to_owned(),
            errno: Some(errno as i32),
            help: None,
        }
    }

    /// What went wrong, without the way out: `bind: Address already in use`.
    pub fn brief(&self) -> String {
        match self.errno {
            Some(errno) => format!("{}: {}", self.what, Errno::from_raw(errno).desc()),
            None => self.what.clone(),
        }
    }

    /// What was found, and the way out.
    pub fn found(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            errno: None,
            help: Some(help.into()),
        }
    }
}

/// `bind: Address already in use (another program listens there: …)`.
impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.brief())?;
        if let Some(help) = &self.help {
            write!(f, " ({help})")?;
        }
        Ok(())
    }
}

/// Opens `address`: socket, options, bind and listen in one breath. Sockets of the service manager are not opened but
/// taken: [`Passed`](super::Passed).
pub fn bind(address: &Address, options: &SocketOptions) -> Result<Socket, BindError> {
    match address {
        Address::Inet {
            protocol,
            socket,
            dual_stack,
        } => inet(address, *protocol, *socket, *dual_stack, options),
        Address::Unix { kind, name } => self::unix(address, *kind, name, options),
        Address::Vsock { cid, port } => vsock(address, *cid, *port, options),
        Address::Inherited { name } => Err(BindError::found(
            format!("the service manager passed no socket named `{name}`"),
            format!("its .socket unit needs FileDescriptorName={name}"),
        )),
    }
}

fn inet(
    asked: &Address,
    protocol: Protocol,
    address: SocketAddr,
    dual_stack: bool,
    options: &SocketOptions,
) -> Result<Socket, BindError> {
    let (tcp, v6) = (protocol == Protocol::Tcp, address.is_ipv6());
    let family = if v6 {
        AddressFamily::Inet6
    } else {
        AddressFamily::Inet
    };
    let fd = open(
        family,
        if tcp {
            SockType::Stream
        } else {
            SockType::Datagram
        },
    )?;
    // Without it a restart fails while old connections are in TIME_WAIT. TCP only: on UDP it would let anybody take the
    // socket's datagrams (reliability F16). Linux has nothing like SO_EXCLUSIVEADDRUSE, and needs nothing: a bound
    // socket without SO_REUSEADDR shares its address with nobody.
    if tcp {
        option("SO_REUSEADDR", setsockopt(&fd, sockopt::ReuseAddr, &true))?;
    }
    if v6 {
        option(
            "IPV6_V6ONLY",
            setsockopt(&fd, sockopt::Ipv6V6Only, &!dual_stack),
        )?;
    }
    options::set(&fd, Kind::Inet { v6, tcp }, options)?;
    bind_inet(&fd, address, options).map_err(|errno| bind_error(errno, protocol, address))?;
    if tcp {
        start_listening(&fd, options, address.port())?;
    }
    let port = sys_socket::local_inet(fd.as_fd()).map_or(address.port(), |bound| bound.port());
    let bound = Address::Inet {
        protocol,
        socket: with_port(address, port),
        dual_stack,
    };
    Ok(Socket::new(fd, asked.clone(), bound, None))
}

/// Binds; where the table leaves it open also to an address that this host does not have, which may come later.
fn bind_inet(fd: &OwnedFd, address: SocketAddr, options: &SocketOptions) -> nix::Result<()> {
    let bind = || match address {
        SocketAddr::V4(v4) => nix::sys::socket::bind(fd.as_raw_fd(), &SockaddrIn::from(v4)),
        SocketAddr::V6(v6) => nix::sys::socket::bind(fd.as_raw_fd(), &SockaddrIn6::from(v6)),
    };
    match bind() {
        Err(Errno::EADDRNOTAVAIL)
            if options.freebind.is_none() && options::freebind(fd, address.is_ipv6()).is_ok() =>
        {
            bind()
        }
        result => result,
    }
}

fn unix(
    asked: &Address,
    kind: UnixKind,
    name: &UnixName,
    options: &SocketOptions,
) -> Result<Socket, BindError> {
    let socket_type = match kind {
        UnixKind::Stream => SockType::Stream,
        UnixKind::Datagram => SockType::Datagram,
        UnixKind::SeqPacket => SockType::SeqPacket,
    };
    let fd = open(AddressFamily::Unix, socket_type)?;
    options::set(&fd, Kind::Local, options)?;
    let start = || match kind {
        // Tells who sent each datagram, for rules about unix peers.
        UnixKind::Datagram => option("SO_PASSCRED", setsockopt(&fd, sockopt::PassCred, &true)),
        UnixKind::Stream | UnixKind::SeqPacket => start_listening(&fd, options, 0),
    };
    let path = match name {
        UnixName::Path(path) => Some(unix::bind_path(&fd, path, socket_type, options, start)?),
        UnixName::Abstract(name) => {
            let address = UnixAddr::new_abstract(name.as_bytes())
                .map_err(|errno| BindError::call("the abstract name", errno))?;
            nix::sys::socket::bind(fd.as_raw_fd(), &address).map_err(|errno| {
                let mut error = BindError::call("bind", errno);
                if errno == Errno::EADDRINUSE {
                    error.help = Some(format!("another program has @{name}; `ss -xap` shows it"));
                }
                error
            })?;
            start()?;
            None
        }
    };
    Ok(Socket::new(fd, asked.clone(), asked.clone(), path))
}

fn vsock(
    asked: &Address,
    cid: u32,
    port: u32,
    options: &SocketOptions,
) -> Result<Socket, BindError> {
    let fd = open(AddressFamily::Vsock, SockType::Stream).map_err(|mut error| {
        if error.errno == Some(libc::EAFNOSUPPORT) {
            error.help = Some("this kernel has no vsock: `modprobe vsock`".to_owned());
        }
        error
    })?;
    let any = if port == 0 {
        libc::VMADDR_PORT_ANY
    } else {
        port
    };
    nix::sys::socket::bind(fd.as_raw_fd(), &VsockAddr::new(cid, any)).map_err(|errno| {
        let mut error = BindError::call("bind", errno);
        if errno == Errno::EADDRINUSE {
            error.help = Some(format!("another program listens on vsock port {port}"));
        } else if errno == Errno::EADDRNOTAVAIL {
            error.help = Some(format!("{cid} is not the context id of this machine"));
        }
        error
    })?;
    start_listening(&fd, options, 0)?;
    let (_, port) = sys_socket::local_vsock(fd.as_fd()).unwrap_or((cid, port));
    let bound = Address::Vsock { cid, port };
    Ok(Socket::new(fd, asked.clone(), bound, None))
}

fn open(family: AddressFamily, kind: SockType) -> Result<OwnedFd, BindError> {
    nix::sys::socket::socket(
        family,
        kind,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        None,
    )
    .map_err(|errno| {
        let mut error = BindError::call("socket", errno);
        if errno == Errno::EMFILE || errno == Errno::ENFILE {
            error.help = Some("raise LimitNOFILE= of the service, or ulimit -n".to_owned());
        }
        error
    })
}

pub(super) fn start_listening(
    fd: &OwnedFd,
    options: &SocketOptions,
    port: u16,
) -> Result<(), BindError> {
    let backlog = Backlog::new(i32::try_from(options.backlog).unwrap_or(i32::MAX))
        .unwrap_or(Backlog::MAXCONN);
    listen(fd, backlog).map_err(|errno| {
        let mut error = BindError::call("listen", errno);
        if errno == Errno::EADDRINUSE {
            error.help = Some(in_use(Protocol::Tcp, port));
        }
        error
    })
}

fn option(name: &str, result: nix::Result<()>) -> Result<(), BindError> {
    result.map_err(|errno| BindError::call(name, errno))
}

/// The usual cause of each errno of bind(2), in the user's words.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "errno is an open list of the kernel's"
)]
fn bind_error(errno: Errno, protocol: Protocol, address: SocketAddr) -> BindError {
    let port = address.port();
    let mut error = BindError::call("bind", errno);
    error.help = match errno {
        Errno::EADDRINUSE => Some(in_use(protocol, port)),
        Errno::EACCES if port < 1024 && !geteuid().is_root() => Some(format!(
            "port {port} is below 1024: run as root, give CAP_NET_BIND_SERVICE, or choose a higher port"
        )),
        Errno::EADDRNOTAVAIL => Some(format!(
            "this host has no address {}; `ip address` lists those that it has",
            address.ip()
        )),
        Errno::EINVAL if address.is_ipv6() => {
            Some("a link-local address needs its interface: [fe80::1%eth0]:79".into())
        }
        _ => None,
    };
    error
}

fn in_use(protocol: Protocol, port: u16) -> String {
    let (letter, verb) = match protocol {
        Protocol::Tcp => ('t', "listens on"),
        Protocol::Udp => ('u', "has"),
    };
    format!("another program {verb} port {port}; `ss -l{letter}np sport = :{port}` shows it")
}

pub(super) fn with_port(address: SocketAddr, port: u16) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => SocketAddr::V4(SocketAddrV4::new(*v4.ip(), port)),
        SocketAddr::V6(v6) => SocketAddr::V6(SocketAddrV6::new(*v6.ip(), port, 0, v6.scope_id())),
    }
}

/// The reason as an [`io::Error`], for callers that only pass it on.
impl From<BindError> for io::Error {
    fn from(error: BindError) -> Self {
        Self::other(error.to_string())
    }
}
