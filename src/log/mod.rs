//! Log sinks: what the daemon and its programs have to tell, brought to stderr, files, syslog or the journal.
//!
//! Invariants: nothing here waits, ends the daemon, or forgets to count a line that it could not keep. Sinks are shared by
//! target and opened when first needed. A sink in trouble says so on stderr. The wording is `event`'s; a new sink is one
//! file and one row in [`Log::medium`].

mod auto;
mod clock;
mod file;
mod journal;
mod json;
mod lines;
mod queue;
mod sender;
mod sink;
mod stderr;
mod syslog;

use std::collections::HashMap;
use std::io;
use std::time::Instant;

use crate::event::Event;
use crate::handover::state;
use crate::service::{LogFormat, LogLevel, LogTarget, Settings};
use crate::sys::errno;
use auto::Surroundings;
use sink::{Medium, Sink};

/// All sinks.
pub struct Log {
    level: LogLevel,
    format: LogFormat,
    facility: u8,
    default: LogTarget,
    around: Surroundings,
    sinks: Vec<Sink>,
    places: HashMap<LogTarget, usize>,
    /// Sinks that have lines to flush.
    pending: Vec<usize>,
    /// Lines lost by sinks that are gone.
    lost: u64,
}

impl Log {
    /// The log as `[daemon]` wants it. To be called while the environment is still the one of the start: `auto` looks
    /// into it. Nothing is opened yet, so nothing fails.
    pub fn open(settings: &Settings) -> Self {
        Self {
            level: settings.log_level,
            format: settings.log_format,
            facility: settings.syslog_facility,
            default: settings.log_to.clone(),
            around: Surroundings::look(),
            sinks: Vec::new(),
            places: HashMap::new(),
            pending: Vec::new(),
            lost: 0,
        }
    }

    /// Keeps the event's line for the next [`Log::flush`]; `target` is the service's own sink.
    pub fn write(&mut self, event: &Event<'_>, target: Option<&LogTarget>) {
        if event.level() > self.level {
            return;
        }
        let place = self.place(target);
        if let Some(sink) = self.sinks.get_mut(place) {
            if sink.is_empty() {
                self.pending.push(place);
            }
            sink.write(event);
        }
    }

    /// Brings the lines out: once at the end of each turn of the loop. Returns when it wants to be called again because a
    /// sink is stuck.
    pub fn flush(&mut self, now: Instant) -> Option<Instant> {
        let mut again = None;
        let mut at = 0;
        // By index: a trouble adds a line for stderr, and perhaps stderr itself.
        while let Some(place) = self.pending.get(at).copied() {
            let Some(sink) = self.sinks.get_mut(place) else {
                break;
            };
            let flushed = sink.flush(now);
            let stuck = sink.target().clone();
            match flushed.again {
                None => {
                    self.pending.swap_remove(at);
                }
                Some(time) => {
                    again = Some(again.map_or(time, |earlier: Instant| earlier.min(time)));
                    at += 1;
                }
            }
            if let Some(trouble) = flushed.trouble {
                self.complain(&stuck, &trouble);
            }
        }
        again
    }

    /// After a reload: files are opened anew, and the sinks are those of the new settings. Lines that a stuck sink
    /// still keeps are kept.
    pub fn reopen(&mut self, settings: &Settings) {
        self.flush(Instant::now());
        self.level = settings.log_level;
        self.format = settings.log_format;
        self.facility = settings.syslog_facility;
        self.default = settings.log_to.clone();
        self.places.clear();
        self.pending.clear();
        let (gone, stuck): (Vec<Sink>, Vec<Sink>) = self.sinks.drain(..).partition(Sink::is_empty);
        self.lost += gone.iter().map(Sink::lost).sum::<u64>();
        for mut sink in stuck {
            let target = sink.target().clone();
            sink.replace(self.medium(&target));
            self.pending.push(self.sinks.len());
            self.places.insert(target, self.sinks.len());
            self.sinks.push(sink);
        }
    }

    /// What a successor of this process is to know: what the table does not tell, and the lines that wait.
    pub fn pack(&self) -> state::Log {
        let stuck: Vec<state::Stuck> = self.sinks.iter().filter_map(Sink::pack).collect();
        let kept: u64 = stuck.iter().map(|one| one.lost).sum();
        state::Log {
            level: self.level,
            lost: self.lost().saturating_sub(kept),
            stuck,
        }
    }

    /// Goes on from there.
    pub fn unpack(&mut self, record: state::Log) {
        self.level = record.level;
        self.lost += record.lost;
        for stuck in record.stuck {
            let place = self.place(Some(&stuck.target));
            if let Some(sink) = self.sinks.get_mut(place) {
                sink.unpack(&stuck);
                self.pending.push(place);
            }
        }
    }

    /// Events less important than this are passed over from now on.
    pub fn set_level(&mut self, level: LogLevel) {
        self.level = level;
    }

    /// Lines that no sink could take, since the start.
    pub fn lost(&self) -> u64 {
        self.lost + self.sinks.iter().map(Sink::lost).sum::<u64>()
    }

