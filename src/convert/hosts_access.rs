//! hosts.allow and hosts.deny (hosts_access(5), hosts_options(5)) for one daemon at a time.
//!
//! The first match decides, hosts.allow before hosts.deny, and nobody's match serves. Patterns on names, users and
//! netgroups need look-ups for each connection, which oxinetd does not do: each is a loss, told where it stands, and only
//! when a converted service is subject to it.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ipnet::IpNet;

use super::access::{MOST_PREFIXES, network};
use super::entry::base_name;
use super::files::{Files, decode, reason};
use super::note::{Notes, Place};

/// Both files.
#[derive(Debug, Default)]
pub(super) struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    place: Place,
    daemons: Vec<String>,
    clients: Vec<String>,
    /// True: a match serves.
    allow: bool,
    /// What the rule does besides.
    extra: Option<String>,
}

/// The rules for one daemon.
#[derive(Debug, Default)]
pub(super) struct Judge {
    rules: Vec<(bool, Matcher)>,
}

/// Addresses that a list of clients matches.
#[derive(Debug, Default)]
struct Matcher {
    all: bool,
    nets: Vec<IpNet>,
    except: Option<Box<Matcher>>,
}

impl Matcher {
    fn matches(&self, net: &IpNet) -> bool {
        let listed = self.all || self.nets.iter().any(|n| n.contains(net));
        listed && !self.except.as_ref().is_some_and(|e| e.matches(net))
    }

    fn collect(&self, into: &mut Vec<IpNet>) {
        into.extend(&self.nets);
        if let Some(except) = &self.except {
            except.collect(into);
        }
    }
}

impl Judge {
    /// All prefixes that the rules name.
    pub(super) fn prefixes(&self) -> Vec<IpNet> {
        let mut all = Vec::new();
        for (_, matcher) in &self.rules {
            matcher.collect(&mut all);
        }
        all
    }

    /// Whether a network, as far as no narrower prefix is named, is served.
    pub(super) fn serves(&self, net: &IpNet) -> bool {
        self.rules
            .iter()
            .find(|(_, m)| m.matches(net))
            .is_none_or(|(allow, _)| *allow)
    }
}

impl Rules {
    /// Reads both files. A missing one is an empty one, as for libwrap; `None`: both are missing.
    pub(super) fn read(
        files: &dyn Files,
        allow: &Path,
        deny: &Path,
        notes: &mut Notes,
    ) -> Option<Self> {
        let mut rules = Vec::new();
        let mut found = false;
        for (path, allows) in [(allow, true), (deny, false)] {
            match files.read(path) {
                Ok(bytes) => {
                    found = true;
                    match decode(&bytes) {
                        Ok(text) => parse(path, &text.lines, allows, &mut rules, notes),
                        Err(why) => notes.error(&Place::file(path), why),
                    }
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => notes.error(
                    &Place::file(path),
                    format!("cannot be read: {}", reason(&error)),
                ),
            }
        }
        found.then_some(Self(rules))
    }

    /// The rules that hold for a daemon.
    pub(super) fn for_daemon(&self, daemon: &str, files: &dyn Files, notes: &mut Notes) -> Judge {
        let mut judge = Judge::default();
        for rule in &self.0 {
            match daemon_matches(&rule.daemons, daemon) {
                Some(true) => {}
                Some(false) => continue,
                None => {
                    notes.loss(
                        &rule.place,
                        format!("`{daemon}`: the rule depends on the server's address (`@`)"),
                    );
                    continue;
                }
            }
            if let Some(extra) = &rule.extra {
                notes.note(
                    &rule.place,
                    format!("`{daemon}`: `{extra}` of this rule is not done here"),
                );
            }
            let mut reader = Reader {
                files,
                notes,
                place: &rule.place,
                depth: 0,
            };
            let matcher = reader.clients(&rule.clients);
            judge.rules.push((rule.allow, matcher));
        }
        if judge.prefixes().len() > MOST_PREFIXES {
            let place = Place::file(Path::new("hosts.allow"));
            notes.loss(
                &place,
                format!("`{daemon}`: more than {MOST_PREFIXES} addresses in the rules"),
            );
            return Judge::default();
        }
        judge
    }
}

/// `None`: it depends on something that is not known here.
fn daemon_matches(list: &[String], daemon: &str) -> Option<bool> {
    let (head, tail) = split_except(list);
    let mut listed = false;
    for pattern in head {
        if pattern == "ALL" || pattern.eq_ignore_ascii_case(daemon) {
            listed = true;
        } else if pattern
            .split('@')
            .next()
            .is_some_and(|p| p.eq_ignore_ascii_case(daemon) || p == "ALL")
        {
            return None;
        }
    }
    match tail {
        Some(tail) if listed => Some(!daemon_matches(tail, daemon)?),
        _ => Some(listed),
    }
}

/// `a b EXCEPT c EXCEPT d` is `a b` without (`c` without `d`).
fn split_except(list: &[String]) -> (&[String], Option<&[String]>) {
    match list.iter().position(|w| w.eq_ignore_ascii_case("EXCEPT")) {
        Some(at) => (list.get(..at).unwrap_or_default(), list.get(at + 1..)),
        None => (list, None),
    }
}

/// Makes a [`Matcher`] of client patterns.
struct Reader<'a> {
    files: &'a dyn Files,
    notes: &'a mut Notes,
    place: &'a Place,
    depth: u32,
}

