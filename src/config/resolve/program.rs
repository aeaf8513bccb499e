//! `command` and `argv0`: the program and its words.

use std::path::Path;

use super::reader::{Item, Reader};
use crate::config::diagnostic::{Code, Diagnostic, shown};
use crate::config::keys::Key;
use crate::config::values::{Problem, command, template};
use crate::service::{Program, Template};

/// Where a program without a directory is looked for.
pub(super) const PROGRAM_PATH: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];
/// Reads the keys; `None`: an error has been reported.
pub(super) fn program(reader: &Reader<'_, '_>) -> Option<Program> {
    let entry = reader.entry(Key::Command)?;
    let words: Vec<Item> = if let Some(line) = entry.value.get_ref().as_str() {
        let place = entry.place();
        let split = match command::split(line) {
            Ok(split) => split,
            Err(problem) => {
                reader.refuse(Key::Command, place, problem);
                return None;
            }
        };
        split
            .into_iter()
            .map(|text| Item {
                text,
                place,
                quoted: false,
            })
            .collect()
    } else {
        reader.items(Key::Command, false)?
    };
    let [first, rest @ ..] = words.as_slice() else {
        reader.refuse(
            Key::Command,
            entry.place(),
            Problem::new("is empty").help("write the program and its words"),
        );
        return None;
    };
    let path = self::path(reader, first);
    // Problems of all words are told, also when the first one is wrong.
    let plain = |item: &Item| match template::parse(&item.text) {
        Ok(word) => Some(word),
        Err(mut problem) => {
            // A patch would replace the whole string by the one word.
            if !item.quoted {
                problem.instead = None;
            }
            reader.refuse(Key::Command, item.place, problem);
            None
        }
    };
    let arguments: Vec<Option<Template>> = rest.iter().map(plain).collect();
    let argv0 = reader.text(Key::Argv0).map(|item| item.text);
    let arguments = arguments.into_iter().collect::<Option<Vec<_>>>()?;
    let path = path?;
    let base = Path::new(&path)
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    Some(Program {
        argv0: argv0.or(base).unwrap_or_else(|| path.clone()),
        path,
        arguments,
    })
}

/// The program: absolute, or found in the fixed path with a warning.
fn path(reader: &Reader<'_, '_>, first: &Item) -> Option<String> {
    let refuse = |problem: Problem| {
        reader.refuse(Key::Command, first.place, problem);
        None
    };
    if let Err(problem) = template::without_nul(&first.text) {
        return refuse(problem);
    }
    if first.text.contains("%{") {
        return refuse(
            Problem::new("has a `%{…}` in its first word")
                .help("the program itself is fixed; its words may vary"),
        );
    }
    if first.text.starts_with('/') {
        if first.text.ends_with('/') {
            return refuse(
                Problem::new(format!("names a directory: `{}`", shown(&first.text)))
                    .help("write the path of the program"),
            );
        }
        return Some(first.text.clone());
    }
    let world = reader.context.host.world;
    let found = if first.text.contains('/') || first.text.is_empty() {
        None
    } else {
        let candidates = PROGRAM_PATH
            .iter()
            .map(|directory| format!("{directory}/{}", first.text));
        candidates
            .into_iter()
            .find(|path| world.is_executable(Path::new(path)))
    };
    let Some(path) = found else {
        let what = format!(
            "does not begin with an absolute path: `{}`",
            shown(&first.text)
        );
        return refuse(Problem::new(what).help("write the path of the program from `/` on"));
    };
    let title = format!(
        "{} is searched for: `{}`",
        reader.subject(Key::Command),
        shown(&first.text)
    );
    let problem = Diagnostic::warning(Code::Suspicious, first.place, title)
        .label(format!("found as {path}"))
        .help("write the absolute path");
    reader.report(if first.quoted {
        problem.patch(first.place, format!("\"{path}\""))
    } else {
        problem
    });
    Some(path)
}
