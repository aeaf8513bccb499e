//! The host of the old table, as far as the loader asks: every account, name and program is there. So what is wrong with
//! a converted table on this host is the conversion's own fault, and its answers can be compared with the old ones
//! anywhere.

use std::ffi::OsString;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::files::Files;
use super::services::{Port, Services};
use crate::config::world::{Account, Metadata, Opened, World};

/// A host on which everybody has an account.
#[derive(Debug)]
pub struct OldHost(Services);

impl OldHost {
    /// With the ports of a services file.
    pub fn new(files: &dyn Files, services: &Path) -> Self {
        Self(Services::read(files, services))
    }

    /// With these ports.
    pub(super) fn with(services: Services) -> Self {
        Self(services)
    }
}

impl World for OldHost {
    fn user(&self, name: &str) -> io::Result<Option<Account>> {
        Ok(Some(Account {
            name: name.to_owned(),
            uid: 7,
            gid: 7,
            home: "/".to_owned(),
            shell: "/bin/sh".to_owned(),
        }))
    }

    fn user_by_id(&self, uid: u32) -> io::Result<Option<Account>> {
        self.user(&uid.to_string())
    }

    fn group(&self, _: &str) -> io::Result<Option<u32>> {
        Ok(Some(7))
    }

    fn groups_of(&self, _: &str, gid: u32) -> io::Result<Vec<u32>> {
        Ok(vec![gid])
    }

    fn user_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn group_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn port(&self, name: &str, datagram: bool) -> Option<u16> {
        match self.0.port(name, if datagram { "udp" } else { "tcp" }) {
            Port::Listed(port) => Some(port),
            Port::Assigned(_) | Port::Unknown => None,
        }
    }

    /// Other addresses for each name, one of each family.
    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let sum = host
            .bytes()
            .fold(7_u32, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
        let [_, a, b, c] = sum.to_be_bytes();
        let v6 = (0x2001_0db8_u128 << 96) | u128::from(sum);
        Ok(vec![
            IpAddr::from([10, a, b, c]),
            IpAddr::from(v6.to_be_bytes()),
        ])
    }

    fn interface_index(&self, _: &str) -> Option<u32> {
        Some(1)
    }

    fn has_timezone(&self, _: &str) -> bool {
        true
    }

    fn has_ipv4(&self) -> bool {
        true
    }

    fn has_ipv6(&self) -> bool {
        true
    }

    fn read(&self, _: &Path, _: usize) -> io::Result<Opened> {
        Ok(Opened::Regular {
            bytes: b"a banner\n".to_vec(),
            metadata: Metadata {
                uid: 0,
                gid: 0,
                mode: 0o100_644,
            },
            path: PathBuf::from("/etc/banner"),
        })
    }

    fn list(&self, _: &Path) -> io::Result<Vec<OsString>> {
        Ok(Vec::new())
    }

    fn metadata(&self, _: &Path) -> io::Result<Metadata> {
        Ok(Metadata {
            uid: 0,
            gid: 0,
            mode: 0o040_755,
        })
    }

    fn runtime_dir(&self) -> Option<PathBuf> {
        None
    }

    fn is_executable(&self, _: &Path) -> bool {
        true
    }
}
