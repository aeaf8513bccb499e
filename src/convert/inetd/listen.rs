//! Where a service of inetd listens, as keys of ours.

use super::Dialect;
use super::address::{self, Transport};
use super::record::Fields;
use super::translate::{LeftOut, Translator, why};
use crate::convert::entry::Entry;
use crate::convert::note::Place;

impl Translator<'_, '_> {
    pub(super) fn listen(
        &mut self,
        entry: &mut Entry,
        fields: &Fields,
        protocol: &address::Protocol,
        service: address::Service,
    ) -> Result<(), LeftOut> {
        for (key, size) in protocol.buffers.iter().chain(&fields.buffers) {
            entry.set(key, size.clone());
        }
        if protocol.transport == Transport::Unix {
            return self.listen_unix(entry, fields, service);
        }
        let base = if protocol.transport == Transport::Udp {
            "udp"
        } else {
            "tcp"
        };
        let port = self
            .session
            .port(&service.name, base, &entry.place)
            .map_err(|text| why(&service.name, text))?;
        let listen = address::listen(protocol, &service.hosts, &port);
        let (places, wrong) = listen.map_err(|text| why(&fields.service, text))?;
        for text in wrong {
            self.session.notes.note(
                &entry.place,
                format!("{text}, so the old inetd did not listen there: left out"),
            );
        }
        if protocol.guessed && service.hosts.is_empty() && !self.told_family {
            self.told_family = true;
            let text = format!(
                "nothing shows whose inetd.conf this is: `{base}` was taken for IPv4, as all inetds but Debian's do; \
                 if it was Debian's, say --from debian"
            );
            let file = Place {
                line: 0,
                ..entry.place.clone()
            };
            self.session.notes.note(&file, text);
        }
        let six = fields
            .protocol
            .split(',')
            .next()
            .is_some_and(|p| ["tcp6", "udp6"].contains(&p));
        if self.traits.is(Dialect::Inetutils) && six && service.hosts.is_empty() {
            let text = "GNU inetd 2.4 and its manual serve IPv4 on this line too, later ones only IPv6, and so does the \
                        table: drop the `6` from `listen` for both";
            self.session.notes.note(&entry.place, text);
        }
        match <[String; 1]>::try_from(places) {
            Ok([one]) => entry.set("listen", one),
            Err(many) => entry.set("listen", many),
        }
        Ok(())
    }

    fn listen_unix(
        &mut self,
        entry: &mut Entry,
        fields: &Fields,
        service: address::Service,
    ) -> Result<(), LeftOut> {
        if !service.name.starts_with('/') {
            let text = format!("`{}` is no absolute path of a unix socket", service.name);
            return Err(why(&fields.service, text));
        }
        let kind = match fields.socket_type.as_str() {
            "dgram" => "unix-dgram",
            "seqpacket" => "unix-seqpacket",
            _ => "unix",
        };
        entry.set("listen", format!("{kind}:{}", service.name));
        let mode = |text: &str| {
            u32::from_str_radix(text, 8)
                .ok()
                .filter(|m| *m <= 0o777)
                .map(|m| format!("{m:04o}"))
        };
        match (self.traits.dialect, service.owner) {
            (_, Some((user, group, text))) => {
                let bad = || why(&fields.service, format!("`{text}` is no mode"));
                entry.set("socket_mode", mode(&text).ok_or_else(bad)?);
                for (key, value) in [("socket_user", user), ("socket_group", group)] {
                    if !value.is_empty() {
                        entry.set(key, value);
                    }
                }
            }
            (Some(Dialect::FreeBsd), None) => entry.set("socket_mode", "0200"),
            // These set a umask of 0111 for it: our default.
            (Some(Dialect::OpenBsd | Dialect::Debian), None) => {}
            (_, None) => {
                entry.set("socket_mode", "0755");
                let text = "who could use the socket hung on inetd's umask: 0755 is written, which is that of 022";
                self.session.notes.note(&entry.place, text);
            }
        }
        Ok(())
    }
}
