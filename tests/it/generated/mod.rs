//! What is made from the key table and the command line, and kept under packaging/: the man page oxinetd.toml(5), the JSON
//! schema and the completions. A test fails when one of them is stale; with UPDATE_GENERATED set it writes them instead.

mod completions;
mod man;
mod schema;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{lacks, run, text};

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("packaging")
        .join(name)
}

/// Compares, or writes.
fn is_current(name: &str, made: &str) {
    let path = packaging(name);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, made).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "packaging/{name} is stale: UPDATE_GENERATED=1 cargo test --test it generated::"
    );
}

#[test]
fn man_page_is_current_and_clean() {
    is_current("man/oxinetd.toml.5", &man::page());
    if lacks(&["mandoc"]) {
        return;
    }
    let mut lint = Command::new("mandoc");
    lint.args(["-T", "lint", "-W", "style"])
        .arg(packaging("man/oxinetd.toml.5"));
    let output = run(&mut lint);
    // Which other pages are installed does not matter.
    let said = text(&output);
    let elsewhere = ["mandoc.db", "manual not found"];
    let trouble: Vec<&str> = said
        .lines()
        .filter(|line| !line.is_empty() && !elsewhere.iter().any(|words| line.contains(words)))
        .collect();
    assert_eq!(trouble, Vec::<&str>::new());
}

#[test]
fn schema_is_current() {
    is_current("oxinetd.schema.json", &schema::schema());
}

/// Whether the schema takes all of these tables.
fn schema_takes(tables: &[PathBuf]) -> (bool, String) {
    let directory = tempfile::tempdir().unwrap();
    let mut validate = Command::new("jsonschema");
    for (number, table) in tables.iter().enumerate() {
        let value: serde_json::Value = toml::from_str(&fs::read_to_string(table).unwrap()).unwrap();
        let name = format!("{number}-{}.json", table.file_stem().unwrap().display());
        let instance = directory.path().join(name);
        fs::write(&instance, value.to_string()).unwrap();
        validate.arg("-i").arg(instance);
    }
    validate.arg(packaging("oxinetd.schema.json"));
    let output = run(&mut validate);
    (output.status.success(), text(&output))
}

fn tables(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let files = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect()
}

#[test]
fn schema_takes_good_tables_and_refuses_wrong_keys() {
    if lacks(&["jsonschema"]) {
        return;
    }
    let directories = [
        "tests/data/config/good",
        "etc",
        "etc/oxinetd.d",
        "packaging/debian",
    ];
    let (takes, said) = schema_takes(&directories.map(tables).concat());
    assert!(takes, "{said}");
    let bad = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/config/bad");
    for name in [
        "unknown-key",
        "types",
        "choices",
        "integers",
        "sections",
        "foreign-xinetd",
    ] {
        let (takes, _) = schema_takes(&[bad.join(name).with_extension("toml")]);
        assert!(!takes, "{name} is refused by nothing");
    }
}

/// Editors find the schema by the first line of a table.
#[test]
fn samples_name_the_schema() {
    for table in tables("etc").into_iter().chain(tables("etc/oxinetd.d")) {
        let text = fs::read_to_string(&table).unwrap();
        let first = "#:schema /usr/share/oxinetd/oxinetd.schema.json\n";
        assert!(text.starts_with(first), "{}", table.display());
    }
}

#[test]
fn completions_are_current() {
    for (name, made) in completions::all() {
        is_current(&format!("completions/{name}"), &made);
    }
}
