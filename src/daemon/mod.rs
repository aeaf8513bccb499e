//! The loop: one thread, one epoll set, one turn after another.
//!
//! A turn is: deaths before births. Launches that have settled are noted first, so that an exit knows whether its
//! program ever ran; then the dead are reaped, which frees room; then timers, then control (signals, a finished load,
//! the programs' stderr), and last a bounded batch of connections from each listener. Nothing in a turn blocks.
//!
//! Invariant: trouble of one connection never leaves its event; only the loss of epoll itself ends the daemon.

mod accept;
mod cached;
mod change;
mod children;
mod control;
mod control_socket;
mod datagrams;
mod each;
mod ending;
mod equipment;
mod headers;
mod id;
mod late;
mod leaves;
mod lending;
mod limits;
mod line;
mod lines;
mod lingering;
mod listeners;
mod lists;
mod loading;
mod manager;
mod message;
mod output;
mod queue;
mod recent;
mod refusal;
mod reload;
mod signals;
mod start;
mod state;
mod status;
mod timers;
mod token;
mod upgrade;
mod verbs;
mod watch;
mod workers;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use slotmap::SlotMap;

use crate::admission::{House, LoadAverage};
use crate::builtin;
use crate::event::Event;
use crate::launch::{Host, Launcher, Settled};
use crate::listener::Passed;
use crate::log::Log;
use crate::relay::{self, Task};
use crate::service::{LogLevel, Run, Service, Settings};
use crate::sys::poller::Poller;
use crate::sys::signals::Signals;

use control::Control;
use each::Each;
use ending::Remains;
use id::ConnectionIds;
use leaves::Leaves;
use lingering::Lingering;
use reload::Loading;
use state::{Child, Listener, LiveService};
use status::Files;
use timers::{Timer, Timers};
use token::{AnswerKey, ChildKey, EachKey, LingerKey, ListenerKey, ServiceKey, Token};
use upgrade::{Program, Upgrade};

pub use control::ControlSocket;
pub use loading::Source;
pub use manager::Manager;
pub use start::{Outcome, Overrides, Start};
pub use upgrade::{rehearse, take_over};

/// The daemon.
pub struct Daemon {
    poller: Poller,
    signals: Signals,
    log: Log,
    launcher: Launcher,
    host: Host,
    settings: Settings,
    source: Source,
    services: SlotMap<ServiceKey, LiveService>,
    names: HashMap<String, ServiceKey>,
    listeners: SlotMap<ListenerKey, Listener>,
    /// Sockets of the service manager that nobody uses.
    passed: Passed,
    children: SlotMap<ChildKey, Child>,
    /// Connections whose program has ended and that are not closed yet.
    lingering: SlotMap<LingerKey, Lingering>,
    /// Stderr pipes of single connections.
    each: SlotMap<EachKey, Each>,
    /// Children whose trees are killed at the end of this turn.
    doomed: Vec<ChildKey>,
    /// Dead leaders of trees that were to end.
    remains: Vec<Remains>,
    trees_due: bool,
    /// Not before this time is the next look at all trees.
    trees_next: Option<Instant>,
    leaves: Leaves,
    house: House,
    load: LoadAverage,
    lists: lists::ListFiles,
    late: late::Late,
    refused: refusal::Refused,
    headers: headers::Headers,
    answers: SlotMap<AnswerKey, cached::Answer>,
    /// Clients wait for the limit of the whole daemon.
    queueing: Option<queue::Queueing>,
    ids: ConnectionIds,
    timers: Timers,
    line: line::Line,
    exhausted: Option<accept::Exhausted>,
    loading: Option<Loading>,
    program: Program,
    upgrade: Option<Upgrade>,
    /// Nobody is accepted: the exec is next.
    leaving: bool,
    control: Control,
    manager: Manager,
    /// What the command line says of the control socket, which the table cannot change.
    overrides: Overrides,
    /// All services of the table in force, disabled ones too, in its order.
    table: Vec<Rc<Service>>,
    files: Files,
    /// The longest turn so far.
    longest_turn: Duration,
    phase: Phase,
    /// A sweep for orphans is set.
    orphans_due: bool,
    /// When the last one was.
    orphans_swept: Option<Instant>,
    started: Instant,
    /// When this image of the program began to serve.
    image_started: Instant,
    /// Removed at the end.
    pid_file: Option<PathBuf>,
    open_files: u64,
    settled: Vec<Settled>,
    /// Workers for whom connections have come in this turn.
    passing: Vec<ChildKey>,
}

