//! What a good table means.

use std::time::Duration;

use super::{ECHO, services, short, text};
use crate::config::diagnostic::Code;
use crate::config::fake::FakeWorld;
use crate::config::{Main, load};
use crate::service::{Address, LogTarget, Preset, Run, Source};

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
