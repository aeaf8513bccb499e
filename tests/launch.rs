//! The launch path with real children. Its own `main`, because a child may share memory only with a process that has
//! one thread: libtest runs tests in threads. Prints what libtest prints. Arguments: words that a name must contain.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::exit,
    reason = "a test tells its result on stdout and by its exit code"
)]

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use oxinetd::launch::{Connection, Host, Launched, Launcher, Outcome, Plan, Settled, Step};
use oxinetd::service::{
    Address, Admission, Builtin, BuiltinKind, Cgroup, Deadlines, Identity, Keepalive, Limit, Local,
    LogSelection, Model, OnDisconnect, Origin, OverLimit, Peer, PerSource, Piece, Preset, Process,
    Program, Protocol, RefuseWith, Resource, Run, Sandbox, Service, SocketOptions, Specifier,
    Stderr, Stdio, Template, UnixName,
};

/// In the environment: the first clone is refused from outside.
const EXPECT_FALLBACK: &str = "OXINETD_TEST_FALLBACK";

type Test = (&'static str, fn(&mut Bench));

const TESTS: &[Test] = &[
    ("cat_answers_its_client", cat_answers),
    ("program_has_exactly_its_descriptors", exact_descriptors),
    ("program_has_clean_signals_and_a_session", clean_signals),
    ("environment_is_the_documented_one", environment),
    ("env_wins_over_facts_and_pass_env", environment_precedence),
    (
        "unix_and_proxied_clients_have_their_variables",
        environment_of_other_clients,
    ),
    ("specifiers_stay_one_word", specifiers),
    ("stderr_goes_where_the_policy_says", stderr_policies),
    ("listen_fds_follows_the_protocol", listen_fds),
    ("missing_program_is_told_with_its_step", missing_program),
    ("each_broken_step_is_told_and_nothing_runs", broken_steps),
    ("limits_umask_and_directory_hold", limits_and_umask),
    ("soft_limit_of_descriptors_comes_back", soft_limit),
    ("identity_is_exactly_the_users", identity),
    ("basic_sandbox_leaves_no_capability", basic_sandbox),
    ("kept_capability_is_the_only_one", kept_capability),
    ("root_directory_is_entered", root_directory),
    ("nice_is_set", nice),
    ("oom_score_is_the_childs_alone", oom_score),
    (
        "private_children_settle_as_shared_ones_do",
        private_children,
    ),
    ("builtin_runs_in_memory_of_its_own", builtin),
    ("panicking_builtin_exits", panicking_builtin),
    ("share_of_launches_is_bounded_and_comes_back", share),
    ("stuck_launch_is_told_and_can_be_killed", stuck),
    ("killed_set_up_is_told", killed),
    ("failing_launches_leave_memory_alone", memory),
    ("many_launches_leak_nothing", many),
    ("closed_connection_ends_for_the_client", low_copies),
    ("every_call_of_the_set_up_fails_closed", injected_errors),
    ("refused_clone_falls_back_to_fork", fallback),
    ("shared_child_is_raw_calls_only", disassembly),
    ("held_child_does_not_keep_its_neighbours_client", neighbours),
    ("plans_refuse_what_is_not_there", refused_plans),
];

fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let mut bench = Bench::new();
    let (mut failed, mut run) = (Vec::new(), 0);
    let first = descriptors();
    for (name, test) in TESTS {
        if !words.is_empty() && !words.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        run += 1;
        bench.skipped = None;
        let result = catch_unwind(AssertUnwindSafe(|| {
            test(&mut bench);
            bench.guard(first);
        }));
        match (result, bench.skipped) {
            (Ok(()), None) => println!("test {name} ... ok"),
            (Ok(()), Some(why)) => println!("test {name} ... ignored, {why}"),
            (Err(_), _) => {
                println!("test {name} ... FAILED");
                failed.push(*name);
                bench.clean_up();
            }
        }
    }
    println!("\ntest result: {} of {run} failed {failed:?}", failed.len());
    std::process::exit(i32::from(!failed.is_empty()));
}

