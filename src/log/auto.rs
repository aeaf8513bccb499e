//! `log_to = "auto"`: which sink suits the place that the daemon was started in.

use std::env;
use std::io::{IsTerminal, stderr};
use std::os::fd::AsFd;
use std::path::Path;

use super::{journal, syslog};
use crate::service::LogTarget;
use crate::sys::output;

/// What the daemon can see of its surroundings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "five independent facts")]
pub(super) struct Surroundings {
    /// stderr leads to the journal.
    pub(super) journal_stream: bool,
    terminal: bool,
    container: bool,
    journal_socket: bool,
    dev_log: bool,
}

impl Surroundings {
    /// Looks around. To be called before the environment is rebuilt.
    pub(super) fn look() -> Self {
        let container = env::var_os("container").is_some()
            || std::process::id() == 1
            || ["/run/.containerenv", "/.dockerenv"]
                .iter()
                .any(|path| Path::new(path).exists());
        Self {
            journal_stream: is_journal_stream(),
            terminal: stderr().is_terminal(),
            container,
            journal_socket: Path::new(journal::SOCKET).exists(),
            dev_log: Path::new(syslog::DEV_LOG).exists(),
        }
    }

    /// The sink for `auto`.
    pub(super) fn target(self) -> LogTarget {
        if self.journal_stream && self.journal_socket {
            LogTarget::Journal
        } else if self.journal_stream || self.terminal || self.container || !self.dev_log {
            LogTarget::Stderr
        } else {
            LogTarget::Syslog
        }
    }
}

/// systemd.exec(5), JOURNAL_STREAM: the device and inode of the stream, for programs whose stderr was redirected since.
fn is_journal_stream() -> bool {
    let Ok(stream) = env::var("JOURNAL_STREAM") else {
        return false;
    };
    output::identity(stderr().as_fd()).is_ok_and(|(dev, ino)| stream == format!("{dev}:{ino}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_chooses_by_the_place() {
        let place = |[journal_stream, terminal, container, journal_socket, dev_log]: [bool; 5]| {
            Surroundings {
                journal_stream,
                terminal,
                container,
                journal_socket,
                dev_log,
            }
        };
        let (yes, no) = (true, false);
        let cases = [
            ([yes, no, no, yes, yes], LogTarget::Journal),
            ([yes, no, no, no, yes], LogTarget::Stderr),
            ([no, yes, no, yes, yes], LogTarget::Stderr),
            ([no, no, yes, no, yes], LogTarget::Stderr),
            ([no, no, no, yes, yes], LogTarget::Syslog),
            ([no, no, no, no, no], LogTarget::Stderr),
        ];
        for (seen, target) in cases {
            assert_eq!(place(seen).target(), target, "{seen:?}");
        }
    }
}
