//! Addresses: where a socket listens, and the two ends of a connection.
//!
//! Only values that make sense; see the parent module for the invariant.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Address {
    /// TCP or UDP.
    Inet {
        /// Which of the two.
        protocol: Protocol,
        /// Address and port; the scope id of `%iface` is inside.
        socket: SocketAddr,
        /// One socket for IPv4 and IPv6; only with an unspecified IPv6 address.
        dual_stack: bool,
    },
    /// A unix socket.
    Unix {
        /// Its type.
        kind: UnixKind,
        /// Its name.
        name: UnixName,
    },
    /// A virtual machine socket.
    Vsock {
        /// Context id; `u32::MAX` is any.
        cid: u32,
        /// Port.
        port: u32,
    },
    /// A socket passed by the service manager under this name.
    Inherited {
        /// FileDescriptorName=.
        name: String,
    },
}

/// Transport of an [`Address::Inet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
}

/// Type of an [`Address::Unix`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UnixKind {
    /// SOCK_STREAM.
    Stream,
    /// SOCK_DGRAM.
    Datagram,
    /// SOCK_SEQPACKET.
    SeqPacket,
}

/// Name of a unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UnixName {
    /// In the file system, absolute, at most 107 bytes.
    Path(PathBuf),
    /// In the abstract namespace, without the leading NUL or `@`.
    Abstract(String),
}

impl Address {
    /// True for sockets that carry datagrams and are never accepted on.
    pub fn is_datagram(&self) -> bool {
        match self {
            Self::Inet { protocol, .. } => *protocol == Protocol::Udp,
            Self::Unix { kind, .. } => *kind == UnixKind::Datagram,
            Self::Vsock { .. } | Self::Inherited { .. } => false,
        }
    }
}

/// As `ss` prints it: `tcp *:79` (dual), `tcp [::]:79`, `udp 0.0.0.0:69`, `unix /run/x.sock`, `vsock *:22`, `fd ssh`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet {
                protocol,
                socket,
                dual_stack,
            } => {
                f.write_str(match protocol {
                    Protocol::Tcp => "tcp ",
                    Protocol::Udp => "udp ",
                })?;
                if *dual_stack {
                    write!(f, "*:{}", socket.port())
                } else {
                    write!(f, "{socket}")
                }
            }
            Self::Unix { kind, name } => {
                f.write_str(match kind {
                    UnixKind::Stream => "unix ",
                    UnixKind::Datagram => "unix-dgram ",
                    UnixKind::SeqPacket => "unix-seqpacket ",
                })?;
                write!(f, "{name}")
            }
            Self::Vsock {
                cid: u32::MAX,
                port,
            } => write!(f, "vsock *:{port}"),
            Self::Vsock { cid, port } => write!(f, "vsock {cid}:{port}"),
            Self::Inherited { name } => write!(f, "fd {name}"),
        }
    }
}

impl fmt::Display for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

/// The other end of a connection, as accept(2) told it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Peer {
    /// TCP or UDP; v4-mapped addresses are already IPv4.
    Inet(SocketAddr),
    /// A unix client, by SO_PEERCRED (taken at its connect).
    Unix {
        /// Effective uid.
        uid: u32,
        /// Effective gid.
        gid: u32,
        /// Process id, 0 when in another pid namespace.
        pid: i32,
    },
    /// A virtual machine.
    Vsock {
        /// Context id.
        cid: u32,
        /// Port.
        port: u32,
    },
}

impl Peer {
    /// The address for rules about networks.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Inet(address) => Some(address.ip()),
            Self::Unix { .. } | Self::Vsock { .. } => None,
        }
    }

    /// The port, where the family has one.
    pub fn port(&self) -> Option<u32> {
        match self {
            Self::Inet(address) => Some(u32::from(address.port())),
            Self::Vsock { port, .. } => Some(*port),
            Self::Unix { .. } => None,
        }
    }
}

/// A client in words: `192.0.2.7`, `uid:1000`, `vsock:3`; what the words do not tell is unknown.
impl FromStr for Peer {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Inet(SocketAddr::new(ip.to_canonical(), 0)));
        }
        let number = |word: &str| {
            text.strip_prefix(word)
                .and_then(|number| number.parse().ok())
        };
        match (number("uid:"), number("vsock:")) {
            (Some(uid), _) => Ok(Self::Unix {
                uid,
                gid: u32::MAX,
                pid: 0,
            }),
            (_, Some(cid)) => Ok(Self::Vsock { cid, port: 0 }),
            (None, None) => Err(()),
        }
    }
}

/// This end of a connection (or the listening socket of a `wait` service).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Local {
    /// TCP; v4-mapped addresses are already IPv4.
    Inet(SocketAddr),
    /// UDP.
    Udp(SocketAddr),
    /// A unix socket.
    Unix(UnixName),
    /// A virtual machine socket.
    Vsock {
        /// Context id.
        cid: u32,
        /// Port.
        port: u32,
    },
}

/// The address alone, as logs, `%{remote_addr}` and REMOTE_ADDR have it: `192.0.2.7`, `unix`, `vsock:3`.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => write!(f, "{}", address.ip()),
            Self::Unix { .. } => f.write_str("unix"),
            Self::Vsock { cid, .. } => write!(f, "vsock:{cid}"),
        }
    }
}
