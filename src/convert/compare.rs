//! `--diff`: the answers of the old server beside those of the table.
//!
//! The old answers come from the rules as they were read, before anything of ours was made of them ([`Asked`], filled
//! in by the readers); the new ones from the loader and the gate of the daemon, with the table as it is written. Addresses
//! are sampled at the edges of every prefix that occurs, times at the edges of every window. Counts are all zero: limits
//! are no matter of who or when.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use ipnet::IpNet;

use super::access::Families;
use super::{OldHost, Outcome, Place};
use crate::admission::{Arrival, Gate, House, Lists, Moment, Verdict};
use crate::config::{Format, Host, Main, load};
use crate::service::{Peer, PerSource, Service};

/// What the old server answered, to whom and when.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    /// Clients, and whether they are served.
    pub(super) clients: Vec<(IpAddr, bool)>,
    /// Windows of a day in minutes, the last one included; none: always.
    pub(super) windows: Vec<(u32, u32)>,
}

/// The answers for one service.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Its name in the table.
    pub(super) service: String,
    /// Where it stood.
    pub(super) place: Place,
    pub(super) asked: Asked,
}

/// What came out of it.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Answers that differ, one line each.
    pub differences: Vec<String>,
    /// `compared 23 services, 412 clients and 8 times: no answer differs`
    pub summary: String,
}

/// A client whom every service is asked about: one of each kind.
const ANYBODY: [&str; 9] = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "198.51.100.7",
    "8.8.8.8",
    "::1",
    "fe80::1",
    "2001:db8::7",
];

/// More samples of a service than these say nothing new.
const MOST_CLIENTS: usize = 400;

/// Clients at the edges of the prefixes: the first and last within, the next before and after.
pub(super) fn clients(prefixes: &[IpNet], families: Families) -> Vec<IpAddr> {
    let mut clients: Vec<IpAddr> = ANYBODY.iter().filter_map(|a| a.parse().ok()).collect();
    for net in prefixes.iter().take(MOST_CLIENTS / 4) {
        let (first, last) = (net.network(), net.broadcast());
        clients.extend([first, last]);
        clients.extend([(first, false), (last, true)].iter().filter_map(next));
    }
    clients.retain(|client| match client {
        IpAddr::V4(_) => families.v4,
        IpAddr::V6(v6) => families.v6 && v6.to_ipv4_mapped().is_none(),
    });
    clients.sort();
    clients.dedup();
    clients
}

/// The address after or before.
fn next((address, up): &(IpAddr, bool)) -> Option<IpAddr> {
    match (address, up) {
        (IpAddr::V4(v4), true) => u32::from(*v4)
            .checked_add(1)
            .map(|n| IpAddr::from(n.to_be_bytes())),
        (IpAddr::V4(v4), false) => u32::from(*v4)
            .checked_sub(1)
            .map(|n| IpAddr::from(n.to_be_bytes())),
        (IpAddr::V6(v6), true) => u128::from(*v6)
            .checked_add(1)
            .map(|n| IpAddr::from(n.to_be_bytes())),
        (IpAddr::V6(v6), false) => u128::from(*v6)
            .checked_sub(1)
            .map(|n| IpAddr::from(n.to_be_bytes())),
    }
}

/// Asks the table what the old server was asked. An error: the table cannot be loaded.
pub fn compare(outcome: &Outcome, world: &OldHost) -> Result<Comparison, String> {
    let main = Main::Text {
        name: "converted",
        text: &outcome.toml,
    };
    let loaded = load(&main, &Host::new(0, 0, world));
    let Some(table) = loaded.table else {
        return Err(loaded.report.render(Format::Short));
    };
    let lists = Lists::new(&table);
    let mut differences = Vec::new();
    let (mut services, mut clients, mut times) = (0, 0, 0);
    for answers in &outcome.answers {
        let Some(service) = table.services.iter().find(|s| s.name == answers.service) else {
            continue;
        };
        let mut rules = Rules::new(service, &lists);
        let open = answers.asked.windows.first().map_or(0, |(from, _)| *from);
        let mut tell = |who: String, before: bool, after: bool| {
            if before != after {
                let word = |served| if served { "served" } else { "refused" };
                let (before, after) = (word(before), word(after));
                let (place, name) = (&answers.place, &answers.service);
                differences.push(format!("{place}: {name}: {who} was {before}, is {after}"));
            }
        };
        services += 1;
        clients += answers.asked.clients.len();
        for (client, served) in &answers.asked.clients {
            tell(client.to_string(), *served, rules.serves(*client, open));
        }
        // The time is judged for a client that is served at all.
        let client = answers.asked.clients.iter().find(|(_, served)| *served);
        for minute in edges(&answers.asked.windows) {
            let Some((client, _)) = client else { continue };
            times += 1;
            let windows = &answers.asked.windows;
            let served = windows
                .iter()
                .any(|(from, to)| (*from..=*to).contains(&minute));
            let who = format!("{client} at {:02}:{:02}", minute / 60, minute % 60);
            tell(who, served, rules.serves(*client, minute));
        }
    }
    let result = match differences.len() {
        0 => "no answer differs".to_owned(),
        1 => "1 answer differs".to_owned(),
        n => format!("{n} answers differ"),
    };
    let counted = |n: usize, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
    let summary = format!(
        "compared {}, {} and {}: {result}",
        counted(services, "service"),
        counted(clients, "client"),
        counted(times, "time"),
    );
    Ok(Comparison {
        differences,
        summary,
    })
}

