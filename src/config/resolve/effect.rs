//! Values without effect: a key that the service's addresses or its program can never use.
//!
//! Invariant: warnings only, and only for what the service itself wrote; defaults are meant for all services.

use super::reader::Reader;
use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::keys::Key;
use crate::service::{Address, Builtin, Preset, RefuseWith, Run, Service, UnixName};

/// What a key needs to have an effect.
struct Need {
    keys: &'static [Key],
    met: fn(&Service) -> bool,
    words: &'static str,
}

const NEEDS: &[Need] = &[
    Need {
        keys: &[Key::Nodelay, Key::DeferAccept],
        met: |service| any(service, is_tcp),
        words: "needs a TCP address",
    },
    Need {
        keys: &[Key::Keepalive],
        met: |service| any(service, is_tcp),
        words: "needs a TCP address",
    },
    Need {
        keys: &[Key::DualStack],
        met: |service| {
            any(
                service,
                |address| matches!(address, Address::Inet { socket, .. } if socket.ip().is_unspecified()),
            )
        },
        words: "needs a wildcard address",
    },
    Need {
        keys: &[
            Key::Freebind,
            Key::ReusePort,
            Key::Transparent,
            Key::Dscp,
            Key::Mark,
            Key::BindDevice,
        ],
        met: |service| any(service, |address| matches!(address, Address::Inet { .. })),
        words: "needs a TCP or UDP address",
    },
    Need {
        keys: &[Key::SocketUser, Key::SocketGroup, Key::SocketMode],
        met: |service| {
            any(service, |address| {
                matches!(
                    address,
                    Address::Unix {
                        name: UnixName::Path(_),
                        ..
                    }
                )
            })
        },
        words: "needs a unix socket in the file system",
    },
    Need {
        keys: &[Key::ReceiveBuffer, Key::SendBuffer],
        met: |service| any(service, |address| !matches!(address, Address::Vsock { .. })),
        words: "needs an address that is not vsock",
    },
    Need {
        keys: &[
            Key::Allow,
            Key::Deny,
            Key::Hours,
            Key::MaxLoad,
            Key::RatePerSource,
            Key::Exempt,
            Key::SourcePrefix,
        ],
        met: |service| !service.wait || any(service, Address::is_datagram),
        words: "with `wait` the program accepts by itself: oxinetd never sees who comes",
    },
    Need {
        keys: &[
            Key::MaxConnections,
            Key::MaxPerSource,
            Key::OverLimit,
            Key::Penalty,
            Key::RefuseWith,
            Key::Banner,
            Key::IdleTimeout,
            Key::FirstByteTimeout,
            Key::OnDisconnect,
        ],
        met: |service| !service.wait,
        words: "with `wait` one program has the socket: oxinetd sees no connections",
    },
    Need {
        keys: &[Key::Backlog],
        met: |service| any(service, |address| !address.is_datagram()),
        words: "needs a stream address",
    },
    Need {
        keys: &[
            Key::Argv0,
            Key::Env,
            Key::PassEnv,
            Key::WorkingDirectory,
            Key::Stdio,
            Key::Stderr,
            Key::Cache,
            Key::Transcript,
            Key::TranscriptPath,
            Key::TranscriptMax,
        ],
        met: |service| matches!(service.run, Run::Program(_)),
        words: "needs a `command`",
    },
    Need {
        keys: &[Key::AllowReflection],
        met: |service| {
            matches!(service.run, Run::Builtin(Builtin { .. }))
                && any(service, Address::is_datagram)
        },
        words: "needs a `builtin` on a UDP address",
    },
    Need {
        keys: &[Key::Linger, Key::LingerTime, Key::LingerMax],
        met: |service| service.deadlines.linger.is_some() || is_lingering(service),
        words: "is for programs on TCP, without `wait`",
    },
    Need {
        keys: &[Key::Pause],
        met: |service| service.admission.rate.is_some(),
        words: "needs `rate`",
    },
    Need {
        keys: &[Key::RefuseMessage],
        met: |service| service.admission.refuse_with == RefuseWith::Close,
        words: "needs `refuse_with = \"close\"`",
    },
    Need {
        keys: &[Key::Timezone],
        met: |service| !service.admission.hours.is_empty(),
        words: "needs `hours`",
    },
    Need {
        keys: &[Key::ProxyFrom],
        met: |service| service.proxy.is_some(),
        words: "needs `proxy_protocol`",
    },
    Need {
        keys: &[
            Key::SandboxReadOnly,
            Key::SandboxReadWrite,
            Key::SandboxHide,
        ],
        met: |service| service.process.sandbox.preset >= Preset::Strict,
        words: "needs the preset \"strict\" or \"jail\"",
    },
    Need {
        keys: &[Key::SandboxCapabilities],
        met: |service| service.process.sandbox.preset >= Preset::Basic,
        words: "needs a preset that takes capabilities away",
    },
    Need {
        keys: &[Key::SandboxAllow32bit],
        met: |service| service.process.sandbox.preset >= Preset::Strict,
        words: "needs a preset with a system call filter: \"strict\" or \"jail\"",
    },
];

/// Warns of each written key whose need is not met.
pub(super) fn warn(reader: &Reader<'_, '_>, service: &Service) {
    if service.listen.is_empty() {
        return;
    }
    for need in NEEDS {
        for key in need.keys {
            let Some(entry) = reader.entry(*key).filter(|entry| !entry.inherited) else {
                continue;
            };
            let switched_off = entry.value.get_ref().as_bool() == Some(false)
                || entry.value.get_ref().as_str() == Some("off");
            if switched_off || (need.met)(service) {
                continue;
            }
            let title = format!("{} has no effect", reader.subject(*key));
            reader.report(
                Diagnostic::warning(Code::NoEffect, entry.key, title)
                    .label(need.words)
                    .help("leave it out"),
            );
        }
    }
}

fn any(service: &Service, test: impl Fn(&Address) -> bool) -> bool {
    service
        .listen
        .iter()
        .any(|address| test(address) || matches!(address, Address::Inherited { .. }))
}

fn is_tcp(address: &Address) -> bool {
    matches!(address, Address::Inet { .. }) && !address.is_datagram()
}

fn is_lingering(service: &Service) -> bool {
    matches!(service.run, Run::Program(_)) && !service.wait && any(service, is_tcp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::raw::list;

    #[test]
    fn a_key_has_one_need() {
        let mut keys: Vec<Key> = NEEDS.iter().flat_map(|need| need.keys).copied().collect();
        let all = keys.len();
        keys.sort_by_key(|key| *key as u8);
        keys.dedup();
        assert_eq!(
            keys.len(),
            all,
            "{}",
            list(keys.iter().map(|key| key.info().name))
        );
    }
}
