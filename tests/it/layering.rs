//! The walls of the house: who may name what, and what README and the sources promise about themselves.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{oxinetd, run, text};

const HOME: &str = env!("CARGO_MANIFEST_DIR");

/// Every file below a directory that ends in `.rs`, with its path from the top.
fn sources(directory: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from(HOME).join(directory)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(HOME).unwrap().to_str().unwrap();
                found.push((name.to_owned(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty());
    found.sort();
    found
}

/// The lines of code: no comment, no doc.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
}

/// True when the code names this crate or keyword as a word of its own.
fn names(line: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// What may be named only in these places of `src/`.
const WALLS: &[(&str, &[&str])] = &[
    ("nix::", &["sys/", "listener", "launch"]),
    ("toml::", &["config", "convert"]),
    ("clap", &["cli.rs"]),
    ("::syslog::", &["log/syslog.rs"]),
    ("unsafe", &["launch/", "sys/"]),
    (
        "serde",
        &[
            "config", "convert", "control", "handover", "log", "service", "event",
        ],
    ),
];

#[test]
fn walls_stand() {
    let mut broken = Vec::new();
    for (file, text) in sources("src") {
        let inside = file.strip_prefix("src/").unwrap();
        for (word, places) in WALLS {
            if places.iter().any(|place| inside.starts_with(place)) {
                continue;
            }
            let named = |line: &str| match word.strip_prefix("::") {
                // A module of ours has the same name: the crate is the absolute path.
                Some(path) => {
                    line.match_indices(word).any(|(at, _)| {
                        let before = line[..at].chars().next_back();
                        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
                    }) || line.trim_start().starts_with(&format!("use {path}"))
                }
                None => match word.strip_suffix("::") {
                    // `toml::from_str`, `use toml;` and not the file name before a colon.
                    Some(krate) => {
                        names(line, krate)
                            && (line.contains(word) || line.contains(&format!("use {krate}")))
                            && !line.contains(&format!(".{krate}"))
                    }
                    None => names(line, word),
                },
            };
            for line in code(&text).filter(|line| named(line)) {
                broken.push(format!("{file} crosses {word}: {}", line.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    for (file, text) in sources("src").into_iter().chain(sources("tests")) {
        assert!(text.starts_with("//! "), "{file} has no header");
    }
}

#[test]
fn nothing_is_left_open_in_the_sources() {
    // Spelled so that this file does not find itself.
    let words = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["unimple", "mented!"].concat(),
        ["#[ig", "nore"].concat(),
    ];
    for (file, text) in sources("src").into_iter().chain(sources("tests")) {
        for word in &words {
            assert!(!text.contains(word.as_str()), "{file} holds {word}");
        }
    }
}

/// The names in a section of Cargo.toml.
fn dependencies(section: &str) -> BTreeSet<String> {
    let manifest = fs::read_to_string(Path::new(HOME).join("Cargo.toml")).unwrap();
    let mut inside = false;
    let mut found = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line == section;
        } else if inside && let Some((name, _)) = line.split_once('=') {
            found.insert(name.trim().to_owned());
        }
    }
    found
}

#[test]
fn readme_names_every_dependency_and_nothing_else() {
    let readme = fs::read_to_string(Path::new(HOME).join("README.md")).unwrap();
    let section = readme.split("## Dependencies").nth(1).expect("the section");
    let section = section.split("\n## ").next().unwrap();
    // Rows begin with the crate: | `nix` | …
    let told: BTreeSet<String> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|row| row.split('`').next().unwrap().to_owned())
        .collect();
    let mut have = dependencies("[dependencies]");
    have.extend(dependencies("[dev-dependencies]"));
    assert!(have.len() > 10);
    assert_eq!(told, have, "README on the left, Cargo.toml on the right");
}

#[test]
fn no_crate_is_there_in_two_versions() {
    let cargo = std::env::var("CARGO").unwrap_or("cargo".to_owned());
    let tree = run(Command::new(cargo)
        .args(["tree", "--locked", "--duplicates", "--edges", "normal"])
        .current_dir(HOME));
    assert!(tree.status.success(), "{}", text(&tree));
    let twice = String::from_utf8_lossy(&tree.stdout).into_owned();
    assert!(twice.trim().is_empty(), "{twice}");
}

#[test]
fn top_level_is_the_one_agreed() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "src",
        "etc",
        "tests",
        "packaging",
        "README.md",
        "LICENSE",
        ".gitignore",
        ".ci",
        ".git",
        "target",
    ];
    for entry in fs::read_dir(HOME).unwrap() {
        let name = entry.unwrap().file_name();
        let name = name.to_str().unwrap();
        assert!(allowed.contains(&name), "{name} at the top level");
    }
}

#[test]
fn shipped_table_is_the_embedded_one() {
    let shipped = fs::read_to_string(Path::new(HOME).join("etc/oxinetd.toml")).unwrap();
    assert!(shipped.contains("localhost:7007"));
    let embeds = sources("src")
        .iter()
        .any(|(_, text)| text.contains("include_str!") && text.contains("etc/oxinetd.toml"));
    assert!(embeds, "the binary holds the shipped file itself");
    let output = oxinetd(&["--version"]);
    assert!(text(&output).contains(env!("CARGO_PKG_VERSION")));
}
