//! Unit files: sections, settings, continued lines.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::convert::note::Place;

/// A unit file.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) lines: u32,
    /// Its lines without comments.
    pub(super) original: Vec<String>,
    settings: Vec<(String, Setting)>,
}

/// `Key=value`
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) line: u32,
}

impl Unit {
    pub(super) fn parse(path: &Path, lines: &[String]) -> Self {
        let mut unit = Self {
            path: path.to_owned(),
            name: path
                .file_name()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default(),
            lines: u32::try_from(lines.len()).unwrap_or(u32::MAX),
            original: Vec::new(),
            settings: Vec::new(),
        };
        let mut section = String::new();
        let mut lines = lines.iter().zip(1..);
        while let Some((line, number)) = lines.next() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            unit.original.push(line.to_owned());
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                name.clone_into(&mut section);
                continue;
            }
            let mut text = line.to_owned();
            while text.ends_with('\\') {
                text.pop();
                text.push(' ');
                let Some((next, _)) = lines
                    .by_ref()
                    .find(|(l, _)| !l.trim_start().starts_with(['#', ';']))
                else {
                    break;
                };
                unit.original.push(next.trim().to_owned());
                text.push_str(next.trim());
            }
            let Some((key, value)) = text.split_once('=') else {
                continue;
            };
            unit.set(&section, key.trim(), value.trim(), number);
        }
        unit
    }

    /// An empty value takes back what was said before.
    fn set(&mut self, section: &str, key: &str, value: &str, line: u32) {
        let confines = key == "CapabilityBoundingSet";
        if value.is_empty() && !confines {
            self.settings
                .retain(|(s, setting)| s != section || setting.key != key);
            return;
        }
        let setting = Setting {
            key: key.to_owned(),
            value: value.to_owned(),
            line,
        };
        self.settings.push((section.to_owned(), setting));
    }

    pub(super) fn is_socket(&self) -> bool {
        self.name.ends_with(".socket")
            || self.settings.iter().any(|(section, _)| section == "Socket")
    }

    pub(super) fn settings<'a>(&'a self, section: &'a str) -> impl Iterator<Item = &'a Setting> {
        self.settings
            .iter()
            .filter(move |(s, _)| s == section)
            .map(|(_, setting)| setting)
    }

    pub(super) fn last(&self, section: &str, key: &str) -> Option<&Setting> {
        self.settings
            .iter()
            .rfind(|(s, setting)| s == section && setting.key == key)
            .map(|(_, setting)| setting)
    }

    pub(super) fn place(&self, setting: &Setting) -> Place {
        Place::new(&Rc::from(self.path.as_path()), setting.line)
    }
}
