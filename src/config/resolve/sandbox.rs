//! `sandbox`: the confinement of the program, and what root or its lack forbid.

use super::reader::{Reader, absolute};
use crate::config::diagnostic::{Code, Diagnostic, nearest, shown};
use crate::config::keys::Key;
use crate::config::values::{Parsed, Problem};
use crate::service::{Preset, Sandbox};

/// Reads the keys.
pub(super) fn sandbox(reader: &Reader<'_, '_>, is_root: bool) -> Sandbox {
    let built_in = if is_root { Preset::None } else { Preset::Basic };
    let presets = [Preset::None, Preset::Basic, Preset::Strict, Preset::Jail];
    let preset = reader
        .choice(Key::SandboxPreset, presets)
        .unwrap_or(built_in);
    let paths = |key| {
        let path = |text: &str| absolute(text).map(|()| text.to_owned());
        let paths = reader.list(key, path).unwrap_or_default();
        paths.into_iter().map(|(path, _)| path).collect()
    };
    let capabilities = reader
        .list(Key::SandboxCapabilities, capability)
        .unwrap_or_default();
    Sandbox {
        preset,
        read_only: paths(Key::SandboxReadOnly),
        read_write: paths(Key::SandboxReadWrite),
        hide: paths(Key::SandboxHide),
        network: reader
            .choice(Key::SandboxNetwork, [true, false])
            .unwrap_or(preset != Preset::Jail),
        capabilities: capabilities.into_iter().map(|(number, _)| number).collect(),
        allow_32bit: reader
            .boolean(Key::SandboxAllow32bit)
            .unwrap_or(preset != Preset::Strict),
    }
}
/// Combinations that would promise confinement and not give it.
pub(super) fn privileges(
    reader: &Reader<'_, '_>,
    is_root: bool,
    preset: Preset,
    has_root_directory: bool,
) {
    let daemon_is_root = reader.context.host.is_root();
    if has_root_directory && let Some(entry) = reader.entry(Key::RootDirectory) {
        let problem = |what: &str| {
            Diagnostic::error(
                Code::Privilege,
                entry.place(),
                format!("{} {what}", reader.subject(Key::RootDirectory)),
            )
        };
        if !daemon_is_root && preset < Preset::Jail {
            reader.report(problem("needs a daemon that is root").help("start oxinetd as root"));
        } else if is_root && preset < Preset::Strict {
            reader.report(
                problem("does not hold root back")
                    .label("root can leave a chroot")
                    .help("choose another `user`, or a `sandbox` with a mount namespace: `\"strict\"` or `\"jail\"`"),
            );
        }
    }
    if preset == Preset::Strict
        && !daemon_is_root
        && let Some(entry) = reader.entry(Key::SandboxPreset)
    {
        let title = format!(
            "{}: \"strict\" needs a daemon that is root",
            reader.subject(Key::Sandbox)
        );
        reader.report(
            Diagnostic::error(Code::Privilege, entry.place(), title)
                .help("write `\"basic\"`, or start oxinetd as root"),
        );
    }
}
/// The capabilities of capabilities(7), by number.
const CAPABILITIES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// `CAP_NET_RAW` or `net_raw`.
fn capability(text: &str) -> Parsed<u8> {
    let lower = text.to_ascii_lowercase();
    let name = lower.strip_prefix("cap_").unwrap_or(&lower);
    let found = CAPABILITIES
        .iter()
        .position(|known| *known == name)
        .and_then(|number| u8::try_from(number).ok());
    found.ok_or_else(|| {
        let problem = Problem::new(format!("names an unknown capability `{}`", shown(text)));
        match nearest(name, CAPABILITIES) {
            Some(near) => {
                let near = format!("CAP_{}", near.to_ascii_uppercase());
                problem
                    .help(format!("did you mean `\"{near}\"`?"))
                    .instead(near)
            }
            None => problem.help("the names are in capabilities(7)"),
        }
    })
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_have_their_kernel_numbers() {
        for (text, expected) in [
            ("CAP_CHOWN", 0),
            ("net_bind_service", 10),
            ("CAP_SYS_ADMIN", 21),
            ("cap_bpf", 39),
            ("checkpoint_restore", 40),
        ] {
            assert_eq!(capability(text), Ok(expected), "{text}");
        }
        assert_eq!(
            capability("CAP_NETRAW").unwrap_err().instead.as_deref(),
            Some("CAP_NET_RAW")
        );
    }
}
