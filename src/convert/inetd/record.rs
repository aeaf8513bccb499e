//! A raw entry with its fields named, whether it was positional or made of pairs.

use super::address;
use super::fields;
use super::lines::{Body, Raw};
use super::translate::{LeftOut, Translator, why};
use crate::convert::note::Place;

/// An entry with its fields named, whatever shape it had.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) service: String,
    pub(super) address: Option<String>,
    pub(super) socket_type: String,
    pub(super) protocol: String,
    pub(super) wait: fields::Wait,
    pub(super) user: fields::User,
    /// `None`: built in.
    pub(super) server: Option<String>,
    /// The program's name first.
    pub(super) argv: Vec<String>,
    pub(super) accept_max: Option<u32>,
    pub(super) ip_max: Option<u32>,
    pub(super) buffers: Vec<(&'static str, String)>,
}

impl Translator<'_, '_> {
    pub(super) fn fields(&mut self, raw: &Raw) -> Result<Fields, LeftOut> {
        let mut fields = match &raw.body {
            Body::Positional(words) => self.positional(words)?,
            Body::Pairs(service, pairs) => self.pairs(service, pairs, &raw.place)?,
        };
        if fields.address.is_none() {
            fields.address.clone_from(&raw.default_address);
        }
        Ok(fields)
    }

    fn positional(&self, words: &[String]) -> Result<Fields, LeftOut> {
        let [
            service,
            socket_type,
            protocol,
            wait,
            user,
            server,
            argv @ ..,
        ] = words
        else {
            let name = words.first().map_or("?", String::as_str);
            return Err(why(
                name,
                format!(
                    "`{name}`: an entry has at least six fields, this has {}",
                    words.len()
                ),
            ));
        };
        // NetBSD: stream,MAX:FILTER
        let (socket_type, filter) = socket_type.split_once(':').unwrap_or((socket_type, ""));
        let (socket_type, max) = socket_type.split_once(',').unwrap_or((socket_type, ""));
        if !filter.is_empty() {
            return Err(why(
                service,
                format!("accept filter `{filter}` does not exist on Linux"),
            ));
        }
        let accept_max = match max {
            "" => None,
            max => Some(
                max.parse()
                    .map_err(|_| why(service, format!("`{max}` is no number of children")))?,
            ),
        };
        let internal = server == "internal";
        Ok(Fields {
            service: service.clone(),
            socket_type: socket_type.to_owned(),
            protocol: protocol.clone(),
            wait: fields::wait(wait, self.traits).map_err(|text| why(service, text))?,
            user: fields::user(user, self.traits),
            server: (!internal).then(|| server.clone()),
            argv: argv.to_vec(),
            accept_max,
            ..Fields::default()
        })
    }

    fn pairs(
        &mut self,
        service: &str,
        pairs: &[(String, Vec<String>)],
        place: &Place,
    ) -> Result<Fields, LeftOut> {
        let mut fields = Fields {
            service: service.to_owned(),
            ..Fields::default()
        };
        let mut seen: Vec<&str> = Vec::new();
        for (key, values) in pairs {
            if seen.contains(&key.as_str()) {
                return Err(why(
                    service,
                    format!("`{key}` is given twice, so inetd drops the entry"),
                ));
            }
            seen.push(key);
            if key == "args" {
                fields.argv.clone_from(values);
                continue;
            }
            let value = match values.as_slice() {
                [value] => value.as_str(),
                [] if key == "ipsec" => "",
                _ => return Err(why(service, format!("`{key}` takes one value"))),
            };
            let number = || {
                let bad = |_| why(service, format!("`{key} = {value}` is no number"));
                value.parse::<u32>().map(Some).map_err(bad)
            };
            match key.as_str() {
                "bind" => fields.address = Some(value.to_owned()),
                "socktype" => value.clone_into(&mut fields.socket_type),
                "protocol" => value.clone_into(&mut fields.protocol),
                "wait" => fields.wait.single = value == "yes",
                "accept_max" => fields.accept_max = number()?,
                "service_max" => fields.wait.per_minute = number()?,
                "ip_max" => fields.ip_max = number()?,
                "user" => value.clone_into(&mut fields.user.name),
                "group" => fields.user.group = Some(value.to_owned()),
                "exec" => fields.server = Some(value.to_owned()),
                "sndbuf" | "recvbuf" => {
                    let bad = || why(service, format!("`{key} = {value}` is no size"));
                    let key = if key == "sndbuf" {
                        "send_buffer"
                    } else {
                        "receive_buffer"
                    };
                    fields
                        .buffers
                        .push((key, address::size(value).ok_or_else(bad)?));
                }
                "ipsec" if value.is_empty() => {}
                "ipsec" => self
                    .session
                    .notes
                    .loss(place, format!("`ipsec = {value}` is not kept")),
                "acceptfilter" => {
                    return Err(why(
                        service,
                        format!("accept filter `{value}` does not exist on Linux"),
                    ));
                }
                _ => return Err(why(service, format!("`{key}` is no key of NetBSD's inetd"))),
            }
        }
        // An address literal decides the family of a plain `tcp`; without one NetBSD refuses the entry.
        if fields.socket_type.is_empty() {
            let stream = fields.protocol.starts_with("tcp");
            (if stream { "stream" } else { "dgram" }).clone_into(&mut fields.socket_type);
        }
        if fields.address.as_deref().is_some_and(|a| a.contains(':'))
            && matches!(fields.protocol.as_str(), "tcp" | "udp")
        {
            fields.protocol.push('6');
        }
        Ok(fields)
    }
}
