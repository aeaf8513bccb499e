//! What must be true at the end of every test, whatever the test was about.
//!
//! Invariant: each check can fail; each names what it found.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use super::log::Log;
use super::proc::{self, Process};
use super::{PATIENCE, until};

/// The state of a daemon that has nothing to do: what it must come back to.
pub(crate) struct Baseline {
    fds: BTreeMap<String, usize>,
}

impl Baseline {
    /// The state of now.
    pub(crate) fn of(daemon: Process) -> Self {
        Self {
            fds: daemon.fd_kinds(),
        }
    }
}

/// The checks of a daemon that still runs: it has become idle, and kept nothing.
///
/// What may be new: the two ends of the pipe of a service for its standard error, made when its first program is started
/// and kept; and the worker of a service, with the daemon's end of its pair and its pidfd.
pub(crate) fn check_idle(daemon: Process, baseline: &Baseline, log: &Log) {
    let start = Instant::now();
    let children = || -> Vec<Process> {
        let all = daemon.children().into_iter();
        all.filter(|child| !child.is_worker() || !child.lives())
            .collect()
    };
    let mut left = children();
    while !left.is_empty() && start.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(3));
        left = children();
    }
    // A zombie among them is one that was not reaped.
    let told = |child: &Process| format!("{child:?} {:?} {}", child.state(), child.file("cmdline"));
    let left: Vec<_> = left.iter().map(told).collect();
    assert!(left.is_empty(), "children or zombies are left: {left:?}");
    let start = Instant::now();
    let (mut now, mut allowed) = (daemon.fd_kinds(), baseline.fds.clone());
    while now != allowed && start.elapsed() < PATIENCE / 3 {
        std::thread::sleep(Duration::from_millis(3));
        now = daemon.fd_kinds();
        allowed.clone_from(&baseline.fds);
        let workers = daemon.children().len();
        for kind in ["socket", "anon_inode:[pidfd]"] {
            if workers > 0 {
                *allowed.entry(kind.to_owned()).or_default() += workers;
            }
        }
        let pipes = now.get("pipe").copied().unwrap_or(0);
        let before = allowed.entry("pipe".to_owned()).or_default();
        if pipes > *before && pipes <= *before + 2 * services(log) && (pipes - *before) % 2 == 0 {
            *before = pipes;
        }
    }
    assert_eq!(now, allowed, "descriptors: now, and at the start");
    assert_eq!(daemon.threads(), 1, "threads of the daemon");
}

/// How many services there are in the log.
fn services(log: &Log) -> usize {
    let lines = log.lines();
    let names = lines.iter().filter_map(|line| {
        let named = line
            .split_once("LISTEN: ")
            .or(line.split_once("START: "))?
            .1;
        named.split(' ').next()
    });
    names.collect::<HashSet<_>>().len().max(1)
}

/// After the daemon's end: no program that it started is left, by the connection ids of its START lines.
pub(crate) fn check_leftovers(log: &Log, marker: &str) {
    let lines = log.lines();
    let ids: HashSet<&str> = lines
        .iter()
        .filter(|line| line.contains("START: "))
        .filter_map(|line| line.rsplit_once(" id=")?.1.split_whitespace().next())
        .collect();
    let ours = |process: &Process| {
        process.lives()
            && process.file("environ").split('\0').any(|variable| {
                variable == marker
                    || variable
                        .strip_prefix("OXINETD_CONN_ID=")
                        .is_some_and(|id| ids.contains(id))
            })
    };
    until("the end of all that the daemon started", PATIENCE, || {
        !proc::all().iter().any(ours)
    });
}

/// No line of trouble but those announced.
pub(crate) fn check_log(log: &Log, expected: &[String]) {
    let lines = log.lines();
    let unexpected: Vec<&String> = lines
        .iter()
        .filter(|line| is_trouble(line))
        .filter(|line| !expected.iter().any(|words| line.contains(words.as_str())))
        .collect();
    assert!(
        unexpected.is_empty(),
        "unexpected log lines: {unexpected:#?}"
    );
}

/// True for the lines of trouble: those of the log in text and in JSON, the loader's report, a panic.
fn is_trouble(line: &str) -> bool {
    let within = [
        "ERROR: ",
        "WARNING: ",
        "FAIL: ",
        "PAUSE: ",
        "LOST: ",
        "panicked",
        "\"level\":\"error\"",
        "\"level\":\"warning\"",
    ];
    within.iter().any(|word| line.contains(word))
        || ["error", "warning"]
            .iter()
            .any(|word| line.starts_with(word))
}
