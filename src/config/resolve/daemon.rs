//! `[daemon]`: [`Settings`] from its keys, and `log_to`, which services share.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::account;
use super::reader::{Reader, absolute, unknown_word};
use crate::config::diagnostic::shown;
use crate::config::keys::Key;
use crate::config::values::{Parsed, Problem, address};
use crate::service::{LogFormat, LogLevel, LogTarget, Settings, UnixName};

/// Reads the keys.
pub(super) fn settings(reader: &Reader<'_, '_>) -> Settings {
    const SHUTDOWN: Duration = Duration::from_secs(30);
    let levels = [
        LogLevel::Error,
        LogLevel::Warning,
        LogLevel::Info,
        LogLevel::Debug,
    ];
    later(reader);
    Settings {
        control: control(reader),
        control_gid: control_gid(reader),
        log_to: log_to(reader, Key::DaemonLogTo).unwrap_or(LogTarget::Auto),
        log_level: reader
            .choice(Key::LogLevel, levels)
            .unwrap_or(LogLevel::Info),
        log_format: reader
            .choice(Key::LogFormat, [LogFormat::Text, LogFormat::Json])
            .unwrap_or(LogFormat::Text),
        syslog_facility: facility(reader),
        max_connections: reader.count(Key::DaemonMaxConnections).flatten(),
        shutdown_timeout: reader
            .limited_duration(Key::ShutdownTimeout)
            .unwrap_or(SHUTDOWN),
    }
}

/// What has no field in [`Settings`]: the files of `inetd_conf` are read before.
fn later(reader: &Reader<'_, '_>) {
    let off = |entry: &crate::config::raw::Entry<'_>| entry.value.get_ref().as_str() == Some("off");
    if reader
        .entry(Key::InetdConf)
        .is_some_and(|entry| !off(&entry))
    {
        let _ = reader.path(Key::InetdConf);
    }
}

fn control(reader: &Reader<'_, '_>) -> Option<UnixName> {
    const ROOT: &str = "/run/oxinetd/control.sock";
    let host = reader.context.host;
    let built_in = || {
        let path = if host.is_root() {
            Some(PathBuf::from(ROOT))
        } else {
            host.world.runtime_dir().map(|dir| dir.join("oxinetd.sock"))
        };
        path.map(UnixName::Path)
    };
    let Some(item) = reader.text(Key::Control) else {
        return built_in();
    };
    if item.text == "off" {
        return None;
    }
    reader.parsed(Key::Control, &item, address::unix_name)
}

fn control_gid(reader: &Reader<'_, '_>) -> u32 {
    let host = reader.context.host;
    let written = reader.text_or_number(Key::ControlGroup);
    let gid = written.and_then(|item| account::group(reader, Key::ControlGroup, &item));
    gid.unwrap_or(if host.is_root() { 0 } else { host.egid })
}

/// The facilities of RFC 5424, by number.
fn facility(reader: &Reader<'_, '_>) -> u8 {
    const DAEMON: u8 = 3;
    // The words of the key table in its order: kern to ftp are 0 to 11, local0 to local7 are 16 to 23.
    const NUMBERS: [u8; 20] = [
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23,
    ];
    reader
        .choice(Key::SyslogFacility, NUMBERS)
        .unwrap_or(DAEMON)
}

/// `log_to` of the daemon or of a service.
pub(super) fn log_to(reader: &Reader<'_, '_>, key: Key) -> Option<LogTarget> {
    const WORDS: [&str; 6] = [
        "auto",
        "stderr",
        "journal",
        "syslog",
        "syslog:udp:HOST:PORT",
        "file:/path",
    ];
    let item = reader.text(key)?;
    let parse = |text: &str| -> Parsed<LogTarget> {
        Ok(match text {
            "auto" => LogTarget::Auto,
            "stderr" => LogTarget::Stderr,
            "journal" => LogTarget::Journal,
            "syslog" => LogTarget::Syslog,
            _ => match (text.strip_prefix("syslog:udp:"), text.strip_prefix("file:")) {
                (Some(server), _) => LogTarget::SyslogUdp(log_server(reader, server)?),
                (_, Some(path)) => {
                    absolute(path)?;
                    LogTarget::File(PathBuf::from(path))
                }
                (None, None) => return Err(unknown_word(text, &WORDS)),
            },
        })
    };
    reader.parsed(key, &item, parse)
}

fn log_server(reader: &Reader<'_, '_>, text: &str) -> Parsed<SocketAddr> {
    let malformed = || {
        Problem::new(format!("names no log server: `{}`", shown(text)))
            .help("write for example `\"syslog:udp:192.0.2.1:514\"` or `\"syslog:udp:[2001:db8::1]:514\"`")
    };
    if let Ok(address) = text.parse::<SocketAddr>() {
        return if address.port() == 0 {
            Err(malformed())
        } else {
            Ok(address)
        };
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(malformed)?;
    let port = port
        .parse::<u16>()
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(malformed)?;
    if host.is_empty() || host.contains([':', '[', ']', '%', '/']) {
        return Err(malformed());
    }
    let found: Vec<IpAddr> = reader.context.host.world.resolve(host).unwrap_or_default();
    match found.first() {
        Some(ip) => Ok(SocketAddr::new(*ip, port)),
        None => Err(
            Problem::new(format!("names an unknown host: `{}`", shown(host)))
                .help("write its address"),
        ),
    }
}
