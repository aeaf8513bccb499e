//! Signals, limits, identity, capabilities, root: what a program finds as it was asked for.

use std::path::PathBuf;

use nix::libc;
use oxinetd::launch::{Host, Plan, Step};
use oxinetd::service::{Limit, Preset, Resource, Service, Stdio};

use crate::bench::{Bench, Test};
use crate::fixtures::{field, lines, lines_in_order, service, sh, user};

pub(crate) const TESTS: &[Test] = &[
    ("program_has_clean_signals_and_a_session", clean_signals),
    ("limits_umask_and_directory_hold", limits_and_umask),
    ("soft_limit_of_descriptors_comes_back", soft_limit),
    ("identity_is_exactly_the_users", identity),
    ("basic_sandbox_leaves_no_capability", basic_sandbox),
    ("kept_capability_is_the_only_one", kept_capability),
    ("root_directory_is_entered", root_directory),
    ("nice_is_set", nice),
    ("oom_score_is_the_childs_alone", oom_score),
    ("plans_refuse_what_is_not_there", refused_plans),
];

fn clean_signals(bench: &mut Bench) {
    let text = bench.script(&service(&[
        "/bin/cat",
        "/proc/self/status",
        "/proc/self/stat",
    ]));
    for (name, value) in [("SigBlk", 0), ("SigIgn", 0), ("SigCgt", 0), ("SigPnd", 0)] {
        assert_eq!(
            u64::from_str_radix(&field(&text, name), 16).unwrap(),
            value,
            "{name}"
        );
    }
    let stat: Vec<&str> = text.lines().last().unwrap().split(' ').collect();
    assert_eq!(stat[0], stat[4], "process group");
    assert_eq!(stat[0], stat[5], "session");
}

fn limits_and_umask(bench: &mut Bench) {
    let mut service = sh(
        "umask; pwd; ulimit -c; ulimit -n; ulimit -t; ulimit -f; ulimit -u 2>/dev/null || grep processes /proc/self/limits",
    );
    service.process.umask = 0o27;
    service.process.working_directory = "/usr".into();
    service.process.limits = [
        (Resource::Core, Some(0)),
        (Resource::OpenFiles, Some(57)),
        (Resource::CpuTime, Some(20)),
        (Resource::FileSize, Some(512 * 9)),
        (Resource::Processes, Some(43)),
    ]
    .map(|(resource, value)| Limit { resource, value })
    .into();
    let text = bench.script(&service);
    let all: Vec<&str> = text.lines().collect();
    assert_eq!(&all[..6], ["0027", "/usr", "0", "57", "20", "9"]);
    assert!(all[6].contains("43"), "{text}");
    // And nothing of it in this process.
    let own = std::fs::read_to_string("/proc/self/limits").unwrap();
    assert!(
        !own.lines()
            .any(|line| line.starts_with("Max cpu") && line.contains("20 "))
    );
    assert_ne!(std::env::current_dir().unwrap(), PathBuf::from("/usr"));
}

fn soft_limit(bench: &mut Bench) {
    let soft = bench.host.soft_open_files;
    bench.host.soft_open_files = 321;
    let text = bench.script(&sh("ulimit -Sn; ulimit -Hn"));
    bench.host.soft_open_files = soft;
    assert_eq!(
        lines_in_order(&text),
        ["321".to_owned(), bench.host.hard_open_files.to_string()]
    );
}

fn identity(bench: &mut Bench) {
    if bench.skip_unless_root() {
        return;
    }
    for preset in [Preset::None, Preset::Basic] {
        for groups in [vec![], vec![7, 100]] {
            let mut service = service(&["/bin/cat", "/proc/self/status"]);
            service.process.sandbox.preset = preset;
            service.process.identity = Some(user(12345, 54321, groups.clone()));
            let text = bench.script(&service);
            assert_eq!(field(&text, "Uid"), "12345\t12345\t12345\t12345");
            assert_eq!(field(&text, "Gid"), "54321\t54321\t54321\t54321");
            let found: Vec<u32> = field(&text, "Groups")
                .split_whitespace()
                .map(|gid| gid.parse().unwrap())
                .collect();
            assert_eq!(found, groups);
            assert_eq!(
                field(&text, "NoNewPrivs"),
                if preset == Preset::Basic { "1" } else { "0" }
            );
            for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
                assert_eq!(field(&text, set), "0000000000000000", "{set}");
            }
        }
    }
    let mut service = service(&["/usr/bin/env"]);
    service.process.identity = Some(user(12345, 54321, vec![]));
    let text = bench.script(&service);
    for wanted in [
        "HOME=/home/tester",
        "USER=tester",
        "LOGNAME=tester",
        "SHELL=/bin/false",
    ] {
        assert!(
            lines(&text).iter().any(|line| line == wanted),
            "{wanted} in {text}"
        );
    }
    assert_eq!(nix::unistd::geteuid().as_raw(), 0);
}

