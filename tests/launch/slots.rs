//! Slots and shares: bounded, told when stuck, given back; and the parent's memory stays as it was.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::libc;
use oxinetd::launch::{Launcher, Outcome, Step};

use crate::bench::{Bench, Child, Facts, Test, body, kill, reap, until, waiting_plan};
use crate::fixtures::{service, sh};

pub(crate) const TESTS: &[Test] = &[
    ("share_of_launches_is_bounded_and_comes_back", share),
    ("stuck_launch_is_told_and_can_be_killed", stuck),
    ("killed_set_up_is_told", killed),
    ("failing_launches_leave_memory_alone", memory),
    ("many_launches_leak_nothing", many),
];

fn share(bench: &mut Bench) {
    let (_dir, plan) = waiting_plan(bench);
    let other = bench.plan(&service(&["/bin/true"]));
    // Fifteen low sets: they come back while the children still wait.
    let children: Vec<Child> = (0..16)
        .map(|_| {
            until(bench, |bench| bench.launcher.has_room());
            bench.launch(&plan)
        })
        .collect();
    assert_eq!(plan.in_flight(), 16);
    until(bench, |bench| bench.launcher.has_room());
    assert!(!Launcher::has_share(&plan));
    let (_client, server) = UnixStream::pair().unwrap();
    let facts = Facts::default();
    let connection = facts.connection(server.as_fd());
    let refused = bench
        .launcher
        .launch(&plan, &connection, &body, 0, Instant::now())
        .unwrap_err();
    assert_eq!(refused.errno, libc::EAGAIN);
    // Others are served meanwhile.
    let child = bench.launch(&other);
    let (_, outcome, _) = bench.finish(child);
    assert_eq!(outcome, Outcome::Started);
    for child in children {
        kill(&child);
        // On a busy machine it may not have come to its FIFO yet.
        let outcome = bench.finish(child).1;
        assert!(matches!(outcome, Outcome::Killed { .. }), "{outcome:?}");
    }
    assert_eq!(plan.in_flight(), 0);
    assert!(Launcher::has_share(&plan));
}

fn stuck(bench: &mut Bench) {
    let (_dir, plan) = waiting_plan(bench);
    let child = bench.launch(&plan);
    let later = Instant::now() + Duration::from_secs(6);
    until(bench, |bench| {
        bench.settled.clear();
        bench
            .launcher
            .sweep(Instant::now() + Duration::from_secs(4), &mut bench.settled);
        assert!(bench.settled.is_empty());
        std::fs::read_to_string(format!("/proc/{}/wchan", child.pid)).is_ok()
            && std::fs::read_to_string(format!("/proc/{}/stat", child.pid))
                .is_ok_and(|stat| stat.contains(") S "))
    });
    bench.launcher.sweep(later, &mut bench.settled);
    bench.launcher.sweep(later, &mut bench.settled);
    assert_eq!(bench.settled.len(), 1, "told once");
    let told = bench.settled.pop().unwrap();
    assert_eq!(
        (told.key, told.outcome),
        (
            child.key,
            Outcome::Stuck {
                step: Step::StderrFile
            }
        )
    );
    // From now on no sweep looks at it: nothing wakes the daemon but the death.
    assert_eq!(bench.launcher.look_again(later), None);
    assert_eq!(bench.launcher.in_flight(), 1);
    kill(&child);
    reap(&child);
    let settled = bench.launcher.settle_dead(child.key).unwrap();
    let step = Step::StderrFile;
    assert_eq!(settled.outcome, Outcome::Killed { step });
}

fn killed(bench: &mut Bench) {
    let (_dir, plan) = waiting_plan(bench);
    let child = bench.launch(&plan);
    kill(&child);
    reap(&child);
    // The reaper was first: the launch is settled by the death alone.
    let settled = bench.launcher.settle_dead(child.key).unwrap();
    assert!(
        matches!(settled.outcome, Outcome::Killed { .. }),
        "{settled:?}"
    );
    assert!(bench.launcher.settle_dead(child.key).is_none());
}

fn memory(bench: &mut Bench) {
    let pattern: Vec<u8> = (0..1_048_576_u32).map(|at| (at % 251) as u8).collect();
    let plans = [
        bench.plan(&service(&["/no/such"])),
        bench.plan(&{
            let mut service = sh("echo ran");
            service.process.working_directory = "/no/such".into();
            service
        }),
    ];
    nix::errno::Errno::set_raw(77);
    for round in 0..500 {
        let children: Vec<Child> = (0..4)
            .map(|at| {
                until(bench, |bench| bench.launcher.has_room());
                bench.launch(&plans[at % 2])
            })
            .collect();
        let junk: Vec<Vec<u8>> = (0..50).map(|size| vec![round as u8; size * 100]).collect();
        assert!(
            junk.iter()
                .all(|piece| piece.iter().all(|byte| *byte == round as u8))
        );
        for child in children {
            assert!(matches!(
                bench.finish(child).1,
                Outcome::Failed {
                    errno: libc::ENOENT,
                    ..
                }
            ));
        }
    }
    assert!(
        pattern
            .iter()
            .enumerate()
            .all(|(at, byte)| *byte == (at as u32 % 251) as u8)
    );
}

fn many(bench: &mut Bench) {
    let plan = bench.plan(&service(&["/bin/true"]));
    for _ in 0..500 {
        let child = bench.launch(&plan);
        assert_eq!(bench.finish(child).1, Outcome::Started);
    }
}
