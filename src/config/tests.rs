//! Tests of whole loads: files, includes, defaults, bounds, and texts that nobody would write.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::diagnostic::{Code, Format, Severity};
use super::fake::FakeWorld;
use super::{Loaded, MAIN_FILE, Main, load};
use crate::service::{Address, LogTarget, Preset, Run, Service, Source, UnixName};

fn world(files: &[(&str, &str)]) -> FakeWorld {
    let mut world = FakeWorld::default();
    world.files = files
        .iter()
        .map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec()))
        .collect();
    world
}

fn text(text: &str, uid: u32) -> Loaded {
    load(
        &Main::Text {
            name: "x.toml",
            text,
        },
        &FakeWorld::default().host(uid),
    )
}

fn short(loaded: &Loaded) -> String {
    loaded.report.render(Format::Short)
}

/// The services of a table that must be good.
fn services(loaded: &Loaded) -> Vec<&Service> {
    let table = loaded
        .table
        .as_ref()
        .unwrap_or_else(|| panic!("{}", short(loaded)));
    table.services.iter().map(AsRef::as_ref).collect()
}

const ECHO: &str = "builtin = \"echo\"\n";

#[test]
fn without_a_file_the_shipped_table_is_served() {
    let world = FakeWorld::default();
    let loaded = load(&Main::Default, &world.host(0));
    assert!(loaded.embedded);
    let [echo] = services(&loaded)[..] else {
        panic!()
    };
    assert_eq!(
        echo.process.identity.as_ref().map(|identity| identity.uid),
        Some(65534)
    );
    let printed: Vec<String> = echo.listen.iter().map(ToString::to_string).collect();
    assert_eq!(printed, ["tcp 127.0.0.1:7007", "tcp [::1]:7007"]);
    assert_eq!(
        (echo.origin.file.as_path(), echo.origin.line),
        (Path::new("<embedded>"), 6)
    );
    let loaded = load(&Main::Default, &world.host(7));
    assert_eq!(services(&loaded)[0].process.identity, None);
    assert_eq!(loaded.report.count(Severity::Note), 1, "{}", short(&loaded));
    let control = loaded.table.unwrap().settings.control;
    assert_eq!(
        control,
        Some(UnixName::Path("/run/user/7/oxinetd.sock".into()))
    );
}

#[test]
fn a_named_file_must_be_there() {
    let world = FakeWorld::default();
    let loaded = load(&Main::Named(Path::new("/no.toml")), &world.host(0));
    assert_eq!(
        short(&loaded),
        "error: cannot read /no.toml: no such file or directory\n"
    );
}

#[test]
fn files_load_in_name_order_and_mask_each_other() {
    let service = |name: &str, port: u16| format!("[service.{name}]\nlisten = {port}\n{ECHO}");
    let (main, a_lib, a_etc, b, c, d) = (
        format!(
            "[defaults]\nuser = \"git\"\ntimeout = \"1s\"\n{}",
            service("main", 1)
        ),
        service("hidden", 2),
        service("a", 3),
        format!("[defaults]\ntimeout = \"2s\"\n{}", service("b", 4)),
        service("c", 5),
        service("d", 6),
    );
    let mut world = world(&[
        (MAIN_FILE, &main),
        ("/usr/lib/oxinetd.d/a.toml", &a_lib),
        ("/etc/oxinetd.d/a.toml", &a_etc),
        ("/usr/lib/oxinetd.d/b.toml", &b),
        ("/usr/lib/oxinetd.d/c.toml", &c),
        ("/etc/oxinetd.d/d.toml", &d),
        ("/etc/oxinetd.d/e.toml~", "["),
        ("/etc/oxinetd.d/.f.toml", "["),
    ]);
    world.masks.push("/etc/oxinetd.d/c.toml".into());
    let loaded = load(&Main::Default, &world.host(0));
    let found = services(&loaded);
    let names: Vec<&str> = found.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["main", "a", "b", "d"]);
    let timeouts: Vec<u64> = found
        .iter()
        .map(|service| service.deadlines.timeout.unwrap().as_secs())
        .collect();
    assert_eq!(
        timeouts,
        [1, 1, 2, 1],
        "the defaults of a drop-in hold in it alone"
    );
    assert_eq!(loaded.table.as_ref().unwrap().files.len(), 4);
}

