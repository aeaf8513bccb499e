//! oxinetd: an inetd-style super-server for Linux.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")
)]

pub mod commands;
pub mod convert;
pub mod event;
pub mod service;
