//! Two services on one address.
//!
//! Invariant: each address costs a few look-ups, however many there are. Linux refuses the second of two listeners when
//! they share a port and one of them is a wildcard of the family or both have the same address; `reuse_port` on both
//! allows it. Disabled services and port 0 take nothing.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::Context;
use crate::config::diagnostic::{Code, Diagnostic, shown};
use crate::config::raw::RawService;
use crate::config::source::Place;
use crate::service::{Address, Protocol, Service};

/// Who has taken what so far.
#[derive(Default)]
pub(super) struct Taken {
    exact: HashMap<String, Holder>,
    wildcard: HashMap<Wildcard, Holder>,
    specific: HashMap<Wildcard, Holder>,
}

/// All addresses of one family on a port of an interface.
type Wildcard = (Protocol, u16, bool, Option<String>);

#[derive(Clone)]
struct Holder {
    service: String,
    place: Place,
    address: String,
    reuse: bool,
}

impl Taken {
    /// Adds the addresses of a service; what is taken already is reported.
    pub(super) fn add(
        &mut self,
        context: &Context<'_>,
        service: &Service,
        places: &[Place],
        raw: &RawService<'_>,
    ) {
        if !service.enabled {
            return;
        }
        for (address, place) in service.listen.iter().zip(places) {
            let holder = Holder {
                service: raw.name.to_owned(),
                place: *place,
                address: address.to_string(),
                reuse: service.socket.reuse_port,
            };
            if let Some(other) = self.take(address, service, &holder) {
                report(context, &holder, &other);
            }
        }
    }

    /// Records the address and tells who had it before.
    fn take(&mut self, address: &Address, service: &Service, holder: &Holder) -> Option<Holder> {
        let Address::Inet {
            protocol,
            socket,
            dual_stack,
        } = address
        else {
            let other = self.exact.get(&holder.address).cloned();
            self.exact
                .entry(holder.address.clone())
                .or_insert_with(|| holder.clone());
            return other;
        };
        if socket.port() == 0 {
            return None;
        }
        let device = service.socket.bind_device.clone();
        let key = |v6: bool| (*protocol, socket.port(), v6, device.clone());
        let families = match socket {
            SocketAddr::V4(_) => vec![key(false)],
            SocketAddr::V6(_) if *dual_stack => vec![key(true), key(false)],
            SocketAddr::V6(_) => vec![key(true)],
        };
        let exact = format!("{} {device:?}", holder.address);
        let is_wildcard = socket.ip().is_unspecified();
        let mut others = vec![self.exact.get(&exact)];
        for family in &families {
            others.push(self.wildcard.get(family));
            if is_wildcard {
                others.push(self.specific.get(family));
            }
        }
        let other = others
            .into_iter()
            .flatten()
            .find(|other| !(other.reuse && holder.reuse))
            .cloned();
        self.exact.entry(exact).or_insert_with(|| holder.clone());
        let table = if is_wildcard {
            &mut self.wildcard
        } else {
            &mut self.specific
        };
        for family in families {
            table.entry(family).or_insert_with(|| holder.clone());
        }
        other
    }
}

fn report(context: &Context<'_>, holder: &Holder, other: &Holder) {
    if other.service == holder.service {
        let title = format!(
            "service `{}` lists {} twice",
            shown(&holder.service),
            other.address
        );
        let problem =
            Diagnostic::error(Code::Address, holder.place, title).help("leave one of them out");
        context.report(if other.place == holder.place {
            problem.label("names the same address twice")
        } else {
            problem.label("here").context(other.place, "and here")
        });
        return;
    }
    let title = if holder.address == other.address {
        format!("two services want {}", holder.address)
    } else {
        format!(
            "two services want addresses that overlap: {} and {}",
            holder.address, other.address
        )
    };
    context.report(
        Diagnostic::error(Code::Address, holder.place, title)
            .label("here")
            .context(
                other.place,
                format!("and in service `{}`", shown(&other.service)),
            )
            .help(format!(
                "bind {}, or set `enabled = false`",
                if other.address.contains('*') {
                    "one of them to a single address"
                } else {
                    "one of them to another port or address"
                }
            )),
    );
}
