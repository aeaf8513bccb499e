//! Faults put into the system calls of a running daemon and of the children that it makes.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};

use nix::sys::signal::Signal;

use super::{Process, find};

/// A tracer attached to the daemon; its going out of scope takes the fault away.
pub(crate) struct Injection {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Injection {
    /// Attaches with an expression like `accept4:error=ENOMEM:when=1..3`; returns when it is in force.
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
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        assert!(line.contains("attached"), "strace says: {line}");
        Self { child, stderr }
    }

    /// Detaches, and tells what was traced.
    pub(crate) fn detach(mut self) -> String {
        Process(self.child.id().cast_signed()).signal(Signal::SIGTERM);
        let mut trace = String::new();
        while matches!(self.stderr.read_line(&mut trace), Ok(1..)) {}
        self.child.wait().unwrap();
        trace
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            Process(self.child.id().cast_signed()).signal(Signal::SIGTERM);
            let _ = self.child.wait();
        }
    }
}
