//! Files that nobody would write: bounded answers, never a panic.

use std::fmt::Write as _;
use std::path::Path;

use proptest::prelude::*;

use super::{ECHO, services, short, text, world};
use crate::config::diagnostic::Format;
use crate::config::fake::FakeWorld;
use crate::config::{Main, load};

#[test]
fn files_that_are_no_tables_are_refused_at_once() {
    let big = "#".repeat((4 << 20) + 1);
    let nested = format!("a = {}", "[".repeat(10_000));
    for (bytes, expected) in [
        (big.as_bytes(), "error: cannot read /t: larger than 4 MiB"),
        (b"a = 1\nb\0".as_slice(), "error: /t:2: byte 7 is a NUL"),
        (b"# \xe9\n", "error: /t:1: byte 2 is not UTF-8"),
        (b"[service.x\n", "/t:1:11: error: not TOML: "),
        (nested.as_bytes(), "/t:1:"),
        (b"\x7fELF\x02\x01\x01", "/t:1:1: error: not TOML"),
    ] {
        let mut world = FakeWorld::default();
        world.files.insert("/t".into(), bytes.to_vec());
        let loaded = load(&Main::Named(Path::new("/t")), &world.host(0));
        assert!(loaded.table.is_none());
        assert!(short(&loaded).starts_with(expected), "{}", short(&loaded));
        assert!(loaded.report.render(Format::Human { color: false }).len() < 64 << 10);
    }
    let mut world = FakeWorld::default();
    world.fifos.push("/t".into());
    let loaded = load(&Main::Named(Path::new("/t")), &world.host(0));
    assert_eq!(
        short(&loaded),
        "error: cannot read /t: not a regular file (a table is a plain file)\n"
    );
}

#[test]
fn bom_and_crlf_are_accepted() {
    let toml = format!(
        "\u{feff}[service.x]\r\nlisten = 7007\r\nuser = \"git\"\r\n{}",
        ECHO.replace('\n', "\r\n")
    );
    let world = world(&[("/t", &toml)]);
    let loaded = load(&Main::Named(Path::new("/t")), &world.host(0));
    assert_eq!(services(&loaded)[0].origin.line, 1);
}

/// Every good table, for the mutations.
fn corpus() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/config");
    let mut texts = Vec::new();
    for kind in ["good", "bad"] {
        for entry in std::fs::read_dir(directory.join(kind)).unwrap() {
            let path = entry.unwrap().path();
            if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                texts.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    texts.sort();
    texts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Cut, paste and overwrite what users write: always a report, never a panic, and no table with errors.
    #[test]
    fn mutated_tables_are_answered(which in any::<prop::sample::Index>(), edits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), "\\PC{0,6}"), 0..5), uid in 0u32..2) {
        let corpus = corpus();
        let mut text: Vec<char> = which.get(&corpus).chars().collect();
        for (from, length, insert) in edits {
            let from = from.index(text.len() + 1);
            let to = (from + length.index(12)).min(text.len());
            text.splice(from..to, insert.chars());
        }
        let toml: String = text.into_iter().collect();
        let loaded = super::text(&toml, uid);
        prop_assert_eq!(loaded.table.is_none(), loaded.report.has_errors());
        for format in [Format::Human { color: false }, Format::Human { color: true }, Format::Json, Format::Github] {
            loaded.report.render(format);
        }
    }
}

/// Nothing in a load is quadratic: this test would not end in any bearable time.
#[test]
fn many_services_load_in_one_pass() {
    let mut toml = String::from("[defaults]\nuser = \"git\"\n");
    for number in 0..10_000 {
        let (high, low) = (number / 250, number % 250);
        let _ = write!(
            toml,
            "[service.s{number}]\nlisten = \"127.{high}.{low}.1:79\"\ncommand = \"/bin/x\"\n"
        );
    }
    assert_eq!(services(&text(&toml, 0)).len(), 10_000);
}
