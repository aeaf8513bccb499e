//! The daemon's standard error, line by line as it comes.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// All lines so far, and a bell that rings at each.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    lines: Vec<String>,
    closed: bool,
}

impl Log {
    /// Collects lines until the end of the stream.
    pub(crate) fn collect(&self, stream: impl Read + Send + 'static) {
        let log = self.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
                let text = String::from_utf8_lossy(&line)
                    .trim_end_matches('\n')
                    .to_owned();
                line.clear();
                let (state, bell) = &*log.0;
                state
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .lines
                    .push(text);
                bell.notify_all();
            }
            let (state, bell) = &*log.0;
            state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
            bell.notify_all();
        });
    }

    /// The lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lines
            .clone()
    }

    /// Where the log ends now: `expect_from` looks at what comes later.
    pub(crate) fn end(&self) -> usize {
        self.0
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lines
            .len()
    }

    /// Waits for the first line after `from` that holds all the words.
    pub(crate) fn expect_from(&self, from: usize, words: &[&str], patience: Duration) -> String {
        let deadline = Instant::now() + patience;
        let (state, bell) = &*self.0;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let found = state.lines.iter().skip(from).find(|line| has(line, words));
            if let Some(line) = found {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero() && !state.closed,
                "no line with {words:?} in:\n{}",
                state.lines.join("\n")
            );
            state = bell
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// How many lines hold all the words.
    pub(crate) fn count(&self, words: &[&str]) -> usize {
        let state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.lines.iter().filter(|line| has(line, words)).count()
    }

    /// Waits until everything that the daemon wrote before its end has been read.
    pub(crate) fn wait_for_end(&self) {
        let deadline = Instant::now() + super::PATIENCE;
        let (state, bell) = &*self.0;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "somebody still holds the daemon's stderr");
            state = bell
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// True when the line holds all the words.
fn has(line: &str, words: &[&str]) -> bool {
    words.iter().all(|word| line.contains(word))
}
