//! Control groups: one for each connection of the services that ask, so that limits hold for a whole tree of processes
//! and one write ends it.
//!
//! Invariant: only the kernel's v2 tree is used, and of it only what lies below the daemon's own group. What a service
//! asks for and the host lacks is a [`Problem`] with the way out, never left out silently.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use crate::service::Cgroup;
use crate::sys::process::{self, Kill};

/// Where the groups of connections are made.
#[derive(Debug)]
pub struct Tree {
    base: PathBuf,
}

/// Why a group cannot do what a service asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// There is no v2 tree.
    NoTree,
    /// The tree may not be written.
    Closed(PathBuf, String),
    /// A controller is not there.
    Lacks(PathBuf, &'static str),
    /// A controller cannot be passed on: the daemon's own group has other processes.
    Busy(PathBuf, &'static str, String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DELEGATE: &str =
            "start oxinetd by a systemd unit with `Delegate=yes`, or leave `cgroup` out";
        match self {
            Self::NoTree => write!(
                f,
                "`cgroup` needs control groups v2, and no cgroup2 file system is mounted; mount one, or leave it out"
            ),
            Self::Closed(path, error) => {
                write!(
                    f,
                    "`cgroup`: {} cannot be used: {error}; {DELEGATE}",
                    path.display()
                )
            }
            Self::Lacks(path, controller) => write!(
                f,
                "`cgroup` needs the {controller} controller, which {} does not have (it may be bound to a v1 tree: boot \
                 with systemd.unified_cgroup_hierarchy=1); {DELEGATE}",
                path.display()
            ),
            Self::Busy(path, controller, error) => write!(
                f,
                "`cgroup`: the {controller} controller of {} cannot be passed on ({error}): other processes run in that \
                 group; {DELEGATE}",
                path.display()
            ),
        }
    }
}

impl std::error::Error for Problem {}

/// The controllers that these limits need.
pub fn controllers(limits: &Cgroup) -> BTreeSet<&'static str> {
    let Cgroup {
        memory_max,
        memory_high,
        swap_max,
        tasks_max,
        cpu_quota,
        cpu_weight,
        io_weight,
    } = limits;
    [
        (
            memory_max.or(*memory_high).or(*swap_max).is_some(),
            "memory",
        ),
        (tasks_max.is_some(), "pids"),
        (cpu_quota.or(*cpu_weight).is_some(), "cpu"),
        (io_weight.is_some(), "io"),
    ]
    .into_iter()
    .filter_map(|(asked, name)| asked.then_some(name))
    .collect()
}

/// Those of these names that are controllers.
pub fn known(names: &[String]) -> BTreeSet<&'static str> {
    let all = ["memory", "pids", "cpu", "io"];
    all.into_iter()
        .filter(|name| names.iter().any(|one| one == name))
        .collect()
}

/// Whether the kernel of this host has what the limits need. Whether a daemon may use it is known where it runs: a person
/// who checks a table sits in another group.
pub fn check(limits: &Cgroup) -> Result<(), Problem> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|_| Problem::NoTree)?;
    let root = locate("0::/", &mounts).ok_or(Problem::NoTree)?;
    has(&root, &controllers(limits))
}

impl Tree {
    /// Opens the tree below the daemon's own group. Where controllers are to be passed on, the daemon first moves to a
    /// leaf of its own, as the kernel demands (no processes in inner groups).
    pub fn open(wanted: &BTreeSet<&'static str>) -> Result<Self, Problem> {
        Self::open_in(&own().ok_or(Problem::NoTree)?, wanted)
    }

    fn open_in(own: &Path, wanted: &BTreeSet<&'static str>) -> Result<Self, Problem> {
        has(own, wanted)?;
        let base = own.join(format!("{PREFIX}{}", process::own_pid()));
        sweep(own);
        make(&base)?;
        // The root group has no type, and may have processes beside groups.
        if !wanted.is_empty() && own.join("cgroup.type").exists() {
            let leaf = own.join(DAEMON);
            make(&leaf)?;
            fs::write(leaf.join("cgroup.procs"), "0")
                .map_err(|error| Problem::Closed(leaf, error.to_string()))?;
        }
        for controller in wanted {
            for group in [own, &base] {
                fs::write(
                    group.join("cgroup.subtree_control"),
                    format!("+{controller}"),
                )
                .map_err(|error| Problem::Busy(group.to_owned(), controller, error.to_string()))?;
            }
        }
        Ok(Self { base })
    }

