//! A service's settings as the numbers and pointers of its children's steps.
//!
//! Invariant: what [`Steps`] points to is owned by [`Kept`], on the heap, and never changes. The rules that decide which
//! steps are made at all are here, and nowhere else.

use std::ffi::CString;
use std::ptr;

use nix::libc;

use super::host::Host;
use super::orders::{RawLimit, Steps};
use super::plan::{PlanError, c_string};
use super::step::Step;
use crate::service::{Limit, Preset, Resource, Service, Stdio};

/// Owns what the steps point to.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) path: CString,
    pub(super) root: Option<CString>,
    pub(super) directory: CString,
    pub(super) oom: Option<String>,
    /// LISTEN_FDNAMES: as systemd has it, `connection`, but the service's own socket has its name.
    pub(super) listen_name: CString,
    groups: Vec<u32>,
    limits: Vec<RawLimit>,
    /// One at most.
    processes: Vec<RawLimit>,
}

impl Kept {
    /// Converts what a service asks for.
    pub(super) fn new(service: &Service, host: &Host, path: CString) -> Result<Self, PlanError> {
        let process = &service.process;
        Ok(Self {
            path,
            root: process
                .root_directory
                .as_deref()
                .map(|path| c_string("root_directory", path))
                .transpose()?,
            directory: c_string("working_directory", &process.working_directory)?,
            oom: process
                .oom_score_adj
                .filter(|score| *score != host.oom_score_adj)
                .map(|score| score.to_string()),
            listen_name: c_string(
                "wait",
                &if service.wait {
                    format!("LISTEN_FDNAMES={}", service.name)
                } else {
                    "LISTEN_FDNAMES=connection".to_owned()
                },
            )?,
            groups: process
                .identity
                .as_ref()
                .map(|identity| identity.groups.clone())
                .unwrap_or_default(),
            limits: limits(&process.limits, host),
            processes: process
                .limits
                .iter()
                .filter(|limit| limit.resource == Resource::Processes)
                .map(|limit| raw(limit, host))
                .collect(),
        })
    }

    /// The steps, pointing into this value. It may move: what it owns does not.
    pub(super) fn steps(&self, service: &Service, host: &Host) -> Steps {
        let process = &service.process;
        let identity = process.identity.as_ref();
        let confined = process.sandbox.preset >= Preset::Basic;
        let capabilities = process
            .sandbox
            .capabilities
            .iter()
            .filter(|number| **number < 64)
            .fold(0, |mask, number| mask | 1u64 << number);
        let is_root = identity.map_or(host.privileged, |identity| identity.uid == 0);
        let text = |text: &Option<CString>| text.as_ref().map_or(ptr::null(), |text| text.as_ptr());
        Steps {
            path: self.path.as_ptr(),
            root: text(&self.root),
            directory: self.directory.as_ptr(),
            oom_text: self.oom.as_ref().map_or(ptr::null(), |text| text.as_ptr()),
            oom_length: self.oom.as_ref().map_or(0, String::len),
            groups: self.groups.as_ptr(),
            group_count: self.groups.len(),
            limits: self.limits.as_ptr(),
            limits_end: self.limits.as_ptr().wrapping_add(self.limits.len()),
            processes: self.processes.first().map_or(ptr::null(), ptr::from_ref),
            uid: identity.map_or(0, |identity| identity.uid),
            gid: identity.map_or(0, |identity| identity.gid),
            umask: process.umask,
            nice: process.nice,
            ignored: host.ignored_signals | 1 << (libc::SIGPIPE - 1),
            // With no_new_privs nothing can give a capability to a user who has none: the 41 calls are for root only.
            bounding: if confined && is_root && host.privileged {
                host.bounding & !capabilities
            } else {
                0
            },
            capabilities,
            // A daemon that cannot go back to 0 leaves the default alone.
            set_nice: process.nice != host.nice
                && (host.privileged || process.nice != 0 || host.nice < 0),
            set_identity: identity.is_some(),
            set_capabilities: confined || capabilities != 0,
            no_new_privileges: confined,
            listen_fds: process.stdio == Stdio::ListenFds,
        }
    }
}

/// The limits that are set before the user changes. The soft limit of descriptors, which the daemon raised for
/// itself, goes back to what it was.
fn limits(wanted: &[Limit], host: &Host) -> Vec<RawLimit> {
    let mut limits: Vec<RawLimit> = wanted
        .iter()
        .filter(|limit| limit.resource != Resource::Processes)
        .map(|limit| raw(limit, host))
        .collect();
    if !wanted
        .iter()
        .any(|limit| limit.resource == Resource::OpenFiles)
    {
        limits.push(RawLimit {
            soft: host.soft_open_files,
            hard: host.hard_open_files,
            resource: libc::RLIMIT_NOFILE,
            step: Step::LimitOpenFiles,
        });
    }
    limits
}

fn raw(limit: &Limit, host: &Host) -> RawLimit {
    // The kernel has no infinite number of descriptors (fs.nr_open): what the daemon may have is the most.
    let most = if limit.resource == Resource::OpenFiles {
        host.hard_open_files
    } else {
        libc::RLIM_INFINITY
    };
    let value = limit.value.unwrap_or(most);
    let (resource, step) = match limit.resource {
        Resource::OpenFiles => (libc::RLIMIT_NOFILE, Step::LimitOpenFiles),
        Resource::Processes => (libc::RLIMIT_NPROC, Step::LimitProcesses),
        Resource::CpuTime => (libc::RLIMIT_CPU, Step::LimitCpuTime),
        Resource::AddressSpace => (libc::RLIMIT_AS, Step::LimitAddressSpace),
        Resource::Data => (libc::RLIMIT_DATA, Step::LimitData),
        Resource::Stack => (libc::RLIMIT_STACK, Step::LimitStack),
        Resource::FileSize => (libc::RLIMIT_FSIZE, Step::LimitFileSize),
        Resource::Core => (libc::RLIMIT_CORE, Step::LimitCore),
        Resource::LockedMemory => (libc::RLIMIT_MEMLOCK, Step::LimitLockedMemory),
    };
    RawLimit {
        soft: value,
        hard: value,
        resource,
        step,
    }
}
