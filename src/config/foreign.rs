//! Words of other programs (LANGUAGE 4.8): answered with ours, never accepted.
//!
//! Invariant: pure; the value is translated where it and its siblings say enough, else only the key is named.

use toml::de::{DeTable, DeValue};

use super::diagnostic::{Code, Diagnostic, shown};
use super::keys::Key;
use super::raw::{Owner, Value, Word};
use super::source::{FileId, Place};

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

/// Some words with one answer. Words are compared without case and punctuation.
struct Row {
    words: &'static [&'static str],
    ours: &'static str,
    help: &'static str,
    translate: fn(Option<&str>, &DeTable<'_>) -> Option<String>,
}

#[rustfmt::skip]
static WORDS: &[Row] = &[
    Row { words: &["server", "serverargs", "execstart", "exec", "program", "cmd", "run"],
          ours: "`command`", help: "write program and words together", translate: command },
    Row { words: &["port", "bind", "interface", "address", "listenstream", "listendatagram", "listensequentialpacket", "protocol", "sockettype", "proto", "type"],
          ours: "`listen`", help: "type, address and port are one word", translate: listen },
    Row { words: &["disable", "disabled"],
          ours: "`enabled`", help: "with the opposite value", translate: |text, _| inverted("enabled", text) },
    Row { words: &["onlyfrom", "ipaddressallow", "allowfrom", "whitelist", "hostsallow", "allowlist"],
          ours: "`allow`", help: "write a list of prefixes", translate: |text, _| words("allow", text) },
    Row { words: &["noaccess", "ipaddressdeny", "blacklist", "denylist", "hostsdeny", "denyfrom"],
          ours: "`deny`", help: "write a list of prefixes", translate: |text, _| words("deny", text) },
    Row { words: &["instances", "maxchildren", "maxchild", "limit"],
          ours: "`max_connections`", help: "write a number or `\"unlimited\"`", translate: |text, _| count("max_connections", text) },
    Row { words: &["persource", "maxconnectionspersource", "perip", "maxperip"],
          ours: "`max_per_source`", help: "write a number or `\"unlimited\"`", translate: |text, _| count("max_per_source", text) },
    Row { words: &["cps", "triggerlimitburst", "polllimitburst", "triggerlimitintervalsec", "polllimitintervalsec", "ratelimit"],
          ours: "`rate` and `pause`", help: "write how many in what time", translate: |text, _| cps(text) },
    Row { words: &["accesstimes"],
          ours: "`hours`", help: "write a list of windows", translate: |text, _| words("hours", text) },
    Row { words: &["rlimitas", "limitas"], ours: "`limits.address_space`", help: "write it in the table `limits`", translate: |text, _| size("address_space", text) },
    Row { words: &["rlimitfiles", "limitnofile"], ours: "`limits.open_files`", help: "write it in the table `limits`", translate: |text, _| number("limits", "open_files", text) },
    Row { words: &["rlimitcpu", "limitcpu"], ours: "`limits.cpu_time`", help: "write it in the table `limits`, with a unit", translate: |text, _| seconds(text).map(|time| format!("limits = {{ cpu_time = {time} }}")) },
    Row { words: &["rlimitdata", "limitdata"], ours: "`limits.data`", help: "write it in the table `limits`", translate: |text, _| size("data", text) },
    Row { words: &["rlimitstack", "limitstack"], ours: "`limits.stack`", help: "write it in the table `limits`", translate: |text, _| size("stack", text) },
    Row { words: &["limitnproc"], ours: "`limits.processes`", help: "write it in the table `limits`", translate: |text, _| number("limits", "processes", text) },
    Row { words: &["limitfsize"], ours: "`limits.file_size`", help: "write it in the table `limits`", translate: |text, _| size("file_size", text) },
    Row { words: &["limitcore"], ours: "`limits.core`", help: "write it in the table `limits`", translate: |text, _| size("core", text) },
    Row { words: &["limitmemlock"], ours: "`limits.locked_memory`", help: "write it in the table `limits`", translate: |text, _| size("locked_memory", text) },
    Row { words: &["memorymax", "rlimitrss"], ours: "`cgroup.memory_max`", help: "write it in the table `cgroup`", translate: |text, _| quoted_in("cgroup", "memory_max", text) },
    Row { words: &["memoryhigh"], ours: "`cgroup.memory_high`", help: "write it in the table `cgroup`", translate: |text, _| quoted_in("cgroup", "memory_high", text) },
    Row { words: &["memoryswapmax"], ours: "`cgroup.swap_max`", help: "write it in the table `cgroup`", translate: |text, _| quoted_in("cgroup", "swap_max", text) },
    Row { words: &["tasksmax"], ours: "`cgroup.tasks_max`", help: "write it in the table `cgroup`", translate: |text, _| number("cgroup", "tasks_max", text) },
    Row { words: &["cpuquota"], ours: "`cgroup.cpu_quota`", help: "write it in the table `cgroup`", translate: |text, _| quoted_in("cgroup", "cpu_quota", text) },
    Row { words: &["cpuweight"], ours: "`cgroup.cpu_weight`", help: "write it in the table `cgroup`", translate: |text, _| number("cgroup", "cpu_weight", text) },
    Row { words: &["ioweight"], ours: "`cgroup.io_weight`", help: "write it in the table `cgroup`", translate: |text, _| number("cgroup", "io_weight", text) },
    Row { words: &["logtype"], ours: "`log_to`", help: "`log_to = \"syslog\"` or `log_to = \"file:/path\"`, in the service or in [daemon]", translate: |text, _| log_type(text) },
    Row { words: &["logonsuccess", "logonfailure"],
          ours: "`log`", help: "name the events: `\"start\"`, `\"exit\"`, `\"refuse\"`", translate: nothing },
    Row { words: &["standarderror"], ours: "`stderr`", help: "write `\"log\"`, `\"client\"`, `\"null\"`, `\"inherit\"` or `\"file:/path\"`", translate: |text, _| standard_error(text) },
    Row { words: &["standardinput", "standardoutput"], ours: "`stdio`", help: "the connection is on fds 0 and 1 already: leave it out", translate: nothing },
    Row { words: &["passenv", "passenvironment"], ours: "`pass_env`", help: "write a list of names", translate: |text, _| words("pass_env", text) },
    Row { words: &["environment"], ours: "`env`", help: "write a table: `env = { NAME = \"value\" }`", translate: nothing },
    Row { words: &["groups"], ours: "`supplementary_groups`", help: "without it the user has all of its groups", translate: |text, _| groups(text) },
    Row { words: &["cwd", "chdir"], ours: "`working_directory`", help: "write a path", translate: |text, _| quoted("working_directory", text) },
    Row { words: &["uid", "runas", "setuid"], ours: "`user`", help: "write a name or a number", translate: |text, _| quoted("user", text) },
    Row { words: &["gid", "setgid"], ours: "`group`", help: "write a name or a number", translate: |text, _| quoted("group", text) },
    Row { words: &["root", "chroot"], ours: "`root_directory`", help: "write a path", translate: |text, _| quoted("root_directory", text) },
    Row { words: &["nowait", "accept"], ours: "`wait`", help: "with the opposite value", translate: |text, _| inverted("wait", text) },
    Row { words: &["bannerfail"], ours: "`refuse_message`", help: "the text itself stands in the table", translate: nothing },
    Row { words: &["bannersuccess"], ours: "`banner`", help: "write the text, or `\"@/path\"` of a file", translate: |text, _| text.map(|path| format!("banner = {}", quote(&format!("@{path}")))) },
    Row { words: &["idle"], ours: "`idle_timeout`", help: "write a duration with its unit", translate: |text, _| seconds(text).map(|time| format!("idle_timeout = {time}")) },
    Row { words: &["maxtime", "runtimemaxsec"], ours: "`timeout`", help: "write a duration with its unit", translate: |text, _| seconds(text).map(|time| format!("timeout = {time}")) },
    Row { words: &["timeoutstopsec"], ours: "`stop_timeout`", help: "write a duration with its unit", translate: |text, _| seconds(text).map(|time| format!("stop_timeout = {time}")) },
    Row { words: &["v6only", "bindipv6only"], ours: "`dual_stack`", help: "with the opposite value", translate: |text, _| inverted("dual_stack", text) },
    Row { words: &["bindtodevice"], ours: "`bind_device`", help: "write the interface", translate: |text, _| quoted("bind_device", text) },
    Row { words: &["syslogidentifier"], ours: "`log_tag`", help: "write the tag", translate: |text, _| quoted("log_tag", text) },
    Row { words: &["includedir"], ours: "`include` in [daemon]", help: "write `include = [\"DIR/*.toml\"]`", translate: |text, _| text.map(|dir| format!("include = [{}]", quote(&format!("{}/*.toml", dir.trim_end_matches('/'))))) },
    Row { words: &["flags"], ours: "is several keys here", help: "`keepalive`, `nodelay`, `reuse_port` and `argv0` are keys of their own", translate: nothing },
    Row { words: &["libwrap", "tcpwrappers"], ours: "`allow` and `deny`", help: "write the networks themselves", translate: nothing },
    Row { words: &["rpcnumber", "rpcversion", "mdns"], ours: "is not offered", help: "leave it out", translate: nothing },
];

