//! The control socket and who waits there.

use serde::{Deserialize, Serialize};

use super::{Descriptor, Socket, Stamp};

/// The control socket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// It.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<Socket>,
    /// Its clients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<ControlClient>,
}

/// A client of the control socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlClient {
    /// The connection.
    pub fd: Descriptor,
    /// Who it is; who is not known crowds with others like it.
    #[serde(default)]
    pub uid: u32,
    /// May it change things?
    pub may_change: bool,
    /// May it ask for status?
    pub may_read: bool,
    /// What it said so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub request: Vec<u8>,
    /// What is left of its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Vec<u8>>,
    /// Since when.
    pub since: Stamp,
    /// Until when.
    pub deadline: Stamp,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<Awaited>,
}

/// What a control client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Awaited {
    /// The end of a reload, which the new image is to begin.
    Reload,
    /// The end of this upgrade.
    Upgrade,
}
