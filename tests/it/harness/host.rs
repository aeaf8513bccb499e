//! A host of its own for a test: network, and the directories that services use, laid over those of this machine.
//!
//! Programs come from packages that `tests/unpack` laid out in `target/unpacked`, so nothing is installed here; accounts
//! and files that a test makes are gone with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::{find, in_own_network, run, skip, text};

/// Where `tests/unpack` puts what `tests/run` asks for.
fn unpacked() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../unpacked")
}

/// True, after saying so, when one of the packages is not unpacked.
pub(crate) fn lacks_packages(packages: &[&str]) -> bool {
    let is_there = |package: &&&str| {
        unpacked().join("done").join(package).exists()
            || Path::new("/var/lib/dpkg/info")
                .join(format!("{package}.list"))
                .exists()
    };
    let missing: Vec<_> = packages
        .iter()
        .filter(|package| !is_there(package))
        .collect();
    if !missing.is_empty() {
        skip(&format!(
            "needs the packages {missing:?}, from tests/unpack"
        ));
    }
    !missing.is_empty()
}

/// Runs `body` on such a host. /etc, /usr and /var can be written; /srv, /run and /root are empty.
pub(crate) fn on_own_host(body: impl FnOnce() + Send + 'static) {
    in_own_network(|| {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let nothing = None::<&str>;
        mount(
            nothing,
            "/",
            nothing,
            MsFlags::MS_REC | MsFlags::MS_PRIVATE,
            nothing,
        )
        .unwrap();
        // On a file system of its own, for an overlay cannot lie on an overlay; and below /mnt, which no test uses.
        empty("/mnt");
        // Without anything unpacked the programs are those of this machine.
        let unpacked = unpacked();
        let unpacked = unpacked.canonicalize().unwrap_or(unpacked);
        for directory in ["etc", "usr", "var"] {
            lay(directory, &unpacked);
        }
        for directory in ["/srv", "/run", "/root"] {
            empty(directory);
        }
        fs::set_permissions("/root", std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        body();
    });
}

fn lay(directory: &str, unpacked: &Path) {
    let own = unpacked.join(directory);
    let lower = if own.exists() {
        format!("{}:/{directory}", own.display())
    } else {
        format!("/{directory}")
    };
    let (upper, work) = (
        format!("/mnt/{directory}"),
        format!("/mnt/{directory}.work"),
    );
    fs::create_dir_all(&upper).unwrap();
    fs::create_dir_all(&work).unwrap();
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    let overlay = Some("overlay");
    let to = format!("/{directory}");
    let flags = MsFlags::empty();
    mount(overlay, to.as_str(), overlay, flags, Some(options.as_str())).unwrap();
}

fn empty(directory: &str) {
    mount(
        Some("tmpfs"),
        directory,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("mode=755"),
    )
    .unwrap();
}

/// Runs a script of the shell, which must succeed, and gives what it wrote.
pub(crate) fn shell(script: &str) -> String {
    let sh = find("sh").unwrap();
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let output = run(Command::new(sh)
        .args(["-euc", script])
        .current_dir("/srv")
        .env("HOME", "/root")
        .env("PATH", path));
    assert!(output.status.success(), "{script}\n{}", text(&output));
    text(&output)
}
