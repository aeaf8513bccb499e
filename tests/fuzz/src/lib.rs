//! What the targets have in common: a host in memory, and what must hold for every outcome.

use std::path::{Path, PathBuf};

use oxinetd::config::diagnostic::{Code, Severity};
use oxinetd::config::{Format, Host, Loaded, Main, load};
use oxinetd::convert::{Kind, Memory, OldHost, Options, Outcome, convert};

const SERVICES: &str = "echo 7/tcp\necho 7/udp\ndaytime 13/tcp\nftp 21/tcp\ntelnet 23/tcp\ntime 37/udp\ntftp 69/udp\n";

/// A host with these rules of libwrap.
pub fn host(allow: &str, deny: &str) -> Memory {
    Memory::default()
        .with("/etc/services", SERVICES)
        .with("/etc/hosts.allow", allow)
        .with("/etc/hosts.deny", deny)
        .with("/etc/banner", "busy, 50% chance\n")
}

/// Loads a text as a table of root.
pub fn loaded(text: &str) -> Loaded {
    let world = OldHost::new(&host("", ""), Path::new("/etc/services"));
    let main = Main::Text { name: "table", text };
    load(&main, &Host::new(0, 0, &world))
}

/// Converts a file, strictly and with losses, and checks what came out.
pub fn importer(from: Option<Kind>, name: &str, files: Memory) {
    for lossy in [false, true] {
        let options = Options { from, lossy, ..Options::default() };
        sound(&convert(&options, &files, &[PathBuf::from(name)]));
    }
}

/// The table is accepted, or there is none and a reason.
fn sound(outcome: &Outcome) {
    assert_eq!(outcome.exit == 1, outcome.toml.is_empty());
    assert_eq!(outcome.exit == 0, outcome.notes.is_empty());
    assert_eq!(outcome.toml.lines().count(), outcome.origins.len());
    if outcome.exit == 1 {
        return;
    }
    let report = loaded(&outcome.toml).report;
    let refused = report
        .problems()
        .iter()
        .any(|p| p.severity == Severity::Error && p.code != Code::NotYet);
    assert!(!refused, "{}\n{}", report.render(Format::Short), outcome.toml);
}
