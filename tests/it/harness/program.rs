//! The probe: a small static C program that the daemon can serve, compiled once.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::{Builder, find, skip};

/// Copies the probe to where the services of this test may run it; `None`, said aloud, without a C compiler.
pub(crate) fn probe(builder: &Builder) -> Option<String> {
    let Some(compiled) = compiled() else {
        skip("needs a C compiler");
        return None;
    };
    let path = builder.path().join("probe");
    std::fs::copy(compiled, &path).unwrap();
    Some(path.to_str().unwrap().to_owned())
}

fn compiled() -> Option<&'static PathBuf> {
    static COMPILED: OnceLock<Option<PathBuf>> = OnceLock::new();
    let compiled = COMPILED.get_or_init(|| {
        let cc = find("cc").or_else(|| find("gcc"))?;
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/programs/probe.c");
        let directory = env!("CARGO_TARGET_TMPDIR");
        let out = PathBuf::from(format!("{directory}/probe-{}", std::process::id()));
        let done = Command::new(cc)
            .args(["-O1", "-static", "-Wall", "-Werror", "-o"])
            .arg(&out)
            .arg(source)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", super::text(&done));
        Some(out)
    });
    compiled.as_ref()
}
