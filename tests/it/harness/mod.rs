//! What the tests are written with: a daemon under guard, clients, programs to serve, looks into /proc, faults.
//!
//! Invariant: nothing here sleeps to wait for the daemon; it waits for a line, a byte, an end of file or a state in
//! /proc, each with a bound. It knows the daemon only from outside.

mod client;
mod daemon;
mod fault;
mod guard;
mod host;
mod log;
mod proc;
mod program;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(crate) use client::{Client, connect_from, read_all, reset, reset_on_close, talk, talk_unix};
pub(crate) use daemon::{Builder, Daemon};
pub(crate) use fault::Injection;
pub(crate) use host::{lacks_packages, on_own_host, shell};
pub(crate) use proc::{Process, all as processes};
pub(crate) use program::probe;

/// The binary under test.
pub(crate) const OXINETD: &str = env!("CARGO_BIN_EXE_oxinetd");

/// Longer than anything that works takes, on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// True when the tests run as root.
pub(crate) fn root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Says why a test does not run. Not through the captured standard error: it must be seen in a passing run.
pub(crate) fn skip(why: &str) {
    let thread = std::thread::current();
    let line = format!("SKIPPED: {}: {why}\n", thread.name().unwrap_or("test"));
    assert!(
        std::env::var_os("OXINETD_TESTS_NO_SKIP").is_none(),
        "{line}"
    );
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// True, after saying so, when the test needs root and has it not.
pub(crate) fn lacks_root() -> bool {
    if !root() {
        skip("needs root");
    }
    !root()
}

/// True, after saying so, when one of the programs is not installed.
pub(crate) fn lacks(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|p| find(p).is_none()).collect();
    if !missing.is_empty() {
        skip(&format!("needs {missing:?}"));
    }
    !missing.is_empty()
}

/// The path of a program, searched as a shell does, and in the directories of root.
pub(crate) fn find(program: &str) -> Option<String> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin:/usr/bin:/bin";
    path.split(':')
        .map(|directory| format!("{directory}/{program}"))
        .find(|file| Path::new(file).is_file())
}

/// Waits until `done` answers true.
pub(crate) fn until(what: &str, patience: Duration, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < patience,
            "waited {patience:?} in vain for: {what}"
        );
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// Runs `oxinetd` to its end, without standard input.
pub(crate) fn oxinetd(arguments: &[&str]) -> Output {
    run(Command::new(OXINETD).args(arguments))
}

/// Runs a command to its end, without standard input and without the configuration of whoever started the tests.
pub(crate) fn run(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .env_remove("OXINETD_CONFIG")
        .env_remove("NOTIFY_SOCKET")
        .output()
        .unwrap()
}

/// Both outputs of a finished command as text.
pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Held by tests that load both cores, so that they do not disturb each other's bounds.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static LOAD: Mutex<()> = Mutex::new(());
    LOAD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `body` in a network namespace of its own, with loopback up: fixed ports cannot clash there.
pub(crate) fn in_own_network(body: impl FnOnce() + Send + 'static) {
    let name = std::thread::current().name().unwrap_or("test").to_owned();
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        let ip = find("ip").unwrap_or("ip".to_owned());
        let up = Command::new(ip)
            .args(["link", "set", "lo", "up"])
            .status()
            .unwrap();
        assert!(up.success());
        body();
    });
    if let Err(panic) = thread.unwrap().join() {
        std::panic::resume_unwind(panic);
    }
}