/// What a child of ours does: all of it for a service without a program, what stands before its program otherwise.
pub(crate) fn body(task: &Task<'_>) -> u8 {
    match (&task.service.run, &task.service.transcript) {
        (Run::Builtin(builtin), _) => builtin::serve(builtin, task.socket),
        (Run::Redirect(redirect), _) => relay::redirect(redirect, task),
        (Run::Program(_), Some(transcript)) => relay::transcript(transcript, task),
        // It is executed.
        (Run::Program(_), None) => 70,
    }
}

/// Where the daemon is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It serves.
    Serving,
    /// It was told to end and waits for its children.
    Draining,
    /// The children have been killed; what is still there is waited for until this time.
    Killing(Instant),
}

impl Daemon {
    /// Serves until it is told to end, and leaves nothing behind.
    fn serve(&mut self) -> io::Result<()> {
        self.run()?;
        if let Some(path) = &self.pid_file {
            let _ = std::fs::remove_file(path);
        }
        Ok(())
    }

    /// Serves until it is told to end.
    fn run(&mut self) -> io::Result<()> {
        let mut wanted = self.log.flush(Instant::now());
        while !self.is_done() {
            let ready = self.poller.wait(self.timeout(wanted))?;
            let began = Instant::now();
            self.turn(ready, began);
            self.longest_turn = self.longest_turn.max(began.elapsed());
            self.settle_upgrade(began);
            wanted = self.log.flush(Instant::now());
        }
        self.tell_end();
        Ok(())
    }

    fn turn(&mut self, ready: usize, now: Instant) {
        self.note_launches(now);
        self.on_events(ready, now, |token| matches!(token, Token::Child(_)));
        while let Some(timer) = self.timers.pop(now) {
            self.on_timer(timer, now);
        }
        self.on_events(ready, now, |token| {
            !matches!(token, Token::Child(_) | Token::Listener(_))
        });
        self.serve_line(now);
        self.on_events(ready, now, |token| matches!(token, Token::Listener(_)));
        self.pass_all_on();
        self.settle_headers(now);
        self.settle_trees(now);
    }

    fn on_events(&mut self, ready: usize, now: Instant, class: impl Fn(Token) -> bool) {
        for index in 0..ready {
            let token = self.poller.token(index).and_then(Token::from_bits);
            match token.filter(|token| class(*token)) {
                Some(Token::Child(key)) => self.on_child(key, now),
                Some(Token::Listener(key)) => self.on_listener(key, now),
                Some(Token::Signals) => self.on_signals(now),
                Some(Token::Loading) => self.on_loaded(now),
                Some(Token::Rehearsal) => self.on_rehearsed(now),
                Some(Token::Output(key)) => self.on_output(key, now),
                Some(Token::Connection(key)) => self.on_hang_up(key, now),
                Some(Token::Worker(key)) => self.on_worker(key, now),
                Some(Token::Linger(key)) => self.on_lingering(key),
                Some(Token::Each(key)) => self.on_each(key, now),
                Some(Token::Refused(key)) => self.on_refused(key),
                Some(Token::Header(key)) => self.on_header(key, now),
                Some(Token::Reply(key)) => self.on_reply(key, now),
                Some(Token::Answer(key)) => self.on_answer(key, now),
                Some(Token::Lists) => self.on_lists_read(),
                Some(Token::Network) => self.on_network(now),
                Some(Token::Control) => self.on_control(now),
                Some(Token::ControlClient(key)) => self.on_control_client(key, now),
                None => {}
            }
        }
    }

