//! Thin wrappers over the kernel's interface: each takes and gives plain types and `io::Error`, and decides nothing.

pub mod datagram;
pub mod errno;
pub mod output;
pub mod poll;
pub mod stream;
pub mod udp;
