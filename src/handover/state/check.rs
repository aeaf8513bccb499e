//! Whether a state can be true, without a look at the world. A pure function of its bytes, as fuzzing wants it.

use std::collections::HashSet;
use std::io;
use std::rc::Rc;

use super::{Child, Definition, Descriptor, Socket, State, Task};
use crate::service::Service;

impl State {
    /// Every descriptor in it.
    pub fn descriptors(&self) -> Vec<Descriptor> {
        let mut all = Vec::new();
        let mut socket = |socket: &Socket| {
            all.push(socket.fd);
            all.extend(socket.path.iter().map(|path| path.lock));
        };
        let listeners = || self.services.iter().flat_map(|live| &live.listeners);
        listeners()
            .filter_map(|listener| listener.socket.as_ref())
            .chain(&self.control.socket)
            .chain(&self.passed)
            .for_each(&mut socket);
        all.extend(listeners().filter_map(|listener| Some(listener.held.as_ref()?.connection)));
        for output in self.services.iter().filter_map(|live| live.output.as_ref()) {
            all.extend([output.reader, output.writer]);
        }
        all.extend(self.children.iter().filter_map(|child| child.connection));
        all.extend(self.children.iter().filter_map(|child| match &child.task {
            Task::Worker(worker) => Some(worker.pair),
            Task::Own | Task::Passed { .. } => None,
        }));
        all.extend(self.lingering.iter().map(|one| one.connection));
        all.extend(self.each.iter().map(|each| each.reader));
        all.extend(self.refused.iter().map(|one| one.connection));
        all.extend(self.control.clients.iter().map(|client| client.fd));
        all
    }

    /// Looks whether all of it can be true together, without a look at the world.
    pub fn check(&self) -> io::Result<()> {
        let sane = |good: bool, what: &str| {
            if good {
                return Ok(());
            }
            let text = format!("the state contradicts itself: {what}");
            Err(io::Error::new(io::ErrorKind::InvalidData, text))
        };
        let mut numbers = HashSet::new();
        let once = |fd: &Descriptor| fd.number > 2 && numbers.insert(fd.number);
        sane(self.descriptors().iter().all(once), "descriptors")?;
        let mut seen = HashSet::new();
        let mut gates = HashSet::new();
        for live in &self.services {
            if let Definition::Table(index) = live.definition {
                let enabled = self
                    .table
                    .services
                    .get(index)
                    .is_some_and(|one| one.enabled);
                sane(enabled && seen.insert(index), "services")?;
            }
            sane(gates.insert(live.gate.number), "gates")?;
        }
        let served = |service: &Rc<Service>| service.enabled;
        let enabled = self.table.services.iter().filter(|one| served(one)).count();
        sane(seen.len() == enabled, "services of the table")?;
        let services = self.services.len();
        let mut pids = HashSet::new();
        for child in &self.children {
            sane(child.service < services, "the service of a child")?;
            let passed = matches!(child.task, Task::Passed { .. });
            let own = passed || pids.insert(child.pid);
            sane(child.pid > 1 && own, "process ids")?;
            sane(self.is_with_its_worker(child), "a connection of a worker")?;
            let lent = child.lent.is_none_or(|(service, place)| {
                let owner = self.services.get(service);
                owner.is_some_and(|live| place < live.listeners.len())
            });
            sane(lent, "a socket that was lent")?;
            let each = child.each.is_none_or(|each| each < self.each.len());
            sane(each && is_id(&child.id), "a child")?;
        }
        for one in &self.remains {
            sane(one.pid > 1 && pids.insert(one.pid), "process ids")?;
            sane(is_id(&one.id), "an id")?;
        }
        for each in &self.each {
            sane(each.service < services && is_id(&each.id), "a pipe")?;
        }
        sane(
            self.leaves.stale.iter().all(|id| is_id(id)),
            "control groups",
        )?;
        sane(self.ids.0.len() == 7 && is_id(&self.ids.0), "ids")
    }

    /// True for a connection of a worker that there is, and for all that is none.
    fn is_with_its_worker(&self, child: &Child) -> bool {
        let Task::Passed { worker, number } = child.task else {
            return true;
        };
        self.children.get(worker).is_some_and(|other| {
            let known = matches!(&other.task, Task::Worker(worker) if number < worker.next);
            known && other.service == child.service && child.connection.is_some()
        })
    }
}

