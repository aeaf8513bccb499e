//! Tables as users write them, good and bad, and what they are told (tests/data/config).

use std::fs;
use std::path::{Path, PathBuf};

use super::diagnostic::{Code, Diagnostic, Format, Report};
use super::fake::{FakeSurroundings, FakeWorld};
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
    load_in(path, None)
}

fn load_in(path: &Path, surroundings: Option<&FakeSurroundings>) -> Loaded {
    let text = fs::read_to_string(path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let mut world = FakeWorld::default();
    for (name, text) in LISTS {
        world.files.insert(name.into(), text.as_bytes().to_vec());
    }
    let host = world.host(if name.starts_with("user-") { 7 } else { 0 });
    let host = match surroundings {
        Some(surroundings) => host.looking_at(surroundings),
        None => host,
    };
    load(&Main::Text { name, text: &text }, &host)
}

fn compare(kind: &str, report: impl Fn(&Path) -> Report) {
    let mut failures = Vec::new();
    for path in cases(kind) {
        let text = report(&path).render(Format::Human { color: false });
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
fn bad_tables_are_answered_word_for_word() {
    compare("bad", |path| load_case(path).report);
}

/// What `check` warns of, and `run` does not.
#[test]
fn what_the_world_lacks_is_told_word_for_word() {
    for (name, surroundings) in [
        ("world", FakeSurroundings::default()),
        (
            "world-poor",
            FakeSurroundings {
                open_files: 64,
                capabilities: 0,
                ..FakeSurroundings::default()
            },
        ),
    ] {
        compare(name, |path| {
            let report = load_in(path, Some(&surroundings)).report;
            let told = report.problems().iter().cloned();
            let told = told.filter(|problem| problem.code != Code::NotYet);
            Report::new(report.files().to_vec(), told.collect())
        });
        for path in cases(name) {
            let served = load_case(&path);
            let world = |problem: &&Diagnostic| problem.code == Code::World;
            assert_eq!(served.report.problems().iter().filter(world).count(), 0);
        }
    }
}

#[test]
fn good_tables_have_no_problems_but_what_is_not_served_yet() {
    for path in cases("good") {
        let loaded = load_case(&path);
        let rest = loaded
            .report
            .problems()
            .iter()
            .filter(|problem| problem.code != Code::NotYet);
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
