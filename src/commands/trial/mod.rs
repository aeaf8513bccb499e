//! `oxinetd try`: what would happen to a client, and which rule decides (LANGUAGE 5.3).
//!
//! The rules are those of the files; what counts now is the daemon's, where one answers. Nothing is counted by asking.

mod at;
mod run;
mod start;
mod steps;

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Instant, SystemTime};

use super::{complain, exit, show};
use crate::admission::{Arrival, Gate, House, Lists, Moment};
use crate::cli::Try;
use crate::config::Written;
use crate::config::world::World as _;
use crate::control::client::{self, ClientError};
use crate::control::{Answer, Request};
use crate::service::{Address, Peer, Service, Standing, Table};
use crate::sys::world::SystemWorld;
use crate::sys::{proc, start as host};
use steps::{Ending, Steps};

/// Tries it.
pub fn trial(command: &Try) -> u8 {
    let Some((peer, groups)) = peer(&command.address) else {
        complain(&format!(
            "oxinetd try: `{}` is no client: write an IP address, uid:1000 or vsock:3\n",
            crate::config::diagnostic::shown(&command.address)
        ));
        return exit::USAGE;
    };
    let at = command.at.as_deref();
    let wall = at.map_or(Some(SystemTime::now()), |at| {
        at::parse(at, &jiff::Zoned::now())
    });
    let Some(wall) = wall else {
        complain(&format!("oxinetd try: --at is no time: {}\n", at::FORMS));
        return exit::USAGE;
    };
    let Some((loaded, table)) = show::read(command.config.config.as_deref()) else {
        return exit::NO;
    };
    let moment = Moment {
        now: Instant::now(),
        wall,
        load: proc::load_average().unwrap_or(0.0),
    };
    let client = Client {
        address: &command.address,
        peer,
        groups,
        moment,
        lists: Lists::new(&table),
    };
    let written = loaded.written.iter().skip(1);
    let all = table.services.iter().map(AsRef::as_ref).zip(written);
    match &command.name {
        None => each(command, &client, &table, all),
        Some(name) if show::is_known(&table, name) => {
            let found = all.into_iter().find(|(service, _)| service.name == *name);
            found.map_or(exit::NO, |(service, written)| {
                one(command, &client, &table, service, written)
            })
        }
        Some(_) => exit::NO,
    }
}

/// Who comes, and when.
struct Client<'a> {
    address: &'a str,
    peer: Peer,
    groups: Vec<u32>,
    moment: Moment,
    lists: Lists,
}

impl Client<'_> {
    fn arrival(&self) -> Arrival<'_> {
        Arrival {
            peer: &self.peer,
            groups: &self.groups,
        }
    }

    /// What the rules of a service say.
    fn steps(&self, service: &Service, written: &Written, standing: Option<&Standing>) -> Steps {
        let house = House::new(self.moment.now);
        let gate = Gate::new(&house, &service.admission, &self.lists, self.moment.now);
        let refusals = gate.refusals(&house, &self.arrival(), &self.moment);
        let alone = gate.standing(&house, &self.arrival(), &self.moment);
        steps::steps(self, service, written, &refusals, standing, &alone)
    }
}

/// One service in detail.
fn one(
    command: &Try,
    client: &Client<'_>,
    table: &Table,
    service: &Service,
    written: &Written,
) -> u8 {
    let Some(address) = reached(service, &client.peer) else {
        print(&format!(
            "{} listens where {} cannot come\n",
            service.name, client.address
        ));
        return exit::NO;
    };
    let mut unknown = None;
    let standing = standing(command, table, &service.name, client.address).unwrap_or_else(|why| {
        unknown = Some(why);
        None
    });
    let steps = client.steps(service, written, standing.as_ref());
    let mut text = format!(
        "{} on {address} would {} {}\n",
        service.name,
        steps.ending.words(),
        client.address
    );
    if !service.enabled {
        text.push_str("  enabled = false: it is not served at all\n");
    }
    text.push_str(&steps.text());
    if let Some(why) = unknown {
        let _ = writeln!(text, "counters are unknown: {why}");
    }
    if steps.ending != Ending::Start {
        print(&text);
        return exit::NO;
    }
    match start::Start::new(service, &client.peer, address) {
        Ok(start) if command.run => {
            print(&text);
            run::run(service, &start)
        }
        Ok(start) => {
            text.push_str(&start.text(service, written));
            print(&text);
            exit::OK
        }
        Err(problem) => {
            print(&text);
            complain(&format!(
                "oxinetd try: service {}: {problem}\n",
                service.name
            ));
            exit::NO
        }
    }
}

