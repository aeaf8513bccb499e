//! Conversions as a whole: the goldens under `tests/data/convert`, the corpus of real files where it is at hand, and
//! input that nobody meant.
//!
//! A golden is `NAME.in` with `NAME.toml` and `NAME.notes`, and `NAME.args` where it needs options. `UPDATE_GOLDENS=1`
//! writes what came out, to be read before it is committed.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::config::diagnostic::Severity::Error;
use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::shown::section;
use crate::config::{Format, Host, Loaded, Main, explain, load};
use crate::service::Table;

const SERVICES: &str = "echo 7/tcp\necho 7/udp\ndiscard 9/tcp\ndiscard 9/udp\ndaytime 13/tcp\ndaytime 13/udp\n\
                        chargen 19/tcp\nchargen 19/udp\nftp 21/tcp\nssh 22/tcp\ntelnet 23/tcp\ntime 37/tcp\n\
                        time 37/udp\ntftp 69/udp\nfinger 79/tcp\nhttp 80/tcp\npop3 110/tcp\n";

/// A host with an empty hosts.allow and hosts.deny.
fn host() -> Memory {
    Memory::default()
        .with("/etc/services", SERVICES)
        .with("/etc/hosts.allow", "in.telnetd: 192.0.2.\n")
        .with("/etc/hosts.deny", "in.telnetd: ALL\n")
        .with("/etc/banner", "busy, 50% chance\n")
}

/// One file, with options as on the command line.
fn run(name: &str, content: &[u8], arguments: &str) -> Outcome {
    let mut options = Options::default();
    let mut words = arguments.split_whitespace();
    while let Some(word) = words.next() {
        match word {
            "--lossy" => options.lossy = true,
            "--from" => options.from = Some(Kind::from_word(words.next().unwrap()).unwrap()),
            "--no-hosts" => options.hosts_access = Some(("/none".into(), "/none".into())),
            _ => panic!("{word}"),
        }
    }
    let files = host().with(name, content);
    convert(&options, &files, &[PathBuf::from(name)])
}

fn notes(outcome: &Outcome) -> String {
    let mut text = String::new();
    for note in &outcome.notes {
        writeln!(text, "{note}").unwrap();
    }
    writeln!(text, "{}", outcome.summary).unwrap();
    writeln!(text, "exit {}", outcome.exit).unwrap();
    text
}

/// What holds for every outcome.
fn sound(outcome: &Outcome) {
    assert_eq!(outcome.exit == 1, outcome.toml.is_empty());
    assert_eq!(
        outcome.exit == 1,
        outcome.notes.iter().any(|n| n.severity == Severity::Error)
    );
    assert_eq!(outcome.exit == 0, outcome.notes.is_empty());
    assert_eq!(outcome.toml.lines().count(), outcome.origins.len());
    let table: toml::Table = outcome
        .toml
        .parse()
        .unwrap_or_else(|e| panic!("{e}\n{}", outcome.toml));
    assert!(table.keys().all(|k| k == "defaults" || k == "service"));
}

/// The loader takes it: on the old host the only errors left are features that a version does not serve yet.
fn accepted(outcome: &Outcome) {
    let loaded = loaded(&outcome.toml);
    let refused = |p: &&Diagnostic| p.severity == Error && p.code != Code::NotYet;
    let count = loaded.report.problems().iter().filter(refused).count();
    assert!(
        count == 0 || outcome.exit == 1,
        "{count} errors\n{}\n{}",
        loaded.report.render(Format::Short),
        outcome.toml
    );
}

/// What `show` says of the table is a table, and shows as itself.
fn shows_as_itself(outcome: &Outcome) {
    let Some(once) = show(&outcome.toml) else {
        return;
    };
    let twice = show(&once).unwrap_or_else(|| panic!("not accepted:\n{once}"));
    let values = |text: &str| text.parse::<toml::Table>().unwrap();
    assert_eq!(values(&once), values(&twice), "{once}\n{twice}");
}

