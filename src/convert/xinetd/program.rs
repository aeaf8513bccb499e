//! What an xinetd service runs, as whom, and with which variables.

use std::net::IpAddr;

use super::merge::{Record, Word};
use super::socket::Socket;
use super::translate::{LeftOut, Runs, why, yes};
use crate::convert::access::is_host_name;
use crate::convert::entry::{Entry, Value, base_name, literal};
use crate::convert::hosts_access::unfold_tcpd;
use crate::convert::session::Session;

/// Sets `command`, `builtin` or `redirect`.
pub(super) fn run(
    session: &mut Session<'_>,
    entry: &mut Entry,
    name: &str,
    record: &Record,
    flags: &[String],
    internal: bool,
    socket: &Socket,
) -> Result<Runs, LeftOut> {
    if internal {
        let builtin = name.to_ascii_lowercase();
        if socket.datagram && ["chargen", "daytime", "time"].contains(&builtin.as_str()) {
            entry.set("allow_reflection", true);
        }
        entry.set("builtin", builtin);
        return Ok(Runs::Builtin);
    }
    if let Some([host, port]) = record.words("redirect") {
        if socket.datagram {
            return Err(why(
                name,
                format!("`{name}`: datagrams cannot be redirected, so xinetd drops it"),
            ));
        }
        entry.set("redirect", target(session, name, host, port)?);
        return Ok(Runs::Redirect);
    }
    let Some(server) = record.one("server").map(|w| w.text.clone()) else {
        return Err(why(
            name,
            format!("`{name}` has no `server`, so xinetd drops it"),
        ));
    };
    if !server.starts_with('/') || server.contains("%{") {
        return Err(why(
            name,
            format!("`{name}`: `{server}` is no absolute path"),
        ));
    }
    let args: Vec<String> = record
        .words("server_args")
        .unwrap_or_default()
        .iter()
        .map(|w| w.text.clone())
        .collect();
    if !flags.iter().any(|f| f == "NAMEINARGS") {
        if base_name(&server) == "tcpd" {
            let text = "tcpd needs `flags = NAMEINARGS` to learn which program to run; it was taken over as it is";
            session.notes.note(&entry.place, text);
        }
        entry.set_command(&server, base_name(&server), &args);
        return Ok(Runs::Program);
    }
    let [argv0, rest @ ..] = args.as_slice() else {
        return Err(why(
            name,
            format!("`{name}` has NAMEINARGS and no `server_args`, so xinetd drops it"),
        ));
    };
    match unfold_tcpd(&server, argv0) {
        Some(program) => entry.set_command(&program, base_name(&program), rest),
        None => entry.set_command(&server, argv0, rest),
    }
    Ok(Runs::Program)
}

/// `redirect = HOST PORT`, as an address of ours.
fn target(
    session: &mut Session<'_>,
    name: &str,
    host: &Word,
    port: &Word,
) -> Result<String, LeftOut> {
    let port = session
        .port(&port.text, "tcp", &port.place)
        .map_err(|text| why(name, format!("`{name}`: `redirect`: {text}")))?;
    let text = host.text.as_str();
    let address = text.split('%').next().unwrap_or_default();
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) => Ok(format!("[{text}]:{port}")),
        Ok(IpAddr::V4(_)) if address == text => Ok(format!("{text}:{port}")),
        Err(_) if is_host_name(text) => Ok(format!("{text}:{port}")),
        _ => Err(why(
            name,
            format!("`{name}`: `redirect`: `{text}` is no host, so xinetd drops it"),
        )),
    }
}

pub(super) fn account(
    session: &mut Session<'_>,
    entry: &mut Entry,
    name: &str,
    record: &Record,
) -> Result<(), LeftOut> {
    let Some(user) = record.one("user") else {
        return Err(why(
            name,
            format!("`{name}` has no `user`, so xinetd drops it"),
        ));
    };
    entry.set("user", user.text.clone());
    let digits = !user.text.is_empty() && user.text.chars().all(|c| c.is_ascii_digit());
    match record.one("group") {
        Some(group) => entry.set("group", group.text.clone()),
        // A user by number gets the group of the same number.
        None if digits => entry.set("group", user.text.clone()),
        None => {}
    }
    if !yes(record, "groups")
        .map_err(|text| why(name, text))?
        .unwrap_or(false)
    {
        entry.set("supplementary_groups", Value::List(Vec::new()));
    }
    if let Some(word) = record.one("umask") {
        let mode = u32::from_str_radix(&word.text, 8)
            .ok()
            .filter(|m| *m <= 0o777);
        let mode = mode.ok_or_else(|| {
            why(
                name,
                format!("`umask = {}` is no mask, so xinetd drops it", word.text),
            )
        })?;
        entry.set("umask", format!("{mode:04o}"));
    }
    if let Some(word) = record.one("nice") {
        let nice: i64 = word
            .text
            .parse()
            .map_err(|_| why(name, format!("`nice = {}` is no number", word.text)))?;
        let root = ["root", "0"].contains(&user.text.as_str());
        if nice < 0 && !root {
            let text = format!(
                "`nice = {nice}`: xinetd asks for it as `{}`, who may not, so it had no effect: left out",
                user.text
            );
            session.notes.note(&word.place, text);
            return Ok(());
        }
        if !(-20..=19).contains(&nice) {
            let text = format!("`nice = {nice}` is cut to what the kernel knows, -20 to 19");
            session.notes.note(&word.place, text);
        }
        entry.set("nice", Value::Number(nice.clamp(-20, 19)));
    }
    Ok(())
}

pub(super) fn environment(
    entry: &mut Entry,
    record: &Record,
    session: &mut Session<'_>,
) -> Result<(), String> {
    for word in record.words("env").unwrap_or_default() {
        let Some((variable, value)) = word.text.split_once('=') else {
            return Err(format!(
                "`env = {}` has no `=`, so xinetd drops the service",
                word.text
            ));
        };
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if variable.is_empty() || !variable.chars().all(valid) {
            let text = format!(
                "`env = {}`: xinetd knows no quotes, so the variable was called `{variable}`, which no program asks \
                 for: left out",
                word.text
            );
            session.notes.note(&word.place, text);
            continue;
        }
        entry.set_in("env", variable, literal(value));
    }
    if let Some(words) = record.words("passenv") {
        entry.set(
            "pass_env",
            words.iter().map(|w| w.text.clone()).collect::<Vec<_>>(),
        );
    }
    Ok(())
}