    /// The sink's place, made if needed. Nothing is allocated when it is there.
    fn place(&mut self, target: Option<&LogTarget>) -> usize {
        let wanted = target.unwrap_or(&self.default);
        if let Some(place) = self.places.get(wanted) {
            return *place;
        }
        let wanted = wanted.clone();
        let target = if wanted == LogTarget::Auto {
            self.around.target()
        } else {
            wanted.clone()
        };
        let place = if let Some(place) = self.places.get(&target) {
            *place
        } else {
            let medium = self.medium(&target);
            self.sinks.push(Sink::new(target.clone(), medium));
            self.sinks.len() - 1
        };
        self.places.insert(target, place);
        self.places.insert(wanted, place);
        place
    }

    fn medium(&self, target: &LogTarget) -> Box<dyn Medium> {
        match target {
            LogTarget::Auto | LogTarget::Stderr => Box::new(stderr::Stderr::on(
                Box::new(io::stderr()),
                self.around.journal_stream,
                self.format,
            )),
            LogTarget::File(path) => Box::new(file::LogFile::new(path, self.format)),
            LogTarget::Syslog => {
                Box::new(syslog::Syslog::local(syslog::DEV_LOG.into(), self.facility))
            }
            LogTarget::SyslogUdp(address) => {
                Box::new(syslog::Syslog::remote(*address, self.facility))
            }
            LogTarget::Journal => {
                Box::new(journal::Journal::new(journal::SOCKET.into(), self.facility))
            }
        }
    }

    /// Tells on stderr what is wrong with another sink.
    fn complain(&mut self, stuck: &LogTarget, trouble: &io::Error) {
        let name = match stuck {
            LogTarget::Auto | LogTarget::Stderr => return,
            LogTarget::File(path) => path.display().to_string(),
            LogTarget::Syslog => syslog::DEV_LOG.to_owned(),
            LogTarget::SyslogUdp(address) => format!("syslog at {address}"),
            LogTarget::Journal => journal::SOCKET.to_owned(),
        };
        let reason = match trouble.raw_os_error() {
            Some(number) => errno::describe(number).to_string(),
            None => trouble.to_string(),
        };
        let text = format!("cannot log to {name}: {reason}; its lines wait, up to 256 KiB");
        let note = Event::Note {
            level: LogLevel::Error,
            service: None,
            text: &text,
        };
        self.write(&note, Some(&LogTarget::Stderr));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;
    use std::time::Duration;

    fn settings(log_to: LogTarget) -> Settings {
        Settings {
            control: None,
            control_gid: 0,
            log_to,
            log_level: LogLevel::Info,
            log_format: LogFormat::Text,
            syslog_facility: 3,
            max_connections: None,
            shutdown_timeout: Duration::from_secs(30),
        }
    }

    fn words(path: &PathBuf) -> Vec<String> {
        fs::read_to_string(path)
            .unwrap()
            .lines()
            .map(|line| line.split_once("]: ").unwrap().1.to_owned())
            .collect()
    }

    fn note(level: LogLevel, text: &str) -> Event<'_> {
        Event::Note {
            level,
            service: None,
            text,
        }
    }

    #[test]
    fn lines_go_to_the_services_sink_or_the_daemons() {
        let dir = tempfile::tempdir().unwrap();
        let [main, own] = ["main", "own"].map(|name| dir.path().join(name));
        let target = LogTarget::File(own.clone());
        let mut log = Log::open(&settings(LogTarget::File(main.clone())));
        log.write(&note(LogLevel::Info, "1"), None);
        log.write(&note(LogLevel::Info, "2"), Some(&target));
        log.write(&note(LogLevel::Debug, "3"), None);
        log.set_level(LogLevel::Error);
        log.write(&note(LogLevel::Warning, "4"), Some(&target));
        log.write(&note(LogLevel::Error, "5"), Some(&target));
        assert!(!main.exists(), "opened when flushed");
        assert_eq!(log.flush(Instant::now()), None);
        assert_eq!(words(&main), ["NOTE: 1"]);
        assert_eq!(words(&own), ["NOTE: 2", "ERROR: 5"]);
    }

    #[test]
    fn reopening_follows_logrotate_and_the_settings() {
        let dir = tempfile::tempdir().unwrap();
        let [path, rotated, other] = ["a", "a.1", "b"].map(|name| dir.path().join(name));
        let mut log = Log::open(&settings(LogTarget::File(path.clone())));
        log.write(&note(LogLevel::Info, "1"), None);
        log.flush(Instant::now());
        fs::rename(&path, &rotated).unwrap();
        log.write(&note(LogLevel::Info, "2"), None);
        log.reopen(&settings(LogTarget::File(path.clone())));
        log.write(&note(LogLevel::Info, "3"), None);
        log.reopen(&settings(LogTarget::File(other.clone())));
        log.write(&note(LogLevel::Info, "4"), None);
        log.flush(Instant::now());
        assert_eq!(words(&rotated), ["NOTE: 1", "NOTE: 2"]);
        assert_eq!(words(&path), ["NOTE: 3"]);
        assert_eq!(words(&other), ["NOTE: 4"]);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_retried() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("later/log");
        let mut log = Log::open(&settings(LogTarget::File(path.clone())));
        log.write(&note(LogLevel::Info, "1"), None);
        let mut now = Instant::now();
        for _ in 0..3 {
            now = log.flush(now).unwrap();
        }
        log.reopen(&settings(LogTarget::File(path.clone())));
        assert!(log.flush(now).is_some());
        fs::create_dir(path.parent().unwrap()).unwrap();
        assert_eq!(log.flush(now + Duration::from_secs(1)), None);
        assert_eq!(words(&path), ["NOTE: 1"]);
        assert_eq!(log.lost(), 0);
    }
}