#[test]
fn problems_across_files_show_both_places() {
    let world = world(&[
        (
            "/c/main.toml",
            "[daemon]\ninclude = [\"d/*.toml\", \"none.d/*.toml\"]\n[defaults]\nuser = \"git\"\n[service.a]\nlisten = 79\nbuiltin = \"echo\"\n",
        ),
        (
            "/c/d/x.toml",
            "[daemon]\nlog_to = \"auto\"\n[service.a]\nlisten = 80\nbuiltin = \"echo\"\n[service.b]\nlisten = \"*:79\"\nbuiltin = \"echo\"\n",
        ),
    ]);
    let loaded = load(&Main::Named(Path::new("/c/main.toml")), &world.host(0));
    assert_eq!(
        short(&loaded),
        "/c/d/x.toml:1:2: error: [daemon] can stand in the main file only (move its keys into the [daemon] section of the main file)\n\
         /c/d/x.toml:3:10: error: service `a` is defined twice (rename one of them; a file of the same name in a later directory of `include` replaces a whole file)\n\
         /c/d/x.toml:7:10: error: two services want tcp *:79 (bind one of them to a single address, or set `enabled = false`)\n"
    );
    let human = loaded.report.render(Format::Human { color: false });
    assert!(
        human.contains("::: /c/main.toml:5:10") && human.contains("::: /c/main.toml:6:10"),
        "{human}"
    );
}

#[test]
fn an_included_file_that_is_named_must_be_there() {
    let world = world(&[(MAIN_FILE, "[daemon]\ninclude = \"x.toml\"\n")]);
    let loaded = load(&Main::Default, &world.host(0));
    assert_eq!(
        short(&loaded),
        "/etc/oxinetd.toml:2:11: error: cannot read /etc/x.toml: no such file or directory\n"
    );
}

#[test]
fn defaults_merge_tables_and_replace_the_rest() {
    let loaded = text(
        "[defaults]\nuser = \"git\"\nallow = [\"loopback\"]\nenv = { A = \"1\", B = \"1\" }\nlimits = { core = 0, open_files = 9 }\n\
         penalty = { after = \"1/s\", for = \"1min\" }\nmax_connections = 7\n\
         [service.x]\nlisten = 7\nbuiltin = \"echo\"\nallow = \"private\"\nenv = { B = \"2\" }\nlimits.open_files = 10\npenalty = { after = \"2/s\" }\n\
         [service.y]\nlisten = 8\nbuiltin = \"echo\"\npenalty = \"off\"\n",
        0,
    );
    let table = loaded
        .table
        .as_ref()
        .unwrap_or_else(|| panic!("{}", short(&loaded)));
    let [x, y] = table.services.as_slice() else {
        panic!()
    };
    assert_eq!(x.admission.allow, Some(vec![Source::Private]));
    assert_eq!(y.admission.allow, Some(vec![Source::Loopback]));
    let env: Vec<(&str, &str)> = x
        .process
        .env
        .iter()
        .map(|(name, value)| (name.as_str(), value.literal().unwrap()))
        .collect();
    assert_eq!(env, [("A", "1"), ("B", "2")]);
    assert_eq!(
        x.process
            .limits
            .iter()
            .map(|limit| limit.value)
            .collect::<Vec<_>>(),
        [Some(10), Some(0)]
    );
    let penalty = x.admission.penalty.unwrap();
    assert_eq!(
        (penalty.after.count.get(), penalty.first),
        (2, Duration::from_secs(30))
    );
    assert_eq!(y.admission.penalty, None);
    assert_eq!(
        y.admission.max_connections.map(std::num::NonZeroU32::get),
        Some(7)
    );
}

#[test]
fn an_account_is_resolved_whole() {
    let service = |keys: &str| format!("[service.x]\nlisten = 7007\ncommand = \"/bin/x\"\n{keys}");
    for (keys, uid, gid, groups, preset) in [
        ("user = \"git\"", 101, 101, vec![101, 50], Preset::Basic),
        (
            "user = 101\ngroup = \"staff\"",
            101,
            50,
            vec![50, 50],
            Preset::Basic,
        ),
        (
            "user = \"git\"\nsupplementary_groups = []",
            101,
            101,
            vec![],
            Preset::Basic,
        ),
        ("user = \"4242\"", 4242, 4242, vec![4242], Preset::Basic),
        ("user = \"root\"", 0, 0, vec![0], Preset::None),
        (
            "user = \"root\"\nsandbox = \"basic\"",
            0,
            0,
            vec![0],
            Preset::Basic,
        ),
    ] {
        let loaded = text(&service(keys), 0);
        let [x] = services(&loaded)[..] else { panic!() };
        let identity = x.process.identity.as_ref().unwrap();
        assert_eq!(
            (
                identity.uid,
                identity.gid,
                &identity.groups,
                x.process.sandbox.preset
            ),
            (uid, gid, &groups, preset),
            "{keys}"
        );
    }
    let loaded = text(&service("user = 7\n"), 7);
    assert_eq!(services(&loaded)[0].process.identity, None);
}

