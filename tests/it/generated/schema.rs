//! The JSON schema of a table, for editors: draft 7, which is what they know.
//!
//! It is as strict as a schema can be about names and types, and leaves the meaning of values to `oxinetd check`: a
//! pattern for an address would only disagree with the reader one day.

use oxinetd::config::keys::{self, Key, Kind, Scope};
use serde_json::{Map, Value, json};

pub(super) fn schema() -> String {
    let section = |fits: &dyn Fn(Scope) -> bool| {
        let rows = keys::all().filter(|key| fits(key.info().scope) && !key.info().later);
        let properties: Map<String, Value> = rows
            .filter(|key| !key.info().name.contains('.'))
            .map(|key| (key.info().name.to_owned(), described(key)))
            .collect();
        json!({ "type": "object", "additionalProperties": false, "properties": properties })
    };
    let mut service = section(&|scope| scope != Scope::Daemon);
    service["required"] = json!(["listen"]);
    service["oneOf"] = ["command", "builtin", "redirect"]
        .iter()
        .map(|key| json!({ "required": [key] }))
        .collect();
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Service table of oxinetd",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "daemon": section(&|scope| scope == Scope::Daemon),
            "defaults": section(&|scope| scope == Scope::Both),
            "service": {
                "type": "object",
                "description": "the services by their names",
                "propertyNames": { "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}$" },
                "additionalProperties": service,
            },
        },
    });
    serde_json::to_string_pretty(&schema).unwrap() + "\n"
}

fn described(key: Key) -> Value {
    let row = key.info();
    let mut value = of_kind(key);
    let default = match row.default {
        "-" | "required" | "none" => String::new(),
        text => format!(" [default: {text}]"),
    };
    value["description"] = format!("{}{default}", row.meaning).into();
    value
}

fn of_kind(key: Key) -> Value {
    let text = || json!({ "type": "string" });
    let duration = || json!({ "type": "string", "pattern": "^(off|[0-9].*)$" });
    let list = |item: Value| json!({ "anyOf": [item, { "type": "array", "items": item }] });
    let or_number = || json!({ "type": ["string", "integer"] });
    match key.info().kind {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Text | Kind::Template | Kind::Path | Kind::Sink => text(),
        Kind::Integer(least, most) => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        Kind::Number => {
            json!({ "anyOf": [{ "type": "number", "exclusiveMinimum": 0 }, { "const": "off" }] })
        }
        Kind::Count => {
            json!({ "anyOf": [{ "type": "integer", "minimum": 1 }, { "const": "unlimited" }] })
        }
        Kind::Size { zero } => json!({ "anyOf": [
            { "type": "integer", "minimum": u8::from(!zero) },
            { "type": "string", "pattern": "^(unlimited|[0-9]+ ?([KMGT](iB)?|B)?)$" },
        ] }),
        Kind::Duration => duration(),
        Kind::DurationOrBool => json!({ "anyOf": [duration(), { "type": "boolean" }] }),
        Kind::Rate => json!({ "type": "string", "pattern": "^(off|[0-9]+/.+)$" }),
        Kind::Percent => json!({ "type": "string", "pattern": "^[0-9]+%$" }),
        Kind::Mode => json!({ "type": "string", "pattern": "^[0-7]{3,4}$" }),
        Kind::User | Kind::Group | Kind::Address => or_number(),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Choices(words) => list(json!({ "enum": words })),
        Kind::Words | Kind::Prefixes | Kind::Hours => list(text()),
        Kind::Addresses => list(or_number()),
        Kind::Variables => json!({ "type": "object", "additionalProperties": text() }),
        Kind::Table { scalar, .. } => {
            let parts: Map<String, Value> = key
                .parts()
                .map(|part| (part.last_name().to_owned(), described(part)))
                .collect();
            let required: Vec<&str> = key
                .parts()
                .filter(|part| part.info().default == "required")
                .map(Key::last_name)
                .collect();
            let table = json!({
                "type": "object",
                "additionalProperties": false,
                "required": required,
                "properties": parts,
            });
            let off = json!({ "const": "off" });
            match scalar {
                Some(scalar) => json!({ "anyOf": [of_kind(scalar), table] }),
                None => json!({ "anyOf": [table, off] }),
            }
        }
    }
}
