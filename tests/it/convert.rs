//! `oxinetd convert`: what goes where, exit codes, and input that nobody meant. What a conversion says is tested by goldens
//! beside the code.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::{find, lacks_root, oxinetd, run, text};

const XINETD: &str = "service telnet\n{\n\tsocket_type = stream\n\twait = no\n\tuser = root\n\
    \tserver = /usr/sbin/in.telnetd\n}\n";

/// A directory with one file, and an empty hosts.allow and hosts.deny.
fn directory(name: &str, content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    for empty in ["hosts.allow", "hosts.deny"] {
        fs::write(directory.path().join(empty), "").unwrap();
    }
    let path = directory.path().join(name);
    fs::write(&path, content).unwrap();
    (directory, path)
}

fn convert(options: &[&str], path: &Path) -> Output {
    let hosts = path.parent().unwrap().to_str().unwrap();
    let mut words = vec!["convert", "--hosts-access", hosts];
    words.extend(options);
    words.push(path.to_str().unwrap());
    oxinetd(&words)
}

fn code(output: &Output) -> i32 {
    output
        .status
        .code()
        .unwrap_or_else(|| panic!("{}: {}", output.status, text(output)))
}

#[test]
fn table_goes_to_standard_output_and_the_rest_to_standard_error() {
    let (_directory, path) = directory("xinetd.conf", XINETD);
    let output = convert(&[], &path);
    assert_eq!(code(&output), 0, "{}", text(&output));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("[service.telnet]"), "{table}");
    assert!(table.contains("sandbox = \"none\""), "{table}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "converted 1 entry: 1 exact\n");
}

#[test]
fn exit_code_tells_exact_from_noted_from_impossible() {
    let noted = XINETD.replace('}', "\tcps = 10 5\n}");
    let lost = XINETD.replace('}', "\tonly_from = trusted.example\n}");
    for (table, options, expected, said) in [
        (XINETD, &[][..], 0, "1 exact"),
        (&noted, &[], 2, "xinetd.conf:7: `cps = 10 5`"),
        (&lost, &[], 1, "xinetd.conf:7: "),
        (&lost, &["--lossy"], 2, "lost (--lossy)"),
        (XINETD, &["--from", "systemd"], 1, "error: "),
        (XINETD, &["--from", "nonsense"], 64, "possible values"),
    ] {
        let (_directory, path) = directory("xinetd.conf", table);
        let output = convert(options, &path);
        let all = text(&output);
        assert_eq!(code(&output), expected, "{options:?}: {all}");
        assert!(all.contains(said), "{said}: {all}");
        assert_eq!(output.stdout.is_empty(), [1, 64].contains(&expected));
    }
    let output = oxinetd(&["convert"]);
    assert_eq!(code(&output), 64, "{}", text(&output));
    let output = oxinetd(&["convert", "/nonexistent"]);
    assert_eq!(code(&output), 1, "{}", text(&output));
    assert!(text(&output).contains("/nonexistent"), "{}", text(&output));
}

