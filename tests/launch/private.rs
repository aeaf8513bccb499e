//! Children with memory of their own: built-ins, and everybody where the sharing clone is refused.

use std::io::{Read, Write};
use std::os::fd::AsFd;

use nix::libc;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use oxinetd::launch::{Outcome, Step};
use oxinetd::service::{Builtin, BuiltinKind, Model, Run, Service};

use crate::bench::{Bench, EXPECT_FALLBACK, TOUCHED, Test, body, reap};
use crate::fixtures::{service, sh};

pub(crate) const TESTS: &[Test] = &[
    (
        "private_children_settle_as_shared_ones_do",
        private_children,
    ),
    ("builtin_runs_in_memory_of_its_own", builtin),
    ("panicking_builtin_exits", panicking_builtin),
    ("refused_clone_falls_back_to_fork", fallback),
];

fn private_children(bench: &mut Bench) {
    bench.host.private_always = true;
    let plan = bench.plan(&sh("read line; echo got $line"));
    let missing = bench.plan(&service(&["/no/such"]));
    bench.host.private_always = false;
    // Settled while the program still runs: not by its death.
    let mut child = bench.launch(&plan);
    assert_eq!(bench.settle(child.key), Outcome::Started);
    assert_eq!(plan.in_flight(), 0);
    child.client.write_all(b"it\n").unwrap();
    let mut text = String::new();
    child.client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "got it\n");
    reap(&child);
    let child = bench.launch(&missing);
    let (_, outcome, end) = bench.finish(child);
    assert_eq!(
        outcome,
        Outcome::Failed {
            step: Step::Exec,
            errno: libc::ENOENT
        }
    );
    assert!(matches!(end, WaitStatus::Exited(_, 127)));
}

fn builtin(bench: &mut Bench) {
    let plan = bench.plan(&built(BuiltinKind::Echo));
    let mut child = bench.launch(&plan);
    assert_eq!(bench.settle(child.key), Outcome::Started);
    let mut line = [0; 64];
    let length = child.client.read(&mut line).unwrap();
    // The body tells its pid and glibc's: they agree, and the parent's memory did not change.
    assert_eq!(
        std::str::from_utf8(&line[..length]).unwrap(),
        format!("{} 1 fds 3 shared 0", child.pid)
    );
    assert_eq!(TOUCHED.load(std::sync::atomic::Ordering::Relaxed), 0);
    child.client.write_all(b"x").unwrap();
    let end = waitid(Id::PIDFd(child.pidfd.as_fd()), WaitPidFlag::WEXITED).unwrap();
    assert!(matches!(end, WaitStatus::Exited(_, 42)), "{end:?}");
}

fn panicking_builtin(bench: &mut Bench) {
    let plan = bench.plan(&built(BuiltinKind::Tarpit));
    bench.body = |_| {
        std::panic::set_hook(Box::new(|_| {}));
        panic!("on purpose");
    };
    let child = bench.launch(&plan);
    bench.body = body;
    let (text, outcome, end) = bench.finish(child);
    assert_eq!(text, "");
    assert_eq!(outcome, Outcome::Started);
    assert!(matches!(end, WaitStatus::Exited(_, 101)), "{end:?}");
}

/// The first clone of a process is refused: everything is forked from then on, and said once.
fn fallback(bench: &mut Bench) {
    if bench.skip_unless_strace() {
        return;
    }
    let own = std::env::current_exe().unwrap();
    for error in ["EPERM", "EINVAL", "ENOSYS"] {
        let inject = format!("--inject=clone:error={error}:when=1");
        let mut service = service(&[
            "/usr/bin/strace",
            "--trace=clone",
            &inject,
            own.to_str().unwrap(),
            "cat_",
            "builtin",
            "missing",
        ]);
        service.process.env = vec![(EXPECT_FALLBACK.into(), "1".into())];
        let text = bench.script(&service);
        assert!(text.contains("0 of 4 failed"), "{text}");
    }
}

fn built(kind: BuiltinKind) -> Service {
    let mut service = service(&["/bin/true"]);
    service.run = Run::Builtin(Builtin {
        kind,
        model: Model::Process,
        allow_reflection: false,
    });
    service
}
