//! The status for people. Pure: values in, text out.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use crate::control::status::{Connection, Daemon, Service, State, Status};

/// The whole answer; with `detail` the block of the one service too.
pub(super) fn render(status: &Status, detail: bool) -> String {
    let mut text = head(&status.daemon, &status.services);
    text.push('\n');
    text.push_str(&services(&status.services));
    if let (true, Some(service)) = (detail, status.services.first()) {
        text.push_str(&block(service));
    }
    text
}

/// `oxinetd 0.4.0 running 3d 4h, pid 812, 14 services, 37 connections, 120912 served, 318 refused`
fn head(daemon: &Daemon, services: &[Service]) -> String {
    // `0`: the daemon is of a version that cannot be upgraded.
    let image = match daemon.image_up {
        up if up > 0 && up < daemon.up => format!(" (this version for {})", span(up)),
        _ => String::new(),
    };
    let mut text = format!(
        "oxinetd {} running {}{image}, pid {}, {} services, {} connections, {} served, {} refused\n",
        daemon.version,
        span(daemon.up),
        daemon.pid,
        services.len(),
        daemon.connections,
        daemon.served,
        daemon.refused
    );
    let files = match daemon.files.as_slice() {
        [] => "the table in the binary".to_owned(),
        [main] => main.clone(),
        [main, drop_ins @ ..] => format!("{main} + {} drop-ins", drop_ins.len()),
    };
    let _ = writeln!(text, "config {files}, loaded {}", clock(daemon.loaded_at));
    for file in &daemon.changed_files {
        let _ = writeln!(text, "  ! {file} changed since then: oxinetd reload");
    }
    if daemon.lost_lines > 0 {
        let _ = writeln!(
            text,
            "  ! {} log lines were lost: is the log stuck?",
            daemon.lost_lines
        );
    }
    text
}