/// One launcher for all tests, as a daemon has one.
struct Bench {
    launcher: Launcher,
    host: Host,
    settled: Vec<Settled>,
    next_key: u64,
    body: fn(i32) -> u8,
    skipped: Option<&'static str>,
}

/// A launch under test.
struct Child {
    key: u64,
    pid: i32,
    pidfd: OwnedFd,
    client: UnixStream,
}

impl Bench {
    fn new() -> Self {
        let host = Host::found().unwrap();
        Self {
            launcher: Launcher::new(1024).unwrap(),
            host,
            settled: Vec::new(),
            next_key: 0,
            body,
            skipped: None,
        }
    }

    fn skip_unless_root(&mut self) -> bool {
        if self.host.privileged {
            return false;
        }
        self.skipped = Some("needs root");
        true
    }

    fn skip_unless_strace(&mut self) -> bool {
        if std::fs::exists("/usr/bin/strace").unwrap() {
            return false;
        }
        self.skipped = Some("needs strace");
        true
    }

    fn plan(&self, service: &Service) -> Rc<Plan> {
        Rc::new(Plan::prepare(service, &self.host).unwrap())
    }

    fn launch(&mut self, plan: &Rc<Plan>) -> Child {
        self.launch_for(plan, &Facts::default(), None)
    }

    fn launch_for(&mut self, plan: &Rc<Plan>, facts: &Facts, stderr: Option<&OwnedFd>) -> Child {
        let (client, server) = UnixStream::pair().unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        self.next_key += 1;
        let key = self.next_key;
        let connection = Connection {
            stderr: stderr.map(AsFd::as_fd),
            ..facts.connection(server.as_fd())
        };
        let Launched { pid, pidfd } = self
            .launcher
            .launch(plan, &connection, &self.body, key, Instant::now())
            .unwrap();
        Child {
            key,
            pid,
            pidfd,
            client,
        }
    }

    /// Sweeps until the launch is settled.
    fn settle(&mut self, key: u64) -> Outcome {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            self.launcher.sweep(Instant::now(), &mut self.settled);
            if let Some(at) = self.settled.iter().position(|settled| settled.key == key) {
                return self.settled.swap_remove(at).outcome;
            }
            assert!(Instant::now() < end, "launch does not settle");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// What the program wrote, how its launch settled, and how it ended.
    fn finish(&mut self, mut child: Child) -> (String, Outcome, WaitStatus) {
        let outcome = self.settle(child.key);
        let mut text = Vec::new();
        child.client.read_to_end(&mut text).unwrap();
        let end = waitid(Id::PIDFd(child.pidfd.as_fd()), WaitPidFlag::WEXITED).unwrap();
        (String::from_utf8(text).unwrap(), outcome, end)
    }

    /// The output of a shell script that must start and exit with 0.
    fn script(&mut self, service: &Service) -> String {
        let plan = self.plan(service);
        let child = self.launch(&plan);
        let pid = child.pid;
        let (text, outcome, end) = self.finish(child);
        assert_eq!(outcome, Outcome::Started, "{text}");
        assert!(
            matches!(end, WaitStatus::Exited(of, 0) if of.as_raw() == pid),
            "{end:?}: {text}"
        );
        text
    }

    /// The failure of a launch, which must have run nothing and given the client EOF.
    fn failure(&mut self, service: &Service) -> (Step, i32) {
        let plan = self.plan(service);
        let child = self.launch(&plan);
        let (text, outcome, end) = self.finish(child);
        assert_eq!(text, "");
        assert!(matches!(end, WaitStatus::Exited(_, 127)), "{end:?}");
        match outcome {
            Outcome::Failed { step, errno } => (step, errno),
            other @ (Outcome::Started | Outcome::Killed { .. } | Outcome::Stuck { .. }) => {
                panic!("{other:?}")
            }
        }
    }

    /// After every test: no launch, no child, no descriptor is left.
    fn guard(&mut self, first: usize) {
        assert_eq!(self.launcher.in_flight(), 0);
        assert!(self.settled.is_empty(), "{:?}", self.settled);
        assert_eq!(descriptors(), first, "descriptors leaked");
        assert_eq!(
            waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG),
            Err(nix::errno::Errno::ECHILD)
        );
        assert_eq!(std::fs::read_dir("/proc/self/task").unwrap().count(), 1);
        let refused = std::env::var_os(EXPECT_FALLBACK).is_some();
        assert_eq!(self.launcher.fallback_note().is_some(), refused);
    }

