//! From nothing to a serving daemon: harden, load, bind, tell.
//!
//! Order matters: signals are blocked and inherited things are closed before anything is opened; the daemon is made
//! undumpable before the first child; READY is told only after the last listen.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use slotmap::SlotMap;

use super::control::{Control, ControlSocket};
use super::headers::Headers;
use super::id::ConnectionIds;
use super::late::Late;
use super::leaves::Leaves;
use super::lists::ListFiles;
use super::loading::{LoadChild, Source};
use super::manager::Manager;
use super::refusal::Refused;
use super::status::Files;
use super::timers::Timers;
use super::token::Token;
use super::upgrade::Program;
use super::{Daemon, Phase};
use crate::admission::{House, Lists, LoadAverage};
use crate::handover::{self, Loaded};
use crate::launch::{Host, Launcher, Plan};
use crate::listener::{Inherited, Passed};
use crate::log::Log;
use crate::service::{Budget, LogFormat, LogLevel, Settings, Table};
use crate::sys::poller::{Interest, Poller};
use crate::sys::signals::{Caught, Signals};
use crate::sys::{memory, start};

/// Events that one turn takes from the kernel.
pub(super) const EVENTS: usize = 256;

/// What a daemon is started with.
#[derive(Debug)]
pub struct Start {
    /// Where the table comes from.
    pub source: Source,
    /// What the command line says over the table.
    pub overrides: Overrides,
    /// Gets a newline when the daemon serves.
    pub ready_fd: Option<OwnedFd>,
    /// Gets the pid when the daemon serves.
    pub pid_file: Option<PathBuf>,
    /// Where the program of this process was found.
    pub program: io::Result<PathBuf>,
    /// Facts about this process and its host.
    pub host: Host,
    /// Soft limit of open files in force.
    pub open_files: u64,
    /// The service manager that started the daemon.
    pub manager: Manager,
    /// Sockets that were open before this process was.
    pub inherited: Inherited,
    /// True if the report may use colours.
    pub color: bool,
}

/// What the command line says over every table, the reloaded ones too.
#[derive(Debug)]
pub struct Overrides {
    /// The control socket.
    pub control: ControlSocket,
    /// The form of the log.
    pub log_format: Option<LogFormat>,
}

impl Overrides {
    pub(super) fn over(&self, mut settings: Settings) -> Settings {
        if let Some(format) = self.log_format {
            settings.log_format = format;
        }
        settings
    }
}

/// How it went.
#[derive(Debug)]
pub enum Outcome {
    /// It served and was drained.
    Drained,
    /// The table has errors: this report is to be shown.
    BadTable(String),
    /// No address could be bound.
    NothingBound,
    /// It was told to end before it served.
    Stopped,
}

impl Start {
    /// Loads, binds and serves until the end.
    pub fn run(mut self, show: impl FnOnce(&str)) -> io::Result<Outcome> {
        let mut poller = Poller::new(EVENTS)?;
        start::adopt_orphans();
        let orphans = start::adopts_orphans();
        let mut signals = Signals::open(orphans)?;
        poller.add(signals.as_fd(), Interest::Readable, Token::Signals.bits())?;
        let Some(loaded) = self.load(&mut poller, &mut signals)? else {
            return Ok(Outcome::Stopped);
        };
        let Some(table) = loaded.table else {
            return Ok(Outcome::BadTable(loaded.report));
        };
        show(&loaded.report);
        let plans = match self.prepare(&table) {
            Ok(plans) => plans,
            Err(problem) => return Ok(Outcome::BadTable(problem)),
        };
        let mut leaves = Leaves::default();
        if let Err(problem) = leaves.prepare(&table) {
            return Ok(Outcome::BadTable(format!("error: {problem}\n")));
        }
        let ready_fd = self.ready_fd.take();
        let mut inherited = std::mem::take(&mut self.inherited);
        let settings = self.overrides.over(table.settings.clone());
        let mut daemon = self.assemble(poller, signals, settings)?;
        daemon.leaves = leaves;
        let (passed, problems) = Passed::new(inherited.take_passed());
        daemon.passed = passed;
        for problem in problems {
            daemon.note(LogLevel::Error, None, &problem);
        }
        if loaded.embedded {
            let text = "no /etc/oxinetd.toml: serving the embedded table, echo on localhost:7007";
            daemon.note(LogLevel::Info, None, text);
        }
        if !daemon.open_all(&table, plans, &mut inherited) {
            daemon.log.flush(Instant::now());
            return Ok(Outcome::NothingBound);
        }
        daemon.table.clone_from(&table.services);
        daemon.files = Files::look(&table.files);
        daemon.set_budget();
        daemon.open_control();
        daemon.tell_ready(ready_fd);
        daemon.tell_manager_ready(&inherited.close_stored(), Instant::now());
        drop(loaded.report);
        drop(table);
        memory::release();
        daemon.serve()?;
        Ok(Outcome::Drained)
    }

    /// Runs the load child to its end. `None`: a signal to stop came first.
    fn load(&self, poller: &mut Poller, signals: &mut Signals) -> io::Result<Option<Loaded>> {
        let child = LoadChild::start(&self.source, self.color)?;
        poller.add(child.as_fd(), Interest::Readable, Token::Loading.bits())?;
        loop {
            let ready = poller.wait(None)?;
            for index in 0..ready {
                match poller.token(index).and_then(Token::from_bits) {
                    Some(Token::Loading) => {
                        poller.remove(&child);
                        return Ok(Some(handover::decode(&child.finish()?)?));
                    }
                    _ if signals.read() == Some(Caught::Stop) => {
                        child.abandon();
                        return Ok(None);
                    }
                    _ => {}
                }
            }
        }
    }

