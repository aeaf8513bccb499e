//! The parent's side of a launch.
//!
//! Invariant: a slot, its share of the plan and its low descriptors are held together by one [`Flight`], and each comes
//! back exactly when the kernel allows it: the low descriptors when the child has its own table, the rest when the
//! child has left the memory. Nothing here blocks.
#![expect(
    unsafe_code,
    reason = "clone, and the one-time set-up of the process for it"
)]

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::libc;
use syscalls::{Sysno, raw_syscall};

use crate::sys::start::floor;

use super::child::program;
use super::clone::{self, Arguments, CLONE_INTO_CGROUP, clone_onto, clone3_onto};
use super::fork;
use super::low::{Low, Set};
use super::orders::Record;
use super::outcome::{LaunchError, Launched, Outcome, Settled};
use super::plan::{Plan, Share};
use super::slots::{Pool, STACK, Slot};
use super::{Body, Connection};

/// Makes children.
#[derive(Debug)]
pub struct Launcher {
    low: Low,
    pool: Pool,
    flights: Vec<Flight>,
    /// Those that were told to be stuck: the death of their children tells their end.
    stuck: HashMap<u64, Flight>,
    /// When the last child was made.
    last: Option<Instant>,
    tid_address: *mut u32,
    sharing: Sharing,
}

/// Whether a child may run in the daemon's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    /// Not tried yet.
    Hoped,
    /// Done before.
    Known,
    /// The kernel or a sandbox said no, with this error.
    Refused(i32),
}

/// A launch whose child has not left.
#[derive(Debug)]
struct Flight {
    key: u64,
    slot: Slot,
    share: Share,
    low: Option<Set>,
    since: Instant,
}

impl Launcher {
    /// Makes this process one that can launch: blocks every signal for good, fills the low descriptors, maps the
    /// slots, and, where it has privileges, closes its memory to tracers.
    ///
    /// To be called once, in a process with one thread, after the files that the daemon keeps are open above 63.
    pub fn new(open_files: u64) -> io::Result<Self> {
        // SAFETY: closes a number that cannot be open; asks whether the call exists.
        let answer = unsafe { raw_syscall!(Sysno::close_range, u32::MAX, u32::MAX, 0) };
        if errno(answer.cast_signed()).is_some() {
            return Err(io::Error::other(
                "this kernel has no close_range: Linux 5.9 or newer is needed",
            ));
        }
        let every: u64 = u64::MAX;
        // SAFETY: reads eight bytes. By number, because libc leaves out the signals that it keeps to itself.
        check(unsafe {
            raw_syscall!(
                Sysno::rt_sigprocmask,
                libc::SIG_SETMASK,
                &raw const every,
                0,
                8
            )
        })?;
        close_memory()?;
        Ok(Self {
            low: Low::new(floor(open_files))?,
            pool: Pool::new()?,
            flights: Vec::new(),
            stuck: HashMap::new(),
            last: None,
            tid_address: fork::tid_address(),
            sharing: if clone::SUPPORTED {
                Sharing::Hoped
            } else {
                Sharing::Refused(libc::ENOSYS)
            },
        })
    }

    /// True when a launch would find a slot and low descriptors.
    pub fn has_room(&self) -> bool {
        self.low.has_room() && self.pool.has_room()
    }

    /// True when the plan may have another launch in flight.
    pub fn has_share(plan: &Plan) -> bool {
        Share::available(plan)
    }

    /// Makes a child for a connection. The caller may close its copy of the connection at once. `body` is what the child
    /// runs if the plan has no program.
    pub fn launch(
        &mut self,
        plan: &Rc<Plan>,
        connection: &Connection<'_>,
        body: Body<'_>,
        key: u64,
        now: Instant,
    ) -> Result<Launched, LaunchError> {
        let Some(share) = Share::take(plan) else {
            return Err(LaunchError {
                step: "launches in flight",
                errno: libc::EAGAIN,
            });
        };
        let mut slot = self
            .pool
            .take()
            .map_err(|error| LaunchError::new("slot", &error))?;
        let set = match self.low.take(
            connection.socket,
            connection.stderr.filter(|_| plan.wants_stderr()),
        ) {
            Ok(set) => set,
            Err(error) => {
                self.pool.give_back(slot);
                return Err(LaunchError::new("dup3", &error));
            }
        };
        let record: *const Record = slot.record();
        slot.orders.record = record;
        let composed = plan.compose(connection, &mut slot.words, &set, &mut slot.orders);
        let made = match composed {
            Ok(()) => {
                let cgroup = connection.cgroup.map(|fd| fd.as_raw_fd());
                self.make(plan, body, &mut slot, cgroup)
            }
            Err(_) => Err(LaunchError {
                step: "environment",
                errno: libc::E2BIG,
            }),
        };
        match made {
            Ok(launched) => {
                self.last = Some(now);
                self.flights.push(Flight {
                    key,
                    slot,
                    share,
                    low: Some(set),
                    since: now,
                });
                Ok(launched)
            }
            Err(error) => {
                self.low.retire(set);
                self.pool.give_back(slot);
                Err(error)
            }
        }
    }

