//! A step that fails ends in EOF, a told step and no program, whichever it is.

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use oxinetd::launch::{Outcome, Plan, Step};
use oxinetd::service::{Limit, Preset, Process, Resource, Stderr};

use crate::bench::{Bench, Child, Facts, Test, body, reap, signal, until};
use crate::fixtures::{field, service, sh, user};

pub(crate) const TESTS: &[Test] = &[
    ("missing_program_is_told_with_its_step", missing_program),
    ("each_broken_step_is_told_and_nothing_runs", broken_steps),
    ("every_call_of_the_set_up_fails_closed", injected_errors),
];

fn missing_program(bench: &mut Bench) {
    let service = service(&["/no/such/program"]);
    assert_eq!(bench.failure(&service), (Step::Exec, libc::ENOENT));
    assert_eq!(
        bench.plan(&service).describe(Step::Exec),
        "exec /no/such/program"
    );
}

fn broken_steps(bench: &mut Bench) {
    type Break = fn(&mut Process);
    let cases: &[(Break, Step, i32)] = &[
        (
            |p| p.working_directory = "/no/such".into(),
            Step::WorkingDirectory,
            libc::ENOENT,
        ),
        (
            |p| p.stderr = Stderr::File("/no/such/file".into()),
            Step::StderrFile,
            libc::ENOENT,
        ),
        (
            |p| p.root_directory = Some("/no/such".into()),
            Step::Root,
            libc::ENOENT,
        ),
        (
            |p| p.sandbox.capabilities = vec![63],
            Step::Ambient,
            libc::EINVAL,
        ),
        (
            |p| p.oom_score_adj = Some(5000),
            Step::OomScore,
            libc::EINVAL,
        ),
        (
            |p| {
                p.limits = vec![Limit {
                    resource: Resource::OpenFiles,
                    value: Some(1 << 40),
                }];
            },
            Step::LimitOpenFiles,
            libc::EPERM,
        ),
    ];
    for (change, step, errno) in cases {
        if *step == Step::Root && !bench.host.privileged {
            continue;
        }
        let mut service = sh("echo ran");
        change(&mut service.process);
        let (failed, why) = bench.failure(&service);
        assert_eq!(failed, *step);
        assert_eq!(why, *errno, "{failed}");
    }
}

/// For each system call between clone and exec: an error in it means that nothing runs, that the client sees EOF, and
/// that the launch is told as failed. Which calls there are is seen in a control run.
fn injected_errors(bench: &mut Bench) {
    if bench.skip_unless_root() || bench.skip_unless_strace() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("stderr");
    std::fs::write(&log, "").unwrap();
    for path in [dir.path(), &log] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(path, mode).unwrap();
    }
    let full = |private: bool, uid: u32| {
        let mut service = sh("echo ran");
        let process = &mut service.process;
        process.identity = Some(user(uid, 54321, vec![7]));
        process.root_directory = Some("/".into());
        process.nice = 3;
        process.oom_score_adj = private.then_some(300);
        process.stderr = Stderr::File(log.to_str().unwrap().into());
        process.sandbox.preset = Preset::Basic;
        process.sandbox.capabilities = if uid == 0 { vec![] } else { vec![10] };
        process.limits = [Resource::Core, Resource::OpenFiles, Resource::Processes]
            .map(|resource| Limit {
                resource,
                value: Some(99),
            })
            .into();
        service
    };
    for (private, uid, only) in [
        (false, 12345, None),
        (true, 12345, None),
        (false, 0, Some("prctl")),
    ] {
        let plan = bench.plan(&full(private, uid));
        let calls = traced_calls(bench, &plan);
        let made = |name: &str| calls.iter().filter(|call| *call == name).count();
        assert_eq!(
            made("setresuid"),
            if uid == 0 { 1 } else { 2 },
            "no try to be root again"
        );
        assert_eq!(
            (made("close_range"), made("setsid"), made("chroot")),
            (2, 1, 1)
        );
        assert_eq!(
            (made("setgroups"), made("setresgid"), made("capset")),
            (1, 1, 1)
        );
        let mut counts = std::collections::BTreeMap::new();
        for (at, call) in calls.iter().enumerate() {
            let when: &mut u32 = counts.entry(call.clone()).or_default();
            *when += 1;
            // These cannot fail, or their failure is no reason to refuse: the log learns of the child later.
            if ["umask", "gettid", "set_robust_list"].contains(&call.as_str())
                || only.is_some_and(|only| only != call || *when > 2)
            {
                continue;
            }
            // The second change of the user must fail: it tries to become root again.
            let error = ["EPERM", "EAGAIN", "ENOMEM"][at % 3];
            let effect = if call == "setresuid" && *when == 2 {
                "retval=0".to_owned()
            } else {
                format!("error={error}")
            };
            let trace = Trace::attach(
                bench,
                &[
                    &format!("--trace={call}"),
                    &format!("--inject={call}:{effect}:when={when}"),
                ],
            );
            // Other calls of the daemon may be hit first.
            let told = (0..4).find_map(|_| launch_traced(bench, &plan));
            trace.detach(bench);
            let (step, errno) = told.unwrap_or_else(|| panic!("{call} {when}: no child failed"));
            let wanted = match effect.as_str() {
                "error=EAGAIN" => libc::EAGAIN,
                "error=ENOMEM" => libc::ENOMEM,
                _ => libc::EPERM,
            };
            assert_eq!(errno, wanted, "{call} {when}: {step}");
        }
    }
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "");
}