impl Reader<'_> {
    fn clients(&mut self, list: &[String]) -> Matcher {
        let (head, tail) = split_except(list);
        let mut matcher = Matcher {
            all: head.iter().any(|p| p.eq_ignore_ascii_case("ALL")),
            ..Matcher::default()
        };
        // Next to ALL nothing else matters.
        for pattern in head.iter().filter(|_| !matcher.all) {
            self.client(pattern, &mut matcher.nets);
        }
        // The tail has fewer words than the list, so this ends; EXCEPT is rarely nested at all.
        matcher.except = tail.filter(|_| self.depth < 16).map(|tail| {
            self.depth += 1;
            let except = self.clients(tail);
            self.depth -= 1;
            Box::new(except)
        });
        matcher
    }

    fn client(&mut self, pattern: &str, nets: &mut Vec<IpNet>) {
        if let Some(net) = address(pattern) {
            nets.push(net);
        } else if pattern.eq_ignore_ascii_case("localhost") {
            nets.extend(
                ["127.0.0.1/32", "::1/128"]
                    .iter()
                    .filter_map(|n| n.parse::<IpNet>().ok()),
            );
        } else if pattern.starts_with('/') && self.depth == 0 {
            self.file(pattern, nets);
        } else {
            let why = match pattern.to_ascii_uppercase().as_str() {
                "LOCAL" | "KNOWN" | "UNKNOWN" | "PARANOID" => {
                    "needs a name look-up for each connection"
                }
                _ if pattern.starts_with('@') => "is a netgroup",
                _ if pattern.contains('@') => "needs an ident look-up",
                _ => "is a host name",
            };
            self.notes.loss(self.place, format!("`{pattern}` {why}"));
        }
    }

    fn file(&mut self, path: &str, nets: &mut Vec<IpNet>) {
        let text = match self.files.read(Path::new(path)) {
            Ok(bytes) => decode(&bytes).map_err(str::to_owned),
            Err(error) => Err(format!("cannot be read: {}", reason(&error))),
        };
        match text {
            Ok(text) => {
                self.depth += 1;
                let lines = text
                    .lines
                    .iter()
                    .filter(|l| !l.trim_start().starts_with('#'));
                for word in lines.flat_map(|l| l.split_whitespace()) {
                    self.client(word, nets);
                }
                self.depth -= 1;
            }
            Err(why) => self.notes.loss(self.place, format!("`{path}` {why}")),
        }
    }
}

