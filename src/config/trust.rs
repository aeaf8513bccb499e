//! Config trust: a daemon that is root refuses a table that others may write (DESIGN 5).
//!
//! Invariant: judged on the descriptor that was read, never on a name that may since point elsewhere; then every
//! directory above the file's true name. A sticky directory of root passes: nobody else can replace a file of root's in
//! it (/tmp).

use std::path::Path;

use super::diagnostic::{Code, Diagnostic, Severity, shown};
use super::world::{Metadata, World};

const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// What is wrong with the trust in a file; `lenient`: named by `--config`, so that a foreign owner is a warning.
pub(super) fn problems(
    world: &dyn World,
    path: &Path,
    metadata: Metadata,
    lenient: bool,
) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let mut report = |severity: Severity, path: &Path, what: &str, help: String| {
        let title = format!("the table {what}: {}", shown(&path.to_string_lossy()));
        let problem = Diagnostic::error(Code::Untrusted, None, title).help(help);
        problems.push(Diagnostic {
            severity,
            ..problem
        });
    };
    let mode = metadata.mode & 0o7777;
    if mode & (GROUP_WRITES | OTHERS_WRITE) != 0 {
        let who = writers(mode, metadata.gid);
        report(
            Severity::Error,
            path,
            &format!("can be written by {who} (mode {mode:04o})"),
            chmod(mode, path),
        );
    }
    if metadata.uid != 0 {
        let severity = if lenient {
            Severity::Warning
        } else {
            Severity::Error
        };
        let what = format!("belongs to uid {}, and the daemon is root", metadata.uid);
        report(
            severity,
            path,
            &what,
            format!("chown root {}", shown(&path.to_string_lossy())),
        );
    }
    for directory in path.ancestors().skip(1) {
        let Ok(metadata) = world.metadata(directory) else {
            report(
                Severity::Error,
                directory,
                "is in a directory that cannot be examined",
                "check the directory".to_owned(),
            );
            continue;
        };
        let mode = metadata.mode & 0o7777;
        if mode & (GROUP_WRITES | OTHERS_WRITE) != 0 && !(mode & STICKY != 0 && metadata.uid == 0) {
            let who = writers(mode, metadata.gid);
            report(
                Severity::Error,
                directory,
                &format!("is in a directory that can be written by {who} (mode {mode:04o})"),
                chmod(mode, directory),
            );
        }
        if metadata.uid != 0 {
            let severity = if lenient {
                Severity::Warning
            } else {
                Severity::Error
            };
            let what = format!(
                "is in a directory of uid {}, and the daemon is root",
                metadata.uid
            );
            report(
                severity,
                directory,
                &what,
                format!("chown root {}", shown(&directory.to_string_lossy())),
            );
        }
    }
    problems
}

fn writers(mode: u32, gid: u32) -> String {
    if mode & OTHERS_WRITE != 0 {
        "everybody".to_owned()
    } else {
        format!("group {gid}")
    }
}

fn chmod(mode: u32, path: &Path) -> String {
    let what = match (mode & GROUP_WRITES != 0, mode & OTHERS_WRITE != 0) {
        (true, true) => "go-w",
        (true, false) => "g-w",
        _ => "o-w",
    };
    format!("chmod {what} {}", shown(&path.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::super::fake::FakeWorld;
    use super::*;

    #[test]
    fn files_and_parents_must_be_roots_alone() {
        let none: &[Severity] = &[];
        let cases = [
            (0, 0o100_644, 0, 0o040_755, false, none),
            (0, 0o100_664, 0, 0o040_755, false, &[Severity::Error][..]),
            (0, 0o100_666, 0, 0o040_755, true, &[Severity::Error][..]),
            (7, 0o100_644, 0, 0o040_755, false, &[Severity::Error][..]),
            (7, 0o100_644, 0, 0o040_755, true, &[Severity::Warning][..]),
            (0, 0o100_644, 0, 0o041_777, false, none),
            (0, 0o100_644, 0, 0o040_777, false, &[Severity::Error][..]),
            (
                0,
                0o100_644,
                7,
                0o041_777,
                true,
                &[Severity::Error, Severity::Warning][..],
            ),
            (0, 0o100_644, 7, 0o040_755, false, &[Severity::Error][..]),
        ];
        for (uid, mode, parent_uid, parent_mode, lenient, expected) in cases {
            let mut world = FakeWorld::default();
            world.directories.insert(
                "/etc".into(),
                Metadata {
                    uid: parent_uid,
                    gid: 0,
                    mode: parent_mode,
                },
            );
            world.directories.insert(
                "/".into(),
                Metadata {
                    uid: 0,
                    gid: 0,
                    mode: 0o040_755,
                },
            );
            let file = Metadata { uid, gid: 50, mode };
            let found: Vec<Severity> = problems(&world, Path::new("/etc/x.toml"), file, lenient)
                .iter()
                .map(|p| p.severity)
                .collect();
            assert_eq!(
                found, expected,
                "{uid} {mode:o} {parent_uid} {parent_mode:o} {lenient}"
            );
        }
    }
}