/// `None`: a feature of it is not served yet.
fn show(text: &str) -> Option<String> {
    let world = OldHost::new(&host(), Path::new("/etc/services"));
    let main = Main::Text {
        name: "shown.toml",
        text,
    };
    let loaded = explain(&main, &Host::new(0, 0, &world));
    let table = loaded.table?;
    let services = table.services.iter().map(|service| Some(service.as_ref()));
    let sections = loaded
        .written
        .iter()
        .zip(std::iter::once(None).chain(services));
    Some(
        sections
            .map(|(written, service)| section(written, service))
            .collect(),
    )
}

fn loaded(text: &str) -> Loaded {
    let world = OldHost::new(&host(), Path::new("/etc/services"));
    load(
        &Main::Text {
            name: "converted.toml",
            text,
        },
        &Host::new(0, 0, &world),
    )
}

fn table(text: &str) -> Table {
    let loaded = loaded(text);
    let report = loaded.report.render(Format::Short);
    loaded.table.unwrap_or_else(|| panic!("{report}"))
}

#[test]
fn goldens() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/convert");
    let update = std::env::var_os("UPDATE_GOLDENS").is_some();
    let mut inputs: Vec<PathBuf> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "in"))
        .collect();
    inputs.sort();
    assert!(inputs.len() >= 12, "only {} goldens", inputs.len());
    let mut wrong = Vec::new();
    for input in inputs {
        let stem = input.file_stem().unwrap().to_str().unwrap().to_owned();
        let arguments = std::fs::read_to_string(input.with_extension("args")).unwrap_or_default();
        let outcome = run(
            &format!("/in/{stem}"),
            &std::fs::read(&input).unwrap(),
            &arguments,
        );
        sound(&outcome);
        accepted(&outcome);
        shows_as_itself(&outcome);
        for (extension, text) in [("toml", outcome.toml.clone()), ("notes", notes(&outcome))] {
            let path = input.with_extension(extension);
            if update {
                std::fs::write(&path, &text).unwrap();
            } else if std::fs::read_to_string(&path).unwrap_or_default() != text {
                wrong.push(format!("{}:\n{text}", path.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "not as in the golden files:\n{}",
        wrong.join("\n")
    );
}

/// Every file below a directory.
fn below(directory: &Path) -> Vec<PathBuf> {
    let (mut files, mut open) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { &mut open } else { &mut files }.push(path);
        }
    }
    files.sort();
    files
}

/// Files of others are kept beside the repository, not in it: `../shared/corpus`, or what OXINETD_CORPUS names.
/// SHOW_CORPUS prints what becomes of them.
#[test]
fn every_corpus_file_converts_or_says_why_not() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let corpus = std::env::var_os("OXINETD_CORPUS").map_or(beside, PathBuf::from);
    // Past the captured output: it must be seen in a passing run.
    let tell = |text: String| {
        let _ = std::io::stderr().write_all(text.as_bytes());
    };
    if !corpus.is_dir() {
        let corpus = corpus.display();
        tell(format!(
            "SKIPPED: every_corpus_file_converts_or_says_why_not: no {corpus}; OXINETD_CORPUS names another\n"
        ));
        return;
    }
    let files = below(&corpus);
    for path in files
        .iter()
        .filter(|p| p.extension().is_none_or(|e| e != "tsv"))
    {
        let name = format!("/in/{}", path.file_name().unwrap().to_str().unwrap());
        let content = std::fs::read(path).unwrap();
        for arguments in ["", "--lossy"] {
            let outcome = run(&name, &content, arguments);
            sound(&outcome);
            accepted(&outcome);
            shows_as_itself(&outcome);
            assert!(outcome.exit != 1 || !outcome.notes.is_empty(), "{name}");
            if std::env::var_os("SHOW_CORPUS").is_some() {
                tell(format!(
                    "=== {name} {arguments}\n{}{}",
                    outcome.toml,
                    notes(&outcome)
                ));
            }
        }
    }
    assert!(!files.is_empty(), "{} is empty", corpus.display());
}

