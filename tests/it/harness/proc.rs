//! Looks into /proc/PID.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// A process, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(pub(crate) i32);

impl Process {
    /// A file of its directory; empty when the process is gone.
    pub(crate) fn file(self, name: &str) -> String {
        let bytes = fs::read(format!("/proc/{}/{name}", self.0)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// State letter, `None` when it is gone.
    pub(crate) fn state(self) -> Option<char> {
        self.stat().first()?.chars().next()
    }

    /// True until it has ended; a zombie has.
    pub(crate) fn lives(self) -> bool {
        !matches!(self.state(), None | Some('Z' | 'X'))
    }

    /// The fields of `stat` from the third on.
    fn stat(self) -> Vec<String> {
        let stat = self.file("stat");
        let Some((_, fields)) = stat.rsplit_once(") ") else {
            return Vec::new();
        };
        fields.split_whitespace().map(str::to_owned).collect()
    }

    /// User and system time.
    pub(crate) fn cpu(self) -> Duration {
        let ticks = |index: usize| -> u64 { self.stat()[index].parse().unwrap() };
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }

    /// Its children, zombies included.
    pub(crate) fn children(self) -> Vec<Self> {
        self.file(&format!("task/{}/children", self.0))
            .split_whitespace()
            .map(|pid| Self(pid.parse().unwrap()))
            .collect()
    }

    /// True for a child that serves all connections of a service, and stays.
    pub(crate) fn is_worker(self) -> bool {
        self.file("comm").starts_with("worker: ")
    }

    /// Its descendants, itself not included.
    pub(crate) fn descendants(self) -> Vec<Self> {
        let mut found = self.children();
        let mut next = 0;
        while let Some(process) = found.get(next).copied() {
            found.extend(process.children());
            next += 1;
        }
        found
    }

    /// How many threads it has.
    pub(crate) fn threads(self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.0)).map_or(0, Iterator::count)
    }

    /// What its descriptors point to.
    pub(crate) fn fds(self) -> BTreeMap<i32, String> {
        let Ok(entries) = fs::read_dir(format!("/proc/{}/fd", self.0)) else {
            return BTreeMap::new();
        };
        entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let target = fs::read_link(entry.path()).ok()?;
                let number = entry.file_name().to_str()?.parse().ok()?;
                Some((number, target.to_string_lossy().into_owned()))
            })
            .collect()
    }

    /// How many descriptors of each kind: `socket`, `pipe`, `anon_inode:[eventpoll]`, `/dev/null`.
    pub(crate) fn fd_kinds(self) -> BTreeMap<String, usize> {
        let mut kinds = BTreeMap::new();
        for target in self.fds().into_values() {
            let kind = match target.split_once(":[") {
                Some((kind @ ("socket" | "pipe"), _)) => kind.to_owned(),
                _ => target,
            };
            *kinds.entry(kind).or_default() += 1;
        }
        kinds
    }

    /// A number of `status`, as `VmRSS` in KiB.
    pub(crate) fn number(self, field: &str) -> u64 {
        let status = self.file("status");
        let line = status
            .lines()
            .find(|line| line.split(':').next() == Some(field))
            .unwrap_or_else(|| panic!("no {field} in the status of {self:?}"));
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Sends a signal to this one process.
    pub(crate) fn signal(self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.0), signal).unwrap();
    }
}

/// Every process that there is.
pub(crate) fn all() -> Vec<Process> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| Some(Process(entry.ok()?.file_name().to_str()?.parse().ok()?)))
        .collect()
}
