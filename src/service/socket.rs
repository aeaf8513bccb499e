//! Options of the listening and the accepted sockets.
//!
//! Only values that make sense; see the parent module for the invariant.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Options of the listening and the accepted sockets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SocketOptions {
    /// listen(2)'s second argument.
    pub backlog: u32,
    /// SO_BINDTODEVICE.
    pub bind_device: Option<String>,
    /// IP_FREEBIND; `None`: when the address is not local.
    pub freebind: Option<bool>,
    /// IP_TRANSPARENT.
    pub transparent: bool,
    /// SO_REUSEPORT.
    pub reuse_port: bool,
    /// SO_KEEPALIVE and TCP_KEEPIDLE.
    pub keepalive: Keepalive,
    /// TCP_NODELAY.
    pub nodelay: bool,
    /// TCP_DEFER_ACCEPT.
    pub defer_accept: Option<Duration>,
    /// IP_TOS and IPV6_TCLASS, shifted by two; 0 to 63.
    pub dscp: Option<u8>,
    /// SO_MARK.
    pub mark: Option<u32>,
    /// SO_RCVBUF, bytes.
    pub receive_buffer: Option<u64>,
    /// SO_SNDBUF, bytes.
    pub send_buffer: Option<u64>,
    /// Owner of a unix socket's file; `None`: the daemon's user.
    pub owner: Option<u32>,
    /// Group of a unix socket's file; `None`: the daemon's group.
    pub group: Option<u32>,
    /// Mode of a unix socket's file, 0 to 0o777.
    pub mode: u32,
}

/// What the language says where a key is not written.
impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            backlog: 4096,
            bind_device: None,
            freebind: None,
            transparent: false,
            reuse_port: false,
            keepalive: Keepalive::Off,
            nodelay: false,
            defer_accept: None,
            dscp: None,
            mark: None,
            receive_buffer: None,
            send_buffer: None,
            owner: None,
            group: None,
            mode: 0o666,
        }
    }
}

/// `keepalive`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Keepalive {
    /// Off.
    Off,
    /// On, with the kernel's times.
    On,
    /// On, first probe after this time.
    After(Duration),
}
