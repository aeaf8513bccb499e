//! Built-ins that answer datagrams from anywhere: a forged sender makes them answer a third host, or each other.

use super::Survey;
use crate::config::keys::Key;
use crate::service::{Address, BuiltinKind, Protocol, Run, Source};

pub(super) fn look(survey: &Survey<'_, '_, '_>) {
    let Run::Builtin(builtin) = &survey.service.run else {
        return;
    };
    if builtin.kind == BuiltinKind::Discard {
        return;
    }
    let allow = &survey.service.admission.allow;
    let is_open = allow
        .as_ref()
        .is_none_or(|allow| allow.contains(&Source::Any));
    // What the table says of reflection is told without a look at the world.
    if !is_open || builtin.allow_reflection {
        return;
    }
    let reachable = |address: &Address| matches!(address, Address::Inet { protocol: Protocol::Udp, socket, .. } if !socket.ip().is_loopback());
    let open = survey.service.listen.iter().zip(survey.places);
    if let Some((_, place)) = open.into_iter().find(|(address, _)| reachable(address)) {
        let title = format!(
            "{} answers datagrams of the whole world",
            survey.reader.subject(Key::Listen)
        );
        survey.warn_at(
            *place,
            title,
            "forged senders make it disturb others",
            "add `allow = [\"private\", \"loopback\"]`",
        );
    }
}
