//! The host as `check` looks at it: programs as a process in its root would find them, sockets and who holds them, what
//! this process and this kernel can do.
//!
//! Invariant: nothing is changed by looking, and nothing blocks: files are opened by O_PATH first.
#![expect(
    unsafe_code,
    reason = "extended attributes and the Landlock version have no safe wrapper"
)]

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::ptr;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::sys::statvfs::{FsFlags, fstatvfs};

use crate::config::surroundings::{Bound, Feature, Found, HEAD, Holder, Surroundings};
use crate::config::world::Metadata;
use crate::service::Protocol;

/// The real host.
#[derive(Debug, Default)]
pub struct SystemSurroundings {
    holders: OnceCell<HashMap<u64, Holder>>,
}

impl Surroundings for SystemSurroundings {
    fn look(&self, root: &Path, path: &Path) -> io::Result<Found> {
        let file = open_in(root, path)?;
        let metadata = file.metadata()?;
        let number = format!("/proc/self/fd/{}", file.as_raw_fd());
        let noexec =
            fstatvfs(&file).is_ok_and(|status| status.flags().contains(FsFlags::ST_NOEXEC));
        Ok(Found {
            path: fs::read_link(&number).unwrap_or_else(|_| root.join(path)),
            metadata: Metadata {
                uid: metadata.uid(),
                gid: metadata.gid(),
                mode: metadata.mode(),
            },
            head: metadata
                .is_file()
                .then(|| head(Path::new(&number)).ok())
                .flatten(),
            noexec,
        })
    }

    fn has_acl(&self, path: &Path) -> bool {
        let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
            return false;
        };
        let name = c"system.posix_acl_access";
        // SAFETY: both texts end with NUL; a size of 0 asks for the length alone and writes nothing.
        let length = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), ptr::null_mut(), 0) };
        length > 0
    }

    fn bound(&self) -> Vec<Bound> {
        // Field 4 of /proc/net/tcp: 0A is TCP_LISTEN; an unconnected UDP socket is 07, TCP_CLOSE.
        let tables = [
            ("tcp", Protocol::Tcp, "0A"),
            ("tcp6", Protocol::Tcp, "0A"),
            ("udp", Protocol::Udp, "07"),
            ("udp6", Protocol::Udp, "07"),
        ];
        let of = |(name, protocol, state): (&str, Protocol, &str)| {
            let text = fs::read_to_string(format!("/proc/self/net/{name}")).unwrap_or_default();
            bound_in(&text, protocol, state)
        };
        tables.into_iter().flat_map(of).collect()
    }

    fn bound_unix(&self, name: &str) -> Option<u64> {
        let text = fs::read_to_string("/proc/self/net/unix").unwrap_or_default();
        text.lines().find_map(|line| unix_inode(line, name))
    }

    fn holder(&self, inode: u64) -> Option<Holder> {
        self.holders.get_or_init(holders).get(&inode).cloned()
    }

    fn open_files(&self) -> u64 {
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
            .map_or(u64::MAX, |(_, hard)| hard)
    }

    fn capabilities(&self) -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        // Without /proc nothing is known, and nothing is said.
        mask.unwrap_or(u64::MAX)
    }

    fn first_free_port(&self) -> u16 {
        const USUAL: u16 = 1024;
        number("/proc/sys/net/ipv4/ip_unprivileged_port_start")
            .and_then(|port| u16::try_from(port).ok())
            .unwrap_or(USUAL)
    }

    fn lacks(&self, feature: Feature) -> Option<String> {
        let why = match feature {
            Feature::Vsock => socket(
                AddressFamily::Vsock,
                SockType::Stream,
                SockFlag::SOCK_CLOEXEC,
                None,
            )
            .is_err()
            .then_some("load the kernel module `vsock`"),
            Feature::Landlock => {
                (landlock_version() < 1).then_some("it needs Linux 5.13 with `landlock` in `lsm=`")
            }
            Feature::Seccomp => (!Path::new("/proc/sys/kernel/seccomp").exists())
                .then_some("it needs CONFIG_SECCOMP_FILTER"),
            Feature::UserNamespaces => (number("/proc/sys/user/max_user_namespaces") == Some(0)
                || number("/proc/sys/kernel/unprivileged_userns_clone") == Some(0)
                || number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1))
            .then_some("the administrator has switched them off by sysctl"),
        };
        why.map(str::to_owned)
    }
}

/// Opens what `path` names for a process whose root is `root`, without the right to read it.
fn open_in(root: &Path, path: &Path) -> io::Result<File> {
    let root = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
        .open(root)?;
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT);
    let fd: OwnedFd = openat2(&root, path, how)?;
    Ok(File::from(fd))
}

fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(HEAD);
    File::open(path)?
        .take(HEAD as u64)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn number(path: &str) -> Option<i64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The version of the kernel's Landlock; 0 or less: none.
