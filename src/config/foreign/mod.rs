//! Words of other programs (LANGUAGE 4.8): answered with ours, never accepted.
//!
//! Invariant: pure; the value is translated where it and its siblings say enough, else only the key is named.

mod words;

use toml::de::{DeTable, DeValue};

use super::diagnostic::{Code, Diagnostic, shown};
use super::keys::Key;
use super::raw::{Owner, Value, Word};
use super::source::{FileId, Place};
use words::{Row, WORDS};

/// The answer to a word of another program, and the key of ours that was meant; `None`: it is no such word.
pub(super) fn answer(
    owner: &Owner<'_>,
    file: FileId,
    word: &Word<'_>,
    value: &Value<'_>,
    siblings: &DeTable<'_>,
) -> Option<(Diagnostic, &'static str)> {
    let row = row(word.get_ref())?;
    let meant = row.ours.split('`').nth(1).unwrap_or_default();
    let answer = if meant.is_empty() {
        row.ours.to_owned()
    } else {
        format!("is called {} here", row.ours)
    };
    let title = format!("`{}` in {} {answer}", shown(word.get_ref()), owner.shown());
    let place = Place::new(file, word.span());
    let problem =
        Diagnostic::error(Code::ForeignWord, place, title).label("a word of another program");
    if siblings.contains_key(meant) {
        let help = format!("`{meant}` is there already: leave this out");
        return Some((problem.help(help), meant));
    }
    // Several words of theirs make one of ours: the first one is replaced, the others go.
    let same =
        |other: &&Word<'_>| self::row(other.get_ref()).is_some_and(|other| other.ours == row.ours);
    let first = siblings
        .keys()
        .filter(same)
        .map(|other| other.span().start)
        .min();
    if first.is_some_and(|first| first < word.span().start) {
        let help = format!("it becomes part of the one {}", row.ours);
        return Some((problem.help(help), meant));
    }
    let written = (row.translate)(text_of(value).as_deref(), siblings);
    let same_line = value.span().start >= word.span().end;
    let problem = match written {
        Some(text) if same_line => {
            let line = Place::new(file, word.span().start..value.span().end);
            problem.help(row.help).patch(line, text)
        }
        Some(text) => problem.help(format!("{}: `{text}`", row.help)),
        None => problem.help(row.help),
    };
    Some((problem, meant))
}

fn row(word: &str) -> Option<&'static Row> {
    let plain = plain(word);
    WORDS.iter().find(|row| row.words.contains(&plain.as_str()))
}

/// Without case and punctuation: `server_args`, `ServerArgs`.
fn plain(word: &str) -> String {
    let letters = word.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|letter| letter.to_ascii_lowercase()).collect()
}

/// The sub-key that a word of another program means inside of a table of ours.
pub(super) fn part(table: Key, name: &str) -> Option<&'static str> {
    let plain = plain(name);
    let rows: &[(&str, &'static str)] = if table == Key::Limits {
        &[
            ("files", "open_files"),
            ("nofile", "open_files"),
            ("nproc", "processes"),
            ("cpu", "cpu_time"),
            ("as", "address_space"),
            ("fsize", "file_size"),
            ("memlock", "locked_memory"),
        ]
    } else if table == Key::Cgroup {
        &[
            ("memory", "memory_max"),
            ("tasks", "tasks_max"),
            ("pidsmax", "tasks_max"),
            ("cpu", "cpu_quota"),
            ("memoryswapmax", "swap_max"),
        ]
    } else {
        &[]
    };
    rows.iter()
        .find(|(theirs, _)| *theirs == plain)
        .map(|(_, ours)| *ours)
}

/// A scalar as the text that was meant; lists become words with blanks.
fn text_of(value: &Value<'_>) -> Option<String> {
    let value = value.get_ref();
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    if let Some(flag) = value.as_bool() {
        return Some(if flag { "yes" } else { "no" }.to_owned());
    }
    if let Some(number) = value.as_integer() {
        return (number.radix() == 10).then(|| number.as_str().to_owned());
    }
    let words: Option<Vec<&str>> = value
        .as_array()?
        .iter()
        .map(|item| item.get_ref().as_str())
        .collect();
    words.map(|words| words.join(" "))
}

