//! `oxinetd check`: the loader without a socket; every problem in one run, with its place.

use std::fs;

use crate::harness::{Builder, oxinetd, root, text};

/// What `check` says to a table, and how it ends.
fn check(toml: &str, options: &[&str]) -> (i32, String) {
    let builder = Builder::new().table(toml);
    let path = builder.write();
    let mut words = vec!["check"];
    words.extend(options);
    words.push(path.to_str().unwrap());
    let output = oxinetd(&words);
    (output.status.code().unwrap(), text(&output))
}

const GOOD: &str = "[service.echo]\nlisten = \"127.0.0.1:7007\"\nbuiltin = \"echo\"\n";

#[test]
fn good_table_ends_in_0_and_is_counted() {
    let (code, said) = check(GOOD, &[]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("1 service") && said.contains("0 errors"),
        "{said}"
    );
}

#[test]
fn shipped_table_is_good() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/etc/oxinetd.toml");
    let output = oxinetd(&["check", "-W", shipped]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

#[test]
fn several_problems_are_told_in_one_run_with_their_places() {
    let bad = "[service.one]\nlisten = \"127.0.0.1:7007\"\nbultin = \"echo\"\n\n\
        [service.two]\nlisten = \"127.0.0.1:99999\"\nbuiltin = \"echo\"\n\n\
        [service.three]\nlisten = \"7008\"\ncommand = \"/bin/cat\"\nmax_connections = 0\n";
    let (code, said) = check(bad, &["--format", "short"]);
    assert_eq!(code, 1, "{said}");
    // The lines of the services begin after those of [daemon] and [defaults].
    let before = Builder::new().toml().lines().count();
    let full = Builder::new().table(bad).toml();
    let line_of = |words: &str| 1 + full.lines().position(|line| line.contains(words)).unwrap();
    assert!(line_of("bultin") > before - 2);
    for (words, column) in [("bultin", 1), ("99999", 10), ("max_connections", 19)] {
        let place = format!("oxinetd.toml:{}:{column}: error: ", line_of(words));
        assert!(said.contains(&place), "{place} in: {said}");
    }
    let (code, said) = check(bad, &[]);
    assert_eq!(code, 1);
    for words in [
        "did you mean `builtin`?",
        "^^^^^^",
        "99999",
        "unlimited",
        " errors, ",
    ] {
        assert!(said.contains(words), "{words} in: {said}");
    }
}

#[test]
fn json_report_parses() {
    let (code, said) = check(&GOOD.replace("builtin", "bultin"), &["--format", "json"]);
    assert_eq!(code, 1);
    let values: Result<Vec<serde_json::Value>, _> = serde_json::Deserializer::from_str(&said)
        .into_iter()
        .collect();
    let values = values.expect(&said);
    assert!(!values.is_empty());
    assert!(said.contains("bultin"), "{said}");
}

#[test]
fn warnings_are_no_errors_unless_asked() {
    let missing = "[service.x]\nlisten = \"127.0.0.1:7007\"\ncommand = \"/nonexistent/program\"\n";
    let (code, said) = check(missing, &[]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("warning") && said.contains("/nonexistent/program"),
        "{said}"
    );
    let (code, said) = check(missing, &["-W"]);
    assert_eq!(code, 1, "{said}");
}

#[test]
fn check_binds_nothing() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let toml = GOOD.replace("7007", &taken.local_addr().unwrap().port().to_string());
    let (code, said) = check(&toml, &[]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn several_files_and_missing_files() {
    let builder = Builder::new().table(GOOD);
    let good = builder.write();
    let good = good.to_str().unwrap();
    let output = oxinetd(&["check", good, "/nonexistent/table.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("/nonexistent/table.toml"));
}

/// A service of which one line is bad, and words that the answer must hold. Each is an error: nothing of it is ignored.
const BAD: &[(&str, &[&str])] = &[
    (
        "listen = \"7007\"\nbuiltin = \"echo\"\nusr = \"nobody\"",
        &["usr", "did you mean `user`"],
    ),
    (
        "listen = \"7007\"\nbuiltin = \"echo\"\nmax-connections = 3",
        &["max_connections"],
    ),
    (
        "listen = \"7007\"\nbuiltin = \"echo\"\ninstances = 3",
        &["max_connections"],
    ),
    ("listen = \"7007\"\nserver = \"/bin/cat\"", &["command"]),
    ("port = 7007\nbuiltin = \"echo\"", &["listen"]),
    ("builtin = \"echo\"", &["listen"]),
    ("listen = \"7007\"", &["command", "builtin"]),
    (
        "listen = \"7007\"\nbuiltin = \"echo\"\ncommand = \"/bin/cat\"",
        &["command", "builtin"],
    ),
    ("listen = \"7007\"\nbuiltin = \"ehco\"", &["ehco", "echo"]),
    ("listen = \"65536\"\nbuiltin = \"echo\"", &["65536"]),
    ("listen = \"-1\"\nbuiltin = \"echo\"", &["-1"]),
    ("listen = 70000\nbuiltin = \"echo\"", &["70000"]),
    ("listen = 1e3\nbuiltin = \"echo\"", &["listen"]),
    (
        "listen = \"no-such-port-name\"\nbuiltin = \"echo\"",
        &["no-such-port-name"],
    ),
    ("listen = \"20010-20000\"\nbuiltin = \"echo\"", &["20010"]),
    (
        "listen = \"010.1.2.3:7007\"\nbuiltin = \"echo\"",
        &["010.1.2.3"],
    ),
    ("listen = \"127.1:7007\"\nbuiltin = \"echo\"", &["127.1"]),
    (
        "listen = \"[fe80::1]:7007\"\nbuiltin = \"echo\"",
        &["fe80::1"],
    ),
    (
        "listen = \"unix:relative\"\nbuiltin = \"echo\"",
        &["relative"],
    ),
    ("listen = \"tpc:7007\"\nbuiltin = \"echo\"", &["tpc"]),
    ("listen = []\nbuiltin = \"echo\"", &["listen"]),
    (
        "listen = [\"127.0.0.1:7007\", \"127.0.0.1:7007\"]\nbuiltin = \"echo\"",
        &["127.0.0.1:7007"],
    ),
    ("listen = \"7007\"\ncommand = \"\"", &["command"]),
    ("listen = \"7007\"\ncommand = []", &["command"]),
    (
        "listen = \"7007\"\ncommand = \"/bin/sh -c 'open\"",
        &["quote"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/echo %{remote_adr}\"",
        &["remote_adr", "remote_addr"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\nenv = { \"A=B\" = \"x\" }",
        &["A=B"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\nenv = { A = \"x\\u0000y\" }",
        &["A"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\numask = \"999\"",
        &["umask"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\numask = 22",
        &["umask"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\nnice = 20",
        &["nice", "19"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\noom_score_adj = 1001",
        &["1000"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\nworking_directory = \"relative\"",
        &["relative"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\nlimits = { open_files = 0 }",
        &["open_files"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\nlimits = { address_space = \"64MB\" }",
        &["64M"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\nlimits = { cpu_time = 20 }",
        &["20s"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\nlimits = { nofile = 20 }",
        &["open_files"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\nmax_connections = 0",
        &["unlimited"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\nmax_connections = -1",
        &["max_connections"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\nover_limit = \"drop\"",
        &["queue", "refuse"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\nstderr = \"lgo\"",
        &["log"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\nsandbox = \"bsic\"",
        &["basic"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\nlog = [\"begin\"]",
        &["start"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\nsocket_mode = 660",
        &["0660"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\nuser = \"0day-nobody\"",
        &["0day-nobody"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\nuser = \" root\"",
        &["user"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\nuser = \"\"",
        &["user"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\nuser = \"-1\"",
        &["-1"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\nuser = \"4294967295\"",
        &["4294967295"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\ngroup = \"no-such-group\"",
        &["no-such-group"],
    ),
    (
        "listen = \"7007\"\ncommand = \"/bin/cat\"\nlisten = \"7008\"",
        &["listen"],
    ),
];

#[test]
fn bad_services_are_errors_with_an_answer() {
    let mut wrong = Vec::new();
    for (service, words) in BAD {
        let (code, said) = check(&format!("[service.x]\n{service}\n"), &[]);
        if code != 1 {
            wrong.push(format!("exit {code} for:\n{service}\n{said}"));
        } else if let Some(word) = words.iter().find(|word| !said.contains(**word)) {
            wrong.push(format!("no {word:?} for:\n{service}\n{said}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        BAD.len(),
        wrong.join("\n---\n")
    );
}

#[test]
fn bad_files_are_errors() {
    let builder = Builder::new();
    let path = builder.path().join("table.toml");
    let good = Builder::new().table(GOOD).toml();
    let deep = format!("x = {}{}", "[".repeat(10_000), "]".repeat(10_000));
    let large = format!("{good}\n# {}\n", "x".repeat(4 << 20));
    let cases: &[(&str, Vec<u8>)] = &[
        ("garbage", b"this is not a table".to_vec()),
        ("not UTF-8", b"[service.\xff]\n".to_vec()),
        ("no utf-8 in a comment", b"# \xff\xfe\n".to_vec()),
        ("unclosed", b"[service.x\nlisten = 7\n".to_vec()),
        ("depth", deep.into_bytes()),
        ("over 4 MiB", large.into_bytes()),
        ("duplicate table", format!("{good}{GOOD}").into_bytes()),
        (
            "wrong table",
            format!("{good}[services.y]\nlisten = \"7\"\nbuiltin = \"echo\"\n").into_bytes(),
        ),
        (
            "bad name",
            format!("{good}[service.\"a b\"]\nlisten = \"7\"\nbuiltin = \"echo\"\n").into_bytes(),
        ),
        (
            "unknown [daemon] key",
            good.replace("include", "inclued").into_bytes(),
        ),
        (
            "two services on one address",
            format!("{good}{}", GOOD.replace("service.echo", "service.other")).into_bytes(),
        ),
    ];
    for (what, bytes) in cases {
        fs::write(&path, bytes).unwrap();
        let output = oxinetd(&["check", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{what}: {}", text(&output));
        assert!(
            text(&output).contains("table.toml"),
            "{what}: {}",
            text(&output)
        );
        let served = oxinetd(&["run", "--config", path.to_str().unwrap()]);
        assert_eq!(served.status.code(), Some(78), "{what}: {}", text(&served));
    }
    for (what, text_of) in [
        ("BOM", format!("\u{feff}{good}")),
        ("CRLF", good.replace('\n', "\r\n")),
    ] {
        fs::write(&path, text_of).unwrap();
        let output = oxinetd(&["check", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{what}: {}", text(&output));
    }
}

#[test]
fn user_is_required_when_root() {
    if !root() {
        return;
    }
    let builder = Builder::new();
    let path = builder.path().join("table.toml");
    fs::write(
        &path,
        "[service.x]\nlisten = \"127.0.0.1:7007\"\ncommand = \"/bin/cat\"\n",
    )
    .unwrap();
    let output = oxinetd(&["check", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("user"), "{}", text(&output));
}

#[test]
fn root_service_cannot_have_a_mere_chroot() {
    if !root() {
        return;
    }
    let (code, said) = check(
        "[service.x]\nlisten = \"127.0.0.1:7007\"\ncommand = \"/bin/cat\"\nuser = \"root\"\nroot_directory = \"/srv\"\n",
        &[],
    );
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("root_directory"), "{said}");
}