    /// After a failed test: what it left must not fail the next one too.
    fn clean_up(&mut self) {
        let children = format!("/proc/self/task/{}/children", std::process::id());
        for pid in std::fs::read_to_string(children)
            .unwrap()
            .split_whitespace()
        {
            let pid = nix::unistd::Pid::from_raw(pid.parse().unwrap());
            nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
        }
        std::thread::sleep(Duration::from_millis(100));
        while self.launcher.in_flight() > 0 {
            self.launcher.sweep(Instant::now(), &mut self.settled);
        }
        self.settled.clear();
        while waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG)
            .is_ok_and(|end| end != WaitStatus::StillAlive)
        {}
    }
}

/// Who the client is said to be.
struct Facts {
    peer: Option<Peer>,
    local: Local,
    cookie: u64,
    concurrency: u32,
    proxied_from: Option<Peer>,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            peer: Some(inet("192.0.2.7:4711")),
            local: Local::Inet("192.0.2.1:79".parse().unwrap()),
            cookie: 77,
            concurrency: 3,
            proxied_from: None,
        }
    }
}

impl Facts {
    fn connection<'a>(&'a self, socket: BorrowedFd<'a>) -> Connection<'a> {
        Connection {
            socket,
            stderr: None,
            peer: self.peer.as_ref(),
            local: &self.local,
            id: "c0ffee",
            cookie: self.cookie,
            concurrency: self.concurrency,
            cgroup: None,
            proxied_from: self.proxied_from.as_ref(),
        }
    }
}

fn inet(address: &str) -> Peer {
    Peer::Inet(address.parse::<SocketAddr>().unwrap())
}

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

fn environment(bench: &mut Bench) {
    let mut service = service(&["/usr/bin/env"]);
    service.process.env = vec![("LANG".into(), "C".into())];
    assert_eq!(
        lines(&bench.script(&service)),
        [
            "LANG=C",
            "OXINETD_CONN_ID=c0ffee",
            "OXINETD_SERVICE=test",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PROTO=TCP",
            "REMOTE_ADDR=192.0.2.7",
            "REMOTE_HOST=192.0.2.7",
            "REMOTE_PORT=4711",
            "SERVER_ADDR=192.0.2.1",
            "SERVER_PORT=79",
            "SO_COOKIE=77",
            "TCPCONCURRENCY=3",
            "TCPCONNNUM=3",
            "TCPLOCALIP=192.0.2.1",
            "TCPLOCALPORT=79",
            "TCPREMOTEIP=192.0.2.7",
            "TCPREMOTEPORT=4711",
        ]
    );
}

fn environment_precedence(bench: &mut Bench) {
    bench.host.environment = vec![
        ("PASSED".into(), "yes".into()),
        ("SECRET".into(), "no".into()),
        ("PATH".into(), "/bin".into()),
        ("REMOTE_ADDR".into(), "forged".into()),
    ];
    let mut service = service(&["/usr/bin/env"]);
    service.process.pass_env = ["PASSED", "PATH", "REMOTE_ADDR"].map(String::from).into();
    service.process.env = vec![
        ("REMOTE_HOST".into(), "hidden".into()),
        (
            "WHO".into(),
            template(&["<", "addr", ":", "port", "> ", "service", "/", "id"]),
        ),
    ];
    let text = bench.script(&service);
    bench.host.environment.clear();
    let all = lines(&text);
    for wanted in [
        "PASSED=yes",
        "PATH=/bin",
        "REMOTE_ADDR=192.0.2.7",
        "REMOTE_HOST=hidden",
        "WHO=<192.0.2.7:4711> test/c0ffee",
    ] {
        assert_eq!(
            all.iter().filter(|line| line.as_str() == wanted).count(),
            1,
            "{wanted}: {text}"
        );
    }
    let mut names: Vec<&str> = all
        .iter()
        .filter_map(|line| line.split('=').next())
        .collect();
    assert!(!names.contains(&"SECRET"));
    names.dedup();
    assert_eq!(names.len(), all.len(), "a name twice: {text}");
}

