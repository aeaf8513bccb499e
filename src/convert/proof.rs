//! The proof of a conversion: the loader reads what was written, on the host that it was written for.
//!
//! Invariant: an entry that `check` would refuse is left out with the loader's own words. The readers say better why
//! something cannot be carried over; this is what holds when they do not know.

use std::collections::BTreeMap;

use super::OldHost;
use super::emit::Emitted;
use crate::config::diagnostic::{Code, Diagnostic, Severity};
use crate::config::{Host, Main, load};

/// What the loader refuses.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Entries by their index, with the reason.
    pub(super) entries: BTreeMap<usize, String>,
    /// What is wrong outside of them.
    pub(super) other: Option<String>,
}

/// Loads the table as root would.
pub(super) fn faults(emitted: &Emitted, world: &OldHost) -> Faults {
    let main = Main::Text {
        name: "converted",
        text: &emitted.toml,
    };
    let report = load(&main, &Host::new(0, 0, world)).report;
    let ends: Vec<usize> = emitted.toml.match_indices('\n').map(|(at, _)| at).collect();
    let mut faults = Faults::default();
    for problem in report.problems().iter().filter(|p| is_fault(p)) {
        let owner = problem.place.and_then(|place| {
            let line = ends.partition_point(|end| *end < place.start as usize);
            *emitted.owners.get(line)?
        });
        let title = problem.title.clone();
        match owner {
            Some(owner) => drop(faults.entries.entry(owner).or_insert(title)),
            None => faults.other = Some(title),
        }
    }
    faults
}

/// A feature that this version does not serve yet is no fault of the table.
fn is_fault(problem: &Diagnostic) -> bool {
    problem.severity == Severity::Error && problem.code != Code::NotYet
}
