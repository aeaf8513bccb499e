//! The status as OpenMetrics text. Pure: values in, text out.

use std::fmt::Write;

use super::status::{Service, State, Status};

/// A value of a service.
type Value = fn(&Service) -> u64;

/// The exposition, `# EOF` included.
pub fn render(status: &Status) -> String {
    let mut text = String::new();
    let daemon = &status.daemon;
    let alone: [(&str, &str, &str, u64); 4] = [
        (
            "oxinetd_up_seconds",
            "gauge",
            "Time since the start.",
            daemon.up,
        ),
        (
            "oxinetd_connections",
            "gauge",
            "Connections now.",
            u64::from(daemon.connections),
        ),
        (
            "oxinetd_log_lines_lost",
            "counter",
            "Log lines that no sink took.",
            daemon.lost_lines,
        ),
        (
            "oxinetd_longest_turn_milliseconds",
            "gauge",
            "Longest turn of the loop.",
            daemon.longest_turn,
        ),
    ];
    for (name, kind, help, value) in alone {
        family(&mut text, name, kind, help);
        let _ = writeln!(text, "{name}{} {value}", suffix(kind));
    }
    let per_service: [(&str, &str, &str, Value); 4] = [
        (
            "oxinetd_service_connections",
            "gauge",
            "Connections now.",
            |service| u64::from(service.live),
        ),
        (
            "oxinetd_service_served",
            "counter",
            "Connections served.",
            |service| service.served,
        ),
        (
            "oxinetd_service_start_failures",
            "counter",
            "Programs that did not start.",
            |service| service.failed,
        ),
        (
            "oxinetd_service_failing",
            "gauge",
            "1 when the service fails.",
            |service| u64::from(service.state == State::Failing),
        ),
    ];
    for (name, kind, help, value) in per_service {
        family(&mut text, name, kind, help);
        for service in &status.services {
            let _ = writeln!(
                text,
                "{name}{}{{service=\"{}\"}} {}",
                suffix(kind),
                service.name,
                value(service)
            );
        }
    }
    let name = "oxinetd_service_refused";
    family(&mut text, name, "counter", "Connections refused, by rule.");
    for service in &status.services {
        for (reason, count) in &service.refused {
            let _ = writeln!(
                text,
                "{name}_total{{service=\"{}\",reason=\"{reason}\"}} {count}",
                service.name
            );
        }
    }
    text.push_str("# EOF\n");
    text
}

fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn suffix(kind: &str) -> &'static str {
    if kind == "counter" { "_total" } else { "" }
}
