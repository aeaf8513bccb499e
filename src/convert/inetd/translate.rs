//! Raw entries of an inetd.conf to services of ours.

use super::address::{self, Transport};
use super::lines::{Body, Raw};
use super::record::Fields;
use super::{Dialect, Traits};
use crate::convert::entry::{Entry, Value};
use crate::convert::session::Session;

/// Translates the entries of one file.
pub(super) struct Translator<'a, 'b> {
    pub(super) session: &'a mut Session<'b>,
    pub(super) traits: Traits,
    /// The file was read as Latin-1.
    latin1: bool,
    /// It was said, or need not be said, that `tcp` was taken for IPv4.
    pub(super) told_family: bool,
}

/// Why an entry is left out: a word for the summary, and the reason.
pub(super) type LeftOut = (String, String);

pub(super) fn why(kind: &str, text: impl Into<String>) -> LeftOut {
    (kind.to_owned(), text.into())
}

impl<'a, 'b> Translator<'a, 'b> {
    /// `paired`: the file has lines for IPv6 of their own, so its `tcp` cannot mean both.
    pub(super) fn new(
        session: &'a mut Session<'b>,
        traits: Traits,
        latin1: bool,
        paired: bool,
    ) -> Self {
        Self {
            session,
            traits,
            latin1,
            told_family: paired,
        }
    }

    /// Translates one entry, or says why not.
    pub(super) fn entry(&mut self, raw: &Raw) {
        let place = raw.place.clone();
        let translated = self
            .fields(raw)
            .and_then(|fields| self.translate(raw, &fields));
        match translated {
            Ok(entry) => {
                let foreign = |l: &String| !l.is_ascii();
                if self.latin1 && raw.original.iter().any(foreign) {
                    let text = "this line is not UTF-8: it was read as Latin-1 and is UTF-8 now";
                    self.session.notes.note(&place, text);
                }
                self.session.entries.push(entry);
            }
            Err((kind, text)) => self.session.leave_out(&place, &raw.original, &kind, &text),
        }
    }

    fn translate(&mut self, raw: &Raw, fields: &Fields) -> Result<Entry, LeftOut> {
        let name = fields.service.rsplit([':', '/']).next().unwrap_or_default();
        if fields.service.starts_with("tcpmux/") {
            return Err(why(
                "tcpmux",
                format!("`{}`: oxinetd does not offer TCPMUX", fields.service),
            ));
        }
        let protocol = address::protocol(&fields.protocol, self.traits)?;
        let service = address::service(&fields.service, fields.address.as_deref());
        let datagram = match fields.socket_type.as_str() {
            "stream" => false,
            "dgram" => true,
            "seqpacket" if protocol.transport == Transport::Unix => false,
            other => return Err(why(other, format!("`{other}` sockets are not offered"))),
        };
        if datagram == (protocol.transport == Transport::Tcp)
            && protocol.transport != Transport::Unix
        {
            let text = format!(
                "`{}` and `{}` do not go together",
                fields.socket_type, fields.protocol
            );
            return Err(why(&fields.service, text));
        }
        let mut entry = Entry::new(name, &raw.place);
        fields
            .protocol
            .split(',')
            .next()
            .unwrap_or_default()
            .clone_into(&mut entry.variant);
        entry.last_line = raw.last_line;
        entry.original.clone_from(&raw.original);
        entry.enabled = !raw.off;

        self.listen(&mut entry, fields, &protocol, service)?;
        let judged = self.program(&mut entry, fields, datagram)?;
        if fields.wait.single && fields.server.is_some() {
            entry.set("wait", true);
        }
        self.limits(&mut entry, fields, datagram);
        if let Some(daemon) = judged {
            let judge = self.session.judge(&daemon, &raw.place);
            Session::restrict(&mut entry, protocol.families, (&[], &|_| true), &judge);
        }
        Ok(entry)
    }

    fn limits(&mut self, entry: &mut Entry, fields: &Fields, datagram: bool) {
        let wait = &fields.wait;
        let place = entry.place.clone();
        if let Some(n) = wait.per_minute {
            if n == 0 && self.traits.is(Dialect::Busybox) {
                entry.set("rate", "off");
            } else if n == 0 {
                self.nobody(entry, "a limit of 0 starts a minute lets nobody in");
            } else {
                entry.set("rate", format!("{n}/min"));
                let text = format!(
                    "above {n} starts a minute the old inetd {}; here `rate = \"{n}/min\"` sheds and continues",
                    self.traits.at_the_limit
                );
                self.session.notes.note(&place, text);
            }
        }
        let children = wait.children.or(fields.accept_max);
        if let Some(n) = children.filter(|n| *n > 0 && !wait.single && !datagram) {
            entry.set("max_connections", Value::Number(n.into()));
            // Further clients wait for a child to end.
            entry.set("over_limit", "queue");
        }
        match wait.source_per_minute.filter(|n| *n > 0).or(fields.ip_max) {
            Some(0) => self.nobody(
                entry,
                "a limit of 0 starts a minute and source lets nobody in",
            ),
            Some(n) if wait.single => {
                let text = format!(
                    "at most {n} starts a minute for one source cannot be kept for a `wait` service"
                );
                self.session.notes.loss(&place, text);
            }
            Some(n) => entry.set("rate_per_source", format!("{n}/min")),
            None => {}
        }
        if let Some(n) = wait.source_children.filter(|n| *n > 0 && !wait.single) {
            entry.set("max_per_source", Value::Number(n.into()));
        }
    }

    fn nobody(&mut self, entry: &mut Entry, text: &str) {
        entry.enabled = false;
        self.session.notes.note(
            &entry.place,
            format!("{text}: written as `enabled = false`"),
        );
    }
}

/// True when the entries have lines for IPv6 of their own.
pub(super) fn has_ipv6_lines(raws: &[Raw]) -> bool {
    raws.iter().any(|raw| match &raw.body {
        Body::Positional(words) => words
            .get(2)
            .is_some_and(|p| matches!(p.as_str(), "tcp6" | "udp6")),
        Body::Pairs(..) => false,
    })
}