/// One launch under injection: the step and the error that its child told. `None` when the daemon could not make the
/// child. Nothing may run.
fn launch_traced(bench: &mut Bench, plan: &Rc<Plan>) -> Option<(Step, i32)> {
    let (mut client, server) = UnixStream::pair().unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    bench.next_key += 1;
    let key = bench.next_key;
    let facts = Facts::default();
    let connection = facts.connection(server.as_fd());
    let made = bench
        .launcher
        .launch(plan, &connection, &body, key, Instant::now());
    drop(server);
    let outcome = made.as_ref().ok().map(|_| bench.settle(key));
    until(bench, |bench| bench.launcher.in_flight() == 0);
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "", "the program ran");
    waitid(Id::PIDFd(made.ok()?.pidfd.as_fd()), WaitPidFlag::WEXITED).unwrap();
    match outcome {
        Some(Outcome::Failed { step, errno }) => Some((step, errno)),
        other => panic!("{other:?}"),
    }
}

/// The names of the calls that a child makes before its program, its last try to be root included.
fn traced_calls(bench: &mut Bench, plan: &Rc<Plan>) -> Vec<String> {
    let output = tempfile::NamedTempFile::new().unwrap();
    let trace = Trace::attach(bench, &[&format!("--output={}", output.path().display())]);
    let child = bench.launch(plan);
    let pid = format!("{} ", child.pid);
    assert_eq!(bench.finish(child).0, "ran\n");
    trace.detach(bench);
    let text = std::fs::read_to_string(output.path()).unwrap();
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix(&pid)?.trim_start().split_once('('))
        .map(|(name, _)| name.to_owned());
    let mut calls = Vec::new();
    for name in names.filter(|name| !name.starts_with(['<', '+', '-'])) {
        calls.push(name);
        if calls.last().is_some_and(|name| name == "execve") {
            break;
        }
    }
    assert_eq!(calls.last().map(String::as_str), Some("execve"), "{text}");
    calls
}

/// strace on this process and its children.
struct Trace(Child);

impl Trace {
    fn attach(bench: &mut Bench, options: &[&str]) -> Self {
        let own = std::process::id().to_string();
        let mut command = vec!["/usr/bin/strace", "--follow-forks", "--attach", &own];
        command.extend(options);
        let plan = bench.plan(&service(&command));
        let child = bench.launch(&plan);
        assert_eq!(bench.settle(child.key), Outcome::Started);
        // This process's calls are counted apart from the child's. Its own closes must not be the ones that are hit.
        if options.contains(&"--trace=close") {
            until(bench, |_| {
                nix::unistd::close(i32::MAX) != Err(nix::errno::Errno::EBADF)
            });
        } else {
            until(bench, |_| tracer() != "0");
        }
        Self(child)
    }

    fn detach(self, bench: &mut Bench) {
        signal(&self.0, Signal::SIGTERM);
        reap(&self.0);
        until(bench, |_| tracer() == "0");
    }
}

/// The pid of our tracer, 0 for none. The injected error may hit this very look.
fn tracer() -> String {
    std::fs::read_to_string("/proc/self/status")
        .map_or_else(|_| "?".into(), |status| field(&status, "TracerPid"))
}