/// True for what can be a connection's id: it becomes a word of log lines and the name of a directory.
fn is_id(text: &str) -> bool {
    (1..=21).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handover::{decode_state, encode, table::tests};
    use serde_json::{Value, json};

    /// A state with one service, one child and one socket.
    fn state() -> Value {
        let moment = 5_000_000_000_u64;
        let time = json!({"secs_since_epoch": 1, "nanos_since_epoch": 0});
        let duration = json!({"secs": 0, "nanos": 0});
        let fd =
            |number: i32| json!({"number": number, "device": 8, "inode": number, "kind": "Socket"});
        let address =
            json!({"Inet": {"protocol": "Tcp", "socket": "127.0.0.1:7", "dual_stack": false}});
        let text = "[defaults]\nuser = \"0\"\n[service.echo]\nlisten = \"127.0.0.1:7\"\nbuiltin = \"echo\"\n";
        let table = tests::packed(&tests::table(text));
        json!({
            "program": "0.1.0", "left": moment, "started": moment, "image_started": moment,
            "start": {
                "source": "Default", "control": "OfTable", "log_format": null, "pid_file": null,
                "image": "/usr/sbin/oxinetd", "open_files": [1024, 4096], "ignored_signals": 0,
                "oom_score_adj": 0, "nice": 0, "environment": []
            },
            "table": table, "files": [], "loaded_at": time, "max_connections": 100,
            "services": [{
                "definition": {"Table": 0},
                "listeners": [{
                    "asked": address, "held": null, "lost": null, "attempts": 0,
                    "socket": {"fd": fd(70), "asked": address, "bound": address, "path": null}
                }],
                "gate": {"number": 0, "bucket": 0, "datagram_bucket": 0, "paused_until": 0},
                "start_failures": 0, "paused_until": null, "held_off": false, "draining": false,
                "failure": null, "output": null, "pace": [null, 0, 0], "served": 1, "refused": [],
                "queued": duration, "failed": 0, "last": null, "queueing": null,
                "refusal_log": {"minute": null, "told": [], "held_back": []}
            }],
            "children": [{
                "service": 0, "pid": 77, "id": "0f8k2m-0001", "peer": {"Inet": "127.0.0.1:5"},
                "ticket": [0, 0, 32, 9, 0], "started": moment, "failed": false,
                "connection": fd(71), "watched": false, "active": [moment, 0, 0], "due": null,
                "reason": null, "kill_at": null, "header": 0, "leaf": false, "each": null
            }],
            "lingering": [], "each": [], "remains": [], "refused": [],
            "sources": {"clock": 1, "next_gate": 1, "streams": [], "datagrams": []},
            "queueing": null, "exhausted": null, "ids": ["0f8k2m-", 2],
            "leaves": {"base": null, "controllers": [], "refused": false, "stale": []},
            "control": {"socket": null, "clients": []},
            "log": {"level": "Info", "lost": 0, "stuck": []},
            "manager": {"texts": [], "store": false},
            "longest_turn": duration, "reload": false
        })
    }

    fn decoded(state: &Value) -> io::Result<State> {
        decode_state(&encode(state).unwrap())
    }

    #[test]
    fn a_state_survives() {
        let first = decoded(&state()).unwrap();
        let again = decode_state(&encode(&first).unwrap()).unwrap();
        assert_eq!(again, first);
    }

    #[test]
    fn what_cannot_be_true_is_refused() {
        let wrong: [(&str, Value, &str); 13] = [
            (
                "/services/0/listeners/0/socket/fd/number",
                json!(2),
                "descriptors",
            ),
            ("/children/0/connection/number", json!(70), "descriptors"),
            ("/children/0/connection/number", json!(-5), "descriptors"),
            ("/children/0/service", json!(1), "the service of a child"),
            ("/children/0/pid", json!(1), "process ids"),
            ("/children/0/pid", json!(-77), "process ids"),
            ("/children/0/each", json!(0), "a child"),
            ("/children/0/id", json!("../../etc"), "a child"),
            ("/services/0/definition/Table", json!(1), "services"),
            ("/services", json!([]), "services of the table"),
            ("/ids/0", json!("a b\nc d "), "ids"),
            ("/leaves/stale", json!(["."]), "control groups"),
            (
                "/remains",
                json!([{"pid": 77, "id": "a", "header": 0, "leaf": false, "kill_at": 1}]),
                "process ids",
            ),
        ];
        for (place, value, words) in wrong {
            let mut state = state();
            *state.pointer_mut(place).unwrap() = value;
            let error = decoded(&state).unwrap_err().to_string();
            assert!(error.contains(words), "{place}: {error}");
        }
    }

    #[test]
    fn pieces_of_a_state_are_no_state() {
        let bytes = encode(&state()).unwrap();
        for length in (0..bytes.len()).step_by(7) {
            assert!(decode_state(&bytes[..length]).is_err(), "{length}");
        }
        assert!(decode_state(&[&bytes[..], b"x"].concat()).is_err());
    }
}
