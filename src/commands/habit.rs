//! `start`, `stop`, `restart`, `enable`, `disable`: the init system's words. Typed by habit, they print its line.

use std::path::Path;

use super::{complain, exit};

/// Prints the line if the first word is such a one, and does nothing.
pub fn answer(mut words: impl Iterator<Item = String>) -> Option<u8> {
    let word = Word::parse(&words.next()?)?;
    let init = Init::find(|path| Path::new(path).exists());
    complain(&advice(word, words.next().as_deref(), init));
    Some(exit::USAGE)
}

/// The words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Start,
    Stop,
    Restart,
    Enable,
    Disable,
}

impl Word {
    fn parse(text: &str) -> Option<Self> {
        let all = [
            Self::Start,
            Self::Stop,
            Self::Restart,
            Self::Enable,
            Self::Disable,
        ];
        all.into_iter().find(|word| word.text() == text)
    }

    fn text(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Enable => "enable",
            Self::Disable => "disable",
        }
    }
}

/// Who starts daemons on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Init {
    Systemd,
    OpenRc,
    S6,
    Runit,
    None,
}

impl Init {
    fn find(exists: impl Fn(&str) -> bool) -> Self {
        let places = [
            ("/run/systemd/system", Self::Systemd),
            ("/run/openrc", Self::OpenRc),
            ("/run/s6-rc", Self::S6),
            ("/run/runit", Self::Runit),
            ("/etc/runit", Self::Runit),
        ];
        let found = places.iter().find(|(path, _)| exists(path));
        found.map_or(Self::None, |(_, init)| *init)
    }

    /// What to type for the daemon.
    fn line(self, word: Word) -> &'static str {
        use Word::{Disable, Enable, Restart, Start, Stop};
        match (self, word) {
            (Self::Systemd, Start) => "systemctl start oxinetd",
            (Self::Systemd, Stop) => "systemctl stop oxinetd",
            (Self::Systemd, Restart) => "systemctl restart oxinetd",
            (Self::Systemd, Enable) => "systemctl enable oxinetd",
            (Self::Systemd, Disable) => "systemctl disable oxinetd",
            (Self::OpenRc, Start) => "rc-service oxinetd start",
            (Self::OpenRc, Stop) => "rc-service oxinetd stop",
            (Self::OpenRc, Restart) => "rc-service oxinetd restart",
            (Self::OpenRc, Enable) => "rc-update add oxinetd default",
            (Self::OpenRc, Disable) => "rc-update del oxinetd default",
            (Self::S6, Start) => "s6-rc -u change oxinetd",
            (Self::S6, Stop) => "s6-rc -d change oxinetd",
            (Self::S6, Restart) => "s6-svc -r /run/service/oxinetd",
            (Self::S6, Enable) => "s6-rc-bundle-update add default oxinetd",
            (Self::S6, Disable) => "s6-rc-bundle-update delete default oxinetd",
            (Self::Runit, Start) => "sv up oxinetd",
            (Self::Runit, Stop) => "sv down oxinetd",
            (Self::Runit, Restart) => "sv restart oxinetd",
            (Self::Runit, Enable) => "ln -s /etc/sv/oxinetd /var/service/",
            (Self::Runit, Disable) => "rm /var/service/oxinetd",
            (Self::None, Start | Enable) => "oxinetd run",
            (Self::None, Stop | Disable) => "kill -TERM PID, which `oxinetd status` shows",
            (Self::None, Restart) => "oxinetd reload, or kill -TERM PID and oxinetd run",
        }
    }
}

/// What to do instead: for the daemon, and for a service if one was named.
fn advice(word: Word, service: Option<&str>, init: Init) -> String {
    let name = word.text();
    let mut text = format!(
        "oxinetd: `{name}` is the init system's word: {}\n",
        init.line(word)
    );
    if let Some(service) = service {
        let service: String = service
            .chars()
            .filter(|c| !c.is_control())
            .take(64)
            .collect();
        let line = match word {
            Word::Start => format!("oxinetd resume {service}"),
            Word::Stop => {
                format!(
                    "oxinetd pause {service}, or oxinetd drain {service} to end its connections"
                )
            }
            Word::Restart => format!("oxinetd kill --service {service}, or oxinetd reload"),
            Word::Enable | Word::Disable => format!(
                "`enabled = {}` in [service.{service}], then oxinetd reload",
                word == Word::Enable
            ),
        };
        text.push_str("oxinetd: for a service of the table: ");
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_init_has_its_line() {
        let init = |path: &str| Init::find(|other| other == path);
        assert_eq!(
            advice(Word::Stop, None, init("/run/systemd/system")),
            "oxinetd: `stop` is the init system's word: systemctl stop oxinetd\n"
        );
        assert_eq!(
            advice(Word::Enable, None, init("/run/openrc")),
            "oxinetd: `enable` is the init system's word: rc-update add oxinetd default\n"
        );
        assert_eq!(init("/nowhere"), Init::None);
    }

    #[test]
    fn a_service_is_paused_and_not_stopped() {
        let text = advice(Word::Stop, Some("echo"), Init::Systemd);
        assert!(text.contains("oxinetd pause echo"), "{text}");
        let text = advice(Word::Enable, Some("echo"), Init::Systemd);
        assert!(
            text.contains("`enabled = true` in [service.echo]"),
            "{text}"
        );
    }
}