fn environment_of_other_clients(bench: &mut Bench) {
    let plan = bench.plan(&service(&["/usr/bin/env"]));
    let unix = Facts {
        peer: Some(Peer::Unix {
            uid: 12,
            gid: 34,
            pid: 56,
        }),
        local: Local::Unix(UnixName::Path(PathBuf::from("/run/x.sock"))),
        cookie: 0,
        concurrency: 0,
        proxied_from: None,
    };
    let proxied = Facts {
        peer: Some(inet("[2001:db8::1]:99")),
        proxied_from: Some(inet("10.0.0.1:1234")),
        ..Facts::default()
    };
    let datagram = Facts {
        peer: None,
        local: Local::Udp("[::]:69".parse().unwrap()),
        ..Facts::default()
    };
    for (facts, present, absent) in [
        (
            unix,
            &[
                "PROTO=UNIX",
                "UNIXLOCALPATH=/run/x.sock",
                "UNIXREMOTEEUID=12",
                "UNIXREMOTEEGID=34",
                "UNIXREMOTEPID=56",
                "REMOTE_ADDR=unix",
                "SERVER_ADDR=/run/x.sock",
            ][..],
            &["REMOTE_PORT", "TCPREMOTEIP", "SO_COOKIE", "PROXY_PEER_IP"][..],
        ),
        (
            proxied,
            &[
                "REMOTE_ADDR=2001:db8::1",
                "TCPREMOTEIP=2001:db8::1",
                "PROXY_PEER_IP=10.0.0.1",
                "PROXY_PEER_PORT=1234",
            ],
            &["UNIXREMOTEEUID"],
        ),
        (
            datagram,
            &["PROTO=UDP", "UDPLOCALPORT=69", "SERVER_ADDR=::"],
            &["REMOTE_ADDR", "UDPREMOTEIP", "TCPCONNNUM"],
        ),
    ] {
        let child = bench.launch_for(&plan, &facts, None);
        let (text, outcome, _) = bench.finish(child);
        assert_eq!(outcome, Outcome::Started);
        let all = lines(&text);
        for wanted in present {
            assert!(all.iter().any(|line| line == wanted), "{wanted} in {text}");
        }
        for name in absent {
            assert!(
                !all.iter().any(|line| line.starts_with(&format!("{name}="))),
                "{name} in {text}"
            );
        }
    }
}

