//! The environment and the arguments of a program, in every dialect that programs of super-servers know.
//!
//! What does not depend on the connection is prepared once ([`fixed`]). What does is written here, into memory that is
//! used again and again, without an allocation once it is warm. A variable of `env` wins over the facts of the
//! connection, those win over `pass_env`, and that wins over PATH, HOME, USER, LOGNAME and SHELL.
//!
//! Invariant: every pointer in [`Words`] points to text that ends with NUL and stays until the next [`Words::clear`];
//! the text never grows after a pointer was taken. Nothing that a peer chose is in a value, but for addresses.

use std::ffi::{CString, OsStr, c_char};
use std::fmt::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;

use super::Connection;
use super::host::Host;
use super::plan::PlanError;
use crate::service::{Local, Peer, Piece, Service, Specifier, Template, UnixName};

/// Text and pointers of one launch.
#[derive(Debug, Default)]
pub(super) struct Words {
    text: Vec<u8>,
    pointers: Vec<*const c_char>,
}

/// The text has no more room: the kernel's word for it is E2BIG.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Words {
    /// Forgets everything, and makes room.
    pub(super) fn clear(&mut self, text: usize, pointers: usize) {
        self.text.clear();
        self.text.reserve(text);
        self.pointers.clear();
        self.pointers.reserve(pointers);
    }

    /// Every word that was written.
    pub(super) fn texts(&self) -> Vec<String> {
        let words = self.text.split_inclusive(|byte| *byte == 0);
        let text = |word: &[u8]| {
            let word = word.strip_suffix(&[0]).unwrap_or(word);
            String::from_utf8_lossy(word).into_owned()
        };
        words.map(text).collect()
    }

    /// Adds a pointer to text that somebody else keeps; null ends a list. Answers its place.
    pub(super) fn push(&mut self, word: *const c_char) {
        self.pointers.push(word);
    }

    /// How many pointers there are: the place of the next.
    pub(super) fn count(&self) -> usize {
        self.pointers.len()
    }

    /// The list that begins at this place.
    pub(super) fn list(&self, place: usize) -> *const *const c_char {
        self.pointers.as_ptr().wrapping_add(place)
    }

    /// Writes one word, answers where it stands.
    pub(super) fn word(
        &mut self,
        write: impl FnOnce(&mut Text<'_>) -> fmt::Result,
    ) -> Result<*mut c_char, TooLong> {
        let start = self.text.len();
        let mut text = Text(&mut self.text);
        write(&mut text)
            .and_then(|()| text.bytes(&[0]))
            .map_err(|_| TooLong)?;
        Ok(self.text.as_mut_ptr().wrapping_add(start).cast())
    }

    /// Writes one word with its specifiers replaced.
    pub(super) fn template(
        &mut self,
        name: &str,
        template: &Template,
        connection: &Connection<'_>,
        service: &str,
    ) -> Result<*mut c_char, TooLong> {
        self.word(|text| {
            text.write_str(name)?;
            for piece in &template.0 {
                match piece {
                    Piece::Text(literal) => text.write_str(literal)?,
                    Piece::Specifier(Specifier::Service) => text.write_str(service)?,
                    Piece::Specifier(Specifier::Id) => text.write_str(connection.id)?,
                    Piece::Specifier(Specifier::RemoteAddr) => {
                        if let Some(peer) = connection.peer {
                            write!(text, "{peer}")?;
                        }
                    }
                    Piece::Specifier(Specifier::RemotePort) => {
                        if let Some(port) = connection.peer.and_then(Peer::port) {
                            write!(text, "{port}")?;
                        }
                    }
                }
            }
            Ok(())
        })
    }

    /// Writes the facts of the connection, without those that the mask hides.
    pub(super) fn facts(
        &mut self,
        connection: &Connection<'_>,
        hidden: u64,
    ) -> Result<(), TooLong> {
        let family = Family::of(connection.local);
        for (index, (families, name, fact)) in VARIABLES.iter().enumerate() {
            if hidden & (1 << index) != 0 || !families.contains(&family) {
                continue;
            }
            if let Some(value) = fact.value(connection) {
                let word = self.word(|text| {
                    text.write_str(name)?;
                    text.write_str("=")?;
                    value.write(text)
                })?;
                self.push(word);
            }
        }
        Ok(())
    }
}

/// Room for text that never moves.
pub(super) struct Text<'a>(&'a mut Vec<u8>);

impl Text<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> fmt::Result {
        if self.0.capacity() - self.0.len() < bytes.len() {
            return Err(fmt::Error);
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes())
    }
}

