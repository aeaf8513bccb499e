//! What a conversion writes is a table that the loader accepts: on a host that has the accounts, names and programs of the
//! old one, the only errors left are features that a version does not serve yet.

use std::ffi::OsString;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::Outcome;
use super::files::Memory;
use super::services::{Port, Services};
use crate::config::diagnostic::{Code, Format, Severity};
use crate::config::world::{Account, Host, Metadata, Opened, World};
use crate::config::{Main, load};

/// A host on which everybody has an account.
struct OldHost(Services);

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

    /// Another address for each name.
    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let sum = host
            .bytes()
            .fold(7_u32, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
        let [_, a, b, c] = sum.to_be_bytes();
        Ok(vec![IpAddr::from([10, a, b, c])])
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

/// The table of a text, as the old host has it.
pub(super) fn table(text: &str) -> crate::service::Table {
    let world = OldHost(Services::default());
    let main = Main::Text { name: "t", text };
    let loaded = load(&main, &Host::new(0, 0, &world));
    let report = loaded.report.render(Format::Short);
    loaded.table.unwrap_or_else(|| panic!("{report}"))
}

/// Panics when the loader refuses the table.
pub(super) fn check(outcome: &Outcome, services: &str) {
    let files = Memory::default().with("/etc/services", services);
    let world = OldHost(Services::read(&files, Path::new("/etc/services")));
    let main = Main::Text {
        name: "converted.toml",
        text: &outcome.toml,
    };
    let loaded = load(&main, &Host::new(0, 0, &world));
    let refused = |p: &&crate::config::diagnostic::Diagnostic| {
        p.severity == Severity::Error && p.code != Code::NotYet
    };
    let count = loaded.report.problems().iter().filter(refused).count();
    assert!(
        count == 0,
        "{count} errors\n{}\n{}",
        loaded.report.render(Format::Short),
        outcome.toml
    );
}
