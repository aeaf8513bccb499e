//! The program of a service: is it there, can the kernel start it, for this user, in this root?

use std::io;
use std::path::Path;

use super::binary::{self, Format};
use super::{Survey, reach};
use crate::config::diagnostic::shown;
use crate::config::files::reason;
use crate::config::keys::Key;
use crate::config::resolve::program::PROGRAM_PATH;
use crate::config::surroundings::Found;
use crate::service::{Preset, Run};

const EXECUTE: u32 = 0o111;
const SET_ID: u32 = 0o6000;
/// A script may name a script; the kernel follows four.
const DEEPEST: u32 = 4;

pub(super) fn look(survey: &Survey<'_, '_, '_>) {
    let Run::Program(program) = &survey.service.run else {
        return;
    };
    let path = Path::new(&program.path);
    let found = match survey.surroundings.look(root(survey), path) {
        Ok(found) => found,
        Err(error) => return missing(survey, path, &error),
    };
    let name = shown(&program.path);
    let warn = |what: &str, label: &str, help: &str| survey.warn(Key::Command, what, label, help);
    if !found.is_file() {
        let what = format!("names no program: {name} is not a file");
        return warn(&what, "a directory or device", "write the program itself");
    }
    if found.metadata.mode & EXECUTE == 0 {
        let what = format!("cannot be started: {name} is not executable");
        let label = format!("mode {:04o}", found.metadata.mode & 0o7777);
        return warn(&what, &label, &format!("chmod +x {name}"));
    }
    if found.noexec {
        let what = format!("cannot be started: {name} is on a file system without programs");
        warn(
            &what,
            "mounted with `noexec`",
            "move it, or mount the file system with `exec`",
        );
    }
    set_id(survey, &found);
    starts(survey, &name, &found, DEEPEST);
    reach::program(survey, &found);
}

/// The root that the program will see.
pub(super) fn root<'s>(survey: &'s Survey<'_, '_, '_>) -> &'s Path {
    Path::new(
        survey
            .service
            .process
            .root_directory
            .as_deref()
            .unwrap_or("/"),
    )
}

fn missing(survey: &Survey<'_, '_, '_>, path: &Path, error: &io::Error) {
    let name = shown(&path.to_string_lossy());
    let root = root(survey);
    // A root that is not there is told by its own key.
    if root != Path::new("/") && survey.surroundings.look(Path::new("/"), root).is_err() {
        return;
    }
    let inside = if root == Path::new("/") {
        String::new()
    } else {
        format!(" inside of {}", shown(&root.to_string_lossy()))
    };
    if error.kind() != io::ErrorKind::NotFound {
        let what = format!("cannot be looked at: {name}{inside}: {}", reason(error));
        return survey.warn(Key::Command, &what, "is it there?", "check as root");
    }
    let elsewhere = PROGRAM_PATH.iter().find_map(|directory| {
        let other = Path::new(directory).join(path.file_name()?);
        let found = survey.surroundings.look(root, &other).ok()?;
        (found.metadata.mode & EXECUTE != 0).then(|| other.to_string_lossy().into_owned())
    });
    let what = format!("names a program that is not there: {name}{inside}");
    let help = match elsewhere {
        Some(other) => format!("did you mean `{other}`?"),
        None if inside.is_empty() => "install it, or write its right path".to_owned(),
        None => format!(
            "the path counts from `root_directory`: copy it to {}{name}",
            shown(&root.to_string_lossy())
        ),
    };
    survey.warn(Key::Command, &what, "not found", &help);
}

/// Under no_new_privs the bits that would change the user do nothing.
fn set_id(survey: &Survey<'_, '_, '_>, found: &Found) {
    if found.metadata.mode & SET_ID != 0 && survey.service.process.sandbox.preset >= Preset::Basic {
        let bit = if found.metadata.mode & 0o4000 != 0 {
            "set-uid"
        } else {
            "set-gid"
        };
        let what = format!("names a {bit} program, which gains nothing here");
        survey.warn(
            Key::Command,
            &what,
            "no_new_privs keeps the user as it is",
            "write `user` as the program needs it, or `sandbox = \"none\"`",
        );
    }
}

/// What the kernel needs besides the file itself: an interpreter, a loader, the right processor.
fn starts(survey: &Survey<'_, '_, '_>, name: &str, found: &Found, depth: u32) {
    let Some(head) = &found.head else {
        return;
    };
    let inside = if root(survey) == Path::new("/") {
        ""
    } else {
        " inside of its root"
    };
    let (what, label, help, next) = match binary::format(head) {
        Format::Foreign(machine) => {
            let what = format!("cannot be started: {name} is a program for {machine}");
            return survey.warn(
                Key::Command,
                &what,
                "another processor",
                "install the one for this host",
            );
        }
        Format::Unknown => {
            let what = format!("cannot be started: {name} is neither a program nor a script");
            return survey.warn(
                Key::Command,
                &what,
                "no `#!` in its first line",
                "begin it with `#!/bin/sh`",
            );
        }
        Format::Static => return,
        Format::Script(next) => {
            let what = format!(
                "cannot be started: {name} is a script for {}, which is not there{inside}",
                shown(&next)
            );
            (what, "its `#!` line", "install the interpreter", next)
        }
        Format::Dynamic(next) => {
            let what = format!(
                "cannot be started: {name} needs its loader {}, which is not there{inside}",
                shown(&next)
            );
            (
                what,
                "linked with shared libraries",
                "copy the loader and the libraries that ldd(1) lists, or link it statically",
                next,
            )
        }
    };
    match survey.surroundings.look(root(survey), Path::new(&next)) {
        Ok(next_found) if depth > 0 => starts(survey, &shown(&next), &next_found, depth - 1),
        Ok(_) => {}
        Err(_) => survey.warn(Key::Command, &what, label, help),
    }
}
