//! What xinetd logs of a service, and where.

use super::merge::Record;
use super::translate::{LeftOut, Runs, why};
use crate::convert::entry::{Entry, Value};
use crate::convert::session::Session;

pub(super) fn log(
    session: &mut Session<'_>,
    entry: &mut Entry,
    name: &str,
    record: &Record,
    runs: Runs,
) -> Result<(), LeftOut> {
    let [success, failure] = ["log_on_success", "log_on_failure"].map(|a| record.words(a));
    for (attribute, words, known) in [
        (
            "log_on_success",
            success,
            &["PID", "HOST", "USERID", "EXIT", "DURATION", "TRAFFIC"][..],
        ),
        (
            "log_on_failure",
            failure,
            &["HOST", "USERID", "ATTEMPT", "RECORD"][..],
        ),
    ] {
        for word in words.unwrap_or_default() {
            match word.text.to_ascii_uppercase().as_str() {
                "USERID" => {
                    let text = format!(
                        "`{attribute}` with USERID needs an ident look-up, which oxinetd does not do: left out"
                    );
                    session.notes.note(&word.place, text);
                }
                "TRAFFIC" if runs != Runs::Redirect => {
                    return Err(why(
                        name,
                        format!("`{name}`: TRAFFIC is for `redirect` only, so xinetd drops it"),
                    ));
                }
                "RECORD" => session.notes.note(
                    &word.place,
                    "`RECORD` is no longer known to xinetd: left out",
                ),
                other if !known.contains(&other) => {
                    return Err(why(
                        name,
                        format!("`{name}`: `{attribute}` knows no `{other}`, so xinetd drops it"),
                    ));
                }
                _ => {}
            }
        }
    }
    let mut events: Vec<String> = Vec::new();
    let has = |wanted: &[&str]| {
        success
            .unwrap_or_default()
            .iter()
            .any(|w| wanted.is_empty() || wanted.contains(&w.text.to_ascii_uppercase().as_str()))
    };
    for (event, on) in [
        ("start", has(&[])),
        ("exit", has(&["EXIT", "DURATION", "TRAFFIC"])),
        ("refuse", failure.is_some_and(|f| !f.is_empty())),
    ] {
        if on {
            events.push(event.to_owned());
        }
    }
    if success.is_some() || failure.is_some() {
        entry.set("log", events);
    }
    log_type(session, entry, name, record)
}

fn log_type(
    session: &mut Session<'_>,
    entry: &mut Entry,
    name: &str,
    record: &Record,
) -> Result<(), LeftOut> {
    let Some(words) = record.words("log_type") else {
        return Ok(());
    };
    let text = |n: usize| words.get(n).map(|w| w.text.as_str());
    let Some(place) = words.first().map(|w| w.place.clone()) else {
        return Err(why(
            name,
            "`log_type` is empty, so xinetd drops the service",
        ));
    };
    match text(0).unwrap_or_default().to_ascii_uppercase().as_str() {
        "FILE" => match text(1) {
            Some("/dev/null") => entry.set("log", Value::List(Vec::new())),
            Some(path) => {
                entry.set("log_to", format!("file:{path}"));
                if words.len() > 2 {
                    let text = format!(
                        "{path} fell silent at its size limit; here it grows: let logrotate see to it"
                    );
                    session.notes.note(&place, text);
                }
            }
            None => {
                return Err(why(
                    name,
                    "`log_type = FILE` names no file, so xinetd drops the service",
                ));
            }
        },
        "SYSLOG" => {
            let facility = text(1).unwrap_or("daemon");
            if !facility.eq_ignore_ascii_case("daemon") {
                let text = format!(
                    "facility `{facility}`: write `syslog_facility = \"{facility}\"` in [daemon], for all services"
                );
                session.notes.note(&place, text);
            }
            if let Some(level) = text(2).filter(|l| !l.eq_ignore_ascii_case("info")) {
                session.notes.note(
                    &place,
                    format!("level `{level}`: the lines have the level of their event here"),
                );
            }
        }
        other => {
            return Err(why(
                name,
                format!("`log_type = {other}` is unknown, so xinetd drops the service"),
            ));
        }
    }
    Ok(())
}
