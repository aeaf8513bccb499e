//! Directories that a service works in or writes to.

use std::path::{Path, PathBuf};

use super::Survey;
use super::program::root;
use super::reach::blocked;
use crate::config::diagnostic::shown;
use crate::config::keys::Key;
use crate::service::{BuiltinKind, LogTarget, Piece, Run, Stderr, Template};

pub(super) fn look(survey: &Survey<'_, '_, '_>) {
    let process = &survey.service.process;
    let host = Path::new("/");
    if let Some(root) = &process.root_directory {
        directory(survey, Key::RootDirectory, host, Path::new(root));
    }
    if matches!(survey.service.run, Run::Program(_)) && !process.working_directory.contains("%{") {
        directory(
            survey,
            Key::WorkingDirectory,
            root(survey),
            Path::new(&process.working_directory),
        );
    }
    if let Run::Builtin(builtin) = &survey.service.run
        && let BuiltinKind::Qotd { file } = &builtin.kind
        && survey.surroundings.look(host, file).is_err()
    {
        let what = format!(
            "names a file that is not there: {}",
            shown(&file.to_string_lossy())
        );
        survey.warn(
            Key::BuiltinFile,
            &what,
            "not found",
            "make it, or write its right path",
        );
    }
    if let Some(LogTarget::File(path)) = &survey.service.log_to {
        parent(survey, Key::LogTo, path);
    }
    if let Stderr::File(template) = &process.stderr {
        parent(survey, Key::Stderr, &fixed_part(template));
    }
    if let Some(transcript) = &survey.service.transcript {
        parent(survey, Key::TranscriptPath, &fixed_part(&transcript.path));
    }
}

/// A directory that the program needs.
fn directory(survey: &Survey<'_, '_, '_>, key: Key, root: &Path, path: &Path) {
    let name = shown(&path.to_string_lossy());
    match survey.surroundings.look(root, path) {
        // A root that is not there is told by its own key.
        Err(_)
            if root != Path::new("/")
                && survey.surroundings.look(Path::new("/"), root).is_err() => {}
        Err(_) => {
            let what = format!("names a directory that is not there: {name}");
            survey.warn(key, &what, "not found", "make it, or write another one");
        }
        Ok(found) if !found.is_directory() => {
            let what = format!("is not a directory: {name}");
            survey.warn(key, &what, "a file", "write a directory");
        }
        Ok(found) => {
            if let Some(closed) = blocked(survey, &found).filter(|_| survey.reader.written(key)) {
                let user = survey.service.process.identity.as_ref();
                let user = user.map_or_else(String::new, |identity| shown(&identity.name));
                let what = format!("cannot be entered by user `{user}`");
                survey.warn(
                    key,
                    &what,
                    &format!("{closed} is closed to it"),
                    "open it, or choose another `user` or `group`",
                );
            }
        }
    }
}

/// The directory of a file that is written.
fn parent(survey: &Survey<'_, '_, '_>, key: Key, path: &Path) {
    let directory = path.parent().unwrap_or(Path::new("/"));
    if survey.surroundings.look(Path::new("/"), directory).is_err() {
        let what = format!(
            "is in a directory that is not there: {}",
            shown(&directory.to_string_lossy())
        );
        survey.warn(key, &what, "not found", "make it");
    }
}

/// The path as far as it is the same for every connection.
fn fixed_part(template: &Template) -> PathBuf {
    let literal = template.0.iter().map_while(|piece| match piece {
        Piece::Text(text) => Some(text.as_str()),
        Piece::Specifier(_) => None,
    });
    let text: String = literal.collect();
    if template.literal().is_some() {
        return PathBuf::from(text);
    }
    // The word that a specifier is part of is not fixed.
    PathBuf::from(text + "x")
}
