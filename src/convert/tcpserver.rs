//! Command lines of tcpserver and tcpsvd, as they stand in run scripts.
//!
//! A script is a program; only what is one plain command is understood: `exec`, variables, `env`, `setuidgid` and
//! `softlimit` before the server, quotes, continued lines. A line with more of the shell in it is left out, with its reason.

use std::rc::Rc;

use super::Format;
use super::access::is_host_name;
use super::entry::{Entry, Value, base_name, literal};
use super::inetd::split_like_systemd;
use super::note::Place;
use super::session::{Session, Source};

const SERVERS: [&str; 2] = ["tcpserver", "tcpsvd"];

/// True for a line that starts one of the servers.
pub(super) fn looks_like_command(line: &str) -> bool {
    line.split_whitespace()
        .any(|word| SERVERS.contains(&base_name(word)))
}

/// Reads all scripts.
pub(super) fn read(session: &mut Session<'_>, sources: Vec<Source>) -> Format {
    for source in sources {
        let file = Rc::from(source.path.as_path());
        // A run script lies in the directory that is named for its service.
        let directory = source.path.parent().and_then(|p| p.file_name());
        let is_run = source.path.file_name().is_some_and(|n| n == "run");
        let name = directory
            .filter(|_| is_run)
            .map(|n| n.to_string_lossy().into_owned());
        let before = session.entries.len() + session.notes.entries_left_out().len();
        let mut lines = source.text.lines.iter().zip(1..);
        while let Some((line, number)) = lines.next() {
            let mut original = vec![line.clone()];
            let mut command = line.clone();
            while command.ends_with('\\') {
                command.pop();
                command.push(' ');
                let Some((next, _)) = lines.next() else { break };
                command.push_str(next);
                original.push(next.clone());
            }
            if command.trim_start().starts_with('#') || !looks_like_command(&command) {
                continue;
            }
            let place = Place::new(&file, number);
            match translate(session, &command, name.as_deref(), &place) {
                Ok(mut entry) => {
                    entry.last_line = number + u32::try_from(original.len()).unwrap_or(1) - 1;
                    entry.original = original;
                    session.entries.push(entry);
                }
                Err(why) => session.leave_out(&place, &original, "command line", &why),
            }
        }
        let after = session.entries.len() + session.notes.entries_left_out().len();
        if after == before && !source.text.lines.is_empty() {
            let text = "there is no command line of tcpserver or tcpsvd in it";
            session
                .notes
                .left_out(&Place::file(&source.path), "no command line", text);
        }
    }
    Format {
        name: "command lines of tcpserver and tcpsvd".to_owned(),
        baseline: vec![
            ("sandbox", "none".into()),
            ("stderr", "inherit".into()),
            ("max_per_source", "unlimited".into()),
            ("over_limit", "queue".into()),
        ],
        remarks: &[
            "The server handed its own environment to the program; here it is a clean one (`pass_env`).",
        ],
        later_wins: false,
    }
}

fn translate(
    session: &mut Session<'_>,
    line: &str,
    name: Option<&str>,
    place: &Place,
) -> Result<Entry, String> {
    let line = line.trim().trim_end_matches("2>&1").trim_end();
    let mut words = split_like_systemd(line)?;
    // Within single quotes all of these are data, but then the script was made by hand, for hands.
    if let Some(c) = line.chars().find(|c| "$`|<>;&()".contains(*c)) {
        return Err(format!("`{c}` needs a shell: write what it stands for"));
    }
    let mut entry = Entry::new(name.unwrap_or_default(), place);
    entry.set("user", "root");
    let server = words
        .iter()
        .position(|w| SERVERS.contains(&base_name(w)))
        .unwrap_or_default();
    let rest = words.split_off(server);
    before(session, &mut entry, &words)?;
    let Some((server, rest)) = rest.split_first() else {
        return Err("no server".to_owned());
    };
    let after = options(session, &mut entry, base_name(server), rest)?;
    let [host, port, program, arguments @ ..] = after.as_slice() else {
        return Err("needs a host, a port and a program".to_owned());
    };
    let written = session.port(port, "tcp", place)?;
    let listen = match host.as_str() {
        "0" | "0.0.0.0" => format!("tcp4:{written}"),
        "" => return Err("needs a host".to_owned()),
        host if host.parse::<std::net::Ipv6Addr>().is_ok() => format!("[{host}]:{written}"),
        host if host.parse::<std::net::Ipv4Addr>().is_ok() => format!("{host}:{written}"),
        host if !is_host_name(host) => return Err(format!("`{host}` is no host")),
        host => format!("tcp4:{host}:{written}"),
    };
    entry.set("listen", listen);
    if !program.starts_with('/') {
        if program.contains('/') || program.is_empty() {
            return Err(format!("`{program}` is no absolute path"));
        }
        session.notes.note(
            place,
            format!("`{program}` is no absolute path: it is looked up in PATH, as before"),
        );
    }
    if program.contains("%{") {
        return Err("a program's path cannot hold `%{`".to_owned());
    }
    // execvp(3) passes the word as it is.
    entry.set_command(program, program, arguments);
    if entry.name.is_empty() {
        base_name(program).clone_into(&mut entry.name);
    }
    Ok(entry)
}

