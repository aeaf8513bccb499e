//! The image that comes: from the state that was left to a daemon that serves.
//!
//! Invariant: until it is ready, nothing that was left is closed, unlinked or changed, so that the old image can come back
//! and find all of it.

use std::ffi::OsString;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, Instant};

use super::super::start::{EVENTS, Overrides, Start};
use super::super::token::{ControlKey, Token};
use super::super::{ControlSocket, Daemon, Manager, Source};
use super::{VERSION, unpack};
use crate::control::Answer;
use crate::event::Event;
use crate::handover::state::{self, Awaited};
use crate::handover::{self, Order, READY, State, Unpacker, VARIABLE};
use crate::launch::Host;
use crate::listener::Inherited;
use crate::sys::fallback::Fallback;
use crate::sys::image::{self, Image};
use crate::sys::poller::{Interest, Poller};
use crate::sys::signals::Signals;
use crate::sys::{heirloom, memfd, memory, signals, start};

/// Of what an image says when it goes back, so much is passed on.
const PROBLEM: usize = 400;

/// Reads the state and checks what can be checked without it; the answer is for standard error.
pub fn rehearse(state: i32) -> io::Result<String> {
    let state = read(heirloom::adopt(state)?)?;
    let host = host(&state)?;
    for service in state.table.services.iter().filter(|one| one.enabled) {
        unpack::plan(service, &host)?;
    }
    Ok(format!("{READY} {VERSION}\n"))
}

/// Serves in the place of another image until TERM. Returns only when that is over, or when there is no way on or back.
pub fn take_over(order: &Order) -> io::Result<()> {
    signals::block_all_and_reset()?;
    let (number, old, problem) = match order {
        Order::Rehearse(_) => return Err(io::Error::other("this is a rehearsal")),
        Order::TakeOver { state, image } => (*state, Some(*image), None),
        Order::GoBack { state, problem } => (*state, None, Some(problem.as_str())),
    };
    let record = heirloom::adopt(number)?;
    let old = old
        .map(|number| heirloom::adopt(number).map(Image::inherited))
        .transpose()?;
    let fallback = old.as_ref().map(|old| arm(old, number)).transpose()?;
    let mut daemon = match arrive(&record, old.as_ref(), problem) {
        Ok(daemon) => daemon,
        Err(error) => {
            if let Some(old) = &old {
                return Err(back(old, number, &error));
            }
            return Err(error);
        }
    };
    if let Some(fallback) = fallback {
        fallback.disarm()?;
    }
    drop((record, old));
    start::forget_manager();
    daemon.tell_manager_ready(&[], Instant::now());
    memory::release();
    daemon.serve()
}

/// What a crash of this image does.
fn arm(old: &Image, state: i32) -> io::Result<Fallback> {
    let problem = "the new program crashed".to_owned();
    let order = Order::GoBack { state, problem }.to_string();
    Fallback::arm(old.prepare(&[(VARIABLE, order.into())])?)
}

/// Becomes the old image again. Returns if that fails too.
fn back(old: &Image, state: i32, error: &io::Error) -> io::Error {
    let text = format!("the new program could not take over: {error}");
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let order = Order::GoBack {
        state,
        problem: clean.take(PROBLEM).collect(),
    };
    match old.prepare(&[(VARIABLE, order.to_string().into())]) {
        Ok(exec) => exec.run(),
        Err(error) => error,
    }
}

fn read(record: OwnedFd) -> io::Result<State> {
    handover::decode_state(&memfd::read_sealed(record, handover::LIMIT)?)
}

/// What children get back is what the first image found; what the kernel allows is asked anew.
fn host(state: &State) -> io::Result<Host> {
    let start = &state.start;
    let (soft_open_files, hard_open_files) = start.open_files;
    let text = |bytes: &Vec<u8>| OsString::from_vec(bytes.clone());
    Ok(Host {
        soft_open_files,
        hard_open_files,
        environment: start
            .environment
            .iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect(),
        ignored_signals: start.ignored_signals,
        oom_score_adj: start.oom_score_adj,
        nice: start.nice,
        ..Host::found()?
    })
}

