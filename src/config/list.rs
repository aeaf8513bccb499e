//! The files that `"@/path/list"` names: one network or word a line.
//!
//! Blank lines and what follows `#` say nothing. A list with an error is refused whole: half a list of those who may not
//! come is worse than the old one.

use std::io;
use std::path::Path;

use super::diagnostic::shown;
use super::files::reason;
use super::values::prefix;
use super::world::{Opened, World};
use crate::service::{List, Source};

/// The longest file.
const LIMIT: usize = 4 << 20;
/// The most entries: what the daemon puts in order in some ten milliseconds.
const ENTRIES: usize = 100_000;
/// Problems of one file that are told.
const TOLD: usize = 10;

/// Reads a list; or its problems, each in one line that starts with the file.
pub fn read(world: &dyn World, path: &Path) -> Result<List, Vec<String>> {
    let name = path.display().to_string();
    let name = shown(&name);
    let refused = |what: String| Err(vec![format!("{name} {what}")]);
    let bytes = match world.read(path, LIMIT) {
        Ok(Opened::Regular { bytes, .. }) => bytes,
        // An empty list, as for files of the table.
        Ok(Opened::Null) => Vec::new(),
        Ok(Opened::Other) => return refused("is not a regular file".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return refused("does not exist: make the file, an empty one is fine".to_owned());
        }
        Err(error) => return refused(format!("cannot be read ({})", reason(&error))),
    };
    if bytes.len() > LIMIT {
        return refused("is larger than 4 MiB".to_owned());
    }
    let Ok(text) = String::from_utf8(bytes) else {
        return refused("is not UTF-8".to_owned());
    };
    match parse(&text) {
        Ok(sources) if sources.len() > ENTRIES => {
            refused(format!("has more than {ENTRIES} entries"))
        }
        Ok(sources) => Ok(List {
            path: path.to_owned(),
            sources,
        }),
        Err(problems) => {
            let more = problems.len().saturating_sub(TOLD);
            let mut told: Vec<String> = problems
                .into_iter()
                .take(TOLD)
                .map(|(line, what)| format!("{name}:{line} {what}"))
                .collect();
            if more > 0 {
                told.push(format!("{name} has {more} more problems"));
            }
            Err(told)
        }
    }
}

fn parse(text: &str) -> Result<Vec<Source>, Vec<(usize, String)>> {
    let mut sources = Vec::new();
    let mut problems = Vec::new();
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let entry = line.split_once('#').map_or(line, |(entry, _)| entry).trim();
        if entry.is_empty() {
            continue;
        }
        match prefix::parse(entry) {
            Ok(Source::File(_)) => {
                problems.push((
                    number,
                    "names another list: write its entries here".to_owned(),
                ));
            }
            Ok(source) => sources.push(source),
            Err(problem) => {
                let help = problem.help.map(|help| format!(": {help}"));
                problems.push((
                    number,
                    format!("{}{}", problem.what, help.unwrap_or_default()),
                ));
            }
        }
    }
    if problems.is_empty() {
        Ok(sources)
    } else {
        Err(problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fake::FakeWorld;

    fn of(text: &str) -> Result<List, Vec<String>> {
        let mut world = FakeWorld::default();
        world.files.insert("/l".into(), text.as_bytes().to_vec());
        read(&world, Path::new("/l"))
    }

    #[test]
    fn networks_words_comments_and_blanks_are_read() {
        let list =
            of("\u{feff}# scanners\r\n203.0.113.0/24\t# since May\n\n  ::1\r\nprivate\nuid:7\n")
                .unwrap();
        assert_eq!(list.path, Path::new("/l"));
        let net = |text: &str| Source::Net(text.parse().unwrap());
        assert_eq!(
            list.sources,
            [
                net("203.0.113.0/24"),
                net("::1/128"),
                Source::Private,
                Source::Uid(7)
            ]
        );
        assert!(of("").unwrap().sources.is_empty());
    }

    #[test]
    fn problems_name_the_line_and_the_text_to_write() {
        let problems = of("10.0.0.0/8\n10.1.2.3/8\nexample.org\n@/other\n").unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].starts_with("/l:2 ") && problems[0].contains("10.0.0.0/8"));
        assert!(problems[1].starts_with("/l:3 names a host"));
        assert!(problems[2].starts_with("/l:4 names another list"));
        let many = of(&"bad\n".repeat(50)).unwrap_err();
        assert_eq!(
            (many.len(), many[10].as_str()),
            (11, "/l has 40 more problems")
        );
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let world = FakeWorld {
            fifos: vec!["/fifo".into()],
            ..FakeWorld::default()
        };
        let problem = |path: &str| read(&world, Path::new(path)).unwrap_err().concat();
        assert!(problem("/gone").contains("does not exist"));
        assert!(problem("/fifo").contains("not a regular file"));
        assert!(of(&"10.0.0.1\n".repeat(ENTRIES)).is_ok());
        assert!(of(&"10.0.0.1\n".repeat(ENTRIES + 1)).unwrap_err()[0].contains("entries"));
        assert!(of(&" ".repeat(LIMIT + 1)).unwrap_err()[0].contains("4 MiB"));
    }
}