fn nothing(_: Option<&str>, _: &DeTable<'_>) -> Option<String> {
    None
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

fn quote(text: &str) -> String {
    // TOML's basic strings escape what JSON's do.
    serde_json::Value::from(text).to_string()
}

fn sibling(siblings: &DeTable<'_>, names: &[&str]) -> Option<String> {
    let value = names.iter().find_map(|name| siblings.get(*name))?;
    text_of(value)
}

fn command(text: Option<&str>, siblings: &DeTable<'_>) -> Option<String> {
    let program = sibling(
        siblings,
        &["server", "program", "exec", "ExecStart", "cmd", "run"],
    );
    let arguments = sibling(siblings, &["server_args", "ServerArgs", "server-args"]);
    let line = match (program, arguments) {
        (Some(program), Some(arguments)) => format!("{program} {arguments}"),
        (Some(program), None) => program,
        (None, Some(arguments)) => format!("/path/of/program {arguments}"),
        (None, None) => text?.to_owned(),
    };
    Some(format!("command = {}", quote(&line)))
}

fn listen(text: Option<&str>, siblings: &DeTable<'_>) -> Option<String> {
    if let Some(address) = sibling(siblings, &["ListenStream"]) {
        return Some(format!("listen = {}", quote(&address)));
    }
    if let Some(address) = sibling(siblings, &["ListenDatagram"]) {
        return Some(format!("listen = {}", quote(&format!("udp:{address}"))));
    }
    let port = sibling(siblings, &["port"]).or_else(|| {
        text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            .map(str::to_owned)
    })?;
    let host = sibling(siblings, &["bind", "interface", "address"]).map_or(String::new(), |host| {
        if host.contains(':') {
            format!("[{host}]:")
        } else {
            format!("{host}:")
        }
    });
    let datagram = sibling(siblings, &["protocol", "proto"])
        .is_some_and(|word| word.starts_with("udp"))
        || sibling(siblings, &["socket_type", "type"]).is_some_and(|word| word == "dgram");
    let kind = if datagram { "udp:" } else { "" };
    Some(format!(
        "listen = {}",
        quote(&format!("{kind}{host}{port}"))
    ))
}

fn inverted(key: &str, text: Option<&str>) -> Option<String> {
    match text?.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "1" => Some(format!("{key} = false")),
        "no" | "false" | "off" | "0" => Some(format!("{key} = true")),
        _ => None,
    }
}

