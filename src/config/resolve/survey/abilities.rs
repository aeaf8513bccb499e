//! What a service asks of the daemon's capabilities and of the kernel.

use super::Survey;
use crate::config::keys::Key;
use crate::config::surroundings::Feature;
use crate::service::{Address, Preset, Service};

/// A capability that a key takes.
struct Need {
    number: u32,
    name: &'static str,
    key: Key,
    /// True for a service that takes it.
    used: fn(&Service) -> bool,
    what: &'static str,
}

/// What a daemon that is not root must not even ask for is an error of the table.
const NEEDS: [Need; 7] = [
    Need {
        number: 7,
        name: "CAP_SETUID",
        key: Key::User,
        used: |service| service.process.identity.is_some(),
        what: "changing the user",
    },
    Need {
        number: 6,
        name: "CAP_SETGID",
        key: Key::User,
        used: |service| service.process.identity.is_some(),
        what: "changing the group",
    },
    Need {
        number: 18,
        name: "CAP_SYS_CHROOT",
        key: Key::RootDirectory,
        used: |service| service.process.root_directory.is_some(),
        what: "changing the root",
    },
    Need {
        number: 21,
        name: "CAP_SYS_ADMIN",
        key: Key::SandboxPreset,
        used: |service| service.process.sandbox.preset >= Preset::Strict,
        what: "making namespaces",
    },
    Need {
        number: 12,
        name: "CAP_NET_ADMIN",
        key: Key::Mark,
        used: |service| service.socket.mark.is_some(),
        what: "marking packets",
    },
    Need {
        number: 23,
        name: "CAP_SYS_NICE",
        key: Key::Nice,
        used: |service| service.process.nice < 0,
        what: "a higher priority",
    },
    Need {
        number: 24,
        name: "CAP_SYS_RESOURCE",
        key: Key::OomScoreAdj,
        used: |service| service.process.oom_score_adj.is_some_and(|score| score < 0),
        what: "protection from the kernel's choice when memory is short",
    },
];

pub(super) fn look(survey: &Survey<'_, '_, '_>) {
    let capabilities = survey.surroundings.capabilities();
    for need in &NEEDS {
        if (need.used)(survey.service) && capabilities & (1 << need.number) == 0 {
            let what = format!("needs {}, which this process does not have", need.name);
            let help = format!(
                "give it to the daemon (CapabilityBoundingSet= of its unit), or leave `{}` out",
                need.key.info().name
            );
            survey.warn(need.key, &what, need.what, &help);
        }
    }
    for (key, feature, name) in features(survey) {
        if let Some(help) = survey.surroundings.lacks(feature) {
            survey.warn(
                key,
                &format!("needs {name}, which this kernel does not offer"),
                "not here",
                &help,
            );
        }
    }
}

/// What the service asks of the kernel, and by which key.
fn features(survey: &Survey<'_, '_, '_>) -> Vec<(Key, Feature, &'static str)> {
    let service = survey.service;
    let mut features = Vec::new();
    if service
        .listen
        .iter()
        .any(|address| matches!(address, Address::Vsock { .. }))
    {
        features.push((Key::Listen, Feature::Vsock, "vsock"));
    }
    if service.process.sandbox.preset >= Preset::Strict {
        features.push((Key::SandboxPreset, Feature::Seccomp, "system call filters"));
        features.push((Key::SandboxPreset, Feature::Landlock, "Landlock"));
    }
    if service.process.sandbox.preset == Preset::Jail && !survey.reader.context.host.is_root() {
        features.push((
            Key::SandboxPreset,
            Feature::UserNamespaces,
            "user namespaces of ordinary users",
        ));
    }
    features
}
