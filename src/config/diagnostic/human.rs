//! The look for people: the title, the lines of the file with carets, what to write.
//!
//! Invariant: the cost of a problem depends on the lines that it shows, not on the size of the file.

use std::ops::Range;

use annotate_snippets::renderer::Renderer;
use annotate_snippets::{AnnotationKind, Group, Level, Patch, Snippet};

use super::{Diagnostic, Report, Severity};
use crate::config::source::{FileId, Place};

/// Places farther apart than this many lines are shown in snippets of their own.
const NEAR: usize = 40;
/// Longer lines are named, not shown.
const WIDEST: usize = 2000;

/// The problem as a block of text that ends with an empty line.
pub(super) fn render(report: &Report, problem: &Diagnostic, color: bool) -> String {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let mut title = level.primary_title(problem.title.as_str());
    if problem.severity != Severity::Note {
        title = title.id(problem.code.text());
    }
    let mut main = Group::with_title(title);
    for window in windows(report, problem) {
        main = main.element(window.snippet(report));
    }
    let mut groups = vec![main];
    let help = problem.help.as_deref();
    let patch = problem.patch.as_ref().and_then(|patch| {
        let window = Window::around(report, patch.place)?;
        let file = report.file(window.file)?;
        let snippet = Snippet::source(file.text.get(window.bytes.clone())?).line_start(window.line);
        let span = window.inside(patch.place);
        Some(snippet.patch(Patch::new(span, patch.text.as_str())))
    });
    if let Some(patch) = patch {
        let title = Level::HELP.secondary_title(help.unwrap_or("write"));
        groups.push(Group::with_title(title).element(patch));
    } else if let Some(help) = help {
        groups.push(Group::with_title(Level::HELP.secondary_title(help)));
    }
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let mut text = if problem.place.is_some() {
        renderer.render(&groups)
    } else {
        // Without lines of a file between them groups would be joined by an empty gutter.
        let parts: Vec<String> = groups
            .into_iter()
            .map(|group| renderer.render(&[group]))
            .collect();
        parts.join("\n")
    };
    text.push_str("\n\n");
    text
}

/// Some lines of a file and what is marked in them.
struct Window<'a> {
    file: FileId,
    line: usize,
    bytes: Range<usize>,
    marks: Vec<(Place, &'a str, bool)>,
}

impl<'a> Window<'a> {
    fn around(report: &Report, place: Place) -> Option<Self> {
        let file = report.file(place.file)?;
        let (line, _) = file.position(place.start);
        let (last, _) = file.position(place.end.max(place.start + 1) - 1);
        let last = if last > line + NEAR { line } else { last };
        let bytes = file.window(line, last);
        Some(Self {
            file: place.file,
            line,
            bytes,
            marks: Vec::new(),
        })
    }

    fn inside(&self, place: Place) -> Range<usize> {
        let length = self.bytes.len();
        let clamp = |byte: u32| (byte as usize).saturating_sub(self.bytes.start).min(length);
        clamp(place.start)..clamp(place.end)
    }

    fn snippet(&self, report: &'a Report) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let file = report.file(self.file);
        let text = file
            .and_then(|file| file.text.get(self.bytes.clone()))
            .unwrap_or_default();
        let name = file.map(|file| file.name.as_str()).unwrap_or_default();
        let text = if text.lines().any(|line| line.len() > WIDEST) {
            ""
        } else {
            text
        };
        let marks = self.marks.iter().map(|(place, label, primary)| {
            let kind = if *primary {
                AnnotationKind::Primary
            } else {
                AnnotationKind::Context
            };
            let span = if text.is_empty() {
                0..0
            } else {
                self.inside(*place)
            };
            kind.span(span).label((!label.is_empty()).then_some(*label))
        });
        Snippet::source(text)
            .line_start(self.line)
            .path(name)
            .annotations(marks)
    }
}

/// The stretches to show: near places of one file together, the primary one first.
fn windows<'a>(report: &Report, problem: &'a Diagnostic) -> Vec<Window<'a>> {
    let mut windows: Vec<Window<'a>> = Vec::new();
    let primary = problem
        .place
        .map(|place| (place, problem.label.as_str(), true));
    let others = problem
        .context
        .iter()
        .map(|(place, label)| (*place, label.as_str(), false));
    for (place, label, is_primary) in primary.into_iter().chain(others) {
        let Some(window) = Window::around(report, place) else {
            continue;
        };
        let near = windows
            .iter_mut()
            .find(|other| other.file == window.file && other.line.abs_diff(window.line) <= NEAR);
        match near {
            Some(other) => {
                other.line = other.line.min(window.line);
                other.bytes = other.bytes.start.min(window.bytes.start)
                    ..other.bytes.end.max(window.bytes.end);
                other.marks.push((place, label, is_primary));
            }
            None => windows.push(Window {
                marks: vec![(place, label, is_primary)],
                ..window
            }),
        }
    }
    windows
}