fn specifiers(bench: &mut Bench) {
    let mut service = service(&["/usr/bin/printf", "[%s]"]);
    if let Run::Program(program) = &mut service.run {
        program
            .arguments
            .push(template(&["a b ", "addr", ";", "id"]));
        program.arguments.push(template(&["service"]));
    }
    assert_eq!(bench.script(&service), "[a b 192.0.2.7;c0ffee][test]");
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

static TOUCHED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

/// What the built-ins of these tests do.
fn body(connection: i32) -> u8 {
    let touched = TOUCHED.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
    assert_eq!(connection, 0);
    let fds = std::fs::read_dir("/proc/self/fd").unwrap().count() - 1;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let shared = maps
        .lines()
        .filter(|line| line.contains("rw-s") && line.contains("/dev/zero"))
        .count();
    print!("{} {touched} fds {fds} shared {shared}", std::process::id());
    std::io::stdout().flush().unwrap();
    let mut byte = [0];
    std::io::stdin().read_exact(&mut byte).unwrap();
    42
}

fn share(bench: &mut Bench) {
    let (_dir, plan) = waiting_plan(bench);
    let other = bench.plan(&service(&["/bin/true"]));
    // Fifteen low sets: they come back while the children still wait.
    let children: Vec<Child> = (0..16)
        .map(|_| {
            until(bench, |bench| bench.launcher.has_room(&plan));
            bench.launch(&plan)
        })
        .collect();
    assert_eq!(plan.in_flight(), 16);
    until(bench, |bench| bench.launcher.has_room(&other));
    assert!(!bench.launcher.has_room(&plan));
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
        assert_eq!(
            bench.finish(child).1,
            Outcome::Killed {
                step: Step::StderrFile
            }
        );
    }
    assert_eq!(plan.in_flight(), 0);
    assert!(bench.launcher.has_room(&plan));
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
    kill(&child);
    assert_eq!(
        bench.finish(child).1,
        Outcome::Killed {
            step: Step::StderrFile
        }
    );
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
                until(bench, |bench| bench.launcher.has_room(&plans[at % 2]));
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

/// From its entry on, the code of a child that shares memory uses no thread-local and calls nothing but itself.
fn disassembly(bench: &mut Bench) {
    if cfg!(debug_assertions) || cfg!(not(target_arch = "x86_64")) {
        bench.skipped = Some("needs an optimized build for x86_64 (cargo test --release)");
        return;
    }
    if !std::fs::exists("/usr/bin/objdump").unwrap() {
        bench.skipped = Some("needs objdump");
        return;
    }
    let own = std::env::current_exe().unwrap();
    let text = bench.script(&service(&[
        "/usr/bin/objdump",
        "--disassemble",
        "--no-show-raw-insn",
        own.to_str().unwrap(),
    ]));
    let mut functions = std::collections::HashMap::new();
    for block in text.split("\n\n") {
        if let Some((_, rest)) = block.trim_start().split_once('<')
            && let Some((name, code)) = rest.split_once(">:\n")
        {
            functions.insert(name, code);
        }
    }
    let entry = *functions
        .keys()
        .find(|name| name.contains("launch5child7program"))
        .unwrap();
    let (mut seen, mut next, mut calls) = (vec![entry], vec![entry], 0);
    while let Some(name) = next.pop() {
        assert!(name.contains("6launch5child"), "{name} is reached");
        for line in functions[name].lines() {
            assert!(!line.contains("%fs"), "a thread-local in {name}: {line}");
            calls += usize::from(line.contains("syscall"));
            let Some((_, instruction)) = line.split_once('\t') else {
                continue;
            };
            if instruction.starts_with("call") || instruction.starts_with('j') {
                assert!(
                    !instruction.contains('*'),
                    "an indirect call in {name}: {line}"
                );
                // `<name+0x12>` is a place inside a function, `<name>` its start.
                let target = instruction
                    .split_once('<')
                    .unwrap()
                    .1
                    .trim_end()
                    .trim_end_matches('>');
                let target = target.split('+').next().unwrap();
                let target = *functions.get_key_value(target).unwrap().0;
                if !seen.contains(&target) {
                    seen.push(target);
                    next.push(target);
                }
            }
        }
    }
    assert!(
        calls > 25,
        "only {calls} system calls found: is this the child?"
    );
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

/// A plan whose children wait at a FIFO that nobody reads.
fn waiting_plan(bench: &Bench) -> (tempfile::TempDir, Rc<Plan>) {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut service = sh("echo ran");
    service.process.stderr = Stderr::File(fifo.to_str().unwrap().into());
    let plan = bench.plan(&service);
    (dir, plan)
}

fn until(bench: &mut Bench, mut done: impl FnMut(&mut Bench) -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !done(bench) {
        assert!(Instant::now() < end, "too late");
        bench.launcher.sweep(Instant::now(), &mut bench.settled);
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn kill(child: &Child) {
    signal(child, Signal::SIGKILL);
}

fn signal(child: &Child, signal: Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.pid), signal).unwrap();
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn reap(child: &Child) {
    waitid(Id::PIDFd(child.pidfd.as_fd()), WaitPidFlag::WEXITED).unwrap();
}

fn field(status: &str, name: &str) -> String {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .unwrap();
    line.trim().to_owned()
}

fn lines(text: &str) -> Vec<String> {
    let mut all = lines_in_order(text);
    all.sort();
    all
}

fn lines_in_order(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// `addr`, `port`, `service` and `id` are specifiers, anything else is text.
fn template(pieces: &[&str]) -> Template {
    Template(
        pieces
            .iter()
            .map(|piece| match *piece {
                "addr" => Piece::Specifier(Specifier::RemoteAddr),
                "port" => Piece::Specifier(Specifier::RemotePort),
                "service" => Piece::Specifier(Specifier::Service),
                "id" => Piece::Specifier(Specifier::Id),
                text => Piece::Text(text.to_owned()),
            })
            .collect(),
    )
}

fn user(uid: u32, gid: u32, groups: Vec<u32>) -> Identity {
    Identity {
        name: "tester".into(),
        uid,
        gid,
        groups,
        home: "/home/tester".into(),
        shell: "/bin/false".into(),
    }
}

fn sh(script: &str) -> Service {
    service(&["/bin/sh", "-c", script])
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

/// A service named `test` with nothing set.
#[allow(clippy::too_many_lines, reason = "a service has many fields")]
fn service(command: &[&str]) -> Service {
    Service {
        name: "test".into(),
        origin: Origin {
            file: PathBuf::from("test"),
            line: 1,
        },
        description: String::new(),
        enabled: true,
        listen: vec![Address::Inet {
            protocol: Protocol::Tcp,
            socket: "127.0.0.1:0".parse().unwrap(),
            dual_stack: false,
        }],
        run: Run::Program(Program {
            path: command[0].into(),
            argv0: command[0].rsplit('/').next().unwrap().into(),
            arguments: command[1..]
                .iter()
                .map(|word| Template::from(*word))
                .collect(),
        }),
        wait: false,
        process: Process {
            identity: None,
            working_directory: "/".into(),
            root_directory: None,
            umask: 0o22,
            nice: 0,
            env: Vec::new(),
            pass_env: Vec::new(),
            oom_score_adj: None,
            stdio: Stdio::Socket,
            stderr: Stderr::Null,
            limits: Vec::new(),
            sandbox: Sandbox {
                preset: Preset::None,
                read_only: Vec::new(),
                read_write: Vec::new(),
                hide: Vec::new(),
                network: true,
                capabilities: Vec::new(),
                allow_32bit: true,
            },
            cgroup: Cgroup::default(),
        },
        admission: Admission {
            allow: None,
            deny: Vec::new(),
            hours: Vec::new(),
            timezone: None,
            max_load: None,
            max_connections: None,
            max_per_source: PerSource::Half,
            exempt: Vec::new(),
            source_prefix: (32, 64),
            rate: None,
            rate_per_source: None,
            over_limit: OverLimit::Queue,
            refuse_with: RefuseWith::Close,
            pause: None,
            refuse_message: None,
            penalty: None,
        },
        deadlines: Deadlines {
            timeout: None,
            idle: None,
            first_byte: None,
            on_disconnect: OnDisconnect::Ignore,
            linger: None,
            linger_max: 0,
            stop: Duration::from_secs(5),
        },
        socket: SocketOptions {
            backlog: 128,
            bind_device: None,
            freebind: None,
            transparent: false,
            reuse_port: false,
            keepalive: Keepalive::Off,
            nodelay: false,
            defer_accept: None,
            dscp: None,
            mark: None,
            receive_buffer: None,
            send_buffer: None,
            owner: None,
            group: None,
            mode: 0o666,
        },
        banner: None,
        cache: None,
        proxy: None,
        transcript: None,
        log: LogSelection {
            start: true,
            exit: true,
            refuse: true,
        },
        log_tag: "test".into(),
        log_to: None,
    }
}
