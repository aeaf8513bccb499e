//! The host as `config` sees it: user database, /etc/services, name resolution, files.
//!
//! Invariant: used in the short-lived load child only, because accounts and names may block (LDAP, DNS) and bring NSS
//! modules into the process. Files never block: they are opened with O_NONBLOCK and read only when regular.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ffi::{CString, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::net::{IpAddr, ToSocketAddrs as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use crate::config::world::{Account, Metadata, Opened, World};
use crate::sandbox::cgroup;
use crate::service::Cgroup;

/// What a file looks like from outside: another one, or other contents, look different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Look {
    /// The file at `path` now; `None`: there is none.
    pub fn at(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// The real host.
#[derive(Debug, Default)]
pub struct SystemWorld {
    services: OnceCell<HashMap<(String, bool), u16>>,
}

impl SystemWorld {
    /// The host that this process runs on.
    pub fn new() -> Self {
        Self::default()
    }
}

impl World for SystemWorld {
    fn cgroup_problem(&self, limits: &Cgroup) -> Option<String> {
        let problem = cgroup::check(limits).err()?;
        Some(problem.to_string())
    }

    fn user(&self, name: &str) -> io::Result<Option<Account>> {
        // The library would search for the text before a NUL.
        if name.contains('\0') {
            return Ok(None);
        }
        Ok(User::from_name(name)?.map(account))
    }

    fn user_by_id(&self, uid: u32) -> io::Result<Option<Account>> {
        Ok(User::from_uid(Uid::from_raw(uid))?.map(account))
    }

    fn group(&self, name: &str) -> io::Result<Option<u32>> {
        if name.contains('\0') {
            return Ok(None);
        }
        Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()))
    }

    fn groups_of(&self, name: &str, gid: u32) -> io::Result<Vec<u32>> {
        let name = CString::new(name)?;
        let groups = getgrouplist(&name, Gid::from_raw(gid))?;
        Ok(groups.into_iter().map(Gid::as_raw).collect())
    }

    fn user_names(&self) -> Vec<String> {
        first_fields("/etc/passwd")
    }

    fn group_names(&self) -> Vec<String> {
        first_fields("/etc/group")
    }

    fn port(&self, name: &str, datagram: bool) -> Option<u16> {
        let services = self
            .services
            .get_or_init(|| services(&fs::read_to_string("/etc/services").unwrap_or_default()));
        services.get(&(name.to_owned(), datagram)).copied()
    }

    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok((host, 0)
            .to_socket_addrs()?
            .map(|address| address.ip())
            .collect())
    }

    fn interface_index(&self, name: &str) -> Option<u32> {
        if_nametoindex(name).ok()
    }

    fn has_timezone(&self, name: &str) -> bool {
        jiff::tz::TimeZone::get(name).is_ok()
    }

    fn has_ipv4(&self) -> bool {
        has_family(AddressFamily::Inet)
    }

    /// The family alone says little: with `disable_ipv6` sockets can be made, and nothing can be bound.
    fn has_ipv6(&self) -> bool {
        has_family(AddressFamily::Inet6) && std::net::UdpSocket::bind("[::1]:0").is_ok()
    }

    fn read(&self, path: &Path, limit: usize) -> io::Result<Opened> {
        // O_NONBLOCK: a FIFO without a writer opens at once. O_NOCTTY: a terminal does not become ours.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)?;
        let metadata = file.metadata()?;
        if is_null(&metadata) {
            return Ok(Opened::Null);
        }
        if !metadata.is_file() {
            return Ok(Opened::Other);
        }
        let mut bytes = Vec::new();
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        (&file).take(most).read_to_end(&mut bytes)?;
        Ok(Opened::Regular {
            bytes,
            metadata: owner(&metadata),
            path: true_name(&file, path)?,
        })
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(directory)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect()
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        fs::symlink_metadata(path).map(|metadata| owner(&metadata))
    }

    fn runtime_dir(&self) -> Option<PathBuf> {
        let directory = PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR")?);
        directory.is_absolute().then_some(directory)
    }

    fn is_executable(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o111 != 0)
    }
}

fn account(user: User) -> Account {
    Account {
        name: user.name,
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        home: user.dir.to_string_lossy().into_owned(),
        shell: user.shell.to_string_lossy().into_owned(),
    }
}

fn owner(metadata: &fs::Metadata) -> Metadata {
    Metadata {
        uid: metadata.uid(),
        gid: metadata.gid(),
        mode: metadata.mode(),
    }
}

fn is_null(metadata: &fs::Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == libc::makedev(1, 3)
}

/// The name that the kernel has for an open file: absolute, without links. Without /proc the name is resolved again.
fn true_name(file: &File, path: &Path) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).or_else(|_| fs::canonicalize(path))
}

fn has_family(family: AddressFamily) -> bool {
    socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).is_ok()
}

/// Names for suggestions come from the files alone: a directory service may have a million of them.
fn first_fields(path: &str) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split(':').next())
        .map(str::to_owned)
        .collect()
}

/// The ports of services(5) by name or alias and protocol (true: UDP); the first line of a name counts.
fn services(text: &str) -> HashMap<(String, bool), u16> {
    let mut ports = HashMap::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let (Some(name), Some((port, protocol))) = (
            words.next(),
            words.next().and_then(|word| word.split_once('/')),
        ) else {
            continue;
        };
        let (Ok(port), datagram @ ("tcp" | "udp")) = (port.parse::<u16>(), protocol) else {
            continue;
        };
        for name in std::iter::once(name).chain(words) {
            ports
                .entry((name.to_owned(), datagram == "udp"))
                .or_insert(port);
        }
    }
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_read_with_aliases() {
        let ports =
            services("# x\ntftp\t\t69/udp\nwww 80/tcp http  # WWW\nbad\nrtmp 1/ddp\nwww 81/tcp\n");
        let port = |name: &str, datagram| ports.get(&(name.to_owned(), datagram)).copied();
        assert_eq!(port("tftp", true), Some(69));
        assert_eq!(port("tftp", false), None);
        assert_eq!(port("http", false), Some(80));
        assert_eq!(port("www", false), Some(80));
        assert_eq!(ports.len(), 3);
    }

    #[test]
    fn only_regular_files_are_read_and_nothing_blocks() {
        let directory = tempfile::tempdir().unwrap();
        let world = SystemWorld::new();
        let file = directory.path().join("file");
        fs::write(&file, "12345").unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let Opened::Regular { bytes, path, .. } = world.read(&link, 3).unwrap() else {
            panic!("not regular")
        };
        assert_eq!(bytes, b"1234");
        assert_eq!(path, fs::canonicalize(&file).unwrap());
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        assert_eq!(world.read(&fifo, 3).unwrap(), Opened::Other);
        assert_eq!(
            world.read(Path::new("/dev/zero"), 3).unwrap(),
            Opened::Other
        );
        assert_eq!(world.read(directory.path(), 3).unwrap(), Opened::Other);
        let mask = directory.path().join("mask");
        std::os::unix::fs::symlink("/dev/null", &mask).unwrap();
        assert_eq!(world.read(&mask, 3).unwrap(), Opened::Null);
        assert_eq!(
            world
                .read(&directory.path().join("no"), 3)
                .unwrap_err()
                .kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn root_is_known() {
        let world = SystemWorld::new();
        assert_eq!(
            world.user("root").unwrap().map(|account| account.uid),
            Some(0)
        );
        assert!(world.groups_of("root", 0).unwrap().contains(&0));
        assert!(world.user_names().contains(&"root".to_owned()));
        assert_eq!(world.user("no such user").unwrap(), None);
    }
}
