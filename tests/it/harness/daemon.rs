//! One running `oxinetd run`, from its table to its end under guard.
//!
//! Invariant: a `Daemon` that goes out of scope has been checked by the guard and has ended; only the process that it
//! started itself is ever signalled.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::guard::{self, Baseline};
use super::log::Log;
use super::{OXINETD, PATIENCE, Process, root, until};

/// How a daemon will be started.
pub(crate) struct Builder {
    directory: TempDir,
    program: String,
    daemon: String,
    defaults: String,
    services: String,
    wrapper: Vec<String>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    expected: Vec<String>,
    log_here: bool,
}

/// A daemon that has said that it is ready.
pub(crate) struct Daemon {
    child: Child,
    directory: TempDir,
    log: Log,
    baseline: Baseline,
    expected: Vec<String>,
    marker: String,
    ended: Option<ExitStatus>,
}

impl Builder {
    /// An empty table in a directory that every user may enter, as services run as `nobody`.
    pub(crate) fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("oxinetd-it-")
            .tempdir()
            .unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        Self {
            directory,
            program: OXINETD.to_owned(),
            daemon: "include = []\ncontrol = \"off\"\n".to_owned(),
            defaults: if root() { "user = \"nobody\"\n" } else { "" }.to_owned(),
            services: String::new(),
            wrapper: Vec::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            expected: Vec::new(),
            log_here: true,
        }
    }

    /// The directory of this test.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Adds `[service.NAME]` tables.
    pub(crate) fn table(mut self, toml: &str) -> Self {
        self.services.push_str(toml);
        self.services.push('\n');
        self
    }

    /// Adds a drop-in of this name.
    pub(crate) fn drop_in(mut self, name: &str, toml: &str) -> Self {
        self.daemon = self
            .daemon
            .replace("include = []", "include = [\"*.d.toml\"]");
        self.file(&format!("{name}.d.toml"), toml);
        self
    }

    /// Adds keys to `[daemon]`; `log_to` there replaces the log on standard error.
    pub(crate) fn daemon(mut self, keys: &str) -> Self {
        self.log_here &= !keys.contains("log_to");
        writeln!(self.daemon, "{keys}").unwrap();
        self
    }

    /// Adds keys to `[defaults]`.
    pub(crate) fn defaults(mut self, keys: &str) -> Self {
        writeln!(self.defaults, "{keys}").unwrap();
        self
    }

    /// Announces a line of trouble: one that holds these words is no failure.
    pub(crate) fn trouble(mut self, words: &str) -> Self {
        self.expected.push(words.to_owned());
        self
    }

    /// Starts the daemon through these words, which must exec what follows them.
    pub(crate) fn through(mut self, words: &[&str]) -> Self {
        self.wrapper = words.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Adds a variable to the daemon's environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts this program in place of the one under test.
    pub(crate) fn program(mut self, path: &str) -> Self {
        path.clone_into(&mut self.program);
        self
    }

    /// Gives it a control socket, for [`Daemon::ask`].
    pub(crate) fn controlled(mut self) -> Self {
        let on = format!("control = \"{}\"", self.path().join("control").display());
        self.daemon = self.daemon.replace("control = \"off\"", &on);
        self
    }

    /// Replaces `run --config FILE` by another command that serves.
    pub(crate) fn arguments(mut self, words: &[&str]) -> Self {
        self.arguments = words.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Writes a file that every user may read and run, and gives its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The whole table as text.
    pub(crate) fn toml(&self) -> String {
        let log = if self.log_here {
            "log_to = \"stderr\"\n"
        } else {
            ""
        };
        format!(
            "[daemon]\n{}{log}\n[defaults]\n{}\n{}",
            self.daemon, self.defaults, self.services
        )
    }

    /// Writes the table and gives the path of the file.
    pub(crate) fn write(&self) -> PathBuf {
        let path = self.path().join("oxinetd.toml");
        fs::write(&path, self.toml()).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        path
    }

    fn command(&self, marker: &str) -> Command {
        let config = self.write();
        let mut words = self.wrapper.clone();
        words.push(self.program.clone());
        if self.arguments.is_empty() {
            words.extend(["run".to_owned(), "--config".to_owned()]);
            words.push(config.to_str().unwrap().to_owned());
        } else {
            words.extend(self.arguments.iter().cloned());
        }
        let (variable, value) = marker.split_once('=').unwrap();
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .stdin(Stdio::null())
            .env_remove("OXINETD_CONFIG")
            .env_remove("NOTIFY_SOCKET")
            // What tells log_to = "auto" that standard error is the place.
            .env("container", "oxinetd-it")
            .env(variable, value)
            .envs(self.environment.iter().map(|(n, v)| (n, v)));
        command
    }

    /// Starts it and waits for the newline on `--ready-fd`.
    pub(crate) fn start(self) -> Daemon {
        let marker = marker();
        let mut command = self.command(&marker);
        if self.arguments.is_empty() {
            command.args(["--ready-fd", "1"]);
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::default();
        log.collect(child.stderr.take().unwrap());
        if self.arguments.is_empty() {
            let mut byte = [0];
            let read = child.stdout.take().unwrap().read(&mut byte).unwrap();
            if &byte[..read] != b"\n" {
                let _ = child.kill();
                let status = child.wait();
                log.wait_for_end();
                let lines = log.lines().join("\n");
                panic!("{byte:?} and not a newline, {status:?}:\n{lines}");
            }
        } else {
            log.expect_from(0, &["ready: "], PATIENCE);
        }
        let process = Process(child.id().cast_signed());
        until("the end of the load child", PATIENCE, || {
            // Asleep: the start is behind it.
            process.children().is_empty() && process.state() == Some('S')
        });
        Daemon {
            baseline: Baseline::of(process),
            child,
            directory: self.directory,
            log,
            expected: self.expected,
            marker,
            ended: None,
        }
    }

    /// For tables that must not serve: runs it to its end.
    pub(crate) fn run(&self) -> Output {
        let mut command = self.command(&marker());
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.wait_with_output().unwrap()
    }
}

impl Daemon {
    /// The daemon's process.
    pub(crate) fn process(&self) -> Process {
        Process(self.child.id().cast_signed())
    }

    /// The directory of this test.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// All addresses of a service, as its LISTEN lines have them: `tcp 127.0.0.1:40123`.
    pub(crate) fn addresses(&self, service: &str) -> Vec<String> {
        self.expect(&["ready: "]);
        let word = format!("LISTEN: {service} ");
        let lines = self.log.lines();
        let found = lines.iter().filter_map(|line| line.split_once(&word));
        found
            .map(|(_, address)| address.trim().to_owned())
            .collect()
    }

    /// The first address of a service on TCP, a wildcard as its loopback.
    pub(crate) fn tcp(&self, service: &str) -> SocketAddr {
        let all = self.addresses(service);
        let first = all.iter().find_map(|address| address.strip_prefix("tcp "));
        let first = first.unwrap_or_else(|| panic!("{service} has no TCP address: {all:?}"));
        first.replace('*', "127.0.0.1").parse().unwrap()
    }

    /// Waits for a line with all these words, from the start of the log.
    pub(crate) fn expect(&self, words: &[&str]) -> String {
        self.log.expect_from(0, words, PATIENCE)
    }

    /// Waits for a line with all these words after the given end.
    pub(crate) fn expect_from(&self, end: usize, words: &[&str]) -> String {
        self.log.expect_from(end, words, PATIENCE)
    }

    /// Where the log ends now.
    pub(crate) fn log_end(&self) -> usize {
        self.log.end()
    }

    /// All lines of the log.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.log.lines()
    }

    /// How many lines hold all these words.
    pub(crate) fn count(&self, words: &[&str]) -> usize {
        self.log.count(words)
    }

    /// Announces a line of trouble that comes from now on.
    pub(crate) fn trouble(&mut self, words: &str) {
        self.expected.push(words.to_owned());
    }

    /// Replaces the file of the table; the daemon learns of it by HUP.
    pub(crate) fn rewrite(&self, toml: &str) {
        fs::write(self.path().join("oxinetd.toml"), toml).unwrap();
    }

    /// Takes the state of now as the one to come back to, after a reload that changed the listeners.
    pub(crate) fn rebase(&mut self) {
        let process = self.process();
        until("no children", PATIENCE, || {
            process.children().iter().all(|child| child.is_worker())
        });
        self.baseline = Baseline::of(process);
    }

    /// Runs a command that asks this daemon, which was made with [`Builder::controlled`].
    pub(crate) fn ask(&self, words: &[&str]) -> Output {
        let control = self.path().join("control");
        let control = ["--control", control.to_str().unwrap()];
        super::oxinetd(&[words, &control].concat())
    }

    /// Sends a signal to the daemon.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process().signal(signal);
    }

    /// Waits until no connection is served.
    pub(crate) fn quiet(&self) {
        guard::check_idle(self.process(), &self.baseline, &self.log);
    }

    /// Waits for the end of the daemon, which somebody has asked for.
    pub(crate) fn wait(&mut self, patience: Duration) -> ExitStatus {
        let mut status = None;
        until("the end of the daemon", patience, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        self.ended = status;
        status.unwrap()
    }

    /// TERM, and the end.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait(PATIENCE)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.end_by_force();
            return;
        }
        let checks = std::panic::AssertUnwindSafe(|| {
            if self.ended.is_none() {
                guard::check_idle(self.process(), &self.baseline, &self.log);
                let status = self.stop();
                assert_eq!(status.code(), Some(0), "exit status after TERM");
            }
            guard::check_leftovers(&self.log, &self.marker);
            self.log.wait_for_end();
            guard::check_log(&self.log, &self.expected);
        });
        if let Err(panic) = std::panic::catch_unwind(checks) {
            self.end_by_force();
            std::panic::resume_unwind(panic);
        }
    }
}

impl Daemon {
    /// After a failed test: shows the log, and leaves nothing running.
    fn end_by_force(&mut self) {
        if self.ended.is_none() && self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let descendants = self.process().descendants();
            let _ = self.child.kill();
            let _ = self.child.wait();
            for left in descendants.into_iter().filter(|process| process.lives()) {
                let pid = nix::unistd::Pid::from_raw(left.0);
                let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
            }
        }
        let lines = self.log.lines();
        let tail = lines.len().saturating_sub(60);
        show(&lines[tail..].join("\n"));
    }
}

/// Into the captured output of the failed test.
#[expect(
    clippy::print_stdout,
    reason = "the test runner shows it with the failure"
)]
fn show(log: &str) {
    println!("--- the daemon's log:\n{log}\n---");
}

/// A variable for the daemon's environment that no other daemon has: forked children can be found by it.
fn marker() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("OXINETD_IT={}-{number}", std::process::id())
}