#[test]
fn bad_input_is_a_clear_error_in_bounded_time() {
    let big = vec![b'x'; LARGEST as usize + 1];
    let long_lines = "ftp stream tcp nowait root /bin/x ".repeat(100_000);
    let many = "#<off># ftp stream tcp nowait root /bin/x x\n".repeat(20_000);
    let blocks = "service x\n{\n".repeat(50_000);
    for (content, arguments, exit) in [
        (&b"\x7fELF\0\0junk"[..], "", 1),
        (&big, "", 1),
        (b"hello, world\n", "", 1),
        (b"hello, world\n", "--from inetd", 1),
        (b"hello, world\n", "--from xinetd", 1),
        (b"hello, world\n", "--from systemd", 1),
        (b"hello, world\n", "--from tcpserver", 1),
        (b"\xff\xfex\0", "", 1),
        (b"", "", 0),
        (b"", "--from xinetd", 0),
        (
            b"\xef\xbb\xbfecho dgram udp wait root internal\r\n",
            "--from debian",
            0,
        ),
        (
            b"# gr\xfc\xdfe\nftp stream tcp4 nowait root /bin/\xfc x\n",
            "",
            2,
        ),
        (long_lines.as_bytes(), "", 2),
        (many.as_bytes(), "", 0),
        (blocks.as_bytes(), "", 1),
        (b"service x\n{\n wait = no\n", "", 1),
        (b"x on protocol = tcp", "", 1),
        (b"include /in/bad\n", "", 1),
    ] {
        let start = std::time::Instant::now();
        let outcome = run("/in/bad", content, arguments);
        let shown = String::from_utf8_lossy(&content[..content.len().min(40)]).into_owned();
        if exit != 0 || !content.is_empty() {
            assert_eq!(
                outcome.exit,
                exit,
                "{shown} {arguments}: {}",
                notes(&outcome).chars().take(2000).collect::<String>()
            );
        }
        sound(&outcome);
        // A bound on the order of growth, not a measurement: quadratic time would need minutes.
        assert!(start.elapsed().as_secs() < 20, "{shown}");
    }
}

#[test]
fn without_hosts_files_what_they_judged_is_an_error() {
    let tcpd = b"ftp stream tcp4 nowait root /usr/sbin/tcpd in.ftpd\n";
    let strict = run("/in/x", tcpd, "--no-hosts");
    assert!(
        strict.exit == 1 && strict.notes[0].text.contains("hosts.allow"),
        "{}",
        notes(&strict)
    );
    let lossy = run("/in/x", tcpd, "--no-hosts --lossy");
    assert!(
        lossy.exit == 2 && lossy.toml.contains("/usr/sbin/in.ftpd"),
        "{}",
        notes(&lossy)
    );
}

#[test]
fn lines_lead_back_to_inetd_conf() {
    let files = host().with(
        "/etc/inetd.conf",
        "# c\n\nftp stream tcp nowait root /bin/ftpd ftpd\n\techo\n",
    );
    let outcome = inetd_services(&files, Path::new("/etc/inetd.conf"));
    assert_eq!(outcome.exit, 0, "{}", notes(&outcome));
    let at = outcome
        .toml
        .lines()
        .position(|l| l.starts_with("listen"))
        .unwrap();
    assert_eq!(outcome.origins[at].as_ref().unwrap().line, 3);
    // Debian's, where the file lives on Linux: both families.
    assert!(
        outcome.toml.contains("listen = \"ftp\""),
        "{}",
        outcome.toml
    );
}

#[test]
fn mixed_formats_are_refused() {
    let files = host()
        .with("/a", "service x\n{\n}\n")
        .with("/b", "ftp stream tcp nowait root /x x\n");
    let outcome = convert(&Options::default(), &files, &["/a".into(), "/b".into()]);
    assert!(
        outcome.exit == 1 && notes(&outcome).contains("another format"),
        "{}",
        notes(&outcome)
    );
}

