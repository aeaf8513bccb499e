//! Tables as users write them, good and bad, and what they are told (tests/data/config).

use std::fs;
use std::path::{Path, PathBuf};

use super::diagnostic::Format;
use super::fake::FakeWorld;
use super::{Loaded, Main, load};

fn cases(kind: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/config")
        .join(kind);
    let entries = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut tables: Vec<PathBuf> = entries
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    tables.sort();
    assert!(!tables.is_empty(), "no cases in {}", directory.display());
    tables
}

/// Lists that cases name.
const LISTS: [(&str, &str); 2] = [
    ("/etc/oxinetd/scanners.txt", "203.0.113.0/24\n"),
    (
        "/etc/oxinetd/bad.txt",
        "10.0.0.0/8\n10.1.2.3/8\nexample.org\n",
    ),
];

/// A file whose name has `user` in it is for a daemon that is not root.
fn load_case(path: &Path) -> Loaded {
    let text = fs::read_to_string(path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let mut world = FakeWorld::default();
    for (name, text) in LISTS {
        world.files.insert(name.into(), text.as_bytes().to_vec());
    }
    load(
        &Main::Text { name, text: &text },
        &world.host(if name.starts_with("user-") { 7 } else { 0 }),
    )
}

#[test]
fn bad_tables_are_answered_word_for_word() {
    let mut failures = Vec::new();
    for path in cases("bad") {
        let loaded = load_case(&path);
        let text = loaded.report.render(Format::Human { color: false });
        let expected = path.with_extension("err");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&expected, &text).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        if text != expected || text.is_empty() {
            failures.push(format!("--- {}\n{text}", path.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.concat());
}

#[test]
fn good_tables_have_no_problems_but_what_is_not_served_yet() {
    for path in cases("good") {
        let loaded = load_case(&path);
        let rest = loaded
            .report
            .problems()
            .iter()
            .filter(|problem| problem.code != super::diagnostic::Code::NotYet);
        let told = loaded.report.render(Format::Short);
        assert_eq!(rest.count(), 0, "{}\n{told}", path.display());
        assert_eq!(
            loaded.table.is_some(),
            told.is_empty(),
            "{}\n{told}",
            path.display()
        );
    }
}
