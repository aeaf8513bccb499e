//! The words of other programs, one row for each answer, and how their values are translated.
//!
//! Invariant: a translator that is not sure says nothing.

use toml::de::DeTable;

use super::text_of;

/// Some words with one answer. Words are compared without case and punctuation.
pub(super) struct Row {
    /// Without case and punctuation.
    pub(super) words: &'static [&'static str],
    /// Our key in backquotes; without them, what to say instead.
    pub(super) ours: &'static str,
    /// What to do.
    pub(super) help: &'static str,
    /// From the value and its siblings to our line.
    pub(super) translate: fn(Option<&str>, &DeTable<'_>) -> Option<String>,
}

/// The rows.
#[rustfmt::skip]
pub(super) static WORDS: &[Row] = &[
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
          ours: "`log`", help: "name the events: `\"start\"`, `\"exit\"`, `\"refuse\"`", translate: |_, siblings| log(siblings) },
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

/// The events that xinetd's two lists ask for: what it writes of a start, of an end, of a refusal.
fn log(siblings: &DeTable<'_>) -> Option<String> {
    let words = |name: &str| {
        let text = sibling(siblings, &[name]).unwrap_or_default();
        text.split_whitespace()
            .map(str::to_ascii_uppercase)
            .collect::<Vec<_>>()
    };
    let (success, failure) = (words("log_on_success"), words("log_on_failure"));
    let has =
        |words: &[String], known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
    let events = [
        (has(&success, &["PID", "HOST", "USERID"]), "start"),
        (has(&success, &["EXIT", "DURATION", "TRAFFIC"]), "exit"),
        (has(&failure, &["HOST", "USERID", "ATTEMPT"]), "refuse"),
    ];
    let events: Vec<String> = events
        .into_iter()
        .filter(|(asked, _)| *asked)
        .map(|(_, event)| quote(event))
        .collect();
    (!events.is_empty()).then(|| format!("log = [{}]", events.join(", ")))
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
