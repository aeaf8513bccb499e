//! `status --watch`: the table again every second, with rates and a small history, until interrupted.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::time::{Duration, Instant};

use super::table;
use super::{exit, fetch, print};
use crate::cli::Status as Command;
use crate::control::status::Status;

/// Seconds that the history holds.
const HISTORY: usize = 60;

/// Refreshes until the daemon is gone or the command is interrupted.
pub(super) fn watch(command: &Command) -> u8 {
    let mut history = History::default();
    loop {
        let status = match fetch(command) {
            Ok(status) => status,
            Err(code) => return code,
        };
        history.add(&status, Instant::now());
        let screen = format!(
            "\x1b[H\x1b[2J{}\n{}",
            table::render(&status, command.name.is_some()),
            history.render()
        );
        if !print(&screen) {
            return exit::OK;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Connections a second of each service, newest last.
#[derive(Debug, Default)]
struct History {
    before: HashMap<String, u64>,
    rates: Vec<(String, VecDeque<u64>)>,
    at: Option<Instant>,
}

impl History {
    fn add(&mut self, status: &Status, now: Instant) {
        let millis = self
            .at
            .map_or(1000, |at| now.duration_since(at).as_millis())
            .max(1) as u64;
        let first = self.at.replace(now).is_none();
        for service in &status.services {
            let before = self
                .before
                .insert(service.name.clone(), service.served)
                .unwrap_or(service.served);
            if first {
                continue;
            }
            let rate = (service.served.saturating_sub(before) * 1000 + millis / 2) / millis;
            let index = self
                .rates
                .iter()
                .position(|(name, _)| *name == service.name);
            let index = index.unwrap_or_else(|| {
                self.rates.push((service.name.clone(), VecDeque::new()));
                self.rates.len() - 1
            });
            if let Some((_, rates)) = self.rates.get_mut(index) {
                if rates.len() == HISTORY {
                    rates.pop_front();
                }
                rates.push_back(rate);
            }
        }
    }

    /// `rsync   12/s ▁▂▅█`
    fn render(&self) -> String {
        let width = self
            .rates
            .iter()
            .map(|(name, _)| name.len())
            .max()
            .unwrap_or(0);
        let mut text = String::new();
        for (name, rates) in &self.rates {
            let _ = writeln!(
                text,
                "  {name:<width$} {:>6}/s {}",
                rates.back().unwrap_or(&0),
                graph(rates)
            );
        }
        text
    }
}

/// A bar for each value, the highest one full.
fn graph(values: &VecDeque<u64>) -> String {
    const BARS: [char; 9] = [
        ' ', '\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}',
        '\u{2588}',
    ];
    let top = values.iter().copied().max().unwrap_or(0).max(1);
    values
        .iter()
        .map(|value| {
            BARS.get((value * 8).div_ceil(top) as usize)
                .copied()
                .unwrap_or(' ')
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_value_has_a_full_bar() {
        assert_eq!(
            graph(&VecDeque::from([0, 1, 4, 8])),
            " \u{2581}\u{2584}\u{2588}"
        );
        assert_eq!(graph(&VecDeque::from([0, 0])), "  ");
    }
}
