//! The environment, the arguments, and what becomes of specifiers.

use std::path::PathBuf;

use oxinetd::launch::Outcome;
use oxinetd::service::{Local, Peer, Run, UnixName};

use crate::bench::{Bench, Facts, Test};
use crate::fixtures::{inet, lines, service, template};

pub(crate) const TESTS: &[Test] = &[
    ("environment_is_the_documented_one", environment),
    ("env_wins_over_facts_and_pass_env", environment_precedence),
    (
        "unix_and_proxied_clients_have_their_variables",
        environment_of_other_clients,
    ),
    ("specifiers_stay_one_word", specifiers),
];

fn environment(bench: &mut Bench) {
    let mut service = service(&["/usr/bin/env"]);
    service.process.env = vec![("LANG".into(), "C".into())];
    assert_eq!(
        lines(&bench.script(&service)),
        [
            "LANG=C",
            "OXINETD_CONN_ID=c0ffee",
            "OXINETD_SERVICE=test",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PROTO=TCP",
            "REMOTE_ADDR=192.0.2.7",
            "REMOTE_HOST=192.0.2.7",
            "REMOTE_PORT=4711",
            "SERVER_ADDR=192.0.2.1",
            "SERVER_PORT=79",
            "SO_COOKIE=77",
            "TCPCONCURRENCY=3",
            "TCPCONNNUM=3",
            "TCPLOCALIP=192.0.2.1",
            "TCPLOCALPORT=79",
            "TCPREMOTEIP=192.0.2.7",
            "TCPREMOTEPORT=4711",
        ]
    );
}

fn environment_precedence(bench: &mut Bench) {
    bench.host.environment = vec![
        ("PASSED".into(), "yes".into()),
        ("SECRET".into(), "no".into()),
        ("PATH".into(), "/bin".into()),
        ("REMOTE_ADDR".into(), "forged".into()),
    ];
    let mut service = service(&["/usr/bin/env"]);
    service.process.pass_env = ["PASSED", "PATH", "REMOTE_ADDR"].map(String::from).into();
    service.process.env = vec![
        ("REMOTE_HOST".into(), "hidden".into()),
        (
            "WHO".into(),
            template(&["<", "addr", ":", "port", "> ", "service", "/", "id"]),
        ),
    ];
    let text = bench.script(&service);
    bench.host.environment.clear();
    let all = lines(&text);
    for wanted in [
        "PASSED=yes",
        "PATH=/bin",
        "REMOTE_ADDR=192.0.2.7",
        "REMOTE_HOST=hidden",
        "WHO=<192.0.2.7:4711> test/c0ffee",
    ] {
        assert_eq!(
            all.iter().filter(|line| line.as_str() == wanted).count(),
            1,
            "{wanted}: {text}"
        );
    }
    let mut names: Vec<&str> = all
        .iter()
        .filter_map(|line| line.split('=').next())
        .collect();
    assert!(!names.contains(&"SECRET"));
    names.dedup();
    assert_eq!(names.len(), all.len(), "a name twice: {text}");
}

fn environment_of_other_clients(bench: &mut Bench) {
    let plan = bench.plan(&service(&["/usr/bin/env"]));
    let unix = Facts {
        peer: Some(Peer::Unix {
            uid: 12,
            gid: 34,
            pid: 56,
        }),
        local: Local::Unix(UnixName::Path(PathBuf::from("/run/x.sock"))),
        cookie: 0,
        concurrency: 0,
        proxied_from: None,
    };
    let proxied = Facts {
        peer: Some(inet("[2001:db8::1]:99")),
        proxied_from: Some(inet("10.0.0.1:1234")),
        ..Facts::default()
    };
    let datagram = Facts {
        peer: None,
        local: Local::Udp("[::]:69".parse().unwrap()),
        ..Facts::default()
    };
    for (facts, present, absent) in [
        (
            unix,
            &[
                "PROTO=UNIX",
                "UNIXLOCALPATH=/run/x.sock",
                "UNIXREMOTEEUID=12",
                "UNIXREMOTEEGID=34",
                "UNIXREMOTEPID=56",
                "REMOTE_ADDR=unix",
                "SERVER_ADDR=/run/x.sock",
            ][..],
            &["REMOTE_PORT", "TCPREMOTEIP", "SO_COOKIE", "PROXY_PEER_IP"][..],
        ),
        (
            proxied,
            &[
                "REMOTE_ADDR=2001:db8::1",
                "TCPREMOTEIP=2001:db8::1",
                "PROXY_PEER_IP=10.0.0.1",
                "PROXY_PEER_PORT=1234",
            ],
            &["UNIXREMOTEEUID"],
        ),
        (
            datagram,
            &["PROTO=UDP", "UDPLOCALPORT=69", "SERVER_ADDR=::"],
            &["REMOTE_ADDR", "UDPREMOTEIP", "TCPCONNNUM"],
        ),
    ] {
        let child = bench.launch_for(&plan, &facts, None);
        let (text, outcome, _) = bench.finish(child);
        assert_eq!(outcome, Outcome::Started);
        let all = lines(&text);
        for wanted in present {
            assert!(all.iter().any(|line| line == wanted), "{wanted} in {text}");
        }
        for name in absent {
            assert!(
                !all.iter().any(|line| line.starts_with(&format!("{name}="))),
                "{name} in {text}"
            );
        }
    }
}

fn specifiers(bench: &mut Bench) {
    let mut service = service(&["/usr/bin/printf", "[%s]"]);
    if let Run::Program(program) = &mut service.run {
        program
            .arguments
            .push(template(&["a b ", "addr", ";", "id"]));
        program.arguments.push(template(&["service"]));
    }
    assert_eq!(bench.script(&service), "[a b 192.0.2.7;c0ffee][test]");
}
