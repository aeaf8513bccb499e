//! The integration tests: the real binary, driven from outside through its table, its sockets and its signals.
//!
//! One module for each subject. Every test starts its own daemon in its own directory on ports that the kernel chose,
//! and every daemon ends under the same guard (`harness::guard`): no zombie, no leaked descriptor, no leftover process,
//! one thread, no log line of trouble that the test did not announce, exit 0 on TERM.
//!
//! A test that lacks root or a tool says SKIPPED aloud; with OXINETD_TESTS_NO_SKIP set (as `tests/run` does for root)
//! that is a failure.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a failed test may panic, and reads better without borrows"
)]

mod harness;

mod admission;
mod bad_input;
mod builtin;
mod check;
mod control;
mod convert;
mod core;
mod datagrams;
mod differential;
mod exhaustion;
mod explain;
mod failures;
mod flood;
mod generated;
mod identity;
mod inetd_conf;
mod late;
mod layering;
mod life;
mod limits;
mod listeners;
mod logs;
mod manager;
mod many;
mod models;
mod real;
mod relay;
mod reload;
mod run_rules;
mod samples;
mod serve;
mod signals;
mod soak;
mod sockets;
mod status;
mod stuck;
mod upgrade;
mod wait;
mod world;
