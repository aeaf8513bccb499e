//! Raw entries of an inetd.conf to services of ours.

use super::address::{self, Transport};
use super::lines::{Body, Raw};
use super::{Dialect, Traits, fields};
use crate::convert::entry::{Entry, Value, base_name};
use crate::convert::hosts_access::unfold_tcpd;
use crate::convert::note::Place;
use crate::convert::services::is_builtin;
use crate::convert::session::Session;

/// Translates the entries of one file.
pub(super) struct Translator<'a, 'b> {
    session: &'a mut Session<'b>,
    traits: Traits,
    /// The file was read as Latin-1.
    latin1: bool,
    /// It was said, or need not be said, that `tcp` was taken for IPv4.
    told_family: bool,
}

/// An entry with its fields named, whatever shape it had.
#[derive(Debug, Default)]
struct Fields {
    service: String,
    address: Option<String>,
    socket_type: String,
    protocol: String,
    wait: fields::Wait,
    user: fields::User,
    /// `None`: built in.
    server: Option<String>,
    /// The program's name first.
    argv: Vec<String>,
    accept_max: Option<u32>,
    ip_max: Option<u32>,
    buffers: Vec<(&'static str, String)>,
}

/// Why an entry is left out: a word for the summary, and the reason.
type LeftOut = (String, String);

fn why(kind: &str, text: impl Into<String>) -> LeftOut {
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

    fn fields(&mut self, raw: &Raw) -> Result<Fields, LeftOut> {
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

    fn listen(
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

    /// What is run and as whom. Returns the daemon name when libwrap judged its clients.
    fn program(
        &mut self,
        entry: &mut Entry,
        fields: &Fields,
        datagram: bool,
    ) -> Result<Option<String>, LeftOut> {
        let Some(server) = &fields.server else {
            return self.builtin(entry, fields, datagram).map(|()| None);
        };
        if datagram && !fields.wait.single {
            let text = if self.traits.is(Dialect::Busybox) {
                "busybox gives each sender a socket of its own here; a UDP program needs `wait` in oxinetd"
            } else {
                "a UDP program needs `wait`, so the old inetd refused this line"
            };
            return Err(why("udp nowait", text));
        }
        self.account(entry, fields);
        let most = self.traits.most_words.unwrap_or(usize::MAX);
        if fields.argv.len() > most {
            let text = format!(
                "the old inetd passed only {most} words to the program, here it gets all of them"
            );
            self.session.notes.note(&entry.place, text);
        }
        if fields.argv.iter().any(|w| w == "#" || w.starts_with('#')) {
            self.session.notes.note(
                &entry.place,
                "`#` within a line begins no comment: the words are arguments",
            );
        }
        let first = fields.argv.first().map_or(server.as_str(), String::as_str);
        let arguments = fields.argv.get(1..).unwrap_or_default();
        if let Some(program) = unfold_tcpd(server, first) {
            let daemon = base_name(&program).to_owned();
            entry.set_command(&program, &daemon, arguments);
            return Ok(Some(daemon));
        }
        let argv0 = match fields.argv.first() {
            Some(argv0) => argv0.as_str(),
            // busybox passes the whole path, the others the base name; FreeBSD and NetBSD want the word.
            None if self.traits.is(Dialect::Busybox) => server,
            None => base_name(server),
        };
        self.check_path(entry, server)?;
        entry.set_command(server, argv0, arguments);
        let judges = self.traits.is(Dialect::NetBsd) && !datagram && !fields.wait.single;
        Ok(judges.then(|| base_name(argv0).to_owned()))
    }

    /// Relative programs: busybox searches PATH, as we do; the others looked in the directory they were started in.
    fn check_path(&mut self, entry: &Entry, server: &str) -> Result<(), LeftOut> {
        if server.contains("%{") {
            return Err(why(
                &entry.name,
                format!("`{server}`: a program's path cannot hold `%{{`"),
            ));
        }
        if server.starts_with('/') {
            return Ok(());
        }
        let searches = matches!(self.traits.dialect, Some(Dialect::Busybox) | None);
        if !searches || server.contains('/') {
            let text =
                format!("`{server}` is no absolute path, and inetd's own directory is not known");
            return Err(why(&entry.name, text));
        }
        let text = format!(
            "`{server}` is no absolute path: busybox searches PATH for it, and so does oxinetd"
        );
        self.session.notes.note(&entry.place, text);
        Ok(())
    }

    fn builtin(
        &mut self,
        entry: &mut Entry,
        fields: &Fields,
        datagram: bool,
    ) -> Result<(), LeftOut> {
        let name = entry.name.clone();
        if !is_builtin(&name) {
            let text = match name.as_str() {
                "tcpmux" => "oxinetd does not offer TCPMUX".to_owned(),
                "auth" | "ident" => {
                    "oxinetd has no ident service; an identd can be run as a `command`".to_owned()
                }
                _ => format!("inetd has no built-in service `{name}`"),
            };
            return Err(why(&name, text));
        }
        if datagram && ["chargen", "daytime", "time"].contains(&name.as_str()) {
            entry.set("allow_reflection", true);
        }
        // Only those that fork are counted.
        let forks = !datagram
            && (self.traits.is(Dialect::FreeBsd) || !["daytime", "time"].contains(&name.as_str()));
        if !forks && fields.wait.per_minute.is_none() {
            entry.set("rate", "off");
        }
        entry.set("builtin", name);
        Ok(())
    }

    fn account(&mut self, entry: &mut Entry, fields: &Fields) {
        let user = &fields.user;
        entry.set("user", user.name.clone());
        if let Some(group) = &user.group {
            if self.traits.is(Dialect::Inetutils) && user.name == "root" {
                let text = format!("GNU inetd ignores the group `{group}` of root");
                self.session.notes.note(&entry.place, text);
            } else {
                entry.set("group", group.clone());
            }
        }
        if let Some(class) = &user.class {
            let text = format!(
                "login class `{class}`: write its limits, priority, umask and environment as keys"
            );
            self.session.notes.loss(&entry.place, text);
        }
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::convert::{Kind, Memory, Options, Outcome, convert};

    fn run(text: &str, dialect: Option<Dialect>, lossy: bool) -> Outcome {
        let files = Memory::default()
            .with("/etc/inetd.conf", text)
            .with("/etc/hosts.allow", "in.ftpd: 10.\n")
            .with("/etc/hosts.deny", "ALL: ALL\n")
            .with(
                "/etc/services",
                "ftp 21/tcp\nx 1000/tcp\nx 1000/udp\ntime 37/udp\necho 7/tcp\necho 7/udp\n",
            );
        let options = Options {
            from: Some(Kind::Inetd(dialect)),
            lossy,
            ..Options::default()
        };
        convert(&options, &files, &[PathBuf::from("/etc/inetd.conf")])
    }

    #[test]
    fn one_line_one_service() {
        use Dialect::{Busybox, Debian, FreeBsd, Inetutils, NetBsd, OpenBsd};
        for (line, dialect, expected) in [
            (
                "x stream tcp nowait daemon /bin/x x -a",
                OpenBsd,
                "listen = \"tcp4:x\"\ncommand = \"/bin/x -a\"\nuser = \"daemon\"",
            ),
            (
                "x stream tcp nowait daemon /bin/x",
                Busybox,
                "argv0 = \"/bin/x\"",
            ),
            (
                "x stream tcp nowait daemon /bin/x",
                Debian,
                "command = \"/bin/x\"\nuser",
            ),
            (
                "x stream tcp wait root /bin/x y",
                Debian,
                "argv0 = \"y\"\nwait = true",
            ),
            (
                "x stream tcp nowait.40 a.b /bin/x",
                Debian,
                "group = \"b\"\nrate = \"40/min\"",
            ),
            (
                "x stream tcp nowait/10/20/5 a:b /bin/x x",
                FreeBsd,
                "max_connections = 10\nmax_per_source = 5\nrate_per_source = \"20/min\"",
            ),
            (
                "x stream,7 tcp,rcvbuf=16k nowait root /bin/in.ftpd in.ftpd",
                NetBsd,
                "allow = [\"10.0.0.0/8\"]\nmax_connections = 7\nover_limit = \"queue\"\nreceive_buffer = \"16K\"",
            ),
            (
                "ftp stream tcp nowait root /usr/sbin/tcpd in.ftpd -l",
                OpenBsd,
                "command = \"/usr/sbin/in.ftpd -l\"\nuser = \"root\"\nallow = [\"10.0.0.0/8\"]",
            ),
            (
                "x stream tcp nowait root /usr/sbin/tcpd other",
                OpenBsd,
                "deny = [\"any\"]",
            ),
            (
                "x on protocol = tcp46, wait = no, user = u, group = g, exec = /bin/in.ftpd, args = in.ftpd \"a b\", service_max = 5, ip_max = 3;",
                NetBsd,
                "command = [\"/bin/in.ftpd\", \"a b\"]\nuser = \"u\"\ngroup = \"g\"\nallow = [\"10.0.0.0/8\"]\nrate = \"5/min\"\nrate_per_source = \"3/min\"",
            ),
            (
                "time dgram udp wait root internal",
                OpenBsd,
                "listen = \"udp4:time\"\nbuiltin = \"time\"\nallow_reflection = true\n",
            ),
            (
                "echo stream tcp nowait root internal",
                Inetutils,
                "listen = \"tcp4:echo\"\nbuiltin = \"echo\"\n",
            ),
            (
                "/run/x stream unix wait root /bin/x x",
                OpenBsd,
                "listen = \"unix:/run/x\"",
            ),
            (
                ":u:g:660:/run/x stream unix nowait root /bin/x x",
                FreeBsd,
                "socket_user = \"u\"\nsocket_group = \"g\"\nsocket_mode = \"0660\"",
            ),
            (
                "#<off># x stream tcp nowait root /bin/x",
                Debian,
                "enabled = false",
            ),
            (
                "x stream tcp nowait root /bin/x x\n\t-a -b",
                OpenBsd,
                "command = \"/bin/x -a -b\"",
            ),
        ] {
            // Two services, so that nothing common moves to [defaults].
            let out = run(
                &format!("echo dgram udp wait root internal\n{line}"),
                Some(dialect),
                false,
            );
            assert!(
                out.exit != 1 && out.toml.contains(expected),
                "{line}\n{}\n{:?}",
                out.toml,
                out.notes
            );
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn what_cannot_be_kept_is_told_at_its_line() {
        use Dialect::{Busybox, Debian, FreeBsd, NetBsd};
        let good = "x stream tcp nowait root /bin/x x\n";
        for (line, dialect, exit, said) in [
            (
                "rstatd/1-3 dgram rpc/udp wait root /bin/r r",
                Debian,
                2,
                ":2: `rpc/udp`: oxinetd does not offer Sun RPC: left out",
            ),
            (
                "tcpmux/+x stream tcp nowait root /bin/x x",
                FreeBsd,
                2,
                "TCPMUX: left out",
            ),
            (
                "auth stream tcp nowait root internal auth -r",
                FreeBsd,
                2,
                "no ident service",
            ),
            (
                "x stream tcp nowait root/daemon /bin/x x",
                FreeBsd,
                1,
                "login class `daemon`",
            ),
            ("#@ in ipsec ah/require", FreeBsd, 1, "IPsec policy"),
            (
                "x dgram udp nowait root /bin/x x",
                Busybox,
                2,
                "a socket of its own",
            ),
            (
                "x dgram udp nowait root /bin/x x",
                Debian,
                2,
                "the old inetd refused this line",
            ),
            (
                "omni stream tcp nowait root /bin/x",
                Debian,
                2,
                "`omni` is not in /etc/services",
            ),
            (
                "telnet stream tcp nowait root /bin/x",
                Debian,
                2,
                "written as 23",
            ),
            ("x raw tcp nowait root /bin/x", Debian, 2, "`raw` sockets"),
            (
                "x stream udp nowait root /bin/x",
                Debian,
                2,
                "do not go together",
            ),
            (
                "x stream tcp nowait root",
                Debian,
                2,
                "at least six fields, this has 5",
            ),
            (
                "x stream tcp nowait root /bin/x%{id}",
                Debian,
                2,
                "cannot hold `%{`",
            ),
            (
                "x stream tcp nowait root ftpd ftpd /",
                Debian,
                2,
                "no absolute path",
            ),
            (
                "x stream tcp nowait root /bin/x x a # b",
                Debian,
                2,
                "begins no comment",
            ),
            (
                "x stream:dataready tcp nowait root /bin/x x",
                NetBsd,
                2,
                "accept filter",
            ),
            (
                "x on protocol = tcp, wait = no, user = u, ip_max = 0, exec = /bin/in.ftpd;",
                NetBsd,
                2,
                "lets nobody in",
            ),
            (
                "x on protocol = udp, wait = yes, user = u, ip_max = 3, exec = /bin/x;",
                NetBsd,
                1,
                "cannot be kept for a `wait`",
            ),
            (
                "x on protocol = tcp, what = 1;",
                NetBsd,
                2,
                "no key of NetBSD's",
            ),
        ] {
            let out = run(&format!("{good}{line}\n"), Some(dialect), false);
            assert_eq!(out.exit, exit, "{line}: {:?}", out.notes);
            assert!(
                out.notes.iter().any(|n| n.to_string().contains(said)),
                "{line}: {:?}",
                out.notes
            );
            assert_eq!(out.toml.is_empty(), exit == 1, "{line}");
            assert_eq!(
                run(&format!("{good}{line}\n"), Some(dialect), true).exit,
                2,
                "lossy: {line}"
            );
        }
    }

    #[test]
    fn an_unknown_dialect_is_never_silent_about_tcp() {
        let out = run("x stream tcp nowait root /bin/x\n", None, false);
        assert!(
            out.notes[0].text.contains("--from debian"),
            "{:?}",
            out.notes
        );
        assert!(out.toml.contains("tcp4:x"));
        let paired = "x stream tcp nowait root /bin/x\nx stream tcp6 nowait root /bin/x\n";
        assert_eq!(run(paired, None, false).exit, 0);
    }

    #[test]
    fn exact_files_say_nothing() {
        let out = run(
            "x stream tcp4 nowait root /bin/x x\necho dgram udp4 wait root internal\n",
            None,
            false,
        );
        assert_eq!(
            (out.exit, out.summary.as_str()),
            (0, "converted 2 entries: 2 exact"),
            "{:?}",
            out.notes
        );
    }
}