/// What a variable tells.
#[derive(Clone, Copy, Debug)]
enum Fact {
    Protocol,
    RemoteAddress,
    RemotePort,
    LocalAddress,
    LocalPort,
    RemoteUid,
    RemoteGid,
    RemotePid,
    Cookie,
    Concurrency,
    Id,
    ProxyAddress,
    ProxyPort,
}

/// Kinds of sockets, for the choice of variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Tcp,
    Udp,
    Unix,
    Vsock,
}

impl Family {
    fn of(local: &Local) -> Self {
        match local {
            Local::Inet(_) => Self::Tcp,
            Local::Udp(_) => Self::Udp,
            Local::Unix(_) => Self::Unix,
            Local::Vsock { .. } => Self::Vsock,
        }
    }
}

const ALL: &[Family] = &[Family::Tcp, Family::Udp, Family::Unix, Family::Vsock];
const PORTS: &[Family] = &[Family::Tcp, Family::Udp, Family::Vsock];
const TCP: &[Family] = &[Family::Tcp];
const UDP: &[Family] = &[Family::Udp];
const UNIX: &[Family] = &[Family::Unix];

/// Every variable about the connection: UCSPI, CGI, systemd, our own.
const VARIABLES: &[(&[Family], &str, Fact)] = &[
    (ALL, "PROTO", Fact::Protocol),
    (TCP, "TCPREMOTEIP", Fact::RemoteAddress),
    (TCP, "TCPREMOTEPORT", Fact::RemotePort),
    (TCP, "TCPLOCALIP", Fact::LocalAddress),
    (TCP, "TCPLOCALPORT", Fact::LocalPort),
    // s6's and ipsvd's words for the same: this source's connections, this one included.
    (TCP, "TCPCONNNUM", Fact::Concurrency),
    (TCP, "TCPCONCURRENCY", Fact::Concurrency),
    (UDP, "UDPREMOTEIP", Fact::RemoteAddress),
    (UDP, "UDPREMOTEPORT", Fact::RemotePort),
    (UDP, "UDPLOCALIP", Fact::LocalAddress),
    (UDP, "UDPLOCALPORT", Fact::LocalPort),
    (UNIX, "UNIXLOCALPATH", Fact::LocalAddress),
    (UNIX, "UNIXREMOTEEUID", Fact::RemoteUid),
    (UNIX, "UNIXREMOTEEGID", Fact::RemoteGid),
    (UNIX, "UNIXREMOTEPID", Fact::RemotePid),
    (ALL, "REMOTE_ADDR", Fact::RemoteAddress),
    (PORTS, "REMOTE_PORT", Fact::RemotePort),
    // What users of xinetd and stunnel expect: the address, as nothing is looked up.
    (ALL, "REMOTE_HOST", Fact::RemoteAddress),
    (ALL, "SERVER_ADDR", Fact::LocalAddress),
    (PORTS, "SERVER_PORT", Fact::LocalPort),
    (ALL, "SO_COOKIE", Fact::Cookie),
    (TCP, "PROXY_PEER_IP", Fact::ProxyAddress),
    (TCP, "PROXY_PEER_PORT", Fact::ProxyPort),
    (ALL, "OXINETD_CONN_ID", Fact::Id),
];

/// Variables about the connection at most, and the text that they take at most: two paths of 108 bytes and some
/// twenty short values.
pub(super) const FACTS: usize = VARIABLES.len();
/// See [`FACTS`].
pub(super) const FACTS_TEXT: usize = 2048;
/// What a specifier takes at most: an IPv6 address, a port, a name of 64 characters, an id.
pub(super) const SPECIFIER_TEXT: usize = 64;

