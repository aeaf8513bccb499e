//! Faults put into the system calls of a running daemon and of the children that it makes.

use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use super::log::Log;
use super::{PATIENCE, Process, find};

/// A tracer attached to the daemon; its going out of scope takes the fault away.
pub(crate) struct Injection {
    child: Child,
    trace: Log,
}

impl Injection {
    /// Attaches with expressions like `accept4:error=ENOMEM:when=1..3`; returns when they are in force. With `follow`
    /// they hold for children too.
    pub(crate) fn attach(daemon: Process, expressions: &[&str], follow: bool) -> Self {
        let mut command = Command::new(find("strace").unwrap());
        if follow {
            command.arg("-f");
        }
        let calls: Vec<_> = expressions
            .iter()
            .map(|expression| expression.split(':').next().unwrap())
            .collect();
        command.args(["-e", &format!("trace=execve,execveat,{}", calls.join(","))]);
        for expression in expressions {
            command.args(["-e", &format!("inject={expression}")]);
        }
        let mut child = command
            .args(["-p", &daemon.0.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let trace = Log::default();
        trace.collect(child.stderr.take().unwrap());
        trace.expect_from(0, &["attached"], PATIENCE);
        Self { child, trace }
    }

    /// Detaches, and tells what was traced.
    pub(crate) fn detach(mut self) -> String {
        self.end();
        self.trace.wait_for_end();
        self.trace.lines().join("\n")
    }

    fn end(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            Process(self.child.id().cast_signed()).signal(Signal::SIGTERM);
            let _ = self.child.wait();
        }
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        self.end();
    }
}
