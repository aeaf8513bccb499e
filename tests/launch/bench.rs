//! The bench: one launcher in one thread, and what every test does with it.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use oxinetd::launch::{Connection, Host, Launched, Launcher, Outcome, Plan, Settled, Step};
use oxinetd::service::{Local, Peer, Service, Stderr};

use crate::fixtures::{inet, sh};

pub(crate) type Test = (&'static str, fn(&mut Bench));

/// In the environment: the first clone is refused from outside.
pub(crate) const EXPECT_FALLBACK: &str = "OXINETD_TEST_FALLBACK";

/// One launcher for all tests, as a daemon has one.
pub(crate) struct Bench {
    pub(crate) launcher: Launcher,
    pub(crate) host: Host,
    pub(crate) settled: Vec<Settled>,
    pub(crate) next_key: u64,
    pub(crate) body: fn(i32) -> u8,
    pub(crate) skipped: Option<&'static str>,
}

/// A launch under test.
pub(crate) struct Child {
    pub(crate) key: u64,
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) client: UnixStream,
}

impl Bench {
    pub(crate) fn new() -> Self {
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

    pub(crate) fn skip_unless_root(&mut self) -> bool {
        if self.host.privileged {
            return false;
        }
        self.skipped = Some("needs root");
        true
    }

    pub(crate) fn skip_unless_strace(&mut self) -> bool {
        if std::fs::exists("/usr/bin/strace").unwrap() {
            return false;
        }
        self.skipped = Some("needs strace");
        true
    }

    pub(crate) fn plan(&self, service: &Service) -> Rc<Plan> {
        Rc::new(Plan::prepare(service, &self.host).unwrap())
    }

    pub(crate) fn launch(&mut self, plan: &Rc<Plan>) -> Child {
        self.launch_for(plan, &Facts::default(), None)
    }

    pub(crate) fn launch_for(
        &mut self,
        plan: &Rc<Plan>,
        facts: &Facts,
        stderr: Option<&OwnedFd>,
    ) -> Child {
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
    pub(crate) fn settle(&mut self, key: u64) -> Outcome {
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
    pub(crate) fn finish(&mut self, mut child: Child) -> (String, Outcome, WaitStatus) {
        let outcome = self.settle(child.key);
        let mut text = Vec::new();
        child.client.read_to_end(&mut text).unwrap();
        let end = waitid(Id::PIDFd(child.pidfd.as_fd()), WaitPidFlag::WEXITED).unwrap();
        (String::from_utf8(text).unwrap(), outcome, end)
    }

    /// The output of a shell script that must start and exit with 0.
    pub(crate) fn script(&mut self, service: &Service) -> String {
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
    pub(crate) fn failure(&mut self, service: &Service) -> (Step, i32) {
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
    pub(crate) fn guard(&mut self, first: usize) {
        assert_eq!(self.launcher.in_flight(), 0);
        assert!(self.settled.is_empty(), "{:?}", self.settled);
        assert_eq!(open_descriptors(), first, "descriptors leaked");
        assert_eq!(
            waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG),
            Err(nix::errno::Errno::ECHILD)
        );
        assert_eq!(std::fs::read_dir("/proc/self/task").unwrap().count(), 1);
        let refused = std::env::var_os(EXPECT_FALLBACK).is_some();
        assert_eq!(self.launcher.fallback_note().is_some(), refused);
    }

    /// After a failed test: what it left must not fail the next one too.
    pub(crate) fn clean_up(&mut self) {
        let children = format!("/proc/self/task/{}/children", std::process::id());
        for pid in std::fs::read_to_string(children)
            .unwrap()
            .split_whitespace()
        {
            let pid = nix::unistd::Pid::from_raw(pid.parse().unwrap());
            nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
        }
        std::thread::sleep(Duration::from_millis(100));
        for key in 1..=self.next_key {
            self.launcher.settle_dead(key);
        }
        self.settled.clear();
        while waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG)
            .is_ok_and(|end| end != WaitStatus::StillAlive)
        {}
    }
}

/// Who the client is said to be.
pub(crate) struct Facts {
    pub(crate) peer: Option<Peer>,
    pub(crate) local: Local,
    pub(crate) cookie: u64,
    pub(crate) concurrency: u32,
    pub(crate) proxied_from: Option<Peer>,
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
    pub(crate) fn connection<'a>(&'a self, socket: BorrowedFd<'a>) -> Connection<'a> {
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

pub(crate) static TOUCHED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

/// What the built-ins of these tests do.
pub(crate) fn body(connection: i32) -> u8 {
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

/// A plan whose children wait at a FIFO that nobody reads.
pub(crate) fn waiting_plan(bench: &Bench) -> (tempfile::TempDir, Rc<Plan>) {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut service = sh("echo ran");
    service.process.stderr = Stderr::File(fifo.to_str().unwrap().into());
    let plan = bench.plan(&service);
    (dir, plan)
}

pub(crate) fn until(bench: &mut Bench, mut done: impl FnMut(&mut Bench) -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !done(bench) {
        assert!(Instant::now() < end, "too late");
        bench.launcher.sweep(Instant::now(), &mut bench.settled);
        std::thread::sleep(Duration::from_micros(200));
    }
}

pub(crate) fn kill(child: &Child) {
    signal(child, Signal::SIGKILL);
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.pid), signal).unwrap();
}

pub(crate) fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

pub(crate) fn reap(child: &Child) {
    waitid(Id::PIDFd(child.pidfd.as_fd()), WaitPidFlag::WEXITED).unwrap();
}
