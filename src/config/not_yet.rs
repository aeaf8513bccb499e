//! What this version reads and checks but does not serve yet. Later versions shorten the list.
//!
//! Invariant: the only place that says so. A feature is taken off here when it is served, and nowhere else.

use super::diagnostic::{Code, Diagnostic};
use super::keys::Key;
use super::source::Place;
use crate::service::{Piece, Preset, Service, Stdio};

/// A feature that is not served yet.
struct Feature {
    /// Where it is written.
    key: Key,
    /// As the message names it.
    name: &'static str,
    /// True for a service that uses it.
    used: fn(&Service) -> bool,
}

const FEATURES: &[Feature] = &[
    Feature {
        key: Key::Stdio,
        name: "`stdio = \"pipe\"`",
        used: |service| service.process.stdio == Stdio::Pipe,
    },
    Feature {
        key: Key::Sandbox,
        name: "a `sandbox` beyond \"none\" and \"basic\"",
        used: |service| {
            let sandbox = &service.process.sandbox;
            let lists = [&sandbox.read_only, &sandbox.read_write, &sandbox.hide];
            sandbox.preset >= Preset::Strict
                || lists.iter().any(|list| !list.is_empty())
                || !sandbox.network
                || !sandbox.capabilities.is_empty()
                || !sandbox.allow_32bit
        },
    },
    Feature {
        key: Key::WorkingDirectory,
        name: "`%{…}` in `working_directory`",
        used: |service| {
            let parsed = super::values::template::parse(&service.process.working_directory);
            parsed.is_ok_and(|template| {
                template
                    .0
                    .iter()
                    .any(|piece| matches!(piece, Piece::Specifier(_)))
            })
        },
    },
];

/// Reports what the service uses and this version does not serve.
///
/// `written` knows the place of a key; without it the name of the service is shown.
pub(super) fn check(
    written: &impl Fn(Key) -> Option<Place>,
    service: &Service,
    name: Place,
    mut report: impl FnMut(Diagnostic),
) {
    for feature in FEATURES.iter().filter(|feature| (feature.used)(service)) {
        report(problem(written(feature.key).unwrap_or(name), feature.name));
    }
}

/// The error itself.
pub(super) fn problem(place: Place, what: &str) -> Diagnostic {
    let title = format!("{what} is not served by this version yet");
    Diagnostic::error(Code::NotYet, place, title).label("a later version serves it")
}