    /// The tree of this process before an exec.
    pub fn going_on(base: PathBuf) -> Option<Self> {
        base.is_dir().then_some(Self { base })
    }

    /// Where the groups are.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Makes the group of a connection. The child is born into it through the descriptor.
    pub fn create(&self, id: &str, limits: &Cgroup) -> io::Result<File> {
        let path = self.base.join(id);
        fs::create_dir(&path)?;
        let made = settings(limits)
            .into_iter()
            .try_for_each(|(file, value)| fs::write(path.join(file), value))
            .and_then(|()| File::open(&path));
        if made.is_err() {
            let _ = fs::remove_dir(&path);
        }
        made
    }

    /// True while a process lives in the group. `None`: the group is gone.
    pub fn is_populated(&self, id: &str) -> Option<bool> {
        let events = fs::read_to_string(self.base.join(id).join("cgroup.events")).ok()?;
        Some(events.lines().any(|line| line == "populated 1"))
    }

    /// Kills everything in the group, at once and whatever it forks meanwhile (Linux 5.14; before, one by one).
    pub fn kill(&self, id: &str) -> io::Result<()> {
        let path = self.base.join(id);
        match fs::write(path.join("cgroup.kill"), "1") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => kill_each(&path),
            done => done,
        }
    }

    /// Removes the group. False: somebody lives in it.
    pub fn remove(&self, id: &str) -> bool {
        match fs::remove_dir(self.base.join(id)) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Removes the base, if nobody is left in it.
    pub fn close(&self) {
        let _ = fs::remove_dir(&self.base);
    }
}

/// What is forked meanwhile is met at the next look.
fn kill_each(path: &Path) -> io::Result<()> {
    let pids = fs::read_to_string(path.join("cgroup.procs"))?;
    for pid in pids.lines().filter_map(|pid| pid.parse().ok()) {
        if let Ok(pidfd) = process::open(pid) {
            let _ = process::signal(pidfd.as_fd(), Kill::Kill);
        }
    }
    Ok(())
}

fn has(own: &Path, wanted: &BTreeSet<&'static str>) -> Result<(), Problem> {
    let there = fs::read_to_string(own.join("cgroup.controllers"))
        .map_err(|error| Problem::Closed(own.to_owned(), error.to_string()))?;
    match wanted
        .iter()
        .find(|name| !there.split_whitespace().any(|one| one == **name))
    {
        Some(name) => Err(Problem::Lacks(own.to_owned(), name)),
        None => Ok(()),
    }
}

/// Removes what daemons left behind that could not do it themselves.
fn sweep(own: &Path) {
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    for entry in entries(own) {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if let Some(pid) = pid.and_then(|pid| pid.parse::<u32>().ok())
            && !Path::new("/proc").join(pid.to_string()).exists()
        {
            for leaf in entries(&entry.path()) {
                let _ = fs::remove_dir(leaf.path());
            }
            let _ = fs::remove_dir(entry.path());
        }
    }
}

fn make(path: &Path) -> Result<(), Problem> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(Problem::Closed(path.to_owned(), error.to_string()))
        }
        _ => Ok(()),
    }
}

/// The files of a group and what is written to them.
fn settings(limits: &Cgroup) -> Vec<(&'static str, String)> {
    let text = |value: Option<u64>| value.map(|value| value.to_string());
    [
        ("memory.max", text(limits.memory_max)),
        ("memory.high", text(limits.memory_high)),
        ("memory.swap.max", text(limits.swap_max)),
        ("pids.max", text(limits.tasks_max.map(u64::from))),
        // Percent of one processor, in microseconds of each 100 ms.
        (
            "cpu.max",
            limits
                .cpu_quota
                .map(|percent| format!("{} 100000", u64::from(percent) * 1000)),
        ),
        ("cpu.weight", text(limits.cpu_weight.map(u64::from))),
        ("io.weight", text(limits.io_weight.map(u64::from))),
    ]
    .into_iter()
    .filter_map(|(file, value)| Some((file, value?)))
    .collect()
}

