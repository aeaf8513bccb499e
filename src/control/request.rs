//! Requests: one line of words each.

use crate::service::LogLevel;

/// Bytes of the longest request, its newline included.
pub const LONGEST: usize = 512;

/// What a control client can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `status [NAME]`.
    Status(Option<String>),
    /// `try NAME CLIENT`: what counts of a client at a service.
    Try(String, String),
    /// `reload`.
    Reload,
    /// `upgrade`: go on as the program that is now where this one was started from.
    Upgrade,
    /// `pause NAME`: stop accepting until `resume`.
    Pause(String),
    /// `resume NAME`: accept again, whatever stopped it.
    Resume(String),
    /// `drain NAME`: stop accepting and tell the live connections to end.
    Drain(String),
    /// `kill ID`: end one connection.
    Kill(String),
    /// `kill-service NAME`: end every connection of a service.
    KillService(String),
    /// `unban SOURCE`.
    Unban(String),
    /// `log-level LEVEL`.
    LogLevel(LogLevel),
}

impl Request {
    /// Understands a line without its newline.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        let line = std::str::from_utf8(line).map_err(|_| "the request is not text".to_owned())?;
        let mut words = line.split_ascii_whitespace();
        let Some(verb) = words.next() else {
            return Err("the request is empty".to_owned());
        };
        let argument = words.next().map(str::to_owned);
        let second = words.next();
        if words.next().is_some() || second.is_some() && verb != "try" {
            return Err(format!("`{}` does not take that many words", shown(verb)));
        }
        let needed = |what: &str| {
            argument
                .clone()
                .ok_or_else(|| format!("`{verb}` needs {what}"))
        };
        match verb {
            "status" => Ok(Self::Status(argument)),
            "try" => match (argument, second) {
                (Some(name), Some(client)) => Ok(Self::Try(name, client.to_owned())),
                _ => Err("`try` needs a service and a client".to_owned()),
            },
            "reload" if argument.is_none() => Ok(Self::Reload),
            "upgrade" if argument.is_none() => Ok(Self::Upgrade),
            "pause" => needed("a service").map(Self::Pause),
            "resume" => needed("a service").map(Self::Resume),
            "drain" => needed("a service").map(Self::Drain),
            "kill" => needed("a connection id").map(Self::Kill),
            "kill-service" => needed("a service").map(Self::KillService),
            "unban" => needed("a source").map(Self::Unban),
            "log-level" => match needed("a level")?.as_str() {
                "error" => Ok(Self::LogLevel(LogLevel::Error)),
                "warning" => Ok(Self::LogLevel(LogLevel::Warning)),
                "info" => Ok(Self::LogLevel(LogLevel::Info)),
                "debug" => Ok(Self::LogLevel(LogLevel::Debug)),
                _ => Err("the levels are error, warning, info and debug".to_owned()),
            },
            _ => Err(format!("`{}` is not a request", shown(verb))),
        }
    }

    /// The line that [`Request::parse`] understands as this, with its newline.
    pub fn line(&self) -> String {
        match self {
            Self::Status(None) => "status\n".to_owned(),
            Self::Status(Some(name)) => format!("status {name}\n"),
            Self::Try(name, client) => format!("try {name} {client}\n"),
            Self::Reload => "reload\n".to_owned(),
            Self::Upgrade => "upgrade\n".to_owned(),
            Self::Pause(name) => format!("pause {name}\n"),
            Self::Resume(name) => format!("resume {name}\n"),
            Self::Drain(name) => format!("drain {name}\n"),
            Self::Kill(id) => format!("kill {id}\n"),
            Self::KillService(name) => format!("kill-service {name}\n"),
            Self::Unban(source) => format!("unban {source}\n"),
            Self::LogLevel(level) => format!(
                "log-level {}\n",
                match level {
                    LogLevel::Error => "error",
                    LogLevel::Warning => "warning",
                    LogLevel::Info => "info",
                    LogLevel::Debug => "debug",
                }
            ),
        }
    }

    /// True if it changes nothing: also for the control group.
    pub fn only_reads(&self) -> bool {
        matches!(self, Self::Status(_) | Self::Try(..))
    }
}

/// Somebody else's word, short and without surprises.
fn shown(word: &str) -> String {
    word.chars()
        .take(32)
        .flat_map(char::escape_default)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_survives_its_line() {
        let name = || "echo".to_owned();
        for request in [
            Request::Status(None),
            Request::Status(Some(name())),
            Request::Try(name(), "192.0.2.7".to_owned()),
            Request::Reload,
            Request::Upgrade,
            Request::Pause(name()),
            Request::Resume(name()),
            Request::Drain(name()),
            Request::Kill(name()),
            Request::KillService(name()),
            Request::Unban("192.0.2.0/24".to_owned()),
            Request::LogLevel(LogLevel::Debug),
        ] {
            let line = request.line();
            let line = line.strip_suffix('\n').unwrap();
            assert_eq!(Request::parse(line.as_bytes()), Ok(request));
        }
    }

    #[test]
    fn junk_is_answered() {
        for line in [
            &b""[..],
            b"   ",
            b"STATUS",
            b"stop",
            b"pause",
            b"pause a b",
            b"try a",
            b"try a b c",
            b"reload now",
            b"log-level loud",
            b"\xff\xfe",
            b"status\0x y z",
        ] {
            let answer = Request::parse(line).unwrap_err();
            assert!(
                answer.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
                "{answer}"
            );
        }
    }
}