/// One line a service, columns as wide as they need to be.
fn services(services: &[Service]) -> String {
    let header = [
        "SERVICE", "LISTEN", "STATE", "NOW/MAX", "SERVED", "REFUSED", "LAST",
    ];
    let mut rows = vec![(' ', Style::new(), header.map(str::to_owned))];
    for service in services {
        let (glyph, style) = glyph(service.state);
        let refused: u64 = service.refused.iter().map(|(_, count)| count).sum();
        let max = service
            .max
            .map_or_else(|| "-".to_owned(), |max| max.to_string());
        let last = service
            .last
            .as_ref()
            .map_or_else(String::new, |(peer, ago)| {
                format!("{:<8} {peer}", ago_words(*ago))
            });
        rows.push((
            glyph,
            style,
            [
                service.name.clone(),
                listen(service),
                state(service),
                format!("{}/{max}", service.live),
                service.served.to_string(),
                refused.to_string(),
                last,
            ],
        ));
    }
    let width = |column: usize| {
        rows.iter()
            .filter_map(|(_, _, row)| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..header.len())
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let mut text = String::new();
    for (glyph, style, row) in &rows {
        let _ = write!(text, "{style}{glyph}{style:#}");
        let mut line = String::new();
        for ((cell, width), column) in row.iter().zip(&widths).zip(0..) {
            let _ = if (3..6).contains(&column) {
                write!(line, " {cell:>width$} ")
            } else {
                write!(line, " {cell:<width$} ")
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// Glyphs differ in shape, not only in colour.
fn glyph(state: State) -> (char, Style) {
    let color = |color: AnsiColor| Style::new().fg_color(Some(color.into()));
    match state {
        State::Listening | State::Held => ('*', color(AnsiColor::Green)),
        State::Full | State::Paused | State::Draining | State::Removed => {
            ('~', color(AnsiColor::Yellow))
        }
        State::Failing => ('x', color(AnsiColor::Red)),
        State::Disabled => ('-', Style::new()),
    }
}

fn listen(service: &Service) -> String {
    match service.listen.as_slice() {
        [] => "-".to_owned(),
        [one] => one.clone(),
        [first, others @ ..] => format!("{first} +{}", others.len()),
    }
}

/// `paused, rate, 6s left`
fn state(service: &Service) -> String {
    let word = match service.state {
        State::Listening => "listening",
        State::Full => "full",
        State::Paused => "paused",
        State::Held => "held",
        State::Failing => "failing",
        State::Draining => "draining",
        State::Removed => "removed",
        State::Disabled => "disabled",
    };
    let mut text = word.to_owned();
    match service.state {
        State::Failing => {
            let _ = write!(text, ": {}", service.detail);
        }
        State::Held => {
            let _ = write!(text, " {}", service.detail);
        }
        State::Paused => {
            let _ = write!(text, ", {}", service.detail);
        }
        State::Listening | State::Full | State::Draining | State::Removed | State::Disabled => {}
    }
    if let Some(left) = service.left {
        let _ = write!(text, ", {} left", span(left));
    }
    text
}

/// The block of one service, as systemctl shows a unit.
fn block(service: &Service) -> String {
    let mut text = String::from("\n");
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "{name:>12}: {value}");
        }
    };
    line("service", &service.name);
    line("description", &service.description);
    line("defined", &service.origin);
    for address in &service.listen {
        line("listen", address);
    }
    line(
        "failed",
        &if service.failed > 0 {
            format!("{} programs did not start", service.failed)
        } else {
            String::new()
        },
    );
    for (reason, count) in service.refused.iter().filter(|(_, count)| *count > 0) {
        line("refused", &format!("{count} by {reason}"));
    }
    for limit in &service.limits {
        line("limit", limit);
    }
    for source in &service.sources {
        let ban = source
            .banned
            .map_or_else(String::new, |left| format!(", banned for {}", span(left)));
        line(
            "source",
            &format!(
                "{} has {} connections, {} refused{ban}",
                source.source, source.live, source.refused
            ),
        );
    }
    for connection in &service.connections {
        line("connection", &connection_line(connection));
    }
    for log in &service.lines {
        line("log", &format!("{} {}", clock(log.at), log.text));
    }
    text
}

fn connection_line(connection: &Connection) -> String {
    let port = connection
        .port
        .map_or_else(String::new, |port| format!(" port {port}"));
    let mut text = format!(
        "{} pid {} from {}{port}, {}",
        connection.id,
        connection.pid,
        connection.peer,
        span(connection.age as u64)
    );
    if let (Some(cpu), Some(memory)) = (connection.cpu, connection.memory) {
        let _ = write!(text, ", cpu {cpu:.2}s, {} KiB", memory / 1024);
    }
    if let Some((from, to)) = connection.bytes {
        let _ = write!(text, ", {from} in, {to} out");
    }
    text
}

/// `3d 4h`, `2min 5s`, `0s`: the two largest units.
pub(super) fn span(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (name, size) in units {
        if rest >= size {
            parts.push(format!("{}{name}", rest / size));
            rest %= size;
        }
    }
    parts.truncate(2);
    if parts.is_empty() {
        "0s".to_owned()
    } else {
        parts.join(" ")
    }
}

fn ago_words(seconds: u64) -> String {
    if seconds == 0 {
        "now".to_owned()
    } else {
        format!(
            "{} ago",
            span(seconds).split(' ').next().unwrap_or_default()
        )
    }
}

fn clock(seconds: i64) -> String {
    let Ok(time) = jiff::Timestamp::from_second(seconds) else {
        return String::new();
    };
    time.to_zoned(jiff::tz::TimeZone::system())
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, state: State) -> Service {
        Service {
            name: name.to_owned(),
            description: String::new(),
            origin: "/etc/oxinetd.toml:3".to_owned(),
            listen: vec!["tcp *:7".to_owned()],
            state,
            detail: String::new(),
            left: None,
            live: 3,
            max: Some(20),
            served: 8120,
            refused: vec![("connections".to_owned(), 14)],
            failed: 0,
            last: Some(("192.0.2.7".to_owned(), 4)),
            limits: Vec::new(),
            sources: Vec::new(),
            connections: Vec::new(),
            lines: Vec::new(),
        }
    }

    #[test]
    fn the_table_has_a_line_a_service() {
        let git = Service {
            detail: "exec /usr/bin/git: No such file or directory".to_owned(),
            last: None,
            ..service("git", State::Failing)
        };
        let text = services(&[service("rsync", State::Listening), git]);
        let text = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(
            text,
            "  SERVICE  LISTEN   STATE                                                  NOW/MAX  SERVED  REFUSED  LAST\n\
             * rsync    tcp *:7  listening                                                 3/20    8120       14  4s ago   192.0.2.7\n\
             x git      tcp *:7  failing: exec /usr/bin/git: No such file or directory     3/20    8120       14\n"
        );
    }

    #[test]
    fn spans_have_two_units() {
        let cases = [
            (0, "0s"),
            (59, "59s"),
            (125, "2min 5s"),
            (3_600, "1h"),
            (273_600, "3d 4h"),
        ];
        for (seconds, text) in cases {
            assert_eq!(span(seconds), text);
        }
    }
}