/// What stands before the server.
fn before(session: &mut Session<'_>, entry: &mut Entry, words: &[String]) -> Result<(), String> {
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let assignment = |w: &str| w.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned()));
        let is_name =
            |n: &str| !n.is_empty() && n.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if let Some((name, value)) = assignment(word).filter(|(n, _)| is_name(n)) {
            entry.set_in("env", &name, literal(&value));
            continue;
        }
        match base_name(word) {
            "exec" | "env" | "-" | "-i" | "nice" if word != "nice" => {}
            "setuidgid" | "envuidgid" | "chpst"
                if words.len() > 0 && base_name(word) != "chpst" =>
            {
                // envuidgid only names the account; -U takes it.
                let user = words.next().map_or("", String::as_str);
                entry.set("user", user);
                entry.set("supplementary_groups", Value::List(Vec::new()));
            }
            "softlimit" => softlimit(session, entry, &mut words)?,
            _ => return Err(format!("`{word}` before the server is not understood")),
        }
    }
    Ok(())
}

fn softlimit<'a>(
    session: &mut Session<'_>,
    entry: &mut Entry,
    words: &mut std::iter::Peekable<impl Iterator<Item = &'a String>>,
) -> Result<(), String> {
    while let Some(option) = words.next_if(|w| w.starts_with('-')) {
        let letter = option.chars().nth(1).unwrap_or('?');
        let attached: String = option.chars().skip(2).collect();
        let value = if attached.is_empty() {
            words.next().cloned().unwrap_or_default()
        } else {
            attached
        };
        if value == "=" {
            continue;
        }
        let number: i64 = value
            .parse()
            .map_err(|_| format!("softlimit: `{value}` is no number"))?;
        let names: &[&str] = match letter {
            'm' => &["address_space", "data", "stack", "locked_memory"],
            'a' => &["address_space"],
            'd' => &["data"],
            's' => &["stack"],
            'l' => &["locked_memory"],
            'o' => &["open_files"],
            'p' => &["processes"],
            'f' => &["file_size"],
            'c' => &["core"],
            't' => &["cpu_time"],
            _ => {
                session
                    .notes
                    .loss(&entry.place.clone(), format!("`softlimit {option}`"));
                continue;
            }
        };
        for name in names {
            let value = if letter == 't' {
                format!("{number}s").into()
            } else {
                Value::Number(number)
            };
            entry.set_in("limits", name, value);
        }
    }
    Ok(())
}

