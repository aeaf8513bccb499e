//! Who descends from whom, read from /proc.
//!
//! Invariant: a process is signalled only if it is still the one that was looked at: its start time is compared with a
//! pidfd in hand.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::AsFd;

use super::process::{self, Kill};

/// A process as /proc/PID/stat tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    /// Ticks after boot.
    pub started: u64,
    /// It is dead and waits for its parent.
    pub zombie: bool,
}

/// The process `pid`, if there is one.
pub fn look(pid: i32) -> Option<Process> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The fields of /proc/PID/stat. The name in parentheses may hold anything, so the last one ends it.
fn parse(stat: &str) -> Option<Process> {
    let (pid, _) = stat.split_once(' ')?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    let mut number = || fields.next()?.parse().ok();
    Some(Process {
        pid: pid.parse().ok()?,
        parent: number()?,
        group: number()?,
        session: number()?,
        zombie: matches!(state, "Z" | "X"),
        started: fields.nth(15)?.parse().ok()?,
    })
}

/// The children of a process with one thread. `None`: it is gone, or this kernel does not tell (CONFIG_PROC_CHILDREN).
pub fn children(pid: i32) -> Option<Vec<i32>> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    Some(
        text.split_ascii_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect(),
    )
}

/// The children of all threads of a process.
fn children_of_all_threads(pid: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok())
        .flat_map(|text| {
            text.split_ascii_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<i32>>()
        })
        .collect()
}

/// The processes `first` and all their descendants; where the kernel does not tell children, every process there is.
pub fn descendants(first: impl IntoIterator<Item = i32>) -> Vec<Process> {
    if children(process::own_pid()).is_none() {
        return every();
    }
    let mut open: Vec<i32> = first.into_iter().collect();
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    while let Some(pid) = open.pop() {
        if seen.insert(pid)
            && let Some(process) = look(pid)
        {
            found.push(process);
            open.extend(children_of_all_threads(pid));
        }
    }
    found
}

fn every() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| look(entry.ok()?.file_name().to_str()?.parse().ok()?))
        .collect()
}

/// True when the environment that the process was started with has this variable. False where it cannot be read.
pub fn has_variable(pid: i32, variable: &str) -> bool {
    fs::read(format!("/proc/{pid}/environ")).is_ok_and(|bytes| {
        bytes
            .split(|byte| *byte == 0)
            .any(|text| text == variable.as_bytes())
    })
}

/// Signals exactly the process that was looked at, or nobody.
pub fn signal(process: &Process, kill: Kill) -> io::Result<()> {
    let pidfd = process::open(process.pid)?;
    if look(process.pid).is_none_or(|now| now.started != process.started) {
        return Ok(());
    }
    process::signal(pidfd.as_fd(), kill)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn names_with_parentheses_and_blanks_are_passed_over() {
        let stat = "42 (a) R 1 (b) S 7 42 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 2";
        let expected = Process {
            pid: 42,
            parent: 7,
            group: 42,
            session: 40,
            started: 98765,
            zombie: false,
        };
        assert_eq!(parse(stat), Some(expected));
        assert_eq!(parse("42 (x) S 7"), None);
    }

    #[test]
    fn family_is_found_told_apart_and_signalled() {
        let mut child = Command::new("/bin/sh")
            .args(["-c", "sleep 100 & echo ready; wait"])
            .env("LIFE_MARK", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Read::read(child.stdout.as_mut().unwrap(), &mut [0; 6]).unwrap();
        let pid = child.id().cast_signed();
        let family = descendants([pid]);
        let sleep = family.iter().find(|one| one.parent == pid).unwrap();
        assert!(family.iter().any(|one| one.pid == pid));
        assert!(has_variable(pid, "LIFE_MARK=1"));
        assert!(!has_variable(pid, "LIFE_MARK=2"));
        let other = Process {
            started: sleep.started + 1,
            ..*sleep
        };
        signal(&other, Kill::Kill).unwrap();
        assert!(
            look(sleep.pid).is_some_and(|one| !one.zombie),
            "another one is not signalled"
        );
        signal(sleep, Kill::Kill).unwrap();
        child.wait().unwrap();
    }
}
