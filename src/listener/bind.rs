//! From an address to an open listening socket, with an error that tells the way out.

use std::fmt;
use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, SockaddrIn6, UnixAddr, listen,
    setsockopt, sockopt,
};
use nix::unistd::geteuid;

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

    pub(super) fn found(what: impl Into<String>, help: impl Into<String>) -> Self {
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

/// Opens `address`: socket, options, bind and listen in one breath.
pub fn bind(address: &Address, options: &SocketOptions) -> Result<Socket, BindError> {
    match address {
        Address::Inet {
            protocol: Protocol::Tcp,
            socket,
            dual_stack,
        } => inet(address, *socket, *dual_stack, options),
        Address::Unix {
            kind: UnixKind::Stream,
            name,
        } => unix_stream(address, name, options),
        Address::Inet { .. }
        | Address::Unix { .. }
        | Address::Vsock { .. }
        | Address::Inherited { .. } => Err(BindError::found(
            "this type of socket is not served yet",
            "use a tcp or unix stream address",
        )),
    }
}

fn inet(
    asked: &Address,
    address: SocketAddr,
    dual_stack: bool,
    options: &SocketOptions,
) -> Result<Socket, BindError> {
    let family = if address.is_ipv6() {
        AddressFamily::Inet6
    } else {
        AddressFamily::Inet
    };
    let fd = open(family, SockType::Stream)?;
    // Without it a restart fails while old connections are in TIME_WAIT. TCP only: on UDP it would let anybody steal
    // the socket (reliability F16).
    option("SO_REUSEADDR", setsockopt(&fd, sockopt::ReuseAddr, &true))?;
    if address.is_ipv6() {
        option(
            "IPV6_V6ONLY",
            setsockopt(&fd, sockopt::Ipv6V6Only, &!dual_stack),
        )?;
    }
    match address {
        SocketAddr::V4(v4) => nix::sys::socket::bind(fd.as_raw_fd(), &SockaddrIn::from(v4)),
        SocketAddr::V6(v6) => nix::sys::socket::bind(fd.as_raw_fd(), &SockaddrIn6::from(v6)),
    }
    .map_err(|errno| bind_error(errno, address))?;
    start_listening(&fd, options, address.port())?;
    let port = sys_socket::local_inet(fd.as_fd()).map_or(address.port(), |bound| bound.port());
    let bound = Address::Inet {
        protocol: Protocol::Tcp,
        socket: with_port(address, port),
        dual_stack,
    };
    Ok(Socket {
        fd,
        asked: asked.clone(),
        bound,
        path: None,
    })
}

fn unix_stream(
    asked: &Address,
    name: &UnixName,
    options: &SocketOptions,
) -> Result<Socket, BindError> {
    let fd = open(AddressFamily::Unix, SockType::Stream)?;
    let path = match name {
        UnixName::Path(path) => Some(unix::bind_path(&fd, path, options, || {
            start_listening(&fd, options, 0)
        })?),
        UnixName::Abstract(name) => {
            let address = UnixAddr::new_abstract(name.as_bytes())
                .map_err(|errno| BindError::call("the abstract name", errno))?;
            nix::sys::socket::bind(fd.as_raw_fd(), &address).map_err(|errno| {
                let mut error = BindError::call("bind", errno);
                if errno == Errno::EADDRINUSE {
                    error.help = Some(format!(
                        "another program listens on @{name}; `ss -xlp` shows it"
                    ));
                }
                error
            })?;
            start_listening(&fd, options, 0)?;
            None
        }
    };
    Ok(Socket {
        fd,
        asked: asked.clone(),
        bound: asked.clone(),
        path,
    })
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

fn start_listening(fd: &OwnedFd, options: &SocketOptions, port: u16) -> Result<(), BindError> {
    let backlog = Backlog::new(i32::try_from(options.backlog).unwrap_or(i32::MAX))
        .unwrap_or(Backlog::MAXCONN);
    listen(fd, backlog).map_err(|errno| {
        let mut error = BindError::call("listen", errno);
        if errno == Errno::EADDRINUSE {
            error.help = Some(in_use(port));
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
fn bind_error(errno: Errno, address: SocketAddr) -> BindError {
    let port = address.port();
    let mut error = BindError::call("bind", errno);
    error.help = match errno {
        Errno::EADDRINUSE => Some(in_use(port)),
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

fn in_use(port: u16) -> String {
    format!("another program listens on port {port}; `ss -ltnp sport = :{port}` shows it")
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