/// Options of the server; returns the words after them.
fn options(
    session: &mut Session<'_>,
    entry: &mut Entry,
    server: &str,
    words: &[String],
) -> Result<Vec<String>, String> {
    let tcpsvd = server == "tcpsvd";
    let with_value = if tcpsvd { "cCbuliIxt" } else { "cxBguRlbt" };
    let with_value: String = with_value.chars().filter(|c| *c != 'R').collect();
    let place = entry.place.clone();
    entry.set(
        "max_connections",
        Value::Number(if tcpsvd { 30 } else { 40 }),
    );
    let (mut names, mut ident, mut group) = (!tcpsvd, !tcpsvd, None);
    let mut words = words.iter();
    let mut after = Vec::new();
    while let Some(word) = words.next() {
        let Some(letters) = word.strip_prefix('-').filter(|l| !l.is_empty()) else {
            after.push(word.clone());
            break;
        };
        if letters == "-" {
            break;
        }
        let mut chars = letters.chars();
        while let Some(c) = chars.next() {
            let value = if with_value.contains(c) {
                let attached = chars.as_str().to_owned();
                chars = "".chars();
                let next = if attached.is_empty() {
                    words.next().cloned()
                } else {
                    Some(attached)
                };
                next.ok_or_else(|| format!("`-{c}` needs a value"))?
            } else {
                String::new()
            };
            let number = || {
                value
                    .parse::<u32>()
                    .ok()
                    .filter(|n| *n > 0)
                    .ok_or_else(|| format!("`-{c} {value}` is no number"))
            };
            match c {
                'U' if entry.get("user") == Some(&"root".into()) => {
                    let text = "`-U` takes the account from $UID and $GID, which are not known: root is written";
                    session.notes.note(&place, text);
                }
                'q' | 'Q' | 'v' | 'E' | 'O' | 'd' | '1' | 'X' | 'P' | '4' | 'l' | 'U' => {}
                'H' => names = false,
                'h' | 'p' => names = true,
                'R' => ident = false,
                'r' => ident = true,
                't' if !tcpsvd => {}
                'c' => entry.set("max_connections", Value::Number(number()?.into())),
                'b' => entry.set("backlog", Value::Number(number()?.into())),
                'D' => entry.set("nodelay", true),
                'B' => entry.set("banner", literal(&value)),
                'u' => account(entry, &value, &mut group),
                'g' => group = Some(value),
                'C' => {
                    let (n, message) = value.split_once(':').unwrap_or((&value, ""));
                    let n: u32 = n
                        .parse()
                        .map_err(|_| format!("`-C {value}` is no number"))?;
                    if n > 0 {
                        entry.set("max_per_source", Value::Number(n.into()));
                    }
                    if !message.is_empty() {
                        entry.set("refuse_message", literal(message));
                    }
                }
                'x' | 'i' => session
                    .notes
                    .loss(&place, format!("the rules of `-{c} {value}`")),
                't' => session
                    .notes
                    .loss(&place, format!("`-t {value}` lets rules expire")),
                'o' => session.notes.note(
                    &place,
                    "`-o` kept IP options, which the kernel drops anyway",
                ),
                _ => {
                    return Err(format!(
                        "`-{c}` is no option of {server} that is understood"
                    ));
                }
            }
        }
    }
    after.extend(words.cloned());
    if let Some(group) = group {
        entry.set("group", group);
    }
    if names || ident {
        let text = "no name and no ident look-ups here: TCPREMOTEHOST and TCPREMOTEINFO are not set (as with -HRl0)";
        session.notes.note(&place, text);
    }
    Ok(after)
}

/// `uid`, `user`, `user:group`, `:uid:gid`. Other groups are dropped, as setgroups(1) does it.
fn account(entry: &mut Entry, value: &str, group: &mut Option<String>) {
    let value = value.strip_prefix(':').unwrap_or(value);
    let mut parts = value.split(':');
    entry.set("user", parts.next().unwrap_or_default());
    if let Some(first) = parts.next() {
        *group = Some(first.to_owned());
    }
    entry.set(
        "supplementary_groups",
        parts.map(str::to_owned).collect::<Vec<_>>(),
    );
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use crate::convert::{Memory, Options, Outcome, convert};

    fn run(text: &str) -> Outcome {
        let path = "/service/smtpd/run";
        let files = Memory::default()
            .with(path, text)
            .with("/etc/services", "smtp 25/tcp\n");
        convert(&Options::default(), &files, &[PathBuf::from(path)])
    }

    #[test]
    fn command_lines_become_services() {
        for (text, exit, lines) in [
            (
                "#!/bin/sh\nexec tcpserver -v -HRl0 -c 10 -u 5 -g 6 -b 50 -D 0 smtp \\\n  /var/qmail/bin/qmail-smtpd \"a b\" 2>&1\n",
                0,
                "[service.smtpd]|listen = \"tcp4:smtp\"|max_connections = 10|user = \"5\"|group = \"6\"|backlog = 50|nodelay = true|command = [\"/var/qmail/bin/qmail-smtpd\", \"a b\"]|argv0 = \"/var/qmail/bin/qmail-smtpd\"",
            ),
            (
                "tcpserver 127.0.0.1 25 /bin/x\n",
                2,
                "listen = \"127.0.0.1:25\"|max_connections = 40",
            ),
            (
                "PATH=/x exec softlimit -m 4000000 setuidgid q tcpsvd -C3:busy -E ::1 25 /bin/x\n",
                0,
                "listen = \"[::1]:25\"|max_connections = 30|max_per_source = 3|refuse_message = \"busy\"|env = { PATH = \"/x\" }|user = \"q\"|address_space = 4000000",
            ),
            ("exec tcpserver -HR -x rules.cdb 0 25 /bin/x\n", 1, ""),
            ("exec tcpserver -HR 0 $PORT /bin/x\n", 1, ""),
            ("exec sudo tcpserver -HR 0 25 /bin/x\n", 1, ""),
            ("exec tcpserver -HR 0 25\n", 1, ""),
            ("exec tcpserver -HR 0 25 x\n", 2, "command = \"x\""),
            ("exec tcpserver -HRz 0 25 /bin/x\n", 1, ""),
        ] {
            let out = run(text);
            assert_eq!(out.exit, exit, "{text}{:?}", out.notes);
            for line in lines.split('|') {
                assert!(out.toml.contains(line), "{text}: {line}\n{}", out.toml);
            }
        }
    }
}