    /// Looks after the launches in flight. To be called in every turn, before the dead are reaped, so that an EXIT
    /// line can know whether the program ever ran.
    pub fn sweep(&mut self, now: Instant, settled: &mut Vec<Settled>) {
        self.low.retry();
        let mut index = 0;
        while let Some(flight) = self.flights.get_mut(index) {
            // In this order: the record is complete once the child has left.
            let left = flight.slot.record().left();
            let stage = flight.slot.record().stage.load(Ordering::Acquire);
            if (left || stage != 0)
                && let Some(set) = flight.low.take()
            {
                self.low.retire(set);
            }
            if left {
                let flight = self.flights.swap_remove(index);
                settled.push(self.land(flight));
            } else if now.saturating_duration_since(flight.since) >= DEADLINE {
                let flight = self.flights.swap_remove(index);
                let (key, step) = (flight.key, Outcome::step(stage));
                settled.push(Settled {
                    key,
                    outcome: Outcome::Stuck { step },
                });
                self.stuck.insert(key, flight);
            } else {
                index += 1;
            }
        }
    }

    /// The child of this launch is dead: settles what the kernel has not told yet. `None` when all is settled, which
    /// is the rule.
    pub fn settle_dead(&mut self, key: u64) -> Option<Settled> {
        let flight = self.stuck.remove(&key).or_else(|| {
            let index = self.flights.iter().position(|flight| flight.key == key)?;
            Some(self.flights.swap_remove(index))
        })?;
        Some(self.land(flight))
    }

    /// Launches whose children have not left.
    pub fn in_flight(&self) -> usize {
        self.flights.len() + self.stuck.len() + self.low.stale()
    }

    /// When to sweep again, if nothing else wakes the daemon before: nothing tells epoll that a child has left. Soon
    /// after a launch in a millisecond, later less often.
    pub fn look_again(&self, now: Instant) -> Option<Duration> {
        if self.flights.is_empty() && self.low.stale() == 0 {
            return None;
        }
        let age = self.last.map(|last| now.saturating_duration_since(last));
        Some((age.unwrap_or_default() / 8).clamp(SOON, LATER))
    }

    /// A sentence for the log when children cannot share the daemon's memory, for a reason found by trying.
    pub fn fallback_note(&self) -> Option<String> {
        match self.sharing {
            Sharing::Hoped | Sharing::Known => None,
            Sharing::Refused(errno) => Some(format!(
                "children cannot share the daemon's memory here ({}): they are forked, which costs more",
                io::Error::from_raw_os_error(errno)
            )),
        }
    }

