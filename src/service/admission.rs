//! Who may come, how many, how fast, and what the others get.
//!
//! Only values that make sense; see the parent module for the invariant.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Template;

/// Who may come, how many, how fast, and what the others get.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Admission {
    /// `None`: everybody, unless `deny` says otherwise.
    pub allow: Option<Vec<Source>>,
    /// Who may not.
    pub deny: Vec<Source>,
    /// Windows of local time; empty: always.
    pub hours: Vec<Hours>,
    /// IANA name for `hours`; `None`: local.
    pub timezone: Option<String>,
    /// Refuse above this 1-minute load.
    pub max_load: Option<f64>,
    /// Connections at once; `None`: unlimited.
    pub max_connections: Option<NonZeroU32>,
    /// Connections at once from one source.
    pub max_per_source: PerSource,
    /// Sources that no per-source rule counts.
    pub exempt: Vec<Source>,
    /// Who may send the PROXY header that [`super::Service::proxy`] expects.
    pub proxy_from: Vec<Source>,
    /// Prefix lengths (v4, v6) by which peers are grouped to sources.
    pub source_prefix: (u8, u8),
    /// Starts of the service.
    pub rate: Option<Rate>,
    /// Starts for one source.
    pub rate_per_source: Option<Rate>,
    /// What happens at `max_connections` and `rate`.
    pub over_limit: OverLimit,
    /// How a refusal looks.
    pub refuse_with: RefuseWith,
    /// Stop accepting this long after `rate` was hit.
    pub pause: Option<Duration>,
    /// Sent before a refused connection is closed.
    pub refuse_message: Option<Template>,
    /// Bans of sources that keep being refused.
    pub penalty: Option<Penalty>,
}

/// `max_per_source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PerSource {
    /// Not written: half of `max_connections`, at least 1, not for loopback and unix peers.
    Half,
    /// Written: for every source.
    At(NonZeroU32),
    /// Written `"unlimited"`.
    Unlimited,
}

/// An entry of `allow`, `deny`, `exempt`, `proxy_from`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// A network, host bits zero, v4-mapped ones already IPv4.
    Net(IpNet),
    /// `any`.
    Any,
    /// `loopback`.
    Loopback,
    /// `private`: RFC 1918, ULA, link-local.
    Private,
    /// `local`: loopback, unix, vsock host.
    Local,
    /// `uid:N`, unix peers.
    Uid(u32),
    /// `gid:N`, unix peers.
    Gid(u32),
    /// `@/path/list`: one prefix a line, reread on change.
    File(PathBuf),
}

/// A window of `hours`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    /// Bit 0 is Monday: the days on which the window opens.
    pub days: u8,
    /// Minutes after midnight, 0 to 1439.
    pub from: u16,
    /// Minutes after midnight, 1 to 1440; not above `from`: the window ends on the next day.
    pub to: u16,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Tokens added…
    pub count: NonZeroU32,
    /// …in this time.
    pub per: Duration,
    /// Size of the bucket.
    pub burst: NonZeroU32,
}

/// `over_limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OverLimit {
    /// Leave the client in the kernel's queue.
    Queue,
    /// Accept and refuse.
    Refuse,
}

/// `refuse_with`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefuseWith {
    /// An orderly close.
    Close,
    /// RST.
    Reset,
    /// Held, silent, bounded.
    Tarpit,
}

/// `penalty`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Penalty {
    /// Refusals that lead to a ban.
    pub after: Rate,
    /// The first ban.
    pub first: Duration,
    /// The longest ban.
    pub max: Duration,
}
