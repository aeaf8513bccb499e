//! From raw sections to the validated types: defaults, cross-field rules, the rules of root and of its lack.
//!
//! Invariant: every written value is read, whether its feature exists yet or not; a service leaves here whole, or an
//! error of it has been reported. Files and TOML are behind; what the host knows comes from `World`.

mod account;
mod admission;
mod collisions;
mod daemon;
mod effect;
mod listen;
mod metrics;
mod process;
mod program;
mod reader;
mod run;
mod sandbox;
mod socket;
mod survey;
mod suspicious;
pub(super) mod written;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::diagnostic::{Code, Diagnostic, shown};
use super::keys::{Key, Kind};
use super::not_yet;
use super::raw::{RawFile, RawService, Section, list};
use super::source::{FileId, Place, SourceFile};
use super::values::{Problem, template};
use super::world::Host;
use crate::service::{
    Address, Deadlines, List, LogSelection, OnDisconnect, OnRemove, Origin, Piece, Redirect, Run,
    Service, Settings, Stderr, Transcript,
};
use account::Accounts;
use reader::{Reader, unknown_word};
use survey::Survey;
use written::Written;

/// What one load has at hand while it resolves.
pub(super) struct Context<'a> {
    /// The daemon and its host.
    pub(super) host: &'a Host<'a>,
    files: &'a [&'a SourceFile],
    directories: Vec<PathBuf>,
    accounts: RefCell<Accounts>,
    ports: RefCell<HashMap<(String, bool), Option<u16>>>,
    lists: RefCell<BTreeMap<PathBuf, Option<List>>>,
    problems: RefCell<Vec<Diagnostic>>,
    written: RefCell<Vec<Written>>,
}

impl<'a> Context<'a> {
    /// A load of these files.
    pub(super) fn new(host: &'a Host<'a>, files: &'a [&'a SourceFile]) -> Self {
        let directory = |file: &&SourceFile| {
            Path::new(&file.name)
                .parent()
                .map(Path::to_owned)
                .unwrap_or_default()
        };
        Self {
            host,
            files,
            directories: files.iter().map(directory).collect(),
            accounts: RefCell::default(),
            ports: RefCell::default(),
            lists: RefCell::default(),
            problems: RefCell::default(),
            written: RefCell::default(),
        }
    }

    /// Adds a problem.
    pub(super) fn report(&self, problem: Diagnostic) {
        self.problems.borrow_mut().push(problem);
    }

    /// Reads a list, once. The problems of one that cannot be taken are reported at the first place that names it.
    fn read_list(&self, path: &Path, place: Place) {
        if self.lists.borrow().contains_key(path) {
            return;
        }
        let result = super::list::read(self.host.world, path);
        let problems = result.as_ref().err().cloned().unwrap_or_default();
        self.lists.borrow_mut().insert(path.to_owned(), result.ok());
        for problem in problems {
            self.report(Diagnostic::error(Code::List, place, problem).label("named here"));
        }
    }

    /// The lists that were read.
    pub(super) fn take_lists(&self) -> Vec<List> {
        self.lists.take().into_values().flatten().collect()
    }

    /// The problems that were found.
    pub(super) fn into_problems(self) -> Vec<Diagnostic> {
        self.problems.into_inner()
    }

    fn directory(&self, file: FileId) -> &Path {
        self.directories
            .get(file as usize)
            .map_or(Path::new(""), PathBuf::as_path)
    }

    fn origin(&self, place: Place) -> Origin {
        let file = self.files.get(place.file as usize);
        let (name, line) = file.map_or(("", 0), |file| file.origin(place.start));
        Origin {
            file: PathBuf::from(name),
            line,
        }
    }

    /// Keeps what is written, for those who ask.
    fn keep(&self, name: Option<&str>, section: &Section<'_>) {
        if self.host.explains {
            let written = written::section(self, name, section);
            self.written.borrow_mut().push(written);
        }
    }

    /// What was kept.
    pub(super) fn take_written(&self) -> Vec<Written> {
        self.written.take()
    }
}

