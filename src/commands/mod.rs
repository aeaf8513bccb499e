//! What each command does: one file a command. A command returns its exit code; codes follow sysexits(3) where they
//! name a cause.

pub mod act;
pub mod check;
pub mod convert;
pub mod habit;
pub mod run;
pub mod serve;
pub mod show;
pub mod status;
pub mod takeover;
pub mod trial;

use std::io::Write;

/// Exit codes.
pub mod exit {
    /// All is well.
    pub const OK: u8 = 0;
    /// The command's own "no": errors found, refused, failed.
    pub const NO: u8 = 1;
    /// No daemon answers.
    pub const NOT_RUNNING: u8 = 3;
    /// EX_USAGE: the words of the command are wrong.
    pub const USAGE: u8 = 64;
    /// EX_UNAVAILABLE: nothing could be bound.
    pub const UNAVAILABLE: u8 = 69;
    /// EX_OSERR: the system refused something that the daemon needs.
    pub const SYSTEM: u8 = 71;
    /// EX_CONFIG: the table has errors.
    pub const CONFIG: u8 = 78;
}

/// Writes to standard error. There is nowhere to report a failure to.
pub(crate) fn complain(text: &str) {
    let _ = anstream::stderr().write_all(text.as_bytes());
}
