//! `[daemon] metrics`: what serves it is a service like others, with the name [`METRICS`] and rules of its own.

use std::num::NonZeroU32;
use std::time::Duration;

use super::reader::{Item, Reader};
use super::{account, admission, deadlines, listen, process, socket};
use crate::config::keys::Key;
use crate::config::raw::Section;
use crate::config::values::{Problem, address};
use crate::service::{
    Address, Admission, Builtin, BuiltinKind, Deadlines, LogSelection, METRICS, Model, OverLimit,
    PerSource, Run, Service,
};

/// Scrapers at once.
const CLIENTS: NonZeroU32 = NonZeroU32::new(8).expect("8 is not 0");
/// One that takes longer is no scraper.
const AT_MOST: Duration = Duration::from_secs(10);

/// The service, if `[daemon]` wants one.
pub(super) fn service(daemon: &Reader<'_, '_>) -> Option<Service> {
    let item = daemon.text_or_number(Key::Metrics)?;
    if item.text == "off" {
        return None;
    }
    let listen = addresses(daemon, &item)?;
    let empty = Section::empty();
    let reader = Reader {
        context: daemon.context,
        section: &empty,
        owner: "[daemon]",
    };
    let who = account::of_daemon(&reader);
    Some(Service {
        name: METRICS.to_owned(),
        origin: daemon.context.origin(item.place),
        description: "OpenMetrics over HTTP".to_owned(),
        enabled: true,
        listen,
        run: Run::Builtin(Builtin {
            kind: BuiltinKind::Metrics {
                text: String::new(),
            },
            model: Model::Process,
            allow_reflection: false,
        }),
        wait: false,
        process: process::process(&reader, Some(who)),
        admission: Admission {
            max_connections: Some(CLIENTS),
            max_per_source: PerSource::Unlimited,
            over_limit: OverLimit::Refuse,
            ..admission::admission(&reader)
        },
        deadlines: Deadlines {
            timeout: Some(AT_MOST),
            ..deadlines(&reader, false)
        },
        socket: socket::options(&reader),
        banner: None,
        cache: None,
        proxy: None,
        transcript: None,
        log: LogSelection {
            start: false,
            exit: false,
            refuse: true,
        },
        log_tag: METRICS.to_owned(),
        log_to: None,
    })
}

fn addresses(daemon: &Reader<'_, '_>, item: &Item) -> Option<Vec<Address>> {
    let written = daemon.parsed(Key::Metrics, item, address::parse)?;
    let addresses = listen::lookup(daemon, Key::Metrics, item, &written, None);
    if addresses.iter().any(Address::is_datagram) {
        let problem = Problem::new("names an address of datagrams, and HTTP is a stream");
        let help = "write a TCP address: `\"127.0.0.1:9100\"`";
        daemon.refuse(Key::Metrics, item.place, problem.help(help));
        return None;
    }
    (!addresses.is_empty()).then_some(addresses)
}
