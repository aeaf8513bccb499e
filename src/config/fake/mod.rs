//! A host made of maps, for tests.

mod surroundings;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

pub(crate) use surroundings::FakeSurroundings;

use super::world::{Account, Host, Metadata, Opened, World};

/// A small Debian, whatever the tests run on.
pub(crate) struct FakeWorld {
    pub(crate) files: BTreeMap<PathBuf, Vec<u8>>,
    pub(crate) masks: Vec<PathBuf>,
    pub(crate) fifos: Vec<PathBuf>,
    pub(crate) directories: BTreeMap<PathBuf, Metadata>,
    pub(crate) users: Vec<(&'static str, u32, u32)>,
    pub(crate) has_ipv6: bool,
}

impl Default for FakeWorld {
    fn default() -> Self {
        Self {
            files: BTreeMap::new(),
            masks: Vec::new(),
            fifos: Vec::new(),
            directories: BTreeMap::new(),
            users: vec![
                ("root", 0, 0),
                ("nobody", 65534, 65534),
                ("git", 101, 101),
                ("gemini", 102, 102),
                ("guest", 103, 103),
                ("uucp", 10, 10),
                ("clustercheck", 104, 104),
                ("ftp", 105, 105),
            ],
            has_ipv6: true,
        }
    }
}

impl FakeWorld {
    pub(crate) fn host(&self, euid: u32) -> Host<'_> {
        Host::new(euid, euid, self)
    }

    fn missing<T>() -> io::Result<T> {
        Err(io::Error::from_raw_os_error(2))
    }
}

impl World for FakeWorld {
    fn user(&self, name: &str) -> io::Result<Option<Account>> {
        let found = self.users.iter().find(|(known, ..)| *known == name);
        Ok(found.map(|(name, uid, gid)| Account {
            name: (*name).to_owned(),
            uid: *uid,
            gid: *gid,
            home: format!("/home/{name}"),
            shell: "/bin/sh".to_owned(),
        }))
    }

    fn user_by_id(&self, uid: u32) -> io::Result<Option<Account>> {
        let found = self.users.iter().find(|(_, known, _)| *known == uid);
        found.map_or(Ok(None), |(name, ..)| self.user(name))
    }

    fn group(&self, name: &str) -> io::Result<Option<u32>> {
        let groups = [
            ("root", 0),
            ("staff", 50),
            ("dialout", 20),
            ("nogroup", 65534),
            ("git", 101),
        ];
        Ok(groups
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, gid)| *gid))
    }

    fn groups_of(&self, name: &str, gid: u32) -> io::Result<Vec<u32>> {
        Ok(if name == "git" {
            vec![gid, 50]
        } else {
            vec![gid]
        })
    }

    fn user_names(&self) -> Vec<String> {
        self.users
            .iter()
            .map(|(name, ..)| (*name).to_owned())
            .collect()
    }

    fn group_names(&self) -> Vec<String> {
        ["root", "staff", "dialout", "nogroup", "git"]
            .map(str::to_owned)
            .to_vec()
    }

    fn port(&self, name: &str, datagram: bool) -> Option<u16> {
        match (name, datagram) {
            ("echo", _) => Some(7),
            ("finger", false) => Some(79),
            ("tftp", true) => Some(69),
            ("ssh", false) => Some(22),
            _ => None,
        }
    }

    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        match host {
            "both.example" => Ok(vec![
                IpAddr::from([192, 0, 2, 1]),
                "2001:db8::1".parse().unwrap(),
            ]),
            "v4.example" => Ok(vec![
                IpAddr::from([192, 0, 2, 4]),
                IpAddr::from([192, 0, 2, 4]),
            ]),
            _ => Err(io::Error::other("no such host")),
        }
    }

    fn interface_index(&self, name: &str) -> Option<u32> {
        (name == "eth0").then_some(2)
    }

    fn has_timezone(&self, name: &str) -> bool {
        name == "Europe/Berlin"
    }

    fn has_ipv4(&self) -> bool {
        true
    }

    fn has_ipv6(&self) -> bool {
        self.has_ipv6
    }

    fn read(&self, path: &Path, limit: usize) -> io::Result<Opened> {
        if self.masks.iter().any(|mask| mask == path) {
            return Ok(Opened::Null);
        }
        if self.fifos.iter().any(|fifo| fifo == path) {
            return Ok(Opened::Other);
        }
        let Some(bytes) = self.files.get(path) else {
            return Self::missing();
        };
        let bytes = bytes.iter().take(limit + 1).copied().collect();
        let metadata = Metadata {
            uid: 0,
            gid: 0,
            mode: 0o100_644,
        };
        Ok(Opened::Regular {
            bytes,
            metadata,
            path: path.to_owned(),
        })
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        let all = self.files.keys().chain(&self.masks).chain(&self.fifos);
        let names: Vec<OsString> = all
            .filter(|path| path.parent() == Some(directory))
            .filter_map(|path| path.file_name())
            .map(OsString::from)
            .collect();
        if names.is_empty() {
            Self::missing()
        } else {
            Ok(names)
        }
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        Ok(self.directories.get(path).copied().unwrap_or(Metadata {
            uid: 0,
            gid: 0,
            mode: 0o040_755,
        }))
    }

    fn runtime_dir(&self) -> Option<PathBuf> {
        Some(PathBuf::from("/run/user/7"))
    }

    fn is_executable(&self, path: &Path) -> bool {
        path == Path::new("/usr/bin/env")
    }
}