#[test]
fn addresses_mean_what_the_reference_says() {
    let listen = |value: &str, has_ipv6: bool| -> Vec<String> {
        let toml = format!("[service.x]\nlisten = {value}\nuser = \"git\"\n{ECHO}");
        let world = FakeWorld {
            has_ipv6,
            ..FakeWorld::default()
        };
        let loaded = load(
            &Main::Text {
                name: "x",
                text: &toml,
            },
            &world.host(0),
        );
        services(&loaded)[0]
            .listen
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    for (value, expected) in [
        ("8007", &["tcp *:8007"][..]),
        ("\"*:8007\"", &["tcp *:8007"]),
        (
            "\"*:8007\"\ndual_stack = false",
            &["tcp 0.0.0.0:8007", "tcp [::]:8007"],
        ),
        ("\"tcp4:8007\"", &["tcp 0.0.0.0:8007"]),
        ("\"tcp6:79\"", &["tcp [::]:79"]),
        ("\"[::]:79\"", &["tcp [::]:79"]),
        ("\"[::]:79\"\ndual_stack = true", &["tcp *:79"]),
        ("\"localhost:1\"", &["tcp 127.0.0.1:1", "tcp [::1]:1"]),
        ("\"tcp6:localhost:1\"", &["tcp [::1]:1"]),
        (
            "\"both.example:1\"",
            &["tcp 192.0.2.1:1", "tcp [2001:db8::1]:1"],
        ),
        ("\"v4.example:1\"", &["tcp 192.0.2.4:1"]),
        ("\"finger\"", &["tcp *:79"]),
        (
            "\"127.0.0.1:20-22\"",
            &["tcp 127.0.0.1:20", "tcp 127.0.0.1:21", "tcp 127.0.0.1:22"],
        ),
        ("[\"0\", 0]", &["tcp *:0", "tcp *:0"]),
        ("\"[fe80::1%eth0]:79\"", &["tcp [fe80::1%2]:79"]),
        ("\"/run/x\"", &["unix /run/x"]),
        ("\"unix:@x\"", &["unix @x"]),
    ] {
        assert_eq!(listen(value, true), expected, "{value}");
    }
    assert_eq!(listen("8007", false), ["tcp 0.0.0.0:8007"]);
    assert_eq!(listen("\"localhost:8007\"", false), ["tcp 127.0.0.1:8007"]);
}

#[test]
fn overlapping_addresses_are_told_apart() {
    let overlap = |a: &str, b: &str, more: &str| {
        let service = |name: &str, listen: &str| {
            format!("[service.{name}]\nlisten = {listen}\n{more}\n{ECHO}")
        };
        let loaded = text(
            &format!(
                "[defaults]\nuser = \"git\"\n{}{}",
                service("a", a),
                service("b", b)
            ),
            0,
        );
        loaded
            .report
            .problems()
            .iter()
            .any(|problem| problem.code == Code::Address)
    };
    for (a, b, more, expected) in [
        ("79", "\"127.0.0.1:79\"", "", true),
        ("\"127.0.0.1:79\"", "79", "", true),
        ("\"tcp6:79\"", "\"127.0.0.1:79\"", "", false),
        ("\"tcp6:79\"", "\"tcp4:79\"", "", false),
        ("\"tcp6:79\"", "79", "", true),
        ("\"127.0.0.1:79\"", "\"127.0.0.2:79\"", "", false),
        ("79", "79", "reuse_port = true", false),
        ("79", "79", "enabled = false", false),
        ("\"*:0\"", "\"*:0\"", "", false),
        ("79", "80", "", false),
        ("\"70-90\"", "79", "", true),
        ("\"/run/x\"", "\"unix:/run/x\"", "", true),
        ("\"/run/x\"", "\"@/run/x\"", "", false),
    ] {
        assert_eq!(overlap(a, b, more), expected, "{a} {b} {more}");
    }
}

#[test]
fn commands_are_split_and_named() {
    let loaded = text(
        "[service.x]\nlisten = 1\nuser = \"git\"\ncommand = \"/usr/bin/a 'b c' %{id}\"\nlog_to = \"file:/var/log/x\"\n",
        0,
    );
    let [x] = services(&loaded)[..] else { panic!() };
    let Run::Program(program) = &x.run else {
        panic!()
    };
    assert_eq!(
        (
            program.path.as_str(),
            program.argv0.as_str(),
            program.arguments.len()
        ),
        ("/usr/bin/a", "a", 2)
    );
    assert_eq!(program.arguments[1].literal(), None);
    assert_eq!(x.log_to, Some(LogTarget::File("/var/log/x".into())));
    assert_eq!(x.deadlines.linger, Some(Duration::from_secs(2)));
    assert!(matches!(
        x.listen[0],
        Address::Inet {
            dual_stack: true,
            ..
        }
    ));
}

#[test]
fn files_that_are_no_tables_are_refused_at_once() {
    let big = "#".repeat((4 << 20) + 1);
    let nested = format!("a = {}", "[".repeat(10_000));
    for (bytes, expected) in [
        (big.as_bytes(), "error: cannot read /t: larger than 4 MiB"),
        (b"a = 1\nb\0".as_slice(), "error: /t:2: byte 7 is a NUL"),
        (b"# \xe9\n", "error: /t:1: byte 2 is not UTF-8"),
        (b"[service.x\n", "/t:1:11: error: not TOML: "),
        (nested.as_bytes(), "/t:1:"),
        (b"\x7fELF\x02\x01\x01", "/t:1:1: error: not TOML"),
    ] {
        let mut world = FakeWorld::default();
        world.files.insert("/t".into(), bytes.to_vec());
        let loaded = load(&Main::Named(Path::new("/t")), &world.host(0));
        assert!(loaded.table.is_none());
        assert!(short(&loaded).starts_with(expected), "{}", short(&loaded));
        assert!(loaded.report.render(Format::Human { color: false }).len() < 64 << 10);
    }
    let mut world = FakeWorld::default();
    world.fifos.push("/t".into());
    let loaded = load(&Main::Named(Path::new("/t")), &world.host(0));
    assert_eq!(
        short(&loaded),
        "error: cannot read /t: not a regular file (a table is a plain file)\n"
    );
}

#[test]
fn bom_and_crlf_are_accepted() {
    let toml = format!(
        "\u{feff}[service.x]\r\nlisten = 7007\r\nuser = \"git\"\r\n{}",
        ECHO.replace('\n', "\r\n")
    );
    let world = world(&[("/t", &toml)]);
    let loaded = load(&Main::Named(Path::new("/t")), &world.host(0));
    assert_eq!(services(&loaded)[0].origin.line, 1);
}

/// Every good table, for the mutations.
fn corpus() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/config");
    let mut texts = Vec::new();
    for kind in ["good", "bad"] {
        for entry in std::fs::read_dir(directory.join(kind)).unwrap() {
            let path = entry.unwrap().path();
            if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                texts.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    texts.sort();
    texts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Cut, paste and overwrite what users write: always a report, never a panic, and no table with errors.
    #[test]
    fn mutated_tables_are_answered(which in any::<prop::sample::Index>(), edits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), "\\PC{0,6}"), 0..5), uid in 0u32..2) {
        let corpus = corpus();
        let mut text: Vec<char> = which.get(&corpus).chars().collect();
        for (from, length, insert) in edits {
            let from = from.index(text.len() + 1);
            let to = (from + length.index(12)).min(text.len());
            text.splice(from..to, insert.chars());
        }
        let toml: String = text.into_iter().collect();
        let loaded = self::text(&toml, uid);
        prop_assert_eq!(loaded.table.is_none(), loaded.report.has_errors());
        for format in [Format::Human { color: false }, Format::Human { color: true }, Format::Json, Format::Github] {
            loaded.report.render(format);
        }
    }
}

/// Ten thousand services take time in proportion; a debug build gets the leisure that it needs.
#[test]
fn many_services_load_in_one_pass() {
    let mut toml = String::from("[defaults]\nuser = \"git\"\n");
    for number in 0..10_000 {
        toml.push_str(&format!(
            "[service.s{number}]\nlisten = \"127.{}.{}.1:79\"\ncommand = \"/bin/x {number}\"\n",
            number / 250,
            number % 250
        ));
    }
    let start = std::time::Instant::now();
    let loaded = text(&toml, 0);
    let time = start.elapsed();
    assert_eq!(services(&loaded).len(), 10_000);
    println!("10,000 services in {time:?}");
}