/// A value, not yet text.
enum Value<'a> {
    Text(&'a str),
    Number(u64),
    Ip(IpAddr),
    Peer(&'a Peer),
    Name(&'a UnixName),
    Cid(u32),
}

impl Fact {
    /// The value; `None` where the connection has none, and the variable is left out.
    fn value<'a>(self, connection: &Connection<'a>) -> Option<Value<'a>> {
        let peer = connection.peer;
        match self {
            Self::Protocol => Some(Value::Text(match connection.local {
                Local::Inet(_) => "TCP",
                Local::Udp(_) => "UDP",
                Local::Unix(_) => "UNIX",
                Local::Vsock { .. } => "VSOCK",
            })),
            Self::RemoteAddress => peer.map(address),
            Self::RemotePort => peer
                .and_then(Peer::port)
                .map(|port| Value::Number(port.into())),
            Self::LocalAddress => Some(match connection.local {
                Local::Inet(socket) | Local::Udp(socket) => Value::Ip(ip(socket)),
                Local::Unix(name) => Value::Name(name),
                Local::Vsock { cid, .. } => Value::Cid(*cid),
            }),
            Self::LocalPort => match connection.local {
                Local::Inet(socket) | Local::Udp(socket) => {
                    Some(Value::Number(socket.port().into()))
                }
                Local::Vsock { port, .. } => Some(Value::Number((*port).into())),
                Local::Unix(_) => None,
            },
            Self::RemoteUid => credentials(peer).map(|(uid, _, _)| Value::Number(uid.into())),
            Self::RemoteGid => credentials(peer).map(|(_, gid, _)| Value::Number(gid.into())),
            Self::RemotePid => credentials(peer)
                .and_then(|(_, _, pid)| u64::try_from(pid).ok())
                .filter(|pid| *pid != 0)
                .map(Value::Number),
            Self::Cookie => Some(connection.cookie)
                .filter(|cookie| *cookie != 0)
                .map(Value::Number),
            Self::Concurrency => Some(u64::from(connection.concurrency))
                .filter(|count| *count != 0)
                .map(Value::Number),
            Self::Id => Some(Value::Text(connection.id)),
            Self::ProxyAddress => connection.proxied_from.map(address),
            Self::ProxyPort => connection
                .proxied_from
                .and_then(Peer::port)
                .map(|port| Value::Number(port.into())),
        }
    }
}

impl Value<'_> {
    fn write(&self, text: &mut Text<'_>) -> fmt::Result {
        match self {
            Self::Text(value) => text.write_str(value),
            Self::Number(value) => write!(text, "{value}"),
            Self::Ip(value) => write!(text, "{value}"),
            Self::Peer(value) => write!(text, "{value}"),
            // As it is: a path may be no UTF-8.
            Self::Name(UnixName::Path(path)) => text.bytes(path.as_os_str().as_bytes()),
            Self::Name(name @ UnixName::Abstract(_)) => write!(text, "{name}"),
            Self::Cid(cid) => write!(text, "vsock:{cid}"),
        }
    }
}

fn address(peer: &Peer) -> Value<'_> {
    Value::Peer(peer)
}

/// The address of a dual-stack socket's IPv4 client is an IPv4 address to everybody.
fn ip(socket: &SocketAddr) -> IpAddr {
    socket.ip().to_canonical()
}

fn credentials(peer: Option<&Peer>) -> Option<(u32, u32, i32)> {
    match peer {
        Some(Peer::Unix { uid, gid, pid }) => Some((*uid, *gid, *pid)),
        Some(Peer::Inet(_) | Peer::Vsock { .. }) | None => None,
    }
}

/// The variables that no connection changes, and the mask of the facts that `env` hides.
pub(super) fn fixed(service: &Service, host: &Host) -> Result<(Vec<CString>, u64), PlanError> {
    let process = &service.process;
    let written = |name: &str| process.env.iter().any(|(own, _)| own == name);
    let is_fact = |name: &OsStr| {
        VARIABLES
            .iter()
            .any(|(_, fact, _)| name == OsStr::new(fact))
    };
    let passed: Vec<_> = host
        .environment
        .iter()
        .filter(|(name, _)| process.pass_env.iter().any(|pass| name == OsStr::new(pass)))
        .filter(|(name, _)| !is_fact(name) && !name.to_str().is_some_and(written))
        .collect();

    let mut all = Vec::new();
    let mut base = |name: &str, value: &str| {
        if !written(name) && !passed.iter().any(|(own, _)| own == OsStr::new(name)) {
            all.push(variable(name.as_bytes(), value.as_bytes())?);
        }
        Ok::<(), PlanError>(())
    };
    base("PATH", PATH)?;
    if let Some(identity) = &process.identity {
        base("HOME", &identity.home)?;
        base("USER", &identity.name)?;
        base("LOGNAME", &identity.name)?;
        base("SHELL", &identity.shell)?;
    }
    base("OXINETD_SERVICE", &service.name)?;
    for (name, value) in &passed {
        all.push(variable(name.as_bytes(), value.as_bytes())?);
    }
    for (name, template) in &process.env {
        if let Some(value) = template.literal() {
            all.push(variable(name.as_bytes(), value.as_bytes())?);
        }
    }
    let hidden = VARIABLES
        .iter()
        .enumerate()
        .filter(|(_, (_, name, _))| written(name))
        .fold(0, |mask, (index, _)| mask | 1 << index);
    Ok((all, hidden))
}

fn variable(name: &[u8], value: &[u8]) -> Result<CString, PlanError> {
    CString::new([name, b"=", value].concat()).map_err(|_| PlanError::Nul("env"))
}

/// Debian's default for root and users alike.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
