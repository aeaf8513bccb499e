//! A service as plain data for its children: everything decided, converted and checked before the first client comes.
//!
//! Invariant: a plan does not change after [`Plan::prepare`], so the pointers in its [`Steps`] stay good as long as it
//! lives, and it lives (by `Rc`) as long as a child may read it. What cannot be done yet is refused here: a setting
//! without effect would be worse. This module makes no system call.

mod told;

use std::cell::Cell;
use std::ffi::CString;
use std::fmt::{self, Write};
use std::ptr;
use std::rc::Rc;

use super::Connection;
use super::environment::{self, FACTS, FACTS_TEXT, SPECIFIER_TEXT, TooLong, Words};
use super::host::Host;
use super::low::Set;
use super::orders::{Orders, Steps};
use super::settings::Kept;
use super::step::Step;
use crate::service::{Piece, Preset, Run, Service, Stderr, Stdio, Template};

/// How to launch a service's children.
#[derive(Debug)]
pub struct Plan {
    name: String,
    finish: Finish,
    steps: Steps,
    /// The child must have memory of its own.
    private: bool,
    arguments: Vec<Word>,
    fixed: Vec<CString>,
    made: Vec<(String, Template)>,
    hidden: u64,
    stderr: Stderr,
    text: usize,
    pointers: usize,
    in_flight: Cell<usize>,
    /// What `steps` points to, besides the above.
    kept: Kept,
}

/// What a child becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    Program,
    /// A relay child, and the program as a child of that.
    Behind,
    Own,
}

/// A word of the command line.
#[derive(Debug)]
enum Word {
    Fixed(CString),
    Made(Template),
}

/// Why a service cannot be launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// A NUL character in the value of this key.
    Nul(&'static str),
    /// Another user than the daemon's, and the daemon may not change identities.
    NotPrivileged(String),
    /// A setting that the launch path does not have.
    Unsupported(&'static str),
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nul(key) => write!(
                f,
                "`{key}` holds a NUL character, which no program can be given"
            ),
            Self::NotPrivileged(user) => {
                write!(
                    f,
                    "cannot run as user {user}: the daemon is not root; leave `user` out, or start it as root"
                )
            }
            Self::Unsupported(what) => write!(f, "{what} is not available in this version"),
        }
    }
}

impl std::error::Error for PlanError {}

impl Plan {
    /// Prepares the launches of a service.
    pub fn prepare(service: &Service, host: &Host) -> Result<Self, PlanError> {
        supported(service)?;
        let process = &service.process;
        if let Some(identity) = &process.identity
            && !host.privileged
        {
            return Err(PlanError::NotPrivileged(identity.name.clone()));
        }
        let (finish, path, arguments) = match &service.run {
            Run::Program(program) => {
                let mut words = vec![Word::Fixed(c_string("argv0", &program.argv0)?)];
                for argument in &program.arguments {
                    words.push(Word::new("command", argument)?);
                }
                let finish = if service.transcript.is_some() {
                    Finish::Behind
                } else {
                    Finish::Program
                };
                (finish, c_string("command", &program.path)?, words)
            }
            Run::Builtin(_) | Run::Redirect(_) => (Finish::Own, CString::default(), Vec::new()),
        };
        let (fixed, hidden) = environment::fixed(service, host)?;
        let made: Vec<(String, Template)> = process
            .env
            .iter()
            .filter(|(_, template)| template.literal().is_none())
            .map(|(name, template)| {
                check(name, template).map(|()| (format!("{name}="), template.clone()))
            })
            .collect::<Result<_, _>>()?;
        if let Stderr::File(path) = &process.stderr {
            check("stderr", path)?;
        }

        let kept = Kept::new(service, host, path)?;
        let steps = kept.steps(service, host);
        let templates = arguments
            .iter()
            .filter_map(Word::made)
            .chain(made.iter().map(|(_, template)| template))
            .chain(match &process.stderr {
                Stderr::File(path) => Some(path),
                Stderr::Log | Stderr::LogEach | Stderr::Client | Stderr::Null | Stderr::Inherit => {
                    None
                }
            });
        let names: usize = made.iter().map(|(name, _)| name.len()).sum();
        Ok(Self {
            name: service.name.clone(),
            finish,
            private: host.private_always || kept.oom.is_some(),
            text: templates.map(room).sum::<usize>() + names + FACTS_TEXT,
            pointers: arguments.len() + fixed.len() + made.len() + FACTS + EXTRA,
            steps,
            arguments,
            fixed,
            made,
            hidden,
            stderr: process.stderr.clone(),
            in_flight: Cell::new(0),
            kept,
        })
    }

    /// Launches of this plan whose children have not begun their program.
    pub fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    /// A step in the words of this service: `exec /usr/bin/git`, `chroot /srv/x`, `setgid`.
    pub fn describe(&self, step: Step) -> String {
        let path = if step == Step::Exec {
            Some(&self.kept.path)
        } else if step == Step::Root {
            self.kept.root.as_ref()
        } else if step == Step::WorkingDirectory {
            Some(&self.kept.directory)
        } else {
            None
        };
        match path {
            Some(path) => format!("{step} {}", path.to_string_lossy()),
            None => step.name().to_owned(),
        }
    }

    pub(super) fn is_private(&self) -> bool {
        self.private || self.finish != Finish::Program
    }

    pub(super) fn finish(&self) -> Finish {
        self.finish
    }

    /// True when fd 2 comes from a descriptor of the daemon, if there is one.
    pub(super) fn wants_stderr(&self) -> bool {
        matches!(self.stderr, Stderr::Log | Stderr::LogEach)
    }