/// Patterns of numbers: `192.0.2.7`, `192.0.2.`, `10.0.0.0/255.0.0.0`, `10.0.0.0/8`, `[2001:db8::]/32`.
fn address(pattern: &str) -> Option<IpNet> {
    if let Some(rest) = pattern.strip_prefix('[') {
        let (addr, length) = rest.split_once(']')?;
        let length = match length.strip_prefix('/') {
            Some(n) => Some(n.parse().ok()?),
            None if length.is_empty() => None,
            None => return None,
        };
        return network(addr.parse().ok()?, length);
    }
    if let Some(start) = pattern.strip_suffix('.') {
        let octets: Vec<u8> = start
            .split('.')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .ok()?;
        let length = u8::try_from(octets.len() * 8).ok().filter(|n| *n < 32)?;
        let mut full = [0; 4];
        full.iter_mut().zip(octets).for_each(|(f, o)| *f = o);
        return network(IpAddr::from(full), Some(length));
    }
    if let Some((addr, mask)) = pattern.split_once('/') {
        let addr: IpAddr = addr.parse().ok()?;
        let length = match mask.parse::<u8>() {
            Ok(length) => length,
            Err(_) => ipnet::ip_mask_to_prefix(mask.parse().ok()?).ok()?,
        };
        return network(addr, Some(length));
    }
    network(pattern.parse().ok()?, None)
}

/// Lines to rules. A backslash at the end of a line joins the next.
fn parse(path: &Path, lines: &[String], allows: bool, rules: &mut Vec<Rule>, notes: &mut Notes) {
    let file: Rc<Path> = Rc::from(path);
    let mut lines = lines.iter().zip(1..);
    while let Some((line, number)) = lines.next() {
        let mut logical = line.clone();
        while logical.ends_with('\\') {
            logical.pop();
            match lines.next() {
                Some((next, _)) => logical.push_str(next),
                None => break,
            }
        }
        let place = Place::new(&file, number);
        if logical.trim().is_empty() || logical.starts_with('#') {
            continue;
        }
        let fields = split_fields(&logical);
        let [daemons, clients, options @ ..] = fields.as_slice() else {
            notes.loss(&place, "this rule has no `:` and cannot be read");
            continue;
        };
        let words = |s: &str| -> Vec<String> {
            let words = s.split(|c: char| c.is_whitespace() || c == ',');
            words.filter(|w| !w.is_empty()).map(str::to_owned).collect()
        };
        let mut rule = Rule {
            place,
            daemons: words(daemons),
            clients: words(clients),
            allow: allows,
            extra: None,
        };
        for option in options {
            rule.option(option, notes);
        }
        rules.push(rule);
    }
}

impl Rule {
    fn option(&mut self, option: &str, notes: &mut Notes) {
        let option = option.trim();
        let word = option
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        match word.as_str() {
            "" | "severity" => {}
            "allow" | "grant" => self.allow = true,
            "deny" | "refuse" => self.allow = false,
            "twist" => {
                // Another program answers in place of the service: here nobody does.
                self.allow = false;
                self.extra = Some(option.to_owned());
            }
            "aclexec" => notes.loss(
                &self.place,
                "`aclexec`: a program decides about each client",
            ),
            _ => self.extra = Some(option.to_owned()),
        }
    }
}

/// At colons, but not at those within brackets or after a backslash.
fn split_fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let (mut inside, mut escaped) = (false, false);
    for c in line.chars() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            _ => {}
        }
        if c == ':' && !inside && !escaped {
            fields.push(String::new());
        } else if let Some(last) = fields.last_mut() {
            if escaped && c == ':' {
                last.pop();
            }
            last.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    fields
}

/// Where the rules are when nothing else is said.
pub(super) fn default_paths() -> (PathBuf, PathBuf) {
    (
        PathBuf::from("/etc/hosts.allow"),
        PathBuf::from("/etc/hosts.deny"),
    )
}