/// A line for each service; 0 when one of them would serve the client.
fn each<'t>(
    command: &Try,
    client: &Client<'_>,
    table: &Table,
    all: impl Iterator<Item = (&'t Service, &'t Written)>,
) -> u8 {
    if command.run {
        complain("oxinetd try: --run needs the NAME of a service\n");
        return exit::USAGE;
    }
    let mut lines = Vec::new();
    let mut code = exit::NO;
    let mut daemon = true;
    for (service, written) in all {
        let (address, verdict) = match reached(service, &client.peer) {
            _ if !service.enabled => ("-".to_owned(), "not served: enabled = false".to_owned()),
            None => (
                "-".to_owned(),
                "cannot come: it listens elsewhere".to_owned(),
            ),
            Some(address) => {
                let standing = if daemon {
                    standing(command, table, &service.name, client.address)
                } else {
                    Ok(None)
                };
                daemon &= standing.is_ok();
                let steps = client.steps(service, written, standing.ok().flatten().as_ref());
                if steps.ending == Ending::Start {
                    code = exit::OK;
                }
                (address.to_string(), steps.line())
            }
        };
        lines.push((service.name.as_str(), address, verdict));
    }
    let width =
        |of: &dyn Fn(&(&str, String, String)) -> usize| lines.iter().map(of).max().unwrap_or(0);
    let (names, addresses) = (width(&|line| line.0.len()), width(&|line| line.1.len()));
    let mut text = String::new();
    for (name, address, verdict) in &lines {
        let _ = writeln!(text, "{name:names$}  {address:addresses$}  {verdict}");
    }
    print(&text);
    if !daemon {
        complain("counters are unknown: no daemon answers\n");
    }
    code
}

/// The client that a word names, and the groups of a user.
fn peer(text: &str) -> Option<(Peer, Vec<u32>)> {
    let peer = text.parse().ok()?;
    let Peer::Unix { uid, pid, .. } = peer else {
        return Some((peer, Vec::new()));
    };
    let world = SystemWorld::new();
    let account = world.user_by_id(uid).ok().flatten();
    let gid = account.as_ref().map_or(uid, |account| account.gid);
    let groups = account.and_then(|account| world.groups_of(&account.name, gid).ok());
    Some((Peer::Unix { uid, gid, pid }, groups.unwrap_or_default()))
}

/// The first address of a service where such a client can come.
fn reached<'s>(service: &'s Service, peer: &Peer) -> Option<&'s Address> {
    let fits = |address: &&Address| match (address, peer) {
        (Address::Inherited { .. }, _)
        | (Address::Unix { .. }, Peer::Unix { .. })
        | (Address::Vsock { .. }, Peer::Vsock { .. }) => true,
        (
            Address::Inet {
                socket, dual_stack, ..
            },
            Peer::Inet(peer),
        ) => {
            let loops = socket.ip().is_loopback();
            let family = socket.is_ipv4() == peer.is_ipv4() || *dual_stack;
            family && (!loops || peer.ip().is_loopback())
        }
        (Address::Inet { .. } | Address::Unix { .. } | Address::Vsock { .. }, _) => false,
    };
    service.listen.iter().find(fits)
}

/// What the running daemon counts of the client; `Err`: why that is not known.
fn standing(
    command: &Try,
    table: &Table,
    name: &str,
    address: &str,
) -> Result<Option<Standing>, String> {
    let (user, _) = host::identity();
    let socket = match (&command.control.control, &table.settings.control) {
        (None, Some(socket)) => socket.clone(),
        (given, _) => client::name(given.as_deref(), user == 0)?,
    };
    match client::ask(&socket, &Request::Try(name.to_owned(), address.to_owned())) {
        Ok(Answer::Standing(standing)) => Ok(Some(standing)),
        Ok(Answer::Error(text)) => Err(format!("the daemon says: {text}")),
        Ok(_) => Err("the daemon does not understand the question".to_owned()),
        Err(ClientError::NotRunning(_)) => Err("no daemon answers".to_owned()),
        Err(ClientError::Failed(text)) => Err(text),
    }
}

fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
