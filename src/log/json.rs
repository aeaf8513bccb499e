//! One JSON object a line: `{"time":…,"level":…,"event":…,` and the fields of the event`}`.
//!
//! Invariant: valid JSON on one line, with the same characters escaped as in text lines (as `\uNNNN`). A line of a program
//! that is not UTF-8 has no JSON form: its text form goes under `escaped` instead of `line`.

use std::fmt::Write;

use super::clock::Clock;
use crate::event::escape::{self, is_dangerous};
use crate::event::{Event, Value, level_word};

/// Appends the object, without a newline.
pub(super) fn push(event: &Event<'_>, clock: &mut Clock, out: &mut String) {
    out.push_str("{\"time\":\"");
    clock.push_now(out);
    push_format(
        out,
        format_args!(
            "\",\"level\":\"{}\",\"event\":\"{}\"",
            level_word(event.level()),
            event.kind()
        ),
    );
    event.fields(&mut |(name, value)| push_field(name, value, out));
    out.push('}');
}

fn push_field(name: &str, value: Value<'_>, out: &mut String) {
    let mut key = |name: &str| push_format(out, format_args!(",\"{name}\":"));
    if let Value::Bytes(bytes) = value {
        let Ok(text) = std::str::from_utf8(bytes) else {
            key("escaped");
            let mut text = String::new();
            escape::push(&mut text, bytes, LIMIT);
            return push_text(out, &text);
        };
        key(name);
        return push_text(out, text);
    }
    key(name);
    match value {
        Value::Number(number) => push_format(out, format_args!("{number}")),
        Value::Seconds(time) => push_format(
            out,
            format_args!("{}.{:06}", time.as_secs(), time.subsec_micros()),
        ),
        Value::Text(text) => push_text(out, text),
        Value::Peer(peer) => push_format(out, format_args!("\"{peer}\"")),
        Value::Address(address) => push_text(out, &address.to_string()),
        Value::Bytes(_) => {}
    }
}

/// A JSON string, cut after 1 KiB.
fn push_text(out: &mut String, text: &str) {
    let end = out.len() + LIMIT;
    out.push('"');
    for c in text.chars() {
        if out.len() > end {
            out.push('…');
            break;
        }
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_dangerous(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    push_format(out, format_args!("\\u{unit:04x}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn push_format(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(arguments);
}

const LIMIT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::End;
    use crate::service::{LogLevel, Peer};
    use proptest::prelude::*;
    use std::time::Duration;

    fn object(event: &Event<'_>) -> serde_json::Value {
        let mut out = String::new();
        push(event, &mut Clock::new(), &mut out);
        assert!(!out.chars().any(is_dangerous), "{out}");
        serde_json::from_str(&out).unwrap()
    }

    #[test]
    fn an_object_has_the_fields_of_its_event() {
        let peer = Peer::Inet("192.0.2.7:51514".parse().unwrap());
        let start = object(&Event::Start {
            service: "rsync",
            pid: 4211,
            peer: Some(&peer),
            id: "0f8k2m-9f2c",
        });
        let exit = object(&Event::Exit {
            service: "rsync",
            pid: 4211,
            end: End::Signal(9),
            duration: Duration::from_millis(3214),
            bytes: Some((1532, 88123)),
            cpu: Some(Duration::from_millis(21)),
            max_rss: Some(900),
            reason: Some("timeout"),
            id: "0f8k2m-9f2c",
        });
        let note = object(&Event::Note {
            level: LogLevel::Warning,
            service: None,
            text: "say \"hi\"\n\u{9b}\u{202e}",
        });
        let cases = [
            (&start, "level", serde_json::json!("info")),
            (&start, "event", serde_json::json!("start")),
            (&start, "from", serde_json::json!("192.0.2.7")),
            (&start, "port", serde_json::json!(51514)),
            (&exit, "signal", serde_json::json!(9)),
            (&exit, "duration", serde_json::json!(3.214)),
            (&exit, "in", serde_json::json!(1532)),
            (&exit, "reason", serde_json::json!("timeout")),
            (
                &note,
                "text",
                serde_json::json!("say \"hi\"\n\u{9b}\u{202e}"),
            ),
            (&note, "service", serde_json::Value::Null),
        ];
        for (object, name, value) in cases {
            assert_eq!(object[name], value, "{name}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_a_program_wrote_parses_back(line in proptest::collection::vec(any::<u8>(), 0..120)) {
            let object = object(&Event::Output { tag: "git", id: None, line: &line });
            let back = match object["line"].as_str() {
                Some(text) => Some(text.as_bytes().to_vec()),
                None => escape::unescape(object["escaped"].as_str().unwrap()),
            };
            prop_assert_eq!(back, Some(line));
        }
    }
}
