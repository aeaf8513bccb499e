//! Who can get to the program of a service, and who can change it.

use std::path::Path;

use super::Survey;
use crate::config::diagnostic::shown;
use crate::config::keys::Key;
use crate::config::surroundings::Found;
use crate::config::world::Metadata;
use crate::service::Identity;

const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Looks at the program and at every directory above it.
pub(super) fn program(survey: &Survey<'_, '_, '_>, found: &Found) {
    let file = std::iter::once((found.path.as_path(), found.metadata));
    let world = survey.reader.context.host.world;
    let above = found.path.ancestors().skip(1);
    let above = above.filter_map(|path| Some((path, world.metadata(path).ok()?)));
    let all: Vec<(&Path, Metadata)> = file.chain(above).collect();
    reachable(survey, &all);
    trusted(survey, &all);
}

/// A directory whose user cannot enter it; `found` itself is asked, too.
pub(super) fn blocked(survey: &Survey<'_, '_, '_>, found: &Found) -> Option<String> {
    let world = survey.reader.context.host.world;
    let identity = survey.service.process.identity.as_ref()?;
    let path = found.path.ancestors().find(|path| {
        let metadata = world.metadata(path);
        metadata.is_ok_and(|metadata| !may_execute(survey, identity, path, metadata))
    })?;
    Some(shown(&path.to_string_lossy()))
}

fn reachable(survey: &Survey<'_, '_, '_>, all: &[(&Path, Metadata)]) {
    let Some(identity) = &survey.service.process.identity else {
        return;
    };
    let root = Path::new(
        survey
            .service
            .process
            .root_directory
            .as_deref()
            .unwrap_or("/"),
    );
    let below_root = all.iter().filter(|(path, _)| path.starts_with(root));
    let Some((path, metadata)) = below_root
        .into_iter()
        .find(|(path, metadata)| !may_execute(survey, identity, path, *metadata))
    else {
        return;
    };
    let path = shown(&path.to_string_lossy());
    let what = format!("cannot be started by user `{}`", shown(&identity.name));
    let label = format!(
        "{path} is closed to it (mode {:04o})",
        metadata.mode & 0o7777
    );
    let help = format!("open it: chmod o+x {path}, or choose another `user` or `group`");
    survey.warn(Key::Command, &what, &label, &help);
}

/// The permission to execute or enter, by the mode; where an access control list says more, it is taken to say yes.
fn may_execute(
    survey: &Survey<'_, '_, '_>,
    identity: &Identity,
    path: &Path,
    metadata: Metadata,
) -> bool {
    let shift = if metadata.uid == identity.uid {
        6
    } else if metadata.gid == identity.gid || identity.groups.contains(&metadata.gid) {
        3
    } else {
        0
    };
    identity.uid == 0 || metadata.mode >> shift & 1 != 0 || survey.surroundings.has_acl(path)
}

/// The first file or directory that somebody besides root, the daemon and the service's own user may change.
fn trusted(survey: &Survey<'_, '_, '_>, all: &[(&Path, Metadata)]) {
    let service_uid = survey
        .service
        .process
        .identity
        .as_ref()
        .map(|identity| identity.uid);
    let trusted =
        |uid: u32| uid == 0 || uid == survey.reader.context.host.euid || Some(uid) == service_uid;
    for (path, metadata) in all {
        let mode = metadata.mode & 0o7777;
        let path = shown(&path.to_string_lossy());
        let is_safe_together = mode & STICKY != 0 && metadata.uid == 0;
        let group = mode & GROUP_WRITES != 0 && metadata.gid != 0;
        let (who, help) = if mode & OTHERS_WRITE != 0 && !is_safe_together {
            ("everybody".to_owned(), format!("chmod o-w {path}"))
        } else if group && !is_safe_together {
            (
                format!("group {}", metadata.gid),
                format!("chmod g-w {path}"),
            )
        } else if !trusted(metadata.uid) {
            (
                format!("uid {}", metadata.uid),
                format!("chown root {path}"),
            )
        } else {
            continue;
        };
        let what = format!("runs what {who} may change");
        let label = format!("{path} has mode {mode:04o} and owner {}", metadata.uid);
        survey.warn(Key::Command, &what, &label, &help);
        return;
    }
}