    /// The clone, or the fork.
    fn make(
        &mut self,
        plan: &Plan,
        body: Body<'_>,
        slot: &mut Slot,
        cgroup: Option<RawFd>,
    ) -> Result<Launched, LaunchError> {
        let mut pidfd = -1;
        if !plan.is_private() && !matches!(self.sharing, Sharing::Refused(_)) {
            let stack = slot
                .stack_top()
                .map_err(|error| LaunchError::new("stack", &error))?;
            let tid = slot.record().tid.as_ptr();
            let orders = (&raw const *slot.orders).cast();
            if let Some(cgroup) = cgroup {
                let arguments = Arguments {
                    flags: (SHARED_FLAGS & !(libc::SIGCHLD as usize)) as u64 | CLONE_INTO_CGROUP,
                    pidfd: &raw mut pidfd as u64,
                    child_tid: tid as u64,
                    exit_signal: libc::SIGCHLD as u64,
                    stack: stack as u64 - STACK as u64,
                    stack_size: STACK as u64,
                    cgroup: cgroup as u64,
                    ..Arguments::default()
                };
                // SAFETY: as below.
                let answer = unsafe { clone3_onto(&arguments, program, orders) };
                return into_cgroup(answer, pidfd);
            }
            // SAFETY: the stack and the orders belong to this slot, which nobody uses until the tid word says so;
            // `program` keeps to the rules; `new` blocked the signals.
            let answer =
                unsafe { clone_onto(SHARED_FLAGS, stack, &raw mut pidfd, tid, program, orders) };
            match (errno(answer), self.sharing) {
                (None, _) => {
                    self.sharing = Sharing::Known;
                    return Ok(launched(answer, pidfd));
                }
                (Some(errno @ (libc::EINVAL | libc::ENOSYS | libc::EPERM)), Sharing::Hoped) => {
                    self.sharing = Sharing::Refused(errno);
                }
                (Some(errno), _) => {
                    return Err(LaunchError {
                        step: "clone",
                        errno,
                    });
                }
            }
        }
        // SAFETY: as above; the daemon has one thread.
        let answer = unsafe {
            fork::fork(
                &slot.orders,
                plan.finish(),
                body,
                self.pool.shared_memory(),
                &mut pidfd,
                self.tid_address,
                cgroup,
            )
        };
        if cgroup.is_some() {
            return into_cgroup(answer, pidfd);
        }
        match errno(answer) {
            None => Ok(launched(answer, pidfd)),
            Some(errno) => Err(LaunchError {
                step: "fork",
                errno,
            }),
        }
    }

    /// Gives back what a flight held, and tells how it ended.
    fn land(&mut self, flight: Flight) -> Settled {
        let Flight {
            key,
            slot,
            share,
            low,
            ..
        } = flight;
        if let Some(set) = low {
            self.low.retire(set);
        }
        let record = slot.record();
        let outcome = Outcome::of(
            record.stage.load(Ordering::Acquire),
            record.errno.load(Ordering::Relaxed),
        );
        self.pool.give_back(slot);
        drop(share);
        Settled { key, outcome }
    }
}

fn launched(pid: isize, pidfd: i32) -> Launched {
    Launched {
        pid: pid as i32,
        // SAFETY: the kernel has just made it for us.
        pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
    }
}

/// The answer of a clone3 into a control group.
fn into_cgroup(answer: isize, pidfd: i32) -> Result<Launched, LaunchError> {
    match errno(answer) {
        None => Ok(launched(answer, pidfd)),
        Some(errno) => Err(LaunchError {
            step: LaunchError::INTO_CGROUP,
            errno,
        }),
    }
}

/// The error in a kernel's answer.
fn errno(answer: isize) -> Option<i32> {
    (-4095..0).contains(&answer).then_some(-(answer as i32))
}

fn check(answer: usize) -> io::Result<()> {
    errno(answer.cast_signed()).map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
}

/// A daemon with privileges is not dumpable: else the user of a service could write to it through his child. A plain
/// user's daemon crosses no boundary, and stays open to his debugger.
fn close_memory() -> io::Result<()> {
    let header: [u32; 2] = [0x2008_0522, 0];
    let mut sets = [0_u32; 6];
    // SAFETY: version 3 reads two words and writes six.
    check(unsafe { raw_syscall!(Sysno::capget, header.as_ptr(), sets.as_mut_ptr()) })?;
    let [_, permitted_low, _, _, permitted_high, _] = sets;
    if nix::unistd::geteuid().is_root() || permitted_low | permitted_high != 0 {
        // SAFETY: sets a flag of this process.
        check(unsafe { raw_syscall!(Sysno::prctl, libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })?;
    }
    Ok(())
}

const SHARED_FLAGS: usize = (libc::CLONE_VM
    | libc::CLONE_FILES
    | libc::CLONE_PIDFD
    | libc::CLONE_CHILD_CLEARTID
    | libc::SIGCHLD) as usize;
/// The age at which a launch is stuck.
const DEADLINE: Duration = Duration::from_secs(5);
/// Pauses between sweeps.
const SOON: Duration = Duration::from_millis(1);
const LATER: Duration = Duration::from_millis(50);
