//! Options of the listening and the accepted sockets: [`SocketOptions`] from its keys.

use super::account;
use super::reader::Reader;
use crate::config::diagnostic::{Code, Diagnostic, shown};
use crate::config::keys::Key;
use crate::config::values::{Problem, duration};
use crate::service::{Keepalive, SocketOptions};

/// Reads the keys.
pub(super) fn options(reader: &Reader<'_, '_>) -> SocketOptions {
    const BACKLOG: u32 = 4096;
    let number = |key| {
        reader
            .integer(key)
            .and_then(|number| u32::try_from(number).ok())
    };
    SocketOptions {
        backlog: number(Key::Backlog).unwrap_or(BACKLOG),
        bind_device: device(reader),
        freebind: reader.boolean(Key::Freebind),
        transparent: reader.boolean(Key::Transparent).unwrap_or(false),
        reuse_port: reader.boolean(Key::ReusePort).unwrap_or(false),
        keepalive: keepalive(reader).unwrap_or(Keepalive::Off),
        nodelay: reader.boolean(Key::Nodelay).unwrap_or(false),
        defer_accept: reader.duration(Key::DeferAccept).flatten(),
        dscp: number(Key::Dscp).and_then(|dscp| u8::try_from(dscp).ok()),
        mark: number(Key::Mark),
        receive_buffer: reader.size(Key::ReceiveBuffer).flatten(),
        send_buffer: reader.size(Key::SendBuffer).flatten(),
        owner: owner(reader),
        group: group(reader),
        mode: reader.mode(Key::SocketMode).unwrap_or(0o666),
    }
}

fn device(reader: &Reader<'_, '_>) -> Option<String> {
    const LONGEST: usize = 15;
    let item = reader.text(Key::BindDevice)?;
    if item.text.is_empty() || item.text.len() > LONGEST || item.text.contains('/') {
        let problem = Problem::new(format!("is not an interface: `{}`", shown(&item.text)));
        reader.refuse(
            Key::BindDevice,
            item.place,
            problem.help("write the name of an interface, at most 15 bytes: `\"eth0\"`"),
        );
        return None;
    }
    Some(item.text)
}

fn keepalive(reader: &Reader<'_, '_>) -> Option<Keepalive> {
    let entry = reader.entry(Key::Keepalive)?;
    let value = entry.value.get_ref();
    if let Some(flag) = value.as_bool() {
        return Some(if flag { Keepalive::On } else { Keepalive::Off });
    }
    if let Some(number) = value.as_integer() {
        reader.refuse(
            Key::Keepalive,
            entry.place(),
            duration::unit_missing(&number.to_string()),
        );
        return None;
    }
    let item = reader.text_as(
        Key::Keepalive,
        "`true`, `false` or a duration in quotes: `\"60s\"`",
    )?;
    let time = reader.parsed(Key::Keepalive, &item, duration::parse)?;
    Some(time.map_or(Keepalive::Off, Keepalive::After))
}

fn owner(reader: &Reader<'_, '_>) -> Option<u32> {
    let item = reader.text_or_number(Key::SocketUser)?;
    let uid = account::account(reader, Key::SocketUser, &item)?.uid;
    let host = reader.context.host;
    if !host.is_root() && uid != host.euid {
        let title = format!(
            "{} needs a daemon that is root",
            reader.subject(Key::SocketUser)
        );
        reader.report(
            Diagnostic::error(Code::Privilege, item.place, title)
                .label("another owner")
                .help("leave it out"),
        );
    }
    Some(uid)
}

/// Any group that the daemon is in will do without root, which only the kernel can tell.
fn group(reader: &Reader<'_, '_>) -> Option<u32> {
    let item = reader.text_or_number(Key::SocketGroup)?;
    account::group(reader, Key::SocketGroup, &item)
}