    fn on_timer(&mut self, timer: Timer, now: Instant) {
        match timer {
            Timer::Wake(key) => self.on_pause_over(key, now),
            Timer::Retry => self.on_retry(),
            Timer::Calm => self.on_calm(now),
            Timer::Bind(key) => self.on_bind_again(key, now),
            Timer::Shutdown => self.kill_all(now),
            Timer::Loading => self.on_load_overdue(now),
            Timer::Rehearsal => self.on_rehearsal_overdue(now),
            Timer::Control(key) => self.on_control_deadline(key, now),
            Timer::Queue(key) => self.on_queue_look(key, now),
            Timer::Refusals(key) => self.on_refusals_due(key),
            Timer::Refused(key) => self.close_refused(key),
            Timer::Header(key) => self.on_header_overdue(key, now),
            Timer::Answer(key) => drop(self.take_answer(key)),
            Timer::Lists => self.on_lists_look(now),
            Timer::Orphans => self.reap_orphans(now),
            Timer::Connection(key) => self.on_due(key, now),
            Timer::Worker(key) => self.on_worker_due(key, now),
            Timer::Linger(key) => self.on_linger_over(key),
            Timer::Trees => self.trees_due = true,
            Timer::Output(key) => self.on_output_rested(key, now),
            Timer::Each(key) => self.on_each_rested(key),
            Timer::EachOver(key) => self.end_each(key, now),
            Timer::Leaves => self.on_leaves(now),
            Timer::Network => self.on_network_settled(now),
            Timer::Manager => self.on_manager_due(now),
            Timer::ManagerRetry => self.on_manager_retry(now),
        }
    }

    /// How long this turn may sleep. While a launch is in flight not long: nothing tells epoll that a slot came free
    /// (launch.md 3.5).
    fn timeout(&self, log: Option<Instant>) -> Option<Duration> {
        if self.line_moves() {
            return Some(Duration::ZERO);
        }
        let now = Instant::now();
        let mut deadline = self.timers.next();
        for other in [log, self.launcher_deadline(now), self.phase_deadline()]
            .into_iter()
            .flatten()
        {
            deadline = Some(deadline.map_or(other, |deadline| deadline.min(other)));
        }
        deadline.map(|at| at.saturating_duration_since(now))
    }

    fn launcher_deadline(&self, now: Instant) -> Option<Instant> {
        self.launcher.look_again(now).map(|pause| now + pause)
    }

    fn phase_deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Killing(at) => Some(at),
            Phase::Serving | Phase::Draining => None,
        }
    }

    fn is_done(&self) -> bool {
        match self.phase {
            Phase::Serving => false,
            Phase::Draining => {
                self.has_no_program() && self.answers.is_empty() && self.lingering.is_empty()
            }
            Phase::Killing(at) => self.has_no_program() || Instant::now() >= at,
        }
    }

    fn has_no_program(&self) -> bool {
        self.children.is_empty() && self.remains.is_empty()
    }

    /// Writes an event to the sink of `service`, or to the daemon's.
    fn tell(log: &mut Log, live: Option<&LiveService>, event: &Event<'_>) {
        if let Some(live) = live {
            live.recent.borrow_mut().add(event, SystemTime::now());
        }
        log.write(event, live.and_then(|live| live.service.log_to.as_ref()));
    }

    fn note(&mut self, level: LogLevel, service: Option<&str>, text: &str) {
        let event = Event::Note {
            level,
            service,
            text,
        };
        let live = service.and_then(|name| self.services.get(*self.names.get(name)?));
        if let Some(live) = live {
            live.recent.borrow_mut().add(&event, SystemTime::now());
        }
        self.log.write(&event, None);
    }
}