#[test]
fn hosts_access_is_read_or_its_lack_is_an_error() {
    let (directory, path) = directory("xinetd.conf", XINETD);
    let rules = directory.path().join("hosts.deny");
    fs::write(&rules, "in.telnetd: 192.0.2.0/255.255.255.0\n").unwrap();
    let output = convert(&[], &path);
    assert!(
        text(&output).contains("deny = [\"192.0.2.0/24\"]"),
        "{}",
        text(&output)
    );
    for name in ["hosts.allow", "hosts.deny"] {
        fs::remove_file(directory.path().join(name)).unwrap();
    }
    let output = convert(&[], &path);
    assert_eq!(code(&output), 1, "{}", text(&output));
    assert!(text(&output).contains("--hosts-access none"));
    let output = oxinetd(&["convert", "--hosts-access", "none", path.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", text(&output));
}

#[test]
fn a_way_out_to_systemd() {
    let ours = "[defaults]\nuser = \"root\"\n[service.cat]\nlisten = \"7007\"\ncommand = \"/bin/cat\"\n\
        linger = \"off\"\nmax_per_source = \"unlimited\"\n";
    let (_directory, path) = directory("oxinetd.toml", ours);
    let output = convert(&["--to", "systemd", "cat"], &path);
    assert!([0, 2].contains(&code(&output)), "{}", text(&output));
    let units = String::from_utf8(output.stdout).unwrap();
    for line in [
        "# cat.socket",
        "# cat@.service",
        "ListenStream=",
        "Accept=yes",
    ] {
        assert!(units.contains(line), "{line}: {units}");
    }
    let output = convert(&["--to", "systemd", "dog"], &path);
    assert_eq!(code(&output), 1, "{}", text(&output));
    assert!(text(&output).contains("`dog`"), "{}", text(&output));
    let output = convert(&["--to", "upstart", "cat"], &path);
    assert_eq!(code(&output), 64, "{}", text(&output));
    // A foreign table is converted on the way.
    let foreign = XINETD.replace("/usr/sbin/in.telnetd", "/bin/cat");
    let (_directory, path) = self::directory("xinetd.conf", foreign);
    let output = convert(&["--to", "systemd", "telnet"], &path);
    assert!(
        text(&output).contains("# telnet@.service"),
        "{}",
        text(&output)
    );
}

#[test]
fn bad_input_ends_soon_with_an_error() {
    let (directory, path) = directory("big", "");
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(100 << 20)
        .unwrap();
    let junk: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let mut cases = vec![(path, "larger than 4 MiB")];
    let mut file = |name: &str, content: &[u8], said: &'static str| {
        let path = directory.path().join(name);
        fs::File::create(&path).unwrap().write_all(content).unwrap();
        cases.push((path, said));
    };
    file("junk", &junk, "NUL bytes");
    file("utf16", b"\xff\xfes\0e\0r\0", "UTF-16");
    file("prose", b"This is no table at all.\n", "--from");
    file("unclosed", b"service x\n{\n\twait = no\n", "not closed");
    let circle = directory.path().join("circle");
    file(
        "circle",
        format!("include {}\n", circle.display()).as_bytes(),
        "circle",
    );
    file(
        "includes-missing",
        b"include /nonexistent/x\n",
        "/nonexistent/x",
    );
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    cases.push((fifo.clone(), "not a regular file"));
    let includes_fifo = directory.path().join("includes-fifo");
    fs::write(&includes_fifo, format!("include {}\n", fifo.display())).unwrap();
    cases.push((includes_fifo, "not a regular file"));
    for (path, said) in cases {
        let start = Instant::now();
        let output = convert(&[], &path);
        let all = text(&output);
        assert_eq!(code(&output), 1, "{}: {all}", path.display());
        assert!(all.contains(said), "{said} in: {all}");
        assert!(
            all.starts_with("error: ") || all.contains("\nerror: "),
            "{all}"
        );
        // No measurement: a blocking open or quadratic time would need far longer.
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{}",
            path.display()
        );
    }
}

#[test]
fn an_unreadable_file_is_an_error() {
    if lacks_root() {
        return;
    }
    let (directory, path) = directory("xinetd.conf", XINETD);
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let setpriv = find("setpriv").unwrap();
    let output = run(std::process::Command::new(setpriv)
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args([crate::harness::OXINETD, "convert"])
        .arg(&path));
    assert_eq!(code(&output), 1, "{}", text(&output));
    assert!(
        text(&output).contains("permission denied"),
        "{}",
        text(&output)
    );
}

#[test]
fn diff_asks_both_tables() {
    let hours = XINETD.replace(
        '}',
        "\tonly_from = 10.0.0.0/8\n\taccess_times = 8:00-17:59\n}",
    );
    let (_directory, path) = directory("xinetd.conf", hours);
    let output = convert(&["--diff"], &path);
    assert_eq!(code(&output), 0, "{}", text(&output));
    assert!(output.stdout.is_empty(), "{}", text(&output));
    assert!(
        text(&output).contains("compared 1 service, ")
            && text(&output).contains(": no answer differs"),
        "{}",
        text(&output)
    );
}