    /// Writes what the child of this connection reads.
    pub(super) fn compose(
        &self,
        connection: &Connection<'_>,
        words: &mut Words,
        set: &Set,
        orders: &mut Orders,
    ) -> Result<(), TooLong> {
        words.clear(self.text, self.pointers);
        let mut listen_pid = ptr::null_mut();
        let mut environment = 0;
        if self.finish != Finish::Own {
            for word in &self.arguments {
                let word = match word {
                    Word::Fixed(word) => word.as_ptr(),
                    Word::Made(template) => words.template("", template, connection, &self.name)?,
                };
                words.push(word);
            }
            words.push(ptr::null());
            environment = words.count();
            for variable in &self.fixed {
                words.push(variable.as_ptr());
            }
            for (name, template) in &self.made {
                let word = words.template(name, template, connection, &self.name)?;
                words.push(word);
            }
            words.facts(connection, self.hidden)?;
            if self.steps.listen_fds {
                words.push(c"LISTEN_FDS=1".as_ptr());
                words.push(self.kept.listen_name.as_ptr());
                // The child writes its pid here: it is not known before.
                let word = words.word(|text| text.write_str(LISTEN_PID))?;
                words.push(word);
                listen_pid = word.cast::<u8>().wrapping_add(LISTEN_PID_NAME);
            }
            words.push(ptr::null());
        }
        let stderr_path = match &self.stderr {
            Stderr::File(template) => words
                .template("", template, connection, &self.name)?
                .cast_const(),
            Stderr::Log | Stderr::LogEach | Stderr::Client | Stderr::Null | Stderr::Inherit => {
                ptr::null()
            }
        };
        orders.steps = &raw const self.steps;
        orders.argv = words.list(0);
        orders.envp = words.list(environment);
        orders.stderr_path = stderr_path;
        orders.listen_pid = listen_pid;
        orders.connection = set.connection();
        orders.stderr = match &self.stderr {
            // Without a descriptor of the daemon's the number is a placeholder: /dev/null.
            Stderr::Log | Stderr::LogEach => set.stderr(),
            Stderr::Client => set.connection(),
            Stderr::Null | Stderr::File(_) => set.null(),
            Stderr::Inherit => -1,
        };
        orders.null = set.null();
        orders.above = set.above();
        Ok(())
    }
}

/// One of a plan's launches in flight. Counts itself, and keeps the plan alive while a child may read it.
#[derive(Debug)]
pub(super) struct Share(Rc<Plan>);

impl Share {
    /// `None` when the plan has its share already: a stuck service waits for itself.
    pub(super) fn take(plan: &Rc<Plan>) -> Option<Self> {
        (plan.in_flight.get() < SHARE).then(|| {
            plan.in_flight.set(plan.in_flight.get() + 1);
            Self(Rc::clone(plan))
        })
    }

    /// True when [`Share::take`] has one.
    pub(super) fn available(plan: &Plan) -> bool {
        plan.in_flight.get() < SHARE
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0
            .in_flight
            .set(self.0.in_flight.get().saturating_sub(1));
    }
}

impl Word {
    fn new(key: &'static str, template: &Template) -> Result<Self, PlanError> {
        match template.literal() {
            Some(text) => Ok(Self::Fixed(c_string(key, text)?)),
            None => check(key, template).map(|()| Self::Made(template.clone())),
        }
    }

    fn made(&self) -> Option<&Template> {
        match self {
            Self::Made(template) => Some(template),
            Self::Fixed(_) => None,
        }
    }
}

/// Refuses what this path does not do.
fn supported(service: &Service) -> Result<(), PlanError> {
    let process = &service.process;
    let sandbox = &process.sandbox;
    let refused = [
        (sandbox.preset > Preset::Basic, "a sandbox above \"basic\""),
        (
            !(sandbox.read_only.is_empty()
                && sandbox.read_write.is_empty()
                && sandbox.hide.is_empty()),
            "`sandbox` with paths",
        ),
        (!sandbox.network, "`sandbox.network = \"none\"`"),
        (process.stdio == Stdio::Pipe, "`stdio = \"pipe\"`"),
    ];
    match refused.into_iter().find(|(asked, _)| *asked) {
        Some((_, what)) => Err(PlanError::Unsupported(what)),
        None => Ok(()),
    }
}

pub(super) fn c_string(key: &'static str, text: &str) -> Result<CString, PlanError> {
    CString::new(text).map_err(|_| PlanError::Nul(key))
}

fn check(key: &str, template: &Template) -> Result<(), PlanError> {
    let nul = |piece: &Piece| matches!(piece, Piece::Text(text) if text.contains('\0'));
    if key.contains('\0') || template.0.iter().any(nul) {
        return Err(PlanError::Nul(match key {
            "command" => "command",
            "stderr" => "stderr",
            _ => "env",
        }));
    }
    Ok(())
}

/// The bytes that a template takes at most, its NUL included.
fn room(template: &Template) -> usize {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => text.len(),
        Piece::Specifier(_) => SPECIFIER_TEXT,
    };
    template.0.iter().map(piece).sum::<usize>() + 1
}

/// Launches in flight that one plan may have.
const SHARE: usize = 16;
/// Two ends of lists, three variables of LISTEN_FDS.
const EXTRA: usize = 5;
/// With room for the digits of the pid, as the child's writer asks for it.
const LISTEN_PID: &str = "LISTEN_PID=\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const LISTEN_PID_NAME: usize = "LISTEN_PID=".len();
