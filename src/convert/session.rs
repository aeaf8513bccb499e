//! One conversion under way: its input, bounded, and what it has found so far.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::Options;
use super::access::{Families, lists};
use super::compare;
use super::entry::{Entry, Leftover};
use super::files::{Files, LARGEST, Text, decode, reason};
use super::hosts_access::{self, Judge, Rules};
use super::note::{Notes, Place};
use super::services::{Port, Services};

/// One file of the input.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: Text,
    /// It was found in a directory.
    pub(super) listed: bool,
}

/// hosts.allow and hosts.deny.
enum Wrap {
    /// Nobody asked yet.
    Unread,
    /// There are none.
    Missing,
    /// These.
    Rules(Rules),
}

/// A decision of the format's own: the prefixes that it knows, and what it says of one.
pub(super) type Own<'a> = (&'a [IpNet], &'a dyn Fn(&IpNet) -> bool);

/// Shared by the readers.
pub(super) struct Session<'a> {
    pub(super) files: &'a dyn Files,
    pub(super) options: &'a Options,
    pub(super) notes: Notes,
    pub(super) services: Services,
    pub(super) entries: Vec<Entry>,
    pub(super) leftovers: Vec<Leftover>,
    /// Comments that look like entries.
    pub(super) commented_out: usize,
    wrap: Wrap,
    budget: u64,
    files_left: u32,
}

impl<'a> Session<'a> {
    /// Four files of the largest size, or many small ones.
    const BUDGET: u64 = 4 * LARGEST;
    const MOST_FILES: u32 = 2000;

    pub(super) fn new(options: &'a Options, files: &'a dyn Files) -> Self {
        let services = options
            .services
            .clone()
            .unwrap_or_else(|| PathBuf::from("/etc/services"));
        Self {
            files,
            options,
            notes: Notes::new(options.lossy),
            services: Services::read(files, &services),
            entries: Vec::new(),
            leftovers: Vec::new(),
            commented_out: 0,
            wrap: Wrap::Unread,
            budget: Self::BUDGET,
            files_left: Self::MOST_FILES,
        }
    }

    /// The files that the paths name; a directory stands for its files, without backups and hidden ones.
    pub(super) fn sources(&mut self, paths: &[PathBuf]) -> Vec<Source> {
        let mut sources = Vec::new();
        for path in paths {
            match self.files.list(path) {
                Ok(names) => {
                    for name in names
                        .iter()
                        .filter(|n| !n.starts_with('.') && !n.ends_with('~'))
                    {
                        let source = self.read(&path.join(name), None);
                        sources.extend(source.map(|s| Source { listed: true, ..s }));
                    }
                }
                Err(_) => sources.extend(self.read(path, None)),
            }
        }
        sources
    }

    /// Reads a file; `place` is where it was asked for.
    pub(super) fn read(&mut self, path: &Path, place: Option<&Place>) -> Option<Source> {
        let here = Place::file(path);
        let place = place.unwrap_or(&here);
        if self.files_left == 0 || self.budget == 0 {
            self.notes
                .error(place, "too many or too large files in all");
            return None;
        }
        self.files_left -= 1;
        let result = self.files.read(path);
        let result = result.map_err(|e| format!("cannot read {}: {}", path.display(), reason(&e)));
        let text = result.and_then(|bytes| {
            self.budget = self.budget.saturating_sub(bytes.len() as u64);
            decode(&bytes).map_err(|why| format!("{} {why}", path.display()))
        });
        match text {
            Ok(text) => Some(Source {
                path: path.to_owned(),
                text,
                listed: false,
            }),
            Err(why) => {
                self.notes.error(place, why);
                None
            }
        }
    }