/// The first and last minutes of windows, and those around them.
fn edges(windows: &[(u32, u32)]) -> Vec<u32> {
    let mut minutes: Vec<u32> = windows
        .iter()
        .flat_map(|(from, to)| [from.saturating_sub(1), *from, *to, to + 1])
        .filter(|minute| *minute < 24 * 60)
        .collect();
    minutes.sort_unstable();
    minutes.dedup();
    minutes
}

/// The rules of a service as the daemon has them, with nobody in it and no limit.
struct Rules {
    house: House,
    gate: Gate,
    started: Instant,
}

impl Rules {
    fn new(service: &Service, lists: &Lists) -> Self {
        let mut admission = service.admission.clone();
        admission.max_load = None;
        admission.max_connections = None;
        admission.max_per_source = PerSource::Unlimited;
        admission.rate = None;
        admission.rate_per_source = None;
        admission.penalty = None;
        // Minutes of a day are the same in every zone, but for the days on which clocks change.
        admission.timezone = Some("UTC".to_owned());
        let started = Instant::now();
        let house = House::new(started);
        let gate = Gate::new(&house, &admission, lists, started);
        Self {
            house,
            gate,
            started,
        }
    }

    fn serves(&mut self, client: IpAddr, minute: u32) -> bool {
        let peer = Peer::Inet(SocketAddr::new(client, 40_000));
        let arrival = Arrival {
            peer: &peer,
            groups: &[],
        };
        let moment = Moment {
            now: self.started,
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(minute) * 60),
            load: 0.0,
        };
        matches!(
            self.gate.admit(&self.house, &arrival, &moment),
            Verdict::Admit(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::convert::{Kind, Memory, Options, convert};

    fn compared(text: &str, lossy: bool) -> Comparison {
        let files = Memory::default()
            .with("/x", text)
            .with("/etc/hosts.allow", "ftpd: 192.0.2. EXCEPT 192.0.2.7\n")
            .with("/etc/hosts.deny", "ftpd: ALL\n")
            .with("/etc/services", "ftp 21/tcp\n");
        let options = Options {
            lossy,
            from: Some(Kind::Xinetd),
            ..Options::default()
        };
        let outcome = convert(&options, &files, &[PathBuf::from("/x")]);
        let world = OldHost::new(&files, Path::new("/etc/services"));
        assert_ne!(outcome.exit, 1, "{:?}", outcome.notes);
        compare(&outcome, &world).unwrap()
    }

    fn ftp(keys: &str) -> String {
        let common = "socket_type = stream\nwait = no\nuser = root\nserver = /bin/ftpd";
        format!("service ftp\n{{\n{common}\n{keys}\n}}\n")
    }

    #[test]
    fn an_exact_conversion_answers_as_before() {
        for keys in [
            "",
            "flags = NOLIBWRAP",
            "only_from = 10.0.0.0/8 192.0.2.{6,7,8} ::1",
            "no_access = 10.0.0.0/8\nonly_from = 10.1.0.0/16 0.0.0.0",
            "access_times = 8:00-11:59 13:00-23:59",
        ] {
            let compared = compared(&ftp(keys), false);
            assert_eq!(compared.differences, [""; 0], "{keys}");
            assert!(
                compared.summary.contains("no answer differs"),
                "{}",
                compared.summary
            );
        }
    }

    #[test]
    fn what_is_lost_is_a_difference() {
        // More addresses than are translated.
        let hosts = (0..5000).map(|n| format!("10.0.{}.{}", n / 250, 1 + n % 250));
        let hosts: Vec<String> = hosts.collect();
        let text = ftp(&format!(
            "flags = NOLIBWRAP\nonly_from = {}",
            hosts.join(" ")
        ));
        let compared = compared(&text, true);
        let line = "/x:1: ftp: 8.8.8.8 was refused, is served";
        assert!(
            compared.differences.iter().any(|d| d == line),
            "{compared:?}"
        );
        assert!(!compared.differences.iter().any(|d| d.contains("10.0.0.1 ")));
    }

    #[test]
    fn clients_are_taken_from_the_edges() {
        let families = Families {
            v4: true,
            v6: false,
        };
        let nets = [
            "192.0.2.0/24".parse().unwrap(),
            "0.0.0.0/0".parse().unwrap(),
        ];
        let clients = clients(&nets, families);
        for edge in [
            "192.0.1.255",
            "192.0.2.0",
            "192.0.2.255",
            "192.0.3.0",
            "255.255.255.255",
        ] {
            assert!(clients.contains(&edge.parse().unwrap()), "{edge}");
        }
        assert!(clients.iter().all(IpAddr::is_ipv4));
        assert_eq!(
            edges(&[(0, 10), (12 * 60, 24 * 60 - 1)]),
            [0, 10, 11, 719, 720, 1439]
        );
    }
}
