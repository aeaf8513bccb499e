//! Thin safe wrappers over the kernel's calls: each takes and returns Rust types, and turns errno into a value.
//!
//! Invariant: nothing here decides anything. Policy (what to do on an error) belongs to the callers.

pub mod clock;
pub mod connect;
pub mod datagram;
pub mod errno;
pub mod fallback;
pub mod family;
pub mod heirloom;
pub mod image;
pub mod manager;
pub mod memfd;
pub mod memory;
pub mod netlink;
pub mod output;
pub mod pass;
pub mod pipe;
pub mod poll;
pub mod poller;
pub mod proc;
pub mod process;
pub mod signals;
pub mod socket;
pub mod splice;
pub mod start;
pub mod stream;
pub mod surroundings;
pub mod tcp;
pub mod udp;
pub mod world;