/// Makes the daemon. `problem`: this image comes back because another could not take over.
fn arrive(record: &OwnedFd, old: Option<&Image>, problem: Option<&str>) -> io::Result<Daemon> {
    let state = read(record.try_clone()?)?;
    image::set_name(&state.start.image);
    let left_here = state.descriptors();
    let own = [record.as_raw_fd()].into_iter();
    let kept = left_here.iter().map(|one| one.number);
    let kept: Vec<i32> = kept.chain(own).chain(old.map(Image::number)).collect();
    start::close_inherited(&kept)?;
    let mut unpacker = Unpacker::new(&left_here)?;
    let mut daemon = assemble(&state)?;
    let left = unpacker.at(state.left);
    let from = state.program.clone();
    let reload = state.reload;
    match daemon.unpack(state, &mut unpacker) {
        Ok(clients) => {
            unpacker.found().keep();
            daemon.tell_arrival(&from, left, problem, &clients, reload);
            Ok(daemon)
        }
        Err(error) => {
            // Its descriptors stay open: the old image needs them.
            mem::forget(daemon);
            Err(error)
        }
    }
}

/// A daemon that has nothing yet.
fn assemble(state: &State) -> io::Result<Daemon> {
    let open_files = start::raise_open_files()?;
    let poller = Poller::new(EVENTS)?;
    let signals = Signals::open(start::adopts_orphans())?;
    poller.add(signals.as_fd(), Interest::Readable, Token::Signals.bits())?;
    let start = Start {
        source: match &state.start.source {
            state::Source::Named(path) => Source::Named(path.clone()),
            state::Source::Default => Source::Default,
            state::Source::Text(name, text) => Source::Text {
                name: name.clone(),
                text: text.clone(),
            },
        },
        overrides: Overrides {
            control: match &state.start.control {
                state::ControlWord::OfTable => ControlSocket::OfTable,
                state::ControlWord::Off => ControlSocket::Off,
                state::ControlWord::At(name) => ControlSocket::At(name.clone()),
            },
            log_format: state.start.log_format,
        },
        ready_fd: None,
        pid_file: state.start.pid_file.clone(),
        program: Ok(state.start.image.clone()),
        host: host(state)?,
        open_files,
        manager: Manager::find(start::floor(open_files))?,
        inherited: Inherited::default(),
        color: false,
    };
    start.assemble(poller, signals, state.table.settings.clone())
}

impl Daemon {
    /// Tells how it went, and answers who waited for it.
    fn tell_arrival(
        &mut self,
        from: &str,
        left: Instant,
        problem: Option<&str>,
        clients: &[(ControlKey, Awaited)],
        reload: bool,
    ) {
        let waiting = |what: Awaited| {
            let those = clients.iter().filter(move |(_, awaited)| *awaited == what);
            those.map(|(key, _)| *key).collect::<Vec<_>>()
        };
        let now = Instant::now();
        let away = now.duration_since(left);
        match problem {
            Some(problem) => self.tell_failed_upgrade(problem, waiting(Awaited::Upgrade)),
            None => self.tell_upgrade(from, away, waiting(Awaited::Upgrade)),
        }
        if reload {
            self.start_load_child(now, waiting(Awaited::Reload));
        }
        self.log.flush(now);
    }

    fn tell_upgrade(&mut self, from: &str, away: Duration, clients: Vec<ControlKey>) {
        let connections = self.house.live();
        let event = Event::Upgraded {
            from,
            to: VERSION,
            away,
            connections,
        };
        Self::tell(&mut self.log, None, &event);
        let text = format!(
            "upgraded from version {from} to {VERSION}: away for {} ms, {connections} connections live on",
            away.as_millis()
        );
        self.answer_all(clients, &Answer::Done(text));
    }
}