fn landlock_version() -> i64 {
    const VERSION: u32 = 1;
    // SAFETY: with this flag the call takes no attributes and answers a number.
    unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            ptr::null::<u8>(),
            0_usize,
            VERSION,
        )
    }
}

/// The sockets in this state, from a table of /proc/net.
fn bound_in(text: &str, protocol: Protocol, state: &str) -> Vec<Bound> {
    let line = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let local = fields.nth(1)?;
        if fields.nth(1)? != state {
            return None;
        }
        let inode = fields.nth(5)?.parse().ok()?;
        Some(Bound {
            protocol,
            socket: address(local)?,
            inode,
        })
    };
    text.lines().skip(1).filter_map(line).collect()
}

/// `0100007F:1B5F`: words of 32 bits in the byte order of the host, each in hexadecimal.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = ip.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let mut bytes = [0; 16];
            for (at, four) in bytes.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(at)?);
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// The inode of the socket in this line of /proc/net/unix, when it has this name and takes connections or datagrams.
fn unix_inode(line: &str, name: &str) -> Option<u64> {
    const ACCEPTS: u32 = 1 << 16;
    const DATAGRAM: &str = "0002";
    let mut rest = line;
    let mut fields = [""; 7];
    for field in &mut fields {
        let (word, after) = rest.trim_start().split_once(' ')?;
        (*field, rest) = (word, after);
    }
    let [_, _, _, flags, kind, _, inode] = fields;
    let accepts = u32::from_str_radix(flags, 16).ok()? & ACCEPTS != 0;
    (rest == name && (accepts || kind == DATAGRAM))
        .then(|| inode.parse().ok())
        .flatten()
}

/// Who holds which socket, as far as this user may see it.
fn holders() -> HashMap<u64, Holder> {
    let mut holders = HashMap::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let descriptors = fs::read_dir(process.path().join("fd"));
        for descriptor in descriptors.into_iter().flatten().flatten() {
            let Ok(target) = fs::read_link(descriptor.path()) else {
                continue;
            };
            let inode = target
                .to_str()
                .and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']'))
                .and_then(|digits| digits.parse().ok());
            if let Some(inode) = inode {
                let name = || {
                    let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                    name.trim_end().to_owned()
                };
                // A socket that was handed on is told with the process that came first.
                holders
                    .entry(inode)
                    .or_insert_with(|| Holder { pid, name: name() });
            }
        }
    }
    holders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_the_kernel_are_read() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1B5F 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000 100 0 0 10 0\n\
            1: 0100007F:1B60 0100007F:1B5F 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000 100 0 0 10 0\n";
        let bound = bound_in(text, Protocol::Tcp, "0A");
        if cfg!(target_endian = "little") {
            assert_eq!(
                bound,
                [Bound {
                    protocol: Protocol::Tcp,
                    socket: "127.0.0.1:7007".parse().unwrap(),
                    inode: 4711
                }]
            );
        }
        assert_eq!(bound_in("junk\njunk\n:::\n", Protocol::Udp, "07"), []);
        let line = "0000000000000000: 00000002 00000000 00010000 0001 01 4713 /run/a b.sock";
        assert_eq!(unix_inode(line, "/run/a b.sock"), Some(4713));
        assert_eq!(unix_inode(line, "/run/a"), None);
        assert_eq!(
            unix_inode(&line.replace("00010000", "00000000"), "/run/a b.sock"),
            None
        );
        assert_eq!(unix_inode("", ""), None);
    }

    #[test]
    fn own_sockets_are_seen_and_held_by_this_process() {
        let surroundings = SystemSurroundings::default();
        for (listener, ip) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1")] {
            let Ok(listener) = std::net::TcpListener::bind(listener) else {
                continue;
            };
            let address = listener.local_addr().unwrap();
            assert_eq!(address.ip().to_string(), ip);
            let bound = surroundings.bound();
            let own = bound.iter().find(|bound| bound.socket == address).unwrap();
            let holder = SystemSurroundings::default().holder(own.inode).unwrap();
            assert_eq!(holder.pid, std::process::id());
        }
    }

    #[test]
    fn a_root_keeps_links_inside() {
        let directory = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(directory.path()).unwrap();
        fs::create_dir(root.join("bin")).unwrap();
        fs::write(root.join("bin/x"), "#!/bin/sh\n").unwrap();
        std::os::unix::fs::symlink("/bin/x", root.join("link")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("outside")).unwrap();
        let surroundings = SystemSurroundings::default();
        let found = surroundings.look(&root, Path::new("/link")).unwrap();
        assert_eq!(found.path, root.join("bin/x"));
        assert_eq!(found.head.as_deref(), Some(&b"#!/bin/sh\n"[..]));
        assert!(surroundings.look(&root, Path::new("/outside")).is_err());
        assert!(
            surroundings
                .look(Path::new("/"), Path::new("/etc/passwd"))
                .is_ok()
        );
    }
}
