//! oxinetd: an inetd-style super-server for Linux.
//!
//! ```text
//! TOML files --read--> raw table --resolve--> Table of Services      | or a report of every problem
//! Service --bind--> Socket            Service --prepare--> Plan (plain data, no allocation left to do)
//! epoll --> listener ready --accept--> connection, peer
//! connection --admit--> Ticket | Refusal
//! (Plan, connection, Ticket) --launch--> Child { pidfd, service, peer, ticket }
//! pidfd ready --reap--> exit --> Ticket released --> Event
//! every arrow that matters makes one Event --> counters, log sinks
//! ```
//!
//! | module | tells |
//! |---|---|
//! | [`cli`], [`commands`] | the words of the command line, and what each command does |
//! | [`config`] | files to a table, or a report of every problem |
//! | [`convert`] | tables of other super-servers to ours, and the way out |
//! | [`service`] | the validated types |
//! | [`handover`] | the table as bytes, from the load child to the daemon |
//! | [`control`] | the control socket's language, and its client |
//! | [`daemon`] | the loop: one thread, one epoll set |
//! | [`listener`] | listening sockets |
//! | [`admission`] | who is admitted, and the count that comes back |
//! | [`launch`] | from a plan and a connection to a running child |
//! | [`connection`] | the connection until its last byte: linger, deadlines, account |
//! | [`relay`] | what stands between a client and its server in a child: redirect, transcript |
//! | [`sandbox`] | control groups |
//! | [`builtin`] | the services of our own, run in children |
//! | [`event`], [`log`] | every fact worth telling, and where it is told |
//! | [`sys`] | thin safe wrappers over the kernel's calls |
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")
)]

pub mod admission;
pub mod builtin;
pub mod cli;
pub mod commands;
pub mod config;
pub mod connection;
pub mod control;
pub mod convert;
pub mod daemon;
pub mod event;
pub mod handover;
pub mod launch;
pub mod listener;
pub mod log;
pub mod relay;
pub mod sandbox;
pub mod service;
pub mod sys;
