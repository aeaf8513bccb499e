//! The table as an image leaves it: what many services have in common is written once. A thousand services differ in little
//! more than their names and ports, and everything that is written must be read while nobody is served.

use std::borrow::Cow;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::service::{
    Address, Admission, Deadlines, List, LogSelection, LogTarget, Origin, Process, ProxyVersion,
    Run, Service, Settings, SocketOptions, Table, Template, Transcript,
};

/// How far back an equal part is looked for.
const BACK: usize = 16;

/// Writes a table.
pub(super) fn serialize<S: Serializer>(table: &Table, serializer: S) -> Result<S::Ok, S::Error> {
    Packed::from(table).serialize(serializer)
}

/// Reads one.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Table, D::Error> {
    let packed = Packed::deserialize(deserializer)?;
    packed
        .into_table()
        .ok_or_else(|| D::Error::custom("a service of the table has parts that are not there"))
}

#[derive(Serialize, Deserialize)]
struct Packed<'a> {
    settings: Cow<'a, Settings>,
    files: Cow<'a, [PathBuf]>,
    lists: Cow<'a, [List]>,
    processes: Parts<'a, Process>,
    admissions: Parts<'a, Admission>,
    deadlines: Parts<'a, Deadlines>,
    sockets: Parts<'a, SocketOptions>,
    services: Vec<Entry<'a>>,
}

/// A service, with the indices of its parts.
#[derive(Serialize, Deserialize)]
struct Entry<'a> {
    name: Cow<'a, str>,
    origin: Cow<'a, Origin>,
    description: Cow<'a, str>,
    enabled: bool,
    listen: Cow<'a, [Address]>,
    run: Cow<'a, Run>,
    wait: bool,
    process: usize,
    admission: usize,
    deadlines: usize,
    socket: usize,
    banner: Cow<'a, Option<Template>>,
    cache: Option<Duration>,
    proxy: Option<ProxyVersion>,
    transcript: Cow<'a, Option<Transcript>>,
    log: LogSelection,
    log_tag: Cow<'a, str>,
    log_to: Cow<'a, Option<LogTarget>>,
}

/// Parts that are not equal to those just before them.
#[derive(Serialize, Deserialize)]
#[serde(transparent, bound(deserialize = "T: Deserialize<'de>"))]
struct Parts<'a, T: Clone>(Vec<Cow<'a, T>>);

impl<'a, T: Clone + PartialEq> Parts<'a, T> {
    /// The index of `part`.
    fn add(&mut self, part: &'a T) -> usize {
        let last = self.0.iter().rev().take(BACK);
        if let Some(back) = last.into_iter().position(|one| one.as_ref() == part) {
            return self.0.len() - 1 - back;
        }
        self.0.push(Cow::Borrowed(part));
        self.0.len() - 1
    }

    fn at(&self, index: usize) -> Option<T> {
        self.0.get(index).map(|part| part.as_ref().clone())
    }
}

impl<'a> From<&'a Table> for Packed<'a> {
    fn from(table: &'a Table) -> Self {
        let mut packed = Self {
            settings: Cow::Borrowed(&table.settings),
            files: Cow::Borrowed(&table.files),
            lists: Cow::Borrowed(&table.lists),
            processes: Parts(Vec::new()),
            admissions: Parts(Vec::new()),
            deadlines: Parts(Vec::new()),
            sockets: Parts(Vec::new()),
            services: Vec::with_capacity(table.services.len()),
        };
        for service in &table.services {
            packed.add(service);
        }
        packed
    }
}

impl<'a> Packed<'a> {
    fn add(&mut self, service: &'a Service) {
        let entry = Entry {
            name: Cow::Borrowed(&service.name),
            origin: Cow::Borrowed(&service.origin),
            description: Cow::Borrowed(&service.description),
            enabled: service.enabled,
            listen: Cow::Borrowed(&service.listen),
            run: Cow::Borrowed(&service.run),
            wait: service.wait,
            process: self.processes.add(&service.process),
            admission: self.admissions.add(&service.admission),
            deadlines: self.deadlines.add(&service.deadlines),
            socket: self.sockets.add(&service.socket),
            banner: Cow::Borrowed(&service.banner),
            cache: service.cache,
            proxy: service.proxy,
            transcript: Cow::Borrowed(&service.transcript),
            log: service.log,
            log_tag: Cow::Borrowed(&service.log_tag),
            log_to: Cow::Borrowed(&service.log_to),
        };
        self.services.push(entry);
    }

    fn into_table(mut self) -> Option<Table> {
        let entries = std::mem::take(&mut self.services);
        let services = entries.into_iter().map(|entry| self.service(entry));
        Some(Table {
            services: services.collect::<Option<_>>()?,
            settings: self.settings.into_owned(),
            files: self.files.into_owned(),
            lists: self.lists.into_owned(),
        })
    }

    fn service(&self, entry: Entry<'_>) -> Option<Rc<Service>> {
        Some(Rc::new(Service {
            process: self.processes.at(entry.process)?,
            admission: self.admissions.at(entry.admission)?,
            deadlines: self.deadlines.at(entry.deadlines)?,
            socket: self.sockets.at(entry.socket)?,
            name: entry.name.into_owned(),
            origin: entry.origin.into_owned(),
            description: entry.description.into_owned(),
            enabled: entry.enabled,
            listen: entry.listen.into_owned(),
            run: entry.run.into_owned(),
            wait: entry.wait,
            banner: entry.banner.into_owned(),
            cache: entry.cache,
            proxy: entry.proxy,
            transcript: entry.transcript.into_owned(),
            log: entry.log,
            log_tag: entry.log_tag.into_owned(),
            log_to: entry.log_to.into_owned(),
        }))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::Value;

    /// A table of this text.
    pub(in crate::handover) fn table(text: &str) -> Table {
        let world = crate::config::fake::FakeWorld::default();
        let main = crate::config::Main::Text { name: "test", text };
        let loaded = crate::config::load(&main, &crate::config::Host::new(0, 0, &world));
        loaded.table.unwrap()
    }

    /// As it is left.
    pub(in crate::handover) fn packed(table: &Table) -> Value {
        serde_json::to_value(Packed::from(table)).unwrap()
    }

    #[test]
    fn every_service_comes_back_and_common_parts_are_there_once() {
        let mut text = "[defaults]\nuser = \"0\"\n".to_owned();
        for number in 0..60 {
            let keys = [
                "builtin = \"echo\"",
                "command = \"/bin/cat\"\nmax_connections = 9",
            ];
            let keys = keys[number % 2];
            let port = 1000 + number;
            let service = format!("[service.s{number}]\nlisten = {port}\n{keys}\n");
            text.push_str(&service);
        }
        let table = table(&text);
        let packed = packed(&table);
        assert_eq!(packed["admissions"].as_array().unwrap().len(), 2);
        assert_eq!(packed["sockets"].as_array().unwrap().len(), 1);
        assert_eq!(deserialize(&packed).unwrap(), table);
        let mut broken = packed;
        broken["services"][3]["socket"] = 7.into();
        assert!(deserialize(&broken).is_err());
    }
}