    fn prepare(&self, table: &Table) -> Result<Vec<Rc<Plan>>, String> {
        let enabled = table.services.iter().filter(|service| service.enabled);
        enabled
            .map(|service| {
                Plan::prepare(service, &self.host)
                    .map(Rc::new)
                    .map_err(|error| format!("error: service {}: {error}\n", service.name))
            })
            .collect()
    }

    /// A daemon that has nothing yet.
    pub(super) fn assemble(
        self,
        poller: Poller,
        signals: Signals,
        settings: Settings,
    ) -> io::Result<Daemon> {
        let now = Instant::now();
        Ok(Daemon {
            poller,
            signals,
            log: Log::open(&settings),
            launcher: Launcher::new(self.open_files)?,
            host: self.host,
            settings,
            source: self.source,
            overrides: self.overrides,
            services: SlotMap::with_key(),
            names: HashMap::new(),
            listeners: SlotMap::with_key(),
            passed: Passed::default(),
            children: SlotMap::with_key(),
            lingering: SlotMap::with_key(),
            each: SlotMap::with_key(),
            doomed: Vec::new(),
            remains: Vec::new(),
            trees_due: false,
            trees_next: None,
            leaves: Leaves::default(),
            house: House::new(now),
            load: LoadAverage::default(),
            lists: ListFiles::default(),
            late: Late::default(),
            refused: Refused::new(self.open_files),
            headers: Headers::default(),
            answers: SlotMap::with_key(),
            queueing: None,
            ids: ConnectionIds::new(SystemTime::now()),
            timers: Timers::default(),
            line: super::line::Line::default(),
            exhausted: None,
            loading: None,
            program: Program::open(self.program),
            upgrade: None,
            leaving: false,
            control: Control::default(),
            manager: self.manager,
            table: Vec::new(),
            files: Files::look(&[]),
            longest_turn: Duration::ZERO,
            phase: Phase::Serving,
            orphans_due: false,
            orphans_swept: None,
            started: now,
            image_started: now,
            pid_file: self.pid_file,
            open_files: self.open_files,
            settled: Vec::new(),
            passing: Vec::new(),
        })
    }
}

/// Sockets that are opened between two writes of the log.
const FLUSH: usize = 256;

impl Daemon {
    /// Opens every socket of the table. False: there are some, and none could be opened.
    fn open_all(&mut self, table: &Table, plans: Vec<Rc<Plan>>, inherited: &mut Inherited) -> bool {
        let now = Instant::now();
        let mut failed = false;
        self.set_lists(Lists::new(table), now);
        let enabled = table.services.iter().filter(|service| service.enabled);
        for (service, plan) in enabled.zip(plans) {
            let live = self.new_service(service, plan);
            let key = self.services.insert(live);
            self.names.insert(service.name.clone(), key);
            for address in &service.listen {
                let stored = inherited.take_stored(&service.name, address, &service.socket);
                let socket = stored.map_or_else(|| self.open(address, service), Ok);
                match socket {
                    Ok(socket) => self.add_listener(key, socket),
                    Err(error) => {
                        failed = true;
                        self.add_unbound(key, address, &error, now);
                    }
                }
                for socket in self.open_more(address, service) {
                    self.add_listener(key, socket);
                }
                // There may be more LISTEN lines than a sink keeps.
                if self.listeners.len().is_multiple_of(FLUSH) {
                    self.log.flush(now);
                }
            }
        }
        self.tell_unused();
        if self.listeners.is_empty() {
            self.note(
                LogLevel::Warning,
                None,
                "the table has no enabled service: nothing is served until a reload",
            );
        }
        !failed
            || self
                .listeners
                .values()
                .any(|listener| listener.socket.is_some())
    }

    /// Sets the limit over all services: the table's, or what descriptors allow (two for each connection, and a third where
    /// each has a stderr pipe).
    pub(super) fn set_budget(&mut self) {
        let budget = Budget::new(
            self.open_files,
            self.listeners.len(),
            self.services.values().map(|live| live.service.as_ref()),
        );
        let room = NonZeroU32::new(budget.room).unwrap_or(NonZeroU32::MIN);
        let max = self
            .settings
            .max_connections
            .map_or(room, |max| max.min(room));
        if let Some(asked) = self.settings.max_connections
            && asked > room
        {
            let text = format!(
                "max_connections = {asked} needs {} descriptors, the limit is {}: {room} connections at most",
                budget.needs(asked.get().into()),
                self.open_files
            );
            self.note(LogLevel::Warning, None, &text);
        }
        self.house.set_max(Some(max));
    }

    fn tell_ready(&mut self, ready_fd: Option<OwnedFd>) {
        let text = format!(
            "ready: {} services, {} sockets, at most {} connections within {} descriptors",
            self.services.len(),
            self.listeners
                .values()
                .filter(|listener| listener.socket.is_some())
                .count(),
            self.house.max().map_or(0, NonZeroU32::get),
            self.open_files,
        );
        self.note(LogLevel::Info, None, &text);
        self.log.flush(Instant::now());
        if let Some(path) = &self.pid_file
            && let Err(error) = std::fs::write(path, format!("{}\n", std::process::id()))
        {
            let text = format!("the pid file {} cannot be written: {error}", path.display());
            self.note(LogLevel::Error, None, &text);
        }
        if let Some(fd) = ready_fd {
            let _ = File::from(fd).write_all(b"\n");
        }
    }
}