    /// What hosts.allow and hosts.deny say of a daemon. Their lack is a loss, said once.
    pub(super) fn judge(&mut self, daemon: &str, place: &Place) -> Judge {
        if matches!(self.wrap, Wrap::Unread) {
            let (allow, deny) = self
                .options
                .hosts_access
                .clone()
                .unwrap_or_else(hosts_access::default_paths);
            let rules = Rules::read(self.files, &allow, &deny, &mut self.notes);
            if rules.is_none() {
                let text = format!(
                    "the old server asked hosts.allow and hosts.deny, but {} and {} are not here (say where they are \
                     with --hosts-access DIRECTORY, or --hosts-access none if there were none)",
                    allow.display(),
                    deny.display()
                );
                self.notes.loss(place, text);
            }
            self.wrap = rules.map_or(Wrap::Missing, Wrap::Rules);
        }
        match &self.wrap {
            Wrap::Rules(rules) => rules.for_daemon(daemon, self.files, &mut self.notes),
            Wrap::Unread | Wrap::Missing => Judge::default(),
        }
    }

    /// Sets `allow` and `deny` to what two decisions make together.
    pub(super) fn restrict(entry: &mut Entry, families: Families, own: Own<'_>, judge: &Judge) {
        let mut prefixes = judge.prefixes();
        prefixes.extend(own.0);
        let serves = |net: &IpNet| (own.1)(net) && judge.serves(net);
        Self::ask(entry, families, &prefixes, serves);
        let lists = lists(&prefixes, families, serves);
        if let Some(allow) = lists.allow {
            entry.set("allow", allow);
        }
        if let Some(deny) = lists.deny {
            entry.set("deny", deny);
        }
    }

    /// Keeps the answers of the old server.
    pub(super) fn ask(
        entry: &mut Entry,
        families: Families,
        prefixes: &[IpNet],
        serves: impl Fn(&IpNet) -> bool,
    ) {
        let clients = compare::clients(prefixes, families);
        let answers = clients.into_iter().map(|ip| (ip, serves(&IpNet::from(ip))));
        entry.asked.clients = answers.collect();
    }

    /// Leaves an entry out: a note, and a comment in the table. `kind` is the word of the summary.
    pub(super) fn leave_out(&mut self, place: &Place, original: &[String], kind: &str, text: &str) {
        self.notes.left_out(place, kind, text);
        self.leftovers.push(Leftover {
            before: self.entries.len(),
            place: place.clone(),
            original: original.to_vec(),
            text: text.to_owned(),
        });
    }

    /// Leaves entries out that were written already: each by its index, with the reason.
    pub(super) fn take_out(&mut self, mut faults: BTreeMap<usize, String>) {
        let entries = std::mem::take(&mut self.entries);
        let mut leftovers = std::mem::take(&mut self.leftovers).into_iter().peekable();
        let last = entries.len();
        for (index, entry) in entries.into_iter().enumerate() {
            while let Some(leftover) = leftovers.next_if(|l| l.before <= index) {
                self.keep_leftover(leftover);
            }
            match faults.remove(&index) {
                None => self.entries.push(entry),
                Some(text) => {
                    self.leave_out(&entry.place, &entry.original, &entry.name, &text);
                }
            }
        }
        while let Some(leftover) = leftovers.next_if(|l| l.before <= last) {
            self.keep_leftover(leftover);
        }
    }

    fn keep_leftover(&mut self, leftover: Leftover) {
        let before = self.entries.len();
        self.leftovers.push(Leftover { before, ..leftover });
    }

    /// A port as it is to be written: the name where this host knows it. An error: nobody knows it.
    pub(super) fn port(
        &mut self,
        name: &str,
        protocol: &str,
        place: &Place,
    ) -> Result<String, String> {
        if !name.is_empty() && name.chars().all(|c| c.is_ascii_digit()) {
            let port = name.parse::<u16>();
            return port
                .map(|port| port.to_string())
                .map_err(|_| format!("`{name}` is no port"));
        }
        match self.services.port(name, protocol) {
            Port::Listed(_) => Ok(name.to_owned()),
            Port::Assigned(port) => {
                let text =
                    format!("`{name}` is not in /etc/services of this host: written as {port}");
                self.notes.note(place, text);
                Ok(port.to_string())
            }
            Port::Unknown => Err(format!(
                "`{name}` is not in /etc/services of this host, so its port is unknown"
            )),
        }
    }
}