/// Resolves all files; the first is the main one.
pub(super) fn resolve(
    context: &Context<'_>,
    files: &[RawFile<'_>],
) -> (Settings, Vec<Rc<Service>>) {
    let empty = Section::empty();
    let daemon = files.first().map_or(&empty, |main| &main.daemon);
    let daemon = Reader {
        context,
        section: daemon,
        owner: "[daemon]",
    };
    context.keep(None, daemon.section);
    let settings = daemon::settings(&daemon);
    let mut defaults = Section::empty();
    let mut services = Vec::new();
    let mut names: HashMap<&str, Place> = HashMap::new();
    let mut taken = collisions::Taken::default();
    for (index, file) in files.iter().enumerate() {
        // [defaults] of the main file hold for all; those of a drop-in for its own services, over the main ones.
        let mut own = file.defaults.over(&defaults);
        own.inherit();
        validate_defaults(context, &own);
        for raw in &file.services {
            if let Some(first) = names.insert(raw.name, raw.place) {
                names.insert(raw.name, first);
                duplicate(context, raw, first);
            }
            let section = raw.section.over(&own);
            context.keep(Some(raw.name), &section);
            let (service, places) = service(context, raw, &section);
            taken.add(context, &service, &places, raw);
            services.push(Rc::new(service));
        }
        if index == 0 {
            defaults = own;
        }
    }
    if let Some(surroundings) = context.host.surroundings {
        survey::table(context, &settings, &services, surroundings);
    }
    services.extend(metrics::service(&daemon).map(Rc::new));
    (settings, services)
}

fn duplicate(context: &Context<'_>, raw: &RawService<'_>, first: Place) {
    let title = format!("service `{}` is defined twice", shown(raw.name));
    context.report(
        Diagnostic::error(Code::Duplicate, raw.place, title)
            .label("here")
            .context(first, "and here")
            .help("rename one of them; a file of the same name in a later directory of `include` replaces a whole file"),
    );
}

/// Reads the defaults for themselves, so that a bad value in them is told even without a service.
fn validate_defaults(context: &Context<'_>, defaults: &Section<'_>) {
    let reader = Reader {
        context,
        section: defaults,
        owner: "[defaults]",
    };
    if context.host.is_root() && reader.written(Key::User) {
        account::identity(&reader, Place::default());
    }
    let _ = (
        process::process(&reader, None),
        admission::admission(&reader),
        socket::options(&reader),
    );
    let _ = (
        deadlines(&reader, false),
        log(&reader),
        reader.duration(Key::Cache),
        reader.boolean(Key::Wait),
    );
    let _ = (
        transcript(&reader),
        admission::proxy(&reader),
        admission::banner(&reader),
        run::model(&reader),
    );
}

/// One service, and the place of each of its addresses.
fn service(
    context: &Context<'_>,
    raw: &RawService<'_>,
    section: &Section<'_>,
) -> (Service, Vec<Place>) {
    let owner = format!("service `{}`", shown(raw.name));
    let reader = Reader {
        context,
        section,
        owner: &owner,
    };
    let (listen, places) = listen::addresses(&reader, raw.place);
    let run = run::run(&reader, raw.place);
    // Without it the rules about it are silent; the table is refused anyway.
    let is_known = run.is_some();
    let wait = reader.boolean(Key::Wait).unwrap_or(false);
    let is_tcp = listen
        .iter()
        .any(|address| matches!(address, Address::Inet { .. }) && !address.is_datagram());
    let lingers = matches!(run, Some(Run::Program(_))) && !wait && is_tcp;
    let identity = account::identity(&reader, raw.place);
    let mut process = process::process(&reader, Some(identity));
    if !matches!(run, Some(Run::Program(_))) {
        // What a relay or a built-in has to say is ours, and not for the client, whatever `[defaults]` says for programs.
        process.stderr = Stderr::Log;
    }
    let service = Service {
        name: raw.name.to_owned(),
        origin: context.origin(raw.place),
        description: reader
            .text(Key::Description)
            .map(|item| item.text)
            .unwrap_or_default(),
        enabled: reader.boolean(Key::Enabled).unwrap_or(true),
        process,
        admission: admission::admission(&reader),
        deadlines: deadlines(&reader, lingers),
        socket: socket::options(&reader),
        banner: admission::banner(&reader),
        cache: reader.duration(Key::Cache).flatten(),
        proxy: admission::proxy(&reader),
        transcript: transcript(&reader),
        log: log(&reader),
        log_tag: log_tag(&reader).unwrap_or_else(|| raw.name.to_owned()),
        log_to: daemon::log_to(&reader, Key::LogTo),
        listen,
        run: run.unwrap_or_else(|| Run::Redirect(Redirect::default())),
        wait,
    };
    if is_known {
        run::rules(&reader, &service, raw.place);
        effect::warn(&reader, &service);
        suspicious::warn(&reader, &service);
        if let Some(surroundings) = context.host.surroundings {
            survey::service(&Survey {
                reader: &reader,
                service: &service,
                places: &places,
                name: raw.place,
                surroundings,
            });
        }
    }
    let written = |key| reader.entry(key).map(|entry| entry.key);
    not_yet::check(&written, &service, raw.place, |problem| {
        context.report(problem);
    });
    (service, places)
}

fn deadlines(reader: &Reader<'_, '_>, lingers: bool) -> Deadlines {
    const LINGER: Duration = Duration::from_secs(2);
    const LINGER_MAX: u64 = 64 << 10;
    const STOP: Duration = Duration::from_secs(5);
    Deadlines {
        timeout: reader.duration(Key::Timeout).flatten(),
        idle: reader.duration(Key::IdleTimeout).flatten(),
        first_byte: reader.duration(Key::FirstByteTimeout).flatten(),
        on_disconnect: reader
            .choice(
                Key::OnDisconnect,
                [OnDisconnect::Ignore, OnDisconnect::Term, OnDisconnect::Kill],
            )
            .unwrap_or(OnDisconnect::Ignore),
        on_remove: reader
            .choice(
                Key::OnRemove,
                [OnRemove::Keep, OnRemove::Drain, OnRemove::Kill],
            )
            .unwrap_or(OnRemove::Keep),
        linger: reader
            .duration(Key::LingerTime)
            .unwrap_or(Some(LINGER))
            .filter(|_| lingers),
        linger_max: reader
            .size(Key::LingerMax)
            .map_or(LINGER_MAX, |max| max.unwrap_or(u64::MAX)),
        stop: reader.limited_duration(Key::StopTimeout).unwrap_or(STOP),
    }
}

fn transcript(reader: &Reader<'_, '_>) -> Option<Transcript> {
    const MOST: u64 = 10 << 20;
    let max = reader
        .size(Key::TranscriptMax)
        .map(|max| max.unwrap_or(u64::MAX));
    let table = reader.entry(Key::Transcript)?;
    if !reader.written(Key::TranscriptPath) {
        let title = format!("{} names no file", reader.subject(Key::Transcript));
        reader.report_missing(
            &[Key::TranscriptPath],
            Diagnostic::error(Code::Missing, table.key, title)
                .label("needs `path`")
                .help("add `path = \"/var/log/…\"`"),
        );
    }
    let path = reader.template(Key::TranscriptPath)?;
    let is_absolute = matches!(path.0.first(), Some(Piece::Text(text)) if text.starts_with('/'));
    if !is_absolute && let Some(entry) = reader.entry(Key::TranscriptPath) {
        let problem = Problem::new("is not an absolute path").help("write the path from `/` on");
        reader.refuse(Key::TranscriptPath, entry.place(), problem);
    }
    Some(Transcript {
        path,
        max: max.unwrap_or(MOST),
    })
}

fn log(reader: &Reader<'_, '_>) -> LogSelection {
    let all = LogSelection {
        start: true,
        exit: true,
        refuse: true,
    };
    let Kind::Choices(words) = Key::Log.info().kind else {
        return all;
    };
    let known = |text: &str| match text {
        "start" | "exit" | "refuse" => Ok(text.to_owned()),
        other => Err(unknown_word(other, words)),
    };
    let Some(chosen) = reader.list(Key::Log, known) else {
        return all;
    };
    let has = |word: &str| chosen.iter().any(|(chosen, _)| chosen == word);
    LogSelection {
        start: has("start"),
        exit: has("exit"),
        refuse: has("refuse"),
    }
}

fn log_tag(reader: &Reader<'_, '_>) -> Option<String> {
    const LONGEST: usize = 64;
    let item = reader.text(Key::LogTag)?;
    if item.text.is_empty()
        || item.text.len() > LONGEST
        || !item.text.bytes().all(|byte| byte.is_ascii_graphic())
    {
        let problem = Problem::new(format!("is not a log tag: `{}`", shown(&item.text)));
        reader.refuse(
            Key::LogTag,
            item.place,
            problem.help("write 1 to 64 printable ASCII characters without blanks"),
        );
        return None;
    }
    reader
        .parsed(Key::LogTag, &item, template::without_nul)
        .map(|()| item.text)
}

/// Names for "write one of".
fn one_of(words: &[&str]) -> String {
    list(words.iter().copied())
}
