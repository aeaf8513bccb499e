//! `oxinetd serve`: one service from the command line. The options become a table, so there is one language and one
//! set of errors.

use std::fmt::Write;

use super::{complain, exit, run};
use crate::cli::Serve;
use crate::daemon::{Overrides, Source};
use crate::service::LogFormat;

/// What messages call the table.
const NAME: &str = "<command line>";

/// Serves until TERM.
pub fn serve(command: &Serve) -> u8 {
    match prepare(command) {
        Ok((text, overrides)) => run::serve(
            Source::Text {
                name: NAME.to_owned(),
                text,
            },
            overrides,
            None,
            None,
        ),
        Err(problem) => {
            complain(&format!("oxinetd serve: {problem}\n"));
            exit::USAGE
        }
    }
}

/// The table that the command line describes, and what the environment says over it.
fn prepare(command: &Serve) -> Result<(String, Overrides), String> {
    let control = run::control_socket(command.control.as_deref())
        .map_err(|problem| format!("OXINETD_CONTROL: {problem}"))?;
    let log_format = match command.log_format.as_deref() {
        None => None,
        Some("text") => Some(LogFormat::Text),
        Some("json") => Some(LogFormat::Json),
        Some(other) => return Err(format!("OXINETD_LOG_FORMAT: `{other}` is not text or json")),
    };
    let overrides = Overrides {
        control,
        log_format,
    };
    Ok((table(&command.words)?, overrides))
}

/// The table that the words describe.
fn table(words: &[String]) -> Result<String, String> {
    let end = words.iter().position(|word| word == "--");
    let (options, program) = match end {
        Some(end) => (
            words.get(..end).unwrap_or(&[]),
            words.get(end + 1..).unwrap_or(&[]),
        ),
        None => (words, &[][..]),
    };
    let mut keys = pairs(options)?;
    if !program.is_empty() {
        keys.push(("command".to_owned(), program.to_vec()));
    }
    if !keys.iter().any(|(key, _)| key == "listen") {
        return Err("where to listen is missing: --listen 7007".to_owned());
    }
    if !keys
        .iter()
        .any(|(key, _)| ["command", "builtin", "redirect"].contains(&key.as_str()))
    {
        return Err("what to serve is missing: --builtin echo, or -- PROGRAM ARGUMENTS".to_owned());
    }
    let name = service_name(&keys);
    let mut text = String::from(
        "[daemon]\ncontrol = \"off\"\nlog_to = \"stderr\"\n\n[defaults]\nuser = \"65534\"\n\n",
    );
    let _ = writeln!(text, "[service.{name}]");
    for (key, values) in keys {
        let list = key == "command" || values.len() > 1;
        let values: Vec<String> = values.iter().map(|value| toml_value(&key, value)).collect();
        let value = if list {
            format!("[{}]", values.join(", "))
        } else {
            values.concat()
        };
        let _ = writeln!(text, "{key} = {value}");
    }
    Ok(text)
}

/// `--key value`, `--key=value`, `--key` alone for true, in the order of their first mention.
fn pairs(options: &[String]) -> Result<Vec<(String, Vec<String>)>, String> {
    let mut keys: Vec<(String, Vec<String>)> = Vec::new();
    let mut options = options.iter().peekable();
    while let Some(option) = options.next() {
        let Some(option) = option.strip_prefix("--") else {
            return Err(format!(
                "`{option}` is not an option; a program comes after --"
            ));
        };
        let (key, value) = match option.split_once('=') {
            Some((key, value)) => (key, value.to_owned()),
            None => match options.next_if(|next| !next.starts_with("--")) {
                Some(value) => (option, value.clone()),
                None => (option, "true".to_owned()),
            },
        };
        let key = key.replace('-', "_");
        if !key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.')
            || key.is_empty()
        {
            return Err(format!("`--{option}` is not an option"));
        }
        match keys.iter_mut().find(|(other, _)| *other == key) {
            Some((_, values)) => values.push(value),
            None => keys.push((key, vec![value])),
        }
    }
    Ok(keys)
}

/// Numbers, booleans, lists and tables stay what they are; everything else is a string.
fn toml_value(key: &str, value: &str) -> String {
    let plain = value == "true"
        || value == "false"
        || (value.parse::<i64>().is_ok()
            && (value == "0" || !value.trim_start_matches('-').starts_with('0')))
        || (value.starts_with('[') && value.ends_with(']') && !value.contains("]:"))
        || (value.starts_with('{') && value.ends_with('}'));
    if plain && key != "command" && !value.starts_with('+') {
        return value.to_owned();
    }
    let mut quoted = String::from("\"");
    for character in value.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// The built-in's or the program's name, as far as a service may be called so.
fn service_name(keys: &[(String, Vec<String>)]) -> String {
    let of = |wanted: &str| {
        keys.iter()
            .find(|(key, _)| key == wanted)
            .and_then(|(_, values)| values.first())
            .map(String::as_str)
    };
    let name = of("builtin").or_else(|| of("command")).unwrap_or("service");
    let name = name.split_whitespace().next().unwrap_or(name);
    let base = name.rsplit('/').next().unwrap_or(name);
    let name: String = base
        .chars()
        .filter(|char| char.is_ascii_alphanumeric() || "_-".contains(*char))
        .take(64)
        .collect();
    if name.is_empty() || name.starts_with('-') {
        "service".to_owned()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn service(text: &str) -> String {
        let table = table(&words(text)).unwrap();
        table.split_once("[service.").unwrap().1.to_owned()
    }

    #[test]
    fn options_become_keys() {
        assert_eq!(
            service("--listen 7007 --builtin echo --max-connections=5 --nodelay --timeout 10s"),
            "echo]\nlisten = 7007\nbuiltin = \"echo\"\nmax_connections = 5\nnodelay = true\ntimeout = \"10s\"\n"
        );
    }

    #[test]
    fn a_program_is_taken_word_for_word() {
        assert_eq!(
            service("--listen [::1]:79 --listen 80 --umask 0027 -- /bin/echo --listen 5"),
            "echo]\nlisten = [\"[::1]:79\", 80]\numask = \"0027\"\ncommand = [\"/bin/echo\", \"--listen\", \"5\"]\n"
        );
    }

    #[test]
    fn what_is_missing_is_said() {
        assert!(
            table(&words("--builtin echo"))
                .unwrap_err()
                .contains("--listen")
        );
        assert!(
            table(&words("--listen 7"))
                .unwrap_err()
                .contains("--builtin")
        );
        assert!(table(&words("listen 7")).unwrap_err().contains("after --"));
    }
}
