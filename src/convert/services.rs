//! Ports by name, as the old server looked them up: `/etc/services` of the host that converts.
//!
//! A name that the host does not know cannot be served by the old server either; for the classic names, which small
//! hosts often lack, the assigned port is written instead.

use std::collections::HashMap;
use std::path::Path;

use super::files::{Files, decode};

/// Names and aliases with their protocol.
#[derive(Clone, Debug, Default)]
pub(super) struct Services {
    ports: HashMap<(String, String), u16>,
}

/// What a name means on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    /// It stands in the services file, with this number.
    Listed(u16),
    /// It does not, but everybody knows its number.
    Assigned(u16),
    /// Nobody knows it.
    Unknown,
}

impl Services {
    /// Reads the services file; without one nothing is listed.
    pub(super) fn read(files: &dyn Files, path: &Path) -> Self {
        let mut ports = HashMap::new();
        let text = files.read(path).ok().and_then(|bytes| decode(&bytes).ok());
        for line in text.iter().flat_map(|t| &t.lines) {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let (Some(name), Some(place)) = (words.next(), words.next()) else {
                continue;
            };
            let Some((port, protocol)) = place.split_once('/') else {
                continue;
            };
            let Ok(port) = port.parse() else { continue };
            for name in std::iter::once(name).chain(words) {
                // The first line wins, as in getservbyname(3).
                ports
                    .entry((name.to_owned(), protocol.to_owned()))
                    .or_insert(port);
            }
        }
        Self { ports }
    }

    /// The port of a name; `protocol` is `tcp` or `udp`.
    pub(super) fn port(&self, name: &str, protocol: &str) -> Port {
        if let Some(port) = self.ports.get(&(name.to_owned(), protocol.to_owned())) {
            return Port::Listed(*port);
        }
        match ASSIGNED.iter().find(|(n, _)| *n == name) {
            Some((_, port)) => Port::Assigned(*port),
            None => Port::Unknown,
        }
    }
}

/// The names that stand in the inetd.conf files of the world, with their assigned ports (IANA; the r services
/// differ by protocol and are only meant as written there).
const ASSIGNED: [(&str, u16); 44] = [
    ("echo", 7),
    ("discard", 9),
    ("systat", 11),
    ("daytime", 13),
    ("netstat", 15),
    ("qotd", 17),
    ("chargen", 19),
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("time", 37),
    ("name", 42),
    ("domain", 53),
    ("bootps", 67),
    ("tftp", 69),
    ("gopher", 70),
    ("finger", 79),
    ("http", 80),
    ("pop2", 109),
    ("pop3", 110),
    ("auth", 113),
    ("ident", 113),
    ("nntp", 119),
    ("ntp", 123),
    ("netbios-ns", 137),
    ("netbios-dgm", 138),
    ("netbios-ssn", 139),
    ("imap", 143),
    ("imap2", 143),
    ("https", 443),
    ("printer", 515),
    ("ntalk", 518),
    ("klogin", 543),
    ("kshell", 544),
    ("uucp", 540),
    ("rsync", 873),
    ("swat", 901),
    ("imaps", 993),
    ("pop3s", 995),
    ("cvspserver", 2401),
    ("svn", 3690),
    ("amanda", 10080),
    ("git", 9418),
];

/// The services that the old servers answered themselves and that are built in here too.
pub(super) fn is_builtin(name: &str) -> bool {
    ["echo", "discard", "chargen", "daytime", "time"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::files::Memory;

    #[test]
    fn the_file_comes_first_then_what_everybody_knows() {
        let text = "# comment\nsmtp 25/tcp mail # x\nfinger 7979/tcp\nbad x/tcp\n";
        let files = Memory::default().with("/etc/services", text);
        let services = Services::read(&files, Path::new("/etc/services"));
        for (name, protocol, expected) in [
            ("mail", "tcp", Port::Listed(25)),
            ("mail", "udp", Port::Unknown),
            ("finger", "tcp", Port::Listed(7979)),
            ("telnet", "tcp", Port::Assigned(23)),
            ("omni", "tcp", Port::Unknown),
            ("bad", "tcp", Port::Unknown),
        ] {
            assert_eq!(services.port(name, protocol), expected, "{name}/{protocol}");
        }
    }
}
