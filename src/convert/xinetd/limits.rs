//! What an xinetd service limits: instances, cps, load, hours, and the resources of its program.

use super::merge::{Record, Word};
use crate::convert::entry::{Entry, Value};
use crate::convert::note::Notes;

/// Sets the keys. An error is a value for which xinetd drops the service.
pub(super) fn limits(entry: &mut Entry, record: &Record, notes: &mut Notes) -> Result<(), String> {
    count(entry, record, "instances", "max_connections", notes)?;
    count(entry, record, "per_source", "max_per_source", notes)?;
    entry.set("over_limit", "refuse");
    cps(entry, record, notes)?;
    if let Some(word) = record.one("max_load") {
        match word.text.parse::<f64>() {
            Ok(load) if load > 0.0 && load.is_finite() => {
                entry.set("max_load", Value::Float(float(load)));
            }
            Ok(0.0) => {}
            _ => return Err(format!("`max_load = {}` is no load", word.text)),
        }
    }
    hours(entry, record)?;
    resources(entry, record, notes)
}

/// TOML wants a digit on both sides of the point.
fn float(value: f64) -> String {
    format!("{value:?}")
}

fn number(word: &Word) -> Result<u32, String> {
    word.text
        .parse()
        .map_err(|_| format!("`{}` is no number", word.text))
}

fn count(
    entry: &mut Entry,
    record: &Record,
    from: &str,
    to: &'static str,
    notes: &mut Notes,
) -> Result<(), String> {
    let Some(word) = record
        .one(from)
        .filter(|w| !w.text.eq_ignore_ascii_case("UNLIMITED"))
    else {
        entry.set(to, "unlimited");
        return Ok(());
    };
    let n = number(word)?;
    if n == 0 {
        entry.enabled = false;
        notes.note(
            &word.place,
            format!("`{from} = 0` lets nobody in: written as `enabled = false`"),
        );
        entry.set(to, "unlimited");
    } else {
        entry.set(to, Value::Number(n.into()));
    }
    Ok(())
}

fn cps(entry: &mut Entry, record: &Record, notes: &mut Notes) -> Result<(), String> {
    let (rate, pause) = match record.words("cps") {
        Some([rate, pause]) => (number(rate)?, number(pause)?),
        _ => (50, 10),
    };
    if rate == 0 {
        entry.set("rate", "off");
        entry.set("pause", "off");
        return Ok(());
    }
    entry.set("rate", format!("{rate}/s"));
    entry.set(
        "pause",
        if pause == 0 {
            "off".to_owned()
        } else {
            format!("{pause}s")
        },
    );
    if let Some(word) = record.one("cps").filter(|_| (rate, pause) != (50, 10)) {
        let text = format!(
            "`cps = {rate} {pause}` took the mean since the last quiet time and closed the socket for {pause} s; here \
             `rate` is a token bucket, and clients wait in the queue"
        );
        notes.note(&word.place, text);
    }
    Ok(())
}

/// `H:MM-H:MM`, the last minute included; ours ends before the minute that is written.
fn hours(entry: &mut Entry, record: &Record) -> Result<(), String> {
    let Some(words) = record.words("access_times") else {
        return Ok(());
    };
    let clock = |text: &str| -> Option<u32> {
        let (hour, minute) = text.split_once(':')?;
        let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
        (hour < 24 && minute < 60).then_some(hour * 60 + minute)
    };
    let mut windows = Vec::new();
    for word in words {
        let parsed = word
            .text
            .split_once('-')
            .and_then(|(from, to)| clock(from).zip(clock(to)));
        let Some((from, to)) = parsed.filter(|(from, to)| from < to) else {
            return Err(format!(
                "`access_times`: `{}` is no interval of a day",
                word.text
            ));
        };
        entry.asked.windows.push((from, to));
        let to = to + 1;
        windows.push(format!(
            "{:02}:{:02}-{:02}:{:02}",
            from / 60,
            from % 60,
            to / 60,
            to % 60
        ));
    }
    if windows.is_empty() {
        return Err("`access_times` is empty".to_owned());
    }
    // From the first minute to the last is always.
    if !entry.asked.windows.contains(&(0, 24 * 60 - 1)) {
        entry.set("hours", windows);
    }
    Ok(())
}

fn resources(entry: &mut Entry, record: &Record, notes: &mut Notes) -> Result<(), String> {
    for (from, to) in [
        ("rlimit_as", "address_space"),
        ("rlimit_data", "data"),
        ("rlimit_stack", "stack"),
        ("rlimit_files", "open_files"),
        ("rlimit_cpu", "cpu_time"),
    ] {
        // The kernel's inheritance is unlimited by default; 0 is not set.
        let Some(word) = record.one(from).filter(|w| w.text != "0") else {
            continue;
        };
        if word.text.eq_ignore_ascii_case("UNLIMITED") {
            let text = format!(
                "`{from} = UNLIMITED` raises nothing here: the program has the limits of the daemon"
            );
            notes.note(&word.place, text);
            continue;
        }
        let value = match to {
            "open_files" => Value::Number(number(word)?.into()),
            "cpu_time" => format!("{}s", number(word)?).into(),
            _ => size(word)?.into(),
        };
        entry.set_in("limits", to, value);
    }
    if let Some(word) = record.one("rlimit_rss") {
        let text = "`rlimit_rss` does nothing on Linux: left out (`cgroup.memory_max` would hold)";
        notes.note(&word.place, text);
    }
    Ok(())
}

fn size(word: &Word) -> Result<String, String> {
    let text = word.text.to_ascii_uppercase();
    let digits = text.trim_end_matches(['K', 'M']);
    let good = !digits.is_empty()
        && text.len() - digits.len() <= 1
        && digits.chars().all(|c| c.is_ascii_digit());
    if good && digits.parse::<u32>().is_ok() {
        return Ok(text);
    }
    Err(format!("`{}` is no size", word.text))
}