/// Out and in again: what the units say is what the table said.
#[test]
fn units_lead_back_to_the_table() {
    let text = "[service.x]\nlisten = [\"22\", \"127.0.0.1:2222\"]\ncommand = [\"/bin/x\", \"a b\", \"$1 50%\"]\n\
                user = \"7\"\nsandbox = \"none\"\nstderr = \"client\"\nmax_connections = 9\nmax_per_source = 3\n\
                timeout = \"90s\"\nallow = [\"10.0.0.0/8\"]\nlimits = { open_files = 64 }\nsource_prefix = { v4 = 32, v6 = 128 }\nlinger = \"off\"\n";
    let before = table(text);
    let (units, said) = to_systemd(&before.services[0]);
    assert_eq!(said, [""; 0]);
    let names: Vec<&str> = units.iter().map(|u| u.name.as_str()).collect();
    assert_eq!(names, ["x.socket", "x@.service"]);
    let mut files = Memory::default();
    for unit in &units {
        files = files.with(format!("/u/{}", unit.name), unit.text.clone());
    }
    let back = convert(&Options::default(), &files, &["/u/x.socket".into()]);
    for line in [
        "listen = [\"22\", \"127.0.0.1:2222\"]",
        "command = [\"/bin/x\", \"a b\", \"$1 50%\"]",
        "max_connections = 9",
        "max_per_source = 3",
        "timeout = \"90s\"",
        "allow = [\"10.0.0.0/8\"]",
        "open_files = 64",
        "stderr = \"client\"",
    ] {
        assert!(
            back.toml.contains(line),
            "{line}\n{}\n{}\n{}",
            units[0].text,
            units[1].text,
            back.toml
        );
    }
    let builtin = table("[service.e]\nlisten = 7\nbuiltin = \"echo\"\nuser = \"7\"\n");
    assert!(to_systemd(&builtin.services[0]).0.is_empty());
}

const SEEDS: [&str; 6] = [
    "127.0.0.1,*:\nftp stream tcp nowait.40 root.wheel /usr/sbin/tcpd in.ftpd -l\n\t-a\n#<off># x dgram udp wait a:b /x\n",
    "x on protocol = tcp, wait = no, user = u, exec = /x, args = x \"a b\", ip_max = 3;\n.include \"*\"\n[::1]:7 stream tcp6,sndbuf=1k nowait:4 r internal\n",
    "defaults\n{\n only_from = 10.1.{1,2} ::1/128\n cps = 5 10\n}\nservice ftp\n{\n socket_type = stream\n wait = no\n user = 0\n server = /x\n server_args = a\n only_from -= ::1\n access_times = 1:00-2:00\n rlimit_as = 8M\n}\n",
    "service x\n{\n type = UNLISTED INTERNAL\n port = 7\n protocol = udp\n wait = yes\n flags = IPv6 NAMEINARGS\n redirect = ::1 80\n banner_fail = /etc/banner\n log_type = FILE /x 1 2\n}\nincludedir /in\n",
    "[Socket]\nListenStream=127.0.0.1:80\nAccept=yes\nMaxConnections=5\n[Install]\n",
    "#!/bin/sh\nexec tcpserver -HRl0 -c 10 -u 5 0 25 \\\n /bin/x \"a b\" 2>&1\ntcpsvd -C 3:no -E 127.0.0.1 21 ftpd\n",
];

const SPICE: &[u8] = b"{}[]=;,:#/\\\"'\n\t .%-+*@0";

proptest! {
    // A failure is kept as a case above, not as a file at the top of the repository.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_input_never_panics(
        seed in 0..SEEDS.len(),
        from in 0..FORMATS.len() + 1,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..12),
    ) {
        let mut bytes = SEEDS[seed].as_bytes().to_vec();
        for (at, value, how) in edits {
            let at = at.index(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
            match how {
                0 if !bytes.is_empty() => { bytes.remove(at); }
                1 => bytes.insert(at, value),
                2 => bytes.insert(at, SPICE[usize::from(value) % SPICE.len()]),
                _ => { let tail = bytes.split_off(at); bytes.extend_from_slice(&tail); bytes.extend(tail); }
            }
        }
        let arguments = FORMATS.get(from).map_or(String::new(), |f| format!("--from {}", f.0));
        sound(&run("/in/x", &bytes, &arguments));
        sound(&run("/in/x", &bytes, &format!("{arguments} --lossy")));
    }
}
