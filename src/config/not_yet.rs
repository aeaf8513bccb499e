//! What this version reads and checks but does not serve yet. Later versions shorten the list.
//!
//! Invariant: the only place that says so. A feature is taken off here when it is served, and nowhere else.

use super::diagnostic::{Code, Diagnostic};
use super::keys::Key;
use super::source::Place;
use crate::service::{
    Address, BuiltinKind, Model, Piece, Preset, Protocol, Run, Service, Stdio, UnixKind,
};

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
        key: Key::Listen,
        name: "a UDP address",
        used: |service| {
            listens(service, |address| {
                matches!(
                    address,
                    Address::Inet {
                        protocol: Protocol::Udp,
                        ..
                    }
                )
            })
        },
    },
    Feature {
        key: Key::Listen,
        name: "a `unix-dgram` or `unix-seqpacket` address",
        used: |service| {
            listens(
                service,
                |address| matches!(address, Address::Unix { kind, .. } if *kind != UnixKind::Stream),
            )
        },
    },
    Feature {
        key: Key::Listen,
        name: "a vsock address",
        used: |service| listens(service, |address| matches!(address, Address::Vsock { .. })),
    },
    Feature {
        key: Key::Listen,
        name: "an `fd` address",
        used: |service| {
            listens(service, |address| {
                matches!(address, Address::Inherited { .. })
            })
        },
    },
    Feature {
        key: Key::Wait,
        name: "`wait`",
        used: |service| service.wait,
    },
    Feature {
        key: Key::Redirect,
        name: "`redirect`",
        used: |service| matches!(service.run, Run::Redirect(_)),
    },
    Feature {
        key: Key::Builtin,
        name: "a built-in other than `echo` and `discard`",
        used: |service| matches!(&service.run, Run::Builtin(builtin) if !matches!(builtin.kind, BuiltinKind::Echo | BuiltinKind::Discard)),
    },
    Feature {
        key: Key::Model,
        name: "a `model` other than \"process\"",
        used: |service| matches!(&service.run, Run::Builtin(builtin) if builtin.model != Model::Process),
    },
    Feature {
        key: Key::ProxyProtocol,
        name: "`proxy_protocol`",
        used: |service| service.proxy.is_some(),
    },
    Feature {
        key: Key::Cache,
        name: "`cache`",
        used: |service| service.cache.is_some(),
    },
    Feature {
        key: Key::Transcript,
        name: "`transcript`",
        used: |service| service.transcript.is_some(),
    },
    Feature {
        key: Key::Banner,
        name: "`banner`",
        used: |service| service.banner.is_some(),
    },
    Feature {
        key: Key::Stdio,
        name: "`stdio` other than \"socket\"",
        used: |service| service.process.stdio != Stdio::Socket,
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
/// `written` knows the places of a key and of its value; without them the name of the service is shown.
pub(super) fn check(
    written: &impl Fn(Key) -> Option<(Place, Place)>,
    service: &Service,
    owner: &str,
    name: Place,
    mut report: impl FnMut(Diagnostic),
) {
    for feature in FEATURES.iter().filter(|feature| (feature.used)(service)) {
        let place = written(feature.key).map_or(name, |(key, value)| {
            if feature.key == Key::Listen {
                value
            } else {
                key
            }
        });
        report(problem(place, &format!("{} in {owner}", feature.name)));
    }
}

/// The error itself.
pub(super) fn problem(place: Place, what: &str) -> Diagnostic {
    Diagnostic::error(
        Code::NotYet,
        place,
        format!("{what} is not served by this version yet"),
    )
    .label("a later version serves it")
}

fn listens(service: &Service, test: impl Fn(&Address) -> bool) -> bool {
    service.listen.iter().any(test)
}