/// The directory of this process's own v2 group.
fn own() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    locate(&groups, &mounts)
}

/// The same from the texts of cgroups(7) and proc_pid_mountinfo(5).
fn locate(groups: &str, mounts: &str) -> Option<PathBuf> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        if kind.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let below = Path::new(group).strip_prefix(root).ok()?;
        // Joining nothing would leave a slash at the end.
        Some(Path::new(point).join(below).components().collect())
    })
}

/// The group under which the connections of a daemon have theirs is named by its pid.
const PREFIX: &str = "oxinetd-";
/// The daemon's own leaf.
const DAEMON: &str = "oxinetd-daemon";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_group_is_found_in_pure_hybrid_and_contained_hosts() {
        let pure = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
        let hybrid = "36 31 0:33 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let bound = "41 31 0:38 /box /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let service = "0::/system.slice/oxinetd.service\n";
        for (groups, mounts, expected) in [
            (
                service,
                pure,
                Some("/sys/fs/cgroup/system.slice/oxinetd.service"),
            ),
            ("5:cpu:/\n0::/\n", hybrid, Some("/sys/fs/cgroup/unified")),
            ("0::/box/a\n", bound, Some("/sys/fs/cgroup/a")),
            ("0::/other\n", bound, None),
            ("5:cpu:/\n", hybrid, None),
            (service, "", None),
        ] {
            assert_eq!(locate(groups, mounts).as_deref(), expected.map(Path::new));
        }
    }

    #[test]
    fn limits_name_their_controllers_and_files() {
        let limits = Cgroup {
            memory_max: Some(1 << 20),
            tasks_max: Some(7),
            cpu_quota: Some(250),
            ..Cgroup::default()
        };
        assert_eq!(
            controllers(&limits).into_iter().collect::<Vec<_>>(),
            ["cpu", "memory", "pids"]
        );
        assert!(controllers(&Cgroup::default()).is_empty());
        let expected = [
            ("memory.max", "1048576".to_owned()),
            ("pids.max", "7".to_owned()),
            ("cpu.max", "250000 100000".to_owned()),
        ];
        assert_eq!(settings(&limits), expected);
    }

    /// A directory with the kernel's files: what is written where, and what is answered when something is missing.
    #[test]
    fn daemon_moves_to_a_leaf_and_passes_controllers_on() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path();
        let wanted = BTreeSet::from(["memory"]);
        assert!(matches!(
            Tree::open_in(own, &wanted),
            Err(Problem::Closed(..))
        ));
        fs::write(own.join("cgroup.controllers"), "cpu pids\n").unwrap();
        let lacks = Tree::open_in(own, &wanted).unwrap_err();
        assert_eq!(lacks, Problem::Lacks(own.to_owned(), "memory"));
        assert!(lacks.to_string().contains("Delegate=yes"));
        fs::write(own.join("cgroup.controllers"), "cpu memory pids\n").unwrap();
        fs::write(own.join("cgroup.type"), "domain\n").unwrap();
        let tree = Tree::open_in(own, &wanted).unwrap();
        let read = |path: &str| fs::read_to_string(own.join(path)).unwrap();
        assert_eq!(read("oxinetd-daemon/cgroup.procs"), "0");
        assert_eq!(read("cgroup.subtree_control"), "+memory");
        let base = format!("{PREFIX}{}", process::own_pid());
        assert_eq!(read(&format!("{base}/cgroup.subtree_control")), "+memory");
        let limits = Cgroup {
            memory_high: Some(4096),
            ..Cgroup::default()
        };
        tree.create("id", &limits).unwrap();
        assert_eq!(read(&format!("{base}/id/memory.high")), "4096");
        assert_eq!(
            tree.create("id", &limits).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
    }

    #[test]
    fn root_group_needs_no_move() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.controllers"), "pids\n").unwrap();
        Tree::open_in(dir.path(), &BTreeSet::from(["pids"])).unwrap();
        assert!(!dir.path().join(DAEMON).exists());
    }
}