/// tcpd's idiom in inetd.conf: the server field is the wrapper, and the next word is the real program. Returns its
/// path; what libwrap knows it by is its base name.
pub(super) fn unfold_tcpd(wrapper: &str, program: &str) -> Option<String> {
    if base_name(wrapper) != "tcpd" || base_name(program) == "tcpd" {
        return None;
    }
    if program.starts_with('/') {
        return Some(program.to_owned());
    }
    // A relative name is looked up in tcpd's own directory.
    let directory = wrapper.rsplit_once('/').map_or("/usr/sbin", |(dir, _)| dir);
    Some(format!("{directory}/{program}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::access::{Families, Lists, lists};
    use crate::convert::files::Memory;

    const BOTH: Families = Families { v4: true, v6: true };

    fn translate(allow: &str, deny: &str, daemon: &str) -> (Lists, Vec<String>) {
        let files = Memory::default()
            .with("/a", allow)
            .with("/d", deny)
            .with("/list", "192.0.2.1\n#x\n10.\n");
        let mut notes = Notes::new(true);
        let rules = Rules::read(&files, Path::new("/a"), Path::new("/d"), &mut notes).unwrap();
        let judge = rules.for_daemon(daemon, &files, &mut notes);
        let lists = lists(&judge.prefixes(), BOTH, |net| judge.serves(net));
        (
            lists,
            notes.into_list().iter().map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn first_match_over_both_files() {
        for (allow, deny, expected_allow, expected_deny) in [
            ("", "", "", ""),
            ("", "ALL: ALL", "", "any"),
            ("in.ftpd: 10.", "ALL: ALL", "10.0.0.0/8", ""),
            (
                "other: 10.",
                "in.ftpd: 10.0.0.0/255.0.0.0",
                "",
                "10.0.0.0/8",
            ),
            ("ALL: localhost", "ALL: ALL", "127.0.0.1 ::1", ""),
            (
                "ALL: [2001:db8::]/32, 192.0.2.7",
                "ALL: ALL",
                "192.0.2.7 2001:db8::/32",
                "",
            ),
            ("ALL EXCEPT in.ftpd: ALL", "in.ftpd: ALL", "", "any"),
            (
                "ALL: 10. EXCEPT 10.1.",
                "ALL: ALL",
                "10.0.0.0/8",
                "10.1.0.0/16",
            ),
            (
                "ALL: 10. EXCEPT 10.1. EXCEPT 10.1.2.",
                "ALL: ALL",
                "10.0.0.0/8 10.1.2.0/24",
                "10.1.0.0/16",
            ),
            ("ALL: ALL : deny", "", "", "any"),
            ("ALL: /list", "ALL: ALL", "10.0.0.0/8 192.0.2.1", ""),
            ("ALL: \\\n 10.", "ALL: ALL", "10.0.0.0/8", ""),
        ] {
            let (lists, notes) = translate(allow, deny, "in.ftpd");
            let words = |l: Option<Vec<String>>| l.unwrap_or_default().join(" ");
            assert_eq!(words(lists.allow), expected_allow, "{allow} / {deny}");
            assert_eq!(words(lists.deny), expected_deny, "{allow} / {deny}");
            assert_eq!(notes, [""; 0], "{allow} / {deny}");
        }
    }

    #[test]
    fn what_needs_a_look_up_is_a_loss_at_its_line() {
        for (allow, said) in [
            ("ALL: .example.org", "/a:1: `.example.org` is a host name"),
            ("\nALL: PARANOID", "/a:2: `PARANOID` needs a name look-up"),
            ("in.ftpd@10.0.0.1: ALL", "depends on the server's address"),
            ("ALL: @trusted", "is a netgroup"),
            ("ALL: root@10.0.0.1", "needs an ident look-up"),
            (
                "ALL: 10. : spawn /bin/true",
                "`spawn /bin/true` of this rule is not done",
            ),
            ("no colon", "has no `:`"),
            ("ALL: /missing", "cannot be read"),
        ] {
            let (_, notes) = translate(allow, "", "in.ftpd");
            assert!(notes.iter().any(|n| n.contains(said)), "{allow}: {notes:?}");
        }
        // A rule for somebody else is nobody's loss.
        assert_eq!(translate("sshd: .example.org", "", "in.ftpd").1, [""; 0]);
    }

    #[test]
    fn tcpd_is_unfolded() {
        for (wrapper, program, expected) in [
            ("/usr/sbin/tcpd", "in.ftpd", Some("/usr/sbin/in.ftpd")),
            ("/usr/sbin/tcpd", "/opt/x", Some("/opt/x")),
            ("tcpd", "in.ftpd", Some("/usr/sbin/in.ftpd")),
            ("/usr/sbin/in.ftpd", "in.ftpd", None),
        ] {
            assert_eq!(unfold_tcpd(wrapper, program).as_deref(), expected);
        }
    }
}
