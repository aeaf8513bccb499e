//! Which descriptors a program has, and that nobody else keeps its client's.

use std::io::{Read, Write};

use nix::sys::wait::WaitStatus;
use oxinetd::launch::Outcome;
use oxinetd::service::{Stderr, Stdio};

use crate::bench::{Bench, Facts, Test, kill, reap, waiting_plan};
use crate::fixtures::{service, sh, template};

pub(crate) const TESTS: &[Test] = &[
    ("cat_answers_its_client", cat_answers),
    ("program_has_exactly_its_descriptors", exact_descriptors),
    ("stderr_goes_where_the_policy_says", stderr_policies),
    ("listen_fds_follows_the_protocol", listen_fds),
    ("closed_connection_ends_for_the_client", low_copies),
    ("held_child_does_not_keep_its_neighbours_client", neighbours),
];

fn cat_answers(bench: &mut Bench) {
    let plan = bench.plan(&service(&["/bin/cat"]));
    let mut child = bench.launch(&plan);
    child.client.write_all(b"hello").unwrap();
    child.client.shutdown(std::net::Shutdown::Write).unwrap();
    let (text, outcome, end) = bench.finish(child);
    assert_eq!(text, "hello");
    assert_eq!(outcome, Outcome::Started);
    assert!(matches!(end, WaitStatus::Exited(_, 0)));
}

fn exact_descriptors(bench: &mut Bench) {
    let text = bench.script(&service(&["/bin/ls", "/proc/self/fd"]));
    // ls itself opens the directory as the lowest free number.
    assert_eq!(
        text.split_whitespace().collect::<Vec<_>>(),
        ["0", "1", "2", "3"]
    );
    let text = bench.script(&sh("readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2"));
    let links: Vec<&str> = text.lines().collect();
    assert!(
        links[0].starts_with("socket:") && links[0] == links[1],
        "{text}"
    );
    assert_eq!(links[2], "/dev/null");
}

fn stderr_policies(bench: &mut Bench) {
    let script = "echo to-client; echo to-log >&2";
    for (policy, client) in [
        (Stderr::Null, "to-client\n"),
        (Stderr::Client, "to-client\nto-log\n"),
    ] {
        let mut service = sh(script);
        service.process.stderr = policy;
        assert_eq!(bench.script(&service), client);
    }
    let mut service = sh(script);
    service.process.stderr = Stderr::Log;
    let plan = bench.plan(&service);
    let (reader, writer) = nix::unistd::pipe().unwrap();
    let child = bench.launch_for(&plan, &Facts::default(), Some(&writer));
    let (text, _, _) = bench.finish(child);
    drop(writer);
    let mut log = String::new();
    std::fs::File::from(reader)
        .read_to_string(&mut log)
        .unwrap();
    assert_eq!((text.as_str(), log.as_str()), ("to-client\n", "to-log\n"));

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("err-192.0.2.7");
    let mut service = sh(script);
    service.process.stderr = Stderr::File(template(&[
        &format!("{}/err-", dir.path().display()),
        "addr",
    ]));
    assert_eq!(bench.script(&service), "to-client\n");
    assert_eq!(bench.script(&service), "to-client\n");
    assert_eq!(std::fs::read_to_string(path).unwrap(), "to-log\nto-log\n");
}

fn listen_fds(bench: &mut Bench) {
    let mut service =
        sh("echo $LISTEN_FDS $LISTEN_FDNAMES $((LISTEN_PID - $$)) >&3; exec ls /proc/self/fd >&3");
    service.process.stdio = Stdio::ListenFds;
    let text = bench.script(&service);
    assert_eq!(
        text.split_whitespace().collect::<Vec<_>>(),
        ["1", "connection", "0", "0", "1", "2", "3", "4"]
    );
}

fn low_copies(bench: &mut Bench) {
    // The daemon's low copy must go although the program runs on: else its client would wait for the daemon.
    let plan = bench.plan(&sh("exec 0<&- 1>&- 2>&-; exec sleep 30"));
    let mut child = bench.launch(&plan);
    assert_eq!(bench.settle(child.key), Outcome::Started);
    let mut rest = Vec::new();
    child.client.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    kill(&child);
    reap(&child);
}

/// The second child copies the first one's connection with the table, and then waits before its exec.
fn neighbours(bench: &mut Bench) {
    let quick = bench.plan(&service(&["/bin/true"]));
    let (_dir, waiting) = waiting_plan(bench);
    let first = bench.launch(&quick);
    let held = bench.launch(&waiting);
    assert_eq!(bench.finish(first).0, "");
    assert_eq!(waiting.in_flight(), 1);
    kill(&held);
    assert!(matches!(bench.finish(held).1, Outcome::Killed { .. }));
}
