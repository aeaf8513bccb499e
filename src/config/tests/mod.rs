//! Tests of whole loads.

mod bounds;
mod files;
mod meaning;

use std::path::PathBuf;

use super::diagnostic::Format;
use super::fake::FakeWorld;
use super::{Loaded, Main, load};
use crate::service::Service;

pub(super) fn world(files: &[(&str, &str)]) -> FakeWorld {
    let files = files
        .iter()
        .map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec()));
    FakeWorld {
        files: files.collect(),
        ..FakeWorld::default()
    }
}

pub(super) fn text(text: &str, uid: u32) -> Loaded {
    load(
        &Main::Text {
            name: "x.toml",
            text,
        },
        &FakeWorld::default().host(uid),
    )
}

pub(super) fn short(loaded: &Loaded) -> String {
    loaded.report.render(Format::Short)
}

/// The services of a table that must be good.
pub(super) fn services(loaded: &Loaded) -> Vec<&Service> {
    let table = loaded
        .table
        .as_ref()
        .unwrap_or_else(|| panic!("{}", short(loaded)));
    table.services.iter().map(AsRef::as_ref).collect()
}

pub(super) const ECHO: &str = "builtin = \"echo\"\n";
