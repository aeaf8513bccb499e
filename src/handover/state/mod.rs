//! Everything that an image leaves to its successor, as plain records.
//!
//! Invariant: nothing in here was chosen by a peer or a child without being escaped by the encoding and bounded by
//! [`State::check`]; indices lead somewhere, descriptors are named once. What a descriptor is and whose child a process is
//! is asked of the kernel when it is taken over, not believed.
//!
//! A field that a later version adds has a default, so that it reads the state of an earlier one.

mod check;
mod connection;
mod control;
mod process;
mod service;
mod source;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::service::Table;

pub use connection::{Child, Each, Lingering, Refused, Remains, Task, Worker};
pub use control::{Awaited, Control, ControlClient};
pub use process::{ControlWord, Fingerprint, Leaves, Log, Manager, Source, Start, Stuck};
pub use service::{
    Definition, Held, Lines, Listener, Live, Output, OwnPath, Queueing, RefusalLog, Socket,
};
pub use source::{Gate, Memory, SourceKey, Sources};

/// A moment: ns of CLOCK_MONOTONIC, which is the same for all processes of a boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp(pub u64);

/// A descriptor that goes over: its number, and what it is recognized by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Its number, in both images.
    pub number: i32,
    /// Device of the open file.
    pub device: u64,
    /// Inode of the open file.
    pub inode: u64,
    /// What it is.
    pub kind: Kind,
}

/// What a descriptor leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A socket.
    Socket,
    /// One end of a pipe.
    Pipe,
    /// A regular file.
    File,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The version of the program that wrote it.
    pub program: String,
    /// When it stopped to serve.
    pub left: Stamp,
    /// When the first image began to serve.
    pub started: Stamp,
    /// When the one that wrote this did.
    pub image_started: Stamp,
    /// What the process was started with.
    pub start: Start,
    /// The table in force, with the lists as they are in force.
    #[serde(with = "super::table")]
    pub table: Table,
    /// What the files of the table looked like when they were read: inode, size, time.
    pub files: Vec<(PathBuf, Option<Fingerprint>)>,
    /// When that was.
    pub loaded_at: SystemTime,
    /// The limit over all services.
    pub max_connections: Option<NonZeroU32>,
    /// Sockets of the service manager that nobody uses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed: Vec<Socket>,
    /// Services that are served, or were and have children.
    pub services: Vec<Live>,
    /// Live children.
    pub children: Vec<Child>,
    /// Connections whose programs have ended.
    pub lingering: Vec<Lingering>,
    /// Stderr pipes of single connections.
    pub each: Vec<Each>,
    /// Dead leaders whose trees may live.
    pub remains: Vec<Remains>,
    /// Refused connections that are not closed yet.
    pub refused: Vec<Refused>,
    /// What is remembered of sources.
    pub sources: Sources,
    /// Clients wait for the limit of the whole daemon.
    pub queueing: Option<Queueing>,
    /// Descriptors, memory or processes were used up: when it was told, and when it was met last.
    pub exhausted: Option<(Option<Stamp>, Option<Stamp>)>,
    /// The first part of connection ids, and how many there were.
    pub ids: (String, u64),
    /// Control groups.
    pub leaves: Leaves,
    /// The control socket.
    pub control: Control,
    /// The log.
    pub log: Log,
    /// What the service manager is still to be told.
    pub manager: Manager,
    /// The longest turn of the loop.
    pub longest_turn: Duration,
    /// A reload was asked for while the upgrade was under way.
    pub reload: bool,
}

/// What is false is not written, and what is not written is false: most of it is, and reading takes time.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(value: &bool) -> bool {
    !value
}
