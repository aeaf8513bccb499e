//! What a service of inetd runs, and as whom.

use super::Dialect;
use super::record::Fields;
use super::translate::{LeftOut, Translator, why};
use crate::convert::entry::{Entry, base_name};
use crate::convert::hosts_access::unfold_tcpd;
use crate::convert::services::is_builtin;

impl Translator<'_, '_> {
    /// What is run and as whom. Returns the daemon name when libwrap judged its clients.
    pub(super) fn program(
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
}
