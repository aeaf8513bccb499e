//! What stands on the made-up host, for tests of `check`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::surroundings::{Bound, Feature, Found, Holder, Surroundings};
use crate::config::world::Metadata;
use crate::service::Protocol;

/// A host with a few programs, one of each kind of trouble, and some sockets that are taken.
pub(crate) struct FakeSurroundings {
    pub(crate) found: BTreeMap<PathBuf, Found>,
    pub(crate) open_files: u64,
    pub(crate) capabilities: u64,
}

/// Type and permissions, owner and content of everything that is there.
const THERE: &[(&str, u32, u32, &[u8])] = &[
    ("/", 0o040_755, 0, b""),
    ("/run", 0o040_755, 0, b""),
    ("/run/taken.sock", 0o140_666, 0, b""),
    ("/run/file.sock", 0o100_644, 0, b""),
    ("/bin/sh", 0o100_755, 0, STATIC),
    ("/usr/sbin/in.fingerd", 0o100_755, 0, STATIC),
    ("/usr/sbin/sshd", 0o100_755, 0, STATIC),
    ("/usr/bin/rsync", 0o100_755, 0, STATIC),
    ("/usr/bin/dynamic", 0o100_755, 0, DYNAMIC),
    ("/usr/bin/setuid", 0o104_755, 0, STATIC),
    ("/usr/bin/plain", 0o100_644, 0, STATIC),
    ("/usr/bin/foreign", 0o100_755, 0, FOREIGN),
    ("/usr/bin/text", 0o100_755, 0, b"echo hello\n"),
    ("/usr/bin/script", 0o100_755, 0, b"#!/bin/sh\n"),
    ("/usr/bin/python-script", 0o100_755, 0, b"#!/opt/python\n"),
    ("/usr/bin/directory", 0o040_755, 0, b""),
    ("/usr/bin/everybodys", 0o100_757, 0, STATIC),
    ("/usr/bin/somebodys", 0o100_755, 4242, STATIC),
    ("/usr/bin/closed", 0o100_750, 0, STATIC),
    ("/media/noexec/program", 0o100_755, 0, STATIC),
    ("/srv/jail", 0o040_755, 0, b""),
    ("/srv/jail/bin/dynamic", 0o100_755, 0, DYNAMIC),
    ("/srv/jail/bin/static", 0o100_755, 0, STATIC),
];

const STATIC: &[u8] = &header(MACHINE, false);
const DYNAMIC: &[u8] = &header(MACHINE, true);
const FOREIGN: &[u8] = &header(21, false);
const LOADER: &[u8] = b"/lib64/loader\0";
const MACHINE: u8 = if cfg!(target_arch = "aarch64") {
    183
} else {
    62
};

/// A file header of ELF with one program header: of its loader or of nothing.
const fn header(machine: u8, dynamic: bool) -> [u8; 160] {
    let mut bytes = [0; 160];
    let start = *b"\x7fELF\x02\x01\x01";
    let mut at = 0;
    while at < start.len() {
        bytes[at] = start[at];
        at += 1;
    }
    bytes[16] = 3;
    bytes[18] = machine;
    bytes[32] = 64;
    bytes[54] = 56;
    bytes[56] = 1;
    bytes[64] = if dynamic { 3 } else { 1 };
    bytes[72] = 120;
    bytes[96] = LOADER.len() as u8;
    at = 0;
    while at < LOADER.len() {
        bytes[120 + at] = LOADER[at];
        at += 1;
    }
    bytes
}

impl Default for FakeSurroundings {
    fn default() -> Self {
        let found = |&(path, mode, uid, content): &(&str, u32, u32, &[u8])| {
            let found = Found {
                path: path.into(),
                metadata: Metadata {
                    uid,
                    gid: uid,
                    mode,
                },
                head: Some(content.to_vec()),
                noexec: path.contains("noexec"),
            };
            (PathBuf::from(path), found)
        };
        Self {
            found: THERE.iter().map(found).collect(),
            open_files: 1 << 20,
            capabilities: u64::MAX,
        }
    }
}

impl Surroundings for FakeSurroundings {
    fn look(&self, root: &Path, path: &Path) -> io::Result<Found> {
        let inside = path.strip_prefix("/").unwrap_or(path);
        let name: PathBuf = root.join(inside).components().collect();
        let found = self.found.get(&name).cloned();
        found.ok_or_else(|| io::Error::from_raw_os_error(2))
    }

    fn has_acl(&self, _path: &Path) -> bool {
        false
    }

    fn bound(&self) -> Vec<Bound> {
        let bound = |socket: &str, inode| Bound {
            protocol: Protocol::Tcp,
            socket: socket.parse().unwrap(),
            inode,
        };
        vec![
            bound("0.0.0.0:22", 1),
            bound("[::]:80", 2),
            bound("127.0.0.1:7007", 3),
            bound("127.0.0.1:9", 4),
        ]
    }

    fn bound_unix(&self, name: &str) -> Option<u64> {
        (name == "/run/taken.sock").then_some(1)
    }

    fn holder(&self, inode: u64) -> Option<Holder> {
        let holder = |pid, name: &str| Holder {
            pid,
            name: name.to_owned(),
        };
        match inode {
            1 => Some(holder(1, "systemd")),
            2 => Some(holder(812, "nginx")),
            3 => Some(holder(900, "oxinetd")),
            _ => None,
        }
    }

    fn open_files(&self) -> u64 {
        self.open_files
    }

    fn capabilities(&self) -> u64 {
        self.capabilities
    }

    fn first_free_port(&self) -> u16 {
        1024
    }

    fn lacks(&self, feature: Feature) -> Option<String> {
        (feature == Feature::Vsock).then(|| "load the kernel module `vsock`".to_owned())
    }
}