fn words(key: &str, text: Option<&str>) -> Option<String> {
    let items: Vec<String> = text?.split_whitespace().map(quote).collect();
    Some(format!("{key} = [{}]", items.join(", ")))
}

fn count(key: &str, text: Option<&str>) -> Option<String> {
    let text = text?.trim();
    if text.eq_ignore_ascii_case("unlimited") || text == "0" {
        return Some(format!("{key} = \"unlimited\""));
    }
    is_number(text).then(|| format!("{key} = {text}"))
}

fn cps(text: Option<&str>) -> Option<String> {
    let mut parts = text?.split_whitespace();
    let rate = parts.next().filter(|text| is_number(text))?;
    match parts.next().filter(|text| is_number(text)) {
        Some(pause) => Some(format!("rate = \"{rate}/s\"\npause = \"{pause}s\"")),
        None => Some(format!("rate = \"{rate}/s\"")),
    }
}

fn number(table: &str, key: &str, text: Option<&str>) -> Option<String> {
    text.filter(|text| is_number(text))
        .map(|text| format!("{table} = {{ {key} = {text} }}"))
}

fn size(key: &str, text: Option<&str>) -> Option<String> {
    let text = text?;
    let text = if text.eq_ignore_ascii_case("unlimited") || text == "infinity" {
        "unlimited"
    } else {
        text
    };
    quoted_in("limits", key, Some(text))
}

fn quoted_in(table: &str, key: &str, text: Option<&str>) -> Option<String> {
    text.map(|text| format!("{table} = {{ {key} = {} }}", quote(text)))
}

fn quoted(key: &str, text: Option<&str>) -> Option<String> {
    text.map(|text| format!("{key} = {}", quote(text)))
}

/// A number of seconds, or a text that has a unit already, in quotes.
fn seconds(text: Option<&str>) -> Option<String> {
    let text = text?;
    if text.eq_ignore_ascii_case("unlimited") || text == "infinity" {
        return Some("\"off\"".to_owned());
    }
    Some(if is_number(text) {
        format!("\"{text}s\"")
    } else {
        quote(text)
    })
}

fn groups(text: Option<&str>) -> Option<String> {
    match text? {
        "no" => Some("supplementary_groups = []".to_owned()),
        "yes" => None,
        text => words("supplementary_groups", Some(text)),
    }
}

fn log_type(text: Option<&str>) -> Option<String> {
    let mut parts = text?.split_whitespace();
    match (parts.next()?.to_ascii_uppercase().as_str(), parts.next()) {
        ("SYSLOG", _) => Some("log_to = \"syslog\"".to_owned()),
        ("FILE", Some(path)) => Some(format!("log_to = {}", quote(&format!("file:{path}")))),
        _ => None,
    }
}

fn standard_error(text: Option<&str>) -> Option<String> {
    let ours = match text? {
        "socket" => "client",
        "null" => "null",
        "inherit" => "inherit",
        "journal" | "syslog" | "journal+console" => "log",
        _ => return None,
    };
    Some(format!("stderr = \"{ours}\""))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
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

    #[test]
    fn no_foreign_word_is_one_of_ours() {
        let plain = |name: &str| name.replace('_', "");
        for word in WORDS.iter().flat_map(|row| row.words) {
            let ours = keys::names(false).find(|name| plain(name) == *word && *name == *word);
            assert_eq!(ours, None, "{word}");
        }
    }
}
