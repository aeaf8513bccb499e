//! A connection from its program's start to its last byte: what is known of it, how long it may last, how it is closed.
//!
//! For nowait TCP services the daemon keeps the accepted descriptor beside the program, and gives it no other task than
//! to be looked at: the bytes never pass through the daemon. It pays for
//!
//! * the lingering close ([`Linger`]): a program that ends with input unread would have its reply destroyed by the RST
//!   that the kernel sends for such a close (RFC 1122, 4.2.2.13). The daemon ends its direction, discards the input
//!   for a bounded time, and only then closes;
//! * the bytes of the EXIT line, exact to the byte ([`bytes`]);
//! * `idle_timeout`, `first_byte_timeout` and `on_disconnect` without a proxy ([`Clock`], [`is_gone`]).
//!
//! # Its two prices
//!
//! 1. **The client sees the end of the reply when the program exits**, not when it closes its standard input and output
//!    earlier: the daemon's descriptor keeps the connection open until then.
//! 2. **A detached descendant may lose its reply.** A program that hands the connection to a child of its own and exits
//!    is over for the daemon. If it left input unread, the daemon ends the sending direction of the connection, which
//!    the descendant shares. With nothing unread (the usual case: the request was read) the descendant goes on
//!    undisturbed.
//!
//! `linger = "off"` gives a service the textbook close, free of both: the daemon closes its descriptor at once, and knows
//! no bytes. A service with `linger = "off"` and one of the three keys above keeps the descriptor for them, and so pays
//! the first price, never the second.
//!
//! Invariant: nothing here touches a socket or a clock. Values and `now` come in, decisions go out.

mod account;
mod deadlines;
mod linger;
pub mod proxy;
mod tree;

pub use account::{bytes, is_gone};
pub use deadlines::{Activity, Clock, Reason, Verdict};
pub use linger::{AtExit, Linger, at_exit};
pub use tree::members;