fn basic_sandbox(bench: &mut Bench) {
    let mut service = service(&["/bin/cat", "/proc/self/status"]);
    service.process.sandbox.preset = Preset::Basic;
    if bench.host.privileged {
        service.process.identity = Some(user(0, 0, vec![]));
    }
    let text = bench.script(&service);
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(field(&text, set), "0000000000000000", "{set}");
    }
    if bench.host.privileged {
        assert_eq!(field(&text, "CapBnd"), "0000000000000000");
    }
    assert_eq!(field(&text, "NoNewPrivs"), "1");
}

fn kept_capability(bench: &mut Bench) {
    if bench.skip_unless_root() {
        return;
    }
    let mut service = service(&["/bin/cat", "/proc/self/status"]);
    service.process.sandbox.preset = Preset::Basic;
    service.process.sandbox.capabilities = vec![10];
    service.process.identity = Some(user(12345, 54321, vec![]));
    let text = bench.script(&service);
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(field(&text, set), "0000000000000400", "{set}");
    }
}

fn root_directory(bench: &mut Bench) {
    if bench.skip_unless_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("inside")).unwrap();
    let mut service = sh("echo ran");
    service.process.root_directory = Some(dir.path().to_str().unwrap().into());
    service.process.working_directory = "/inside".into();
    // Nothing is in there: that the program is missing shows that the root is another.
    assert_eq!(bench.failure(&service), (Step::Exec, libc::ENOENT));
    service.process.working_directory = "/usr".into();
    assert_eq!(
        bench.failure(&service),
        (Step::WorkingDirectory, libc::ENOENT)
    );
    assert!(std::fs::exists("/bin/sh").unwrap());
}

fn nice(bench: &mut Bench) {
    let mut service = service(&["/usr/bin/nice"]);
    let wanted = bench.host.nice + 5;
    service.process.nice = wanted;
    assert_eq!(bench.script(&service).trim(), wanted.to_string());
}

fn oom_score(bench: &mut Bench) {
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let mut service = service(&["/bin/cat", "/proc/self/oom_score_adj"]);
    service.process.oom_score_adj = Some(321);
    assert_eq!(bench.script(&service).trim(), "321");
    assert_eq!(
        std::fs::read_to_string("/proc/self/oom_score_adj").unwrap(),
        own
    );
}

fn refused_plans(bench: &mut Bench) {
    type Break = fn(&mut Service);
    let cases: &[(Break, &str)] = &[
        (|s| s.process.sandbox.preset = Preset::Strict, "sandbox"),
        (|s| s.process.sandbox.network = false, "network"),
        (|s| s.process.stdio = Stdio::Pipe, "stdio"),
        (|s| s.process.working_directory = "/a\0b".into(), "NUL"),
        (|s| s.process.env = vec![("A".into(), "x\0".into())], "NUL"),
    ];
    for (change, word) in cases {
        let mut service = sh("");
        change(&mut service);
        let error = Plan::prepare(&service, &bench.host)
            .unwrap_err()
            .to_string();
        assert!(error.contains(word), "{error}");
    }
    bench.host.privileged = false;
    let mut service = sh("");
    service.process.identity = Some(user(1, 1, vec![]));
    let error = Plan::prepare(&service, &bench.host)
        .unwrap_err()
        .to_string();
    bench.host = Host {
        environment: Vec::new(),
        ..Host::found().unwrap()
    };
    assert!(error.contains("tester"), "{error}");
}