/// What the value is, for messages about types.
pub(super) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys;
    use super::*;

    fn patch(text: &str, key: &str) -> Option<String> {
        let table = DeTable::parse(text).unwrap();
        let (word, value) = table
            .get_ref()
            .iter()
            .find(|(word, _)| word.get_ref() == key)
            .unwrap();
        let owner = Owner::Defaults;
        answer(&owner, 0, word, value, table.get_ref())
            .unwrap()
            .0
            .patch
            .map(|patch| patch.text)
    }

    #[test]
    fn values_are_translated() {
        for (text, key, expected) in [
            (
                "server = '/bin/x'\nserver_args = '-a b'",
                "server",
                Some(r#"command = "/bin/x -a b""#),
            ),
            (
                "port = 69\nprotocol = 'udp'",
                "port",
                Some(r#"listen = "udp:69""#),
            ),
            (
                "port = 69\nbind = '::1'",
                "port",
                Some(r#"listen = "[::1]:69""#),
            ),
            ("disable = 'yes'", "disable", Some("enabled = false")),
            ("disable = false", "disable", Some("enabled = true")),
            (
                "only_from = '10.0.0.0/8 ::1'",
                "only_from",
                Some(r#"allow = ["10.0.0.0/8", "::1"]"#),
            ),
            (
                "instances = 'UNLIMITED'",
                "instances",
                Some(r#"max_connections = "unlimited""#),
            ),
            (
                "cps = '50 10'",
                "cps",
                Some("rate = \"50/s\"\npause = \"10s\""),
            ),
            ("Accept = 'yes'", "Accept", Some("wait = false")),
            (
                "rlimit_as = '8M'",
                "rlimit_as",
                Some(r#"limits = { address_space = "8M" }"#),
            ),
            (
                "RuntimeMaxSec = 5",
                "RuntimeMaxSec",
                Some("timeout = \"5s\""),
            ),
            ("banner_fail = '/x'", "banner_fail", None),
            ("groups = 'no'", "groups", Some("supplementary_groups = []")),
        ] {
            assert_eq!(patch(text, key).as_deref(), expected, "{text}");
        }
    }

    /// LANGUAGE 4.8: every word, the key that is meant, and what is to be written where the value says enough.
    #[rustfmt::skip]
    const ROWS: &[(&str, &str, Option<&str>)] = &[
        ("server = '/bin/x'", "command", Some("command = \"/bin/x\"")),
        ("ExecStart = '/bin/x -a'", "command", Some("command = \"/bin/x -a\"")),
        ("exec = '/bin/x'", "command", Some("command = \"/bin/x\"")),
        ("program = '/bin/x'", "command", Some("command = \"/bin/x\"")),
        ("cmd = '/bin/x'", "command", Some("command = \"/bin/x\"")),
        ("run = '/bin/x'", "command", Some("command = \"/bin/x\"")),
        ("port = 69", "listen", Some("listen = \"69\"")),
        ("bind = '::1'", "listen", None),
        ("interface = '10.0.0.1'", "listen", None),
        ("address = '10.0.0.1'", "listen", None),
        ("ListenStream = 22", "listen", Some("listen = \"22\"")),
        ("ListenDatagram = '69'", "listen", Some("listen = \"udp:69\"")),
        ("protocol = 'udp'", "listen", None),
        ("socket_type = 'dgram'", "listen", None),
        ("proto = 'udp'", "listen", None),
        ("type = 'UNLISTED'", "listen", None),
        ("disable = 'no'", "enabled", Some("enabled = true")),
        ("disabled = true", "enabled", Some("enabled = false")),
        ("only_from = '::1'", "allow", Some("allow = [\"::1\"]")),
        ("IPAddressAllow = '::1'", "allow", Some("allow = [\"::1\"]")),
        ("allow_from = '::1'", "allow", Some("allow = [\"::1\"]")),
        ("whitelist = ['::1']", "allow", Some("allow = [\"::1\"]")),
        ("hosts_allow = '::1'", "allow", Some("allow = [\"::1\"]")),
        ("no_access = '::1'", "deny", Some("deny = [\"::1\"]")),
        ("IPAddressDeny = 'any'", "deny", Some("deny = [\"any\"]")),
        ("blacklist = '::1'", "deny", Some("deny = [\"::1\"]")),
        ("instances = 5", "max_connections", Some("max_connections = 5")),
        ("max_children = 5", "max_connections", Some("max_connections = 5")),
        ("max-child = 5", "max_connections", Some("max_connections = 5")),
        ("limit = 5", "max_connections", Some("max_connections = 5")),
        ("per_source = 5", "max_per_source", Some("max_per_source = 5")),
        ("MaxConnectionsPerSource = 5", "max_per_source", Some("max_per_source = 5")),
        ("per_ip = 5", "max_per_source", Some("max_per_source = 5")),
        ("cps = '50 10'", "rate", Some("rate = \"50/s\"\npause = \"10s\"")),
        ("TriggerLimitBurst = 20", "rate", Some("rate = \"20/s\"")),
        ("PollLimitBurst = 20", "rate", Some("rate = \"20/s\"")),
        ("rate_limit = 20", "rate", Some("rate = \"20/s\"")),
        ("access_times = '08:00-18:00'", "hours", Some("hours = [\"08:00-18:00\"]")),
        ("rlimit_as = '8M'", "limits.address_space", Some("limits = { address_space = \"8M\" }")),
        ("rlimit_files = 9", "limits.open_files", Some("limits = { open_files = 9 }")),
        ("rlimit_cpu = 9", "limits.cpu_time", Some("limits = { cpu_time = \"9s\" }")),
        ("rlimit_data = '8M'", "limits.data", Some("limits = { data = \"8M\" }")),
        ("rlimit_stack = '8M'", "limits.stack", Some("limits = { stack = \"8M\" }")),
        ("LimitNOFILE = 9", "limits.open_files", Some("limits = { open_files = 9 }")),
        ("MemoryMax = '8M'", "cgroup.memory_max", Some("cgroup = { memory_max = \"8M\" }")),
        ("TasksMax = 9", "cgroup.tasks_max", Some("cgroup = { tasks_max = 9 }")),
        ("CPUQuota = '10%'", "cgroup.cpu_quota", Some("cgroup = { cpu_quota = \"10%\" }")),
        ("log_type = 'SYSLOG daemon'", "log_to", Some("log_to = \"syslog\"")),
        ("log_on_success = 'PID HOST DURATION'", "log", Some("log = [\"start\", \"exit\"]")),
        ("log_on_failure = 'HOST'", "log", Some("log = [\"refuse\"]")),
        ("StandardError = 'socket'", "stderr", Some("stderr = \"client\"")),
        ("passenv = 'PATH TZ'", "pass_env", Some("pass_env = [\"PATH\", \"TZ\"]")),
        ("groups = 'no'", "supplementary_groups", Some("supplementary_groups = []")),
        ("cwd = '/'", "working_directory", Some("working_directory = \"/\"")),
        ("uid = 5", "user", Some("user = \"5\"")),
        ("gid = 5", "group", Some("group = \"5\"")),
        ("root = '/srv'", "root_directory", Some("root_directory = \"/srv\"")),
        ("nowait = true", "wait", Some("wait = false")),
        ("Accept = 'no'", "wait", Some("wait = true")),
        ("banner_fail = '/x'", "refuse_message", None),
        ("idle = 5", "idle_timeout", Some("idle_timeout = \"5s\"")),
        ("max_time = 5", "timeout", Some("timeout = \"5s\"")),
        ("RuntimeMaxSec = 5", "timeout", Some("timeout = \"5s\"")),
    ];

    #[test]
    fn every_row_of_the_language_has_its_answer() {
        for (line, ours, written) in ROWS {
            // The other spellings of a word have the same answer.
            let (word, value) = line.split_once(" = ").unwrap();
            for spelling in [
                word.to_owned(),
                word.replace('_', "-"),
                word.to_ascii_uppercase(),
            ] {
                let text = format!("{spelling} = {value}");
                let table = DeTable::parse(&text).unwrap();
                let (key, value) = table.get_ref().iter().next().unwrap();
                let (problem, meant) =
                    answer(&Owner::Defaults, 0, key, value, table.get_ref()).unwrap();
                assert_eq!(meant, *ours, "{text}");
                if spelling == word {
                    assert_eq!(
                        problem.patch.map(|patch| patch.text).as_deref(),
                        *written,
                        "{text}"
                    );
                }
            }
        }
    }

    #[test]
    fn no_foreign_word_is_one_of_ours() {
        let plain = |name: &str| name.replace('_', "");
        for word in WORDS.iter().flat_map(|row| row.words) {
            let ours = keys::names(false).find(|name| plain(name) == *word && *name == *word);
            assert_eq!(ours, None, "{word}");
        }
    }
}
