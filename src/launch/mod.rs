//! From an accepted connection to a running program, at a cost that does not grow.
//!
//! ```text
//! Service --Plan::prepare--> Plan                                             once, at load
//! (Plan, Connection) --Launcher::launch--> pid, pidfd                         the daemon goes on at once
//! record in the slot --Launcher::sweep--> Settled: started, failed at a step  next turn
//! ```
//!
//! # Why the child may share the daemon's memory
//!
//! A child of [`clone`] runs in the daemon's memory until its exec, beside the daemon, which is not stopped. Copying
//! page tables (fork) or waiting (vfork) is what makes other servers slow. It is safe for these reasons, and only as
//! long as all of them hold:
//!
//! * **What the child touches.** [`child`] is a straight line of raw system calls that answer with a value. libc's
//!   wrappers write errno, which is a thread-local of the *daemon*; so there is no libc call, no nix, no allocation,
//!   no lock, no panic, no destructor. It reads the plan (never changed, kept alive by an `Rc` in the slot), its orders
//!   and its words; it writes its own stack, its 64-byte record, and the digits of LISTEN_PID in its own words.
//! * **What the daemon may do meanwhile.** Everything, but for the slot in flight and its low descriptors. A slot is
//!   used again only when the kernel has cleared its tid word, which it does when the child has left the memory: at
//!   exec or at death, whichever comes first, however it comes.
//! * **Descriptors.** The table is shared until the child's first call gives it a private copy of the low part. The
//!   connection stands at a low number that nobody changes before the record says so ([`low`]). Then the child closes
//!   all that is not its own, before it does anything that can take time: no client waits for another's child.
//! * **Signals.** All are blocked in the daemon, for good, by [`Launcher::new`]: no handler of the daemon can run in
//!   the child. The child empties its mask last; what was sent to it meanwhile (an interrupt from the terminal before
//!   setsid) kills it then, as it should. A fault in the child is forced upon it and kills it alone.
//! * **The service's user.** Between setuid and exec the child belongs to the user and holds root's memory. The
//!   kernel protects it by the dumpable flag, which is a property of that memory: [`Launcher::new`] clears it in every
//!   daemon that has privileges, and each change of ids sets it to `fs.suid_dumpable`. Where that is 1, nothing is
//!   shared ([`Host::private_always`]). What is left to the user is to stop or kill his own child. A stopped child
//!   holds a slot, not the daemon: the pool grows, a plan has at most 16 launches in flight, and after five seconds
//!   [`Outcome::Stuck`] tells the daemon to kill it.
//! * **The stack.** 16 KiB and a guard page: an overrun kills the child alone.
//! * **What belongs to the memory, not to the process.** oom_score_adj, for one, would change the daemon. Plans with
//!   such a setting get memory of their own ([`fork`]), as built-ins do, and everybody where the kernel or a sandbox
//!   refuses the sharing clone.
//!
//! In a child with memory of its own the records stay shared, so failures are told in the same way. A built-in gives
//! them up before it reads its first byte: a client who takes it over finds nothing of other launches to write to.
//!
//! This module knows no listener, no log and no configuration file.

pub mod behind;
mod child;
mod clone;
mod environment;
mod fork;
mod host;
mod launcher;
mod low;
mod orders;
mod outcome;
mod plan;
mod settings;
mod slots;
mod step;

use std::os::fd::BorrowedFd;

use crate::service::{Local, Peer};

pub use host::Host;
pub use launcher::Launcher;
pub use outcome::{LaunchError, Launched, Outcome, Settled};
pub use plan::{Plan, PlanError};
pub use step::Step;

/// What a child of ours runs in place of a program, given the number of its connection. Answers the exit status. It may
/// use whatever of the daemon's it refers to: the child has a copy.
pub type Body<'a> = &'a dyn Fn(i32) -> u8;

/// One client, as its child will know it.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// In blocking mode. The caller may close its own copy as soon as the launch is made.
    pub socket: BorrowedFd<'a>,
    /// For `stderr = "log"` and `"log-each"`: the write end of the pipe. Without one, fd 2 is /dev/null.
    pub stderr: Option<BorrowedFd<'a>>,
    /// Who came; `None` for the program of a `wait` service.
    pub peer: Option<&'a Peer>,
    /// Our end.
    pub local: &'a Local,
    /// The id of the log.
    pub id: &'a str,
    /// SO_COOKIE; 0: unknown.
    pub cookie: u64,
    /// Connections of this source, this one included; 0: unknown.
    pub concurrency: u32,
    /// A directory of the v2 tree: the child is born into that control group.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The real peer, when `peer` is what a PROXY header said.
    pub proxied_from: Option<&'a Peer>,
}
