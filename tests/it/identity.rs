//! What a program receives: exactly its descriptors, its signals, its account, its environment, its limits.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;

use nix::sys::resource::{Resource, getrlimit};

use crate::harness::{Builder, Client, lacks_root, probe, root, talk, talk_unix};

fn serve(builder: Builder, keys: &str) -> Builder {
    builder.table(&format!("[service.x]\nlisten = \"127.0.0.1:0\"\n{keys}"))
}

#[test]
fn program_has_descriptors_0_1_2_and_no_other() {
    for (how, shell) in [
        ("nothing special", "exec \"$@\""),
        ("10 and 251 are open", "exec 10</dev/null; exec \"$@\""),
        ("stdin is closed", "exec <&-; exec \"$@\""),
    ] {
        for stderr in ["log", "null", "client", "inherit"] {
            let builder = Builder::new();
            let Some(probe) = probe(&builder) else { return };
            let keys = format!("command = ['{probe}', 'fds']\nstderr = \"{stderr}\"");
            // dash knows one-digit descriptors only; python3 is no need here: env(1) keeps what bash opens.
            let daemon = serve(builder, &keys)
                .through(&[
                    "bash",
                    "-c",
                    &shell.replace("10</dev/null", "10</dev/null 251</dev/zero"),
                    "bash",
                ])
                .start();
            for _ in 0..20 {
                assert_eq!(talk(daemon.tcp("x"), b""), "0 1 2 \n", "{how}, {stderr}");
            }
        }
    }
}

#[test]
fn program_has_descriptors_0_1_2_when_the_daemon_had_none() {
    let builder = Builder::new();
    let Some(probe) = probe(&builder) else { return };
    let log = builder.path().join("log");
    let keys = format!("command = ['{probe}', 'fds']");
    let builder = serve(builder, &keys).daemon(&format!("log_to = \"file:{}\"", log.display()));
    let config = builder.write();
    let mut child = std::process::Command::new("bash")
        .args([
            "-c",
            "exec \"$@\" <&- >&- 2>&-",
            "bash",
            crate::harness::OXINETD,
        ])
        .args(["run", "--config", config.to_str().unwrap()])
        .process_group(0)
        .spawn()
        .unwrap();
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    crate::harness::until("LISTEN", crate::harness::PATIENCE, || {
        read().lines().any(|line| line.contains("LISTEN: x tcp "))
    });
    let lines = read();
    let address = lines.split_once("LISTEN: x tcp ").unwrap().1;
    let address = address.lines().next().unwrap().trim().parse().unwrap();
    for _ in 0..5 {
        assert_eq!(talk(address, b""), "0 1 2 \n");
    }
    crate::harness::Process(child.id().cast_signed()).signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(0), "{}", read());
}

#[test]
fn program_has_descriptors_0_1_2_under_load() {
    let _alone = crate::harness::alone();
    let builder = Builder::new();
    let Some(probe) = probe(&builder) else { return };
    let daemon = serve(builder, &format!("command = ['{probe}', 'fds']")).start();
    let address = daemon.tcp("x");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(move || {
                for _ in 0..125 {
                    assert_eq!(talk(address, b""), "0 1 2 \n");
                }
            });
        }
    });
}

#[test]
fn connection_is_the_real_blocking_socket() {
    let builder = Builder::new();
    let Some(probe) = probe(&builder) else { return };
    let path = builder.path().join("s");
    let unix = format!(
        "[service.u]\nlisten = \"{}\"\ncommand = ['{probe}', 'signals']",
        path.display()
    );
    let show = "command = ['/bin/sh', '-c', 'readlink /proc/self/fd/0 /proc/self/fd/1']";
    let daemon = serve(builder, show).table(&unix).start();
    let seen = talk(daemon.tcp("x"), b"");
    let lines: Vec<_> = seen.lines().collect();
    assert!(lines[0].starts_with("socket:["), "{seen}");
    assert_eq!(lines[0], lines[1], "one socket on both");
    assert_eq!(talk_unix(&path, b""), "end\n");
}

#[test]
fn signals_are_default_and_unblocked_whatever_the_starter_ignored() {
    for shell in [
        "exec \"$@\"",
        "trap '' CHLD PIPE HUP QUIT INT USR1 USR2 ALRM TTIN TTOU; exec \"$@\"",
    ] {
        let builder = Builder::new();
        let Some(probe) = probe(&builder) else { return };
        let daemon = serve(builder, &format!("command = ['{probe}', 'signals']"))
            .through(&["bash", "-c", shell, "bash"])
            .start();
        assert_eq!(talk(daemon.tcp("x"), b""), "end\n", "{shell}");
    }
}

#[test]
fn sigchld_ignored_by_the_starter_does_not_hide_the_ends() {
    let daemon = serve(Builder::new(), "command = ['/bin/sh', '-c', 'exit 5']")
        .through(&["bash", "-c", "trap '' CHLD; exec \"$@\"", "bash"])
        .start();
    talk(daemon.tcp("x"), b"");
    daemon.expect(&["EXIT: x", "status=5"]);
}

/// What `/proc/self/status` says in the fields named.
fn status(seen: &str, fields: &[&str]) -> BTreeMap<String, String> {
    seen.lines()
        .filter_map(|line| line.split_once(":\t"))
        .filter(|(field, _)| fields.contains(field))
        .map(|(field, value)| (field.to_owned(), value.trim().replace('\t', " ")))
        .collect()
}

#[test]
fn account_capabilities_and_no_new_privs_are_golden() {
    if lacks_root() {
        return;
    }
    let none = "0000000000000000";
    let cases = [
        // keys, uid, gid, groups, effective capabilities empty, no_new_privs
        ("user = \"nobody\"", 65534, 65534, "65534", true, "1"),
        ("user = \"65534\"", 65534, 65534, "65534", true, "1"),
        ("user = \"daemon\"", 1, 1, "1", true, "1"),
        ("user = \"daemon\"\ngroup = \"bin\"", 1, 2, "2", true, "1"),
        (
            "user = \"daemon\"\nsupplementary_groups = []",
            1,
            1,
            "",
            true,
            "1",
        ),
        (
            "user = \"daemon\"\nsupplementary_groups = [\"bin\", \"sys\"]",
            1,
            1,
            "2 3",
            true,
            "1",
        ),
        (
            "user = \"nobody\"\nsandbox = \"none\"",
            65534,
            65534,
            "65534",
            true,
            "0",
        ),
        ("user = \"12345\"", 12345, 12345, "12345", true, "1"),
        ("user = \"root\"\nsandbox = \"basic\"", 0, 0, "0", true, "1"),
        ("user = \"root\"", 0, 0, "0", false, "0"),
    ];
    let mut builder = Builder::new();
    for (index, (keys, ..)) in cases.iter().enumerate() {
        builder = builder.table(&format!(
            "[service.s{index}]\nlisten = \"127.0.0.1:0\"\ncommand = \"/bin/cat /proc/self/status\"\n{keys}"
        ));
    }
    let daemon = builder.start();
    let fields = [
        "Uid",
        "Gid",
        "Groups",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapAmb",
        "NoNewPrivs",
        "SigBlk",
        "SigIgn",
        "SigCgt",
        "Seccomp",
    ];
    for (index, (keys, uid, gid, groups, powerless, nnp)) in cases.iter().enumerate() {
        let seen = status(&talk(daemon.tcp(&format!("s{index}")), b""), &fields);
        assert_eq!(seen["Uid"], vec![uid.to_string(); 4].join(" "), "{keys}");
        assert_eq!(seen["Gid"], vec![gid.to_string(); 4].join(" "), "{keys}");
        // A lone primary group may or may not be listed among the supplementary ones.
        let lone = *groups == gid.to_string() && seen["Groups"].is_empty();
        assert!(
            seen["Groups"] == *groups || lone,
            "{keys}: {}",
            seen["Groups"]
        );
        assert_eq!(
            seen["CapEff"] == none,
            *powerless,
            "{keys}: {}",
            seen["CapEff"]
        );
        assert_eq!(seen["CapPrm"], seen["CapEff"], "{keys}");
        assert_eq!(seen["CapInh"], none, "{keys}");
        assert_eq!(seen["CapAmb"], none, "{keys}");
        assert_eq!(seen["NoNewPrivs"], *nnp, "{keys}");
        for clean in ["SigBlk", "SigIgn", "SigCgt"] {
            assert_eq!(seen[clean], none, "{keys}: {clean}");
        }
        assert_eq!(seen["Seccomp"], "0", "{keys}");
    }
}

#[test]
fn limits_umask_nice_and_session_are_what_the_table_says() {
    let builder = Builder::new();
    let Some(probe) = probe(&builder) else { return };
    let keys = format!(
        "command = ['{probe}', 'limits']\numask = \"0027\"\nnice = 5\n[service.x.limits]\nopen_files = 100\n\
         processes = 4000\ncpu_time = \"20s\"\naddress_space = \"1G\"\ndata = \"512M\"\nstack = \"4M\"\n\
         file_size = \"1M\"\ncore = \"0\"\nlocked_memory = \"64K\""
    );
    let plain =
        format!("[service.plain]\nlisten = \"127.0.0.1:0\"\ncommand = ['{probe}', 'limits']");
    // A soft limit below the hard one, so that a raised one shows.
    let daemon = serve(builder, &keys).table(&plain).start();
    let seen = talk(daemon.tcp("x"), b"");
    for line in [
        "open_files=100/100",
        "processes=4000/4000",
        "cpu_time=20/20",
        "address_space=1073741824/1073741824",
        "data=536870912/536870912",
        "stack=4194304/4194304",
        "file_size=1048576/1048576",
        "core=0/0",
        "locked_memory=65536/65536",
        "nice=5",
        "umask=0027",
        "leader=1",
    ] {
        assert!(seen.lines().any(|have| have == line), "{line}: {seen}");
    }
    let seen = talk(daemon.tcp("plain"), b"");
    for line in ["nice=0", "umask=0022", "leader=1"] {
        assert!(seen.lines().any(|have| have == line), "{line}: {seen}");
    }
    // The daemon raises its own soft limit; its programs get back the one that it was started with.
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let line = format!("open_files={soft}/{hard}");
    assert!(seen.lines().any(|have| have == line), "{line}: {seen}");
}

#[test]
fn limits_really_bite() {
    let keys =
        "command = ['/bin/sh', '-c', 'head -c 100000 /dev/zero > $0; stat -c %s $0; rm -f $0']";
    let builder = Builder::new();
    let file = builder.path().join("open").join("big");
    std::fs::create_dir(builder.path().join("open")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(builder.path().join("open"), mode).unwrap();
    let keys = keys.replace(
        "rm -f $0']",
        &format!(
            "rm -f $0', '{}']\nlimits = {{ file_size = \"10K\" }}",
            file.display()
        ),
    );
    let daemon = serve(builder, &keys).start();
    assert_eq!(talk(daemon.tcp("x"), b""), "10240\n");
}

#[test]
fn directory_and_argv0_and_words_reach_the_program() {
    let builder = Builder::new();
    let Some(probe) = probe(&builder) else { return };
    let here = builder.path().to_str().unwrap().to_owned();
    let words = "[service.words]\nlisten = \"127.0.0.1:0\"\ncommand = \"/usr/bin/printf '[%s]' 'a b' c\\\\ d \\\"$HOME\\\" *\"";
    let daemon = serve(builder, &format!("command = \"/bin/pwd\"\nworking_directory = \"{here}\""))
        .table("[service.plain]\nlisten = \"127.0.0.1:0\"\ncommand = \"/bin/pwd\"")
        .table(&format!("[service.name]\nlisten = \"127.0.0.1:0\"\ncommand = ['{probe}', 'name']\nargv0 = \"in.probed\""))
        .table(&format!("[service.base]\nlisten = \"127.0.0.1:0\"\ncommand = ['{probe}', 'name']"))
        .table(words)
        .start();
    assert_eq!(talk(daemon.tcp("x"), b"").trim(), here);
    assert_eq!(talk(daemon.tcp("plain"), b""), "/\n");
    assert_eq!(talk(daemon.tcp("name"), b""), "in.probed\n");
    assert_eq!(talk(daemon.tcp("base"), b""), "probe\n");
    assert_eq!(
        talk(daemon.tcp("words"), b""),
        "[a b][c d][$HOME][*]",
        "no shell"
    );
}

#[test]
fn root_directory_is_a_new_root_entered() {
    if lacks_root() {
        return;
    }
    let builder = Builder::new();
    let Some(_) = probe(&builder) else { return };
    std::fs::write(builder.path().join("inside"), "").unwrap();
    let jail = builder.path().to_str().unwrap().to_owned();
    let daemon = serve(
        builder,
        &format!("command = ['/probe', 'hold']\nroot_directory = \"{jail}\""),
    )
    .start();
    let mut client = Client::connect(daemon.tcp("x"));
    let pid: i32 = client.line().trim().parse().unwrap();
    let link = |name: &str| std::fs::read_link(format!("/proc/{pid}/{name}")).unwrap();
    assert_eq!(link("root").to_str(), Some(jail.as_str()));
    assert_eq!(link("cwd").to_str(), Some(jail.as_str()));
}

#[test]
fn oom_score_adj_is_set_in_the_child_alone() {
    let daemon = serve(Builder::new(), "command = \"/bin/cat /proc/self/oom_score_adj\"\noom_score_adj = 321")
        .table("[service.plain]\nlisten = \"127.0.0.1:0\"\ncommand = \"/bin/cat /proc/self/oom_score_adj\"")
        .start();
    let own = daemon.process().file("oom_score_adj");
    assert_eq!(talk(daemon.tcp("x"), b""), "321\n");
    assert_eq!(daemon.process().file("oom_score_adj"), own);
    assert_eq!(talk(daemon.tcp("plain"), b""), own);
}

/// The environment of one answer of env(1).
fn variables(seen: &str) -> BTreeMap<String, String> {
    seen.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn environment_is_the_documented_list_on_tcp() {
    let daemon = serve(Builder::new(), "command = \"/usr/bin/env\"").start();
    let mut client = Client::connect(daemon.tcp("x"));
    let mine = client.0.local_addr().unwrap().port().to_string();
    let theirs = daemon.tcp("x").port().to_string();
    let mut seen = variables(&String::from_utf8(client.rest()).unwrap());
    let id = daemon.expect(&["START: x"]);
    let id = id.rsplit_once(" id=").unwrap().1.to_owned();
    let cookie = seen.remove("SO_COOKIE").expect("SO_COOKIE");
    assert!(
        cookie.parse::<u64>().is_ok_and(|cookie| cookie > 0),
        "{cookie}"
    );
    let path = seen.remove("PATH").expect("PATH");
    assert!(path.split(':').all(|part| part.starts_with('/')), "{path}");
    // Counts of this source, "including this one", may be there.
    seen.retain(|name, _| !["TCPCONNNUM", "TCPCONCURRENCY"].contains(&name.as_str()));
    let mut want = vec![
        ("PROTO", "TCP"),
        ("TCPREMOTEIP", "127.0.0.1"),
        ("TCPREMOTEPORT", &mine),
        ("TCPLOCALIP", "127.0.0.1"),
        ("TCPLOCALPORT", &theirs),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("REMOTE_PORT", &mine),
        ("REMOTE_HOST", "127.0.0.1"),
        ("SERVER_ADDR", "127.0.0.1"),
        ("SERVER_PORT", &theirs),
        ("OXINETD_SERVICE", "x"),
        ("OXINETD_CONN_ID", &id),
    ];
    let account = ["HOME", "USER", "LOGNAME", "SHELL"].map(|name| seen.remove(name));
    if root() {
        let nobody = ["/nonexistent", "nobody", "nobody", "/usr/sbin/nologin"];
        assert_eq!(account, nobody.map(|value| Some(value.to_owned())));
    }
    want.sort_unstable();
    let seen: Vec<_> = seen.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(seen, want);
}

#[test]
fn environment_on_ipv6_and_unix() {
    let builder = Builder::new();
    let path = builder.path().join("s");
    let daemon = builder
        .table(&format!(
            "[service.x]\nlisten = [\"[::1]:0\", \"{}\"]\ncommand = \"/usr/bin/env\"",
            path.display()
        ))
        .start();
    let seen = variables(&talk(daemon.tcp("x"), b""));
    for name in ["REMOTE_ADDR", "TCPREMOTEIP", "TCPLOCALIP", "SERVER_ADDR"] {
        assert_eq!(seen[name], "::1", "{name}");
    }
    let seen = variables(&talk_unix(&path, b""));
    assert_eq!(seen["PROTO"], "UNIX");
    assert_eq!(seen["OXINETD_SERVICE"], "x");
    assert!(!seen.keys().any(|name| name.starts_with("TCP")), "{seen:?}");
}

#[test]
fn peer_of_a_dual_stack_socket_is_ipv4_in_the_environment() {
    let daemon = Builder::new()
        .table("[service.x]\nlisten = 0\ncommand = \"/usr/bin/env\"")
        .start();
    let seen = variables(&talk(daemon.tcp("x"), b""));
    assert_eq!(seen["REMOTE_ADDR"], "127.0.0.1");
    assert_eq!(seen["SERVER_ADDR"], "127.0.0.1");
}

#[test]
fn env_and_pass_env_add_to_it() {
    let keys = "command = \"/usr/bin/env\"\npass_env = [\"LANG\", \"NOT_THERE\"]\n\
        env = { GREETING = \"a b=c\", PEER = \"%{remote_addr}:%{remote_port}\", WHERE = \"%{service}\" }";
    let daemon = serve(Builder::new(), keys)
        .env("LANG", "tlh_KX.UTF-8")
        .env("SECRET_TOKEN", "x")
        .start();
    let mut client = Client::connect(daemon.tcp("x"));
    let port = client.0.local_addr().unwrap().port();
    let seen = variables(&String::from_utf8(client.rest()).unwrap());
    assert_eq!(seen["LANG"], "tlh_KX.UTF-8");
    assert_eq!(seen["GREETING"], "a b=c");
    assert_eq!(seen["PEER"], format!("127.0.0.1:{port}"));
    assert_eq!(seen["WHERE"], "x");
    assert!(!seen.contains_key("NOT_THERE") && !seen.contains_key("SECRET_TOKEN"));
}

#[test]
fn specifiers_stay_one_word() {
    let builder = Builder::new();
    let path = builder.path().join("s");
    let command = "command = ['/usr/bin/printf', '[%%s]', '%{remote_addr}', 'port %{remote_port}', '%{service}', '%{id}']"
        .replace("%%s", "%s");
    let table = format!(
        "[service.spec]\nlisten = [\"127.0.0.1:0\", \"{}\"]\n{command}",
        path.display()
    );
    let daemon = builder.table(&table).start();
    let mut client = Client::connect(daemon.tcp("spec"));
    let port = client.0.local_addr().unwrap().port();
    let seen = String::from_utf8(client.rest()).unwrap();
    let id = daemon.expect(&["START: spec"]);
    let id = id.rsplit_once(" id=").unwrap().1.to_owned();
    assert_eq!(seen, format!("[127.0.0.1][port {port}][spec][{id}]"));
    let seen = talk_unix(&path, b"");
    assert!(seen.starts_with("[unix][port ][spec]["), "{seen}");
}

#[test]
fn stderr_goes_where_it_is_sent() {
    let say = "command = ['/bin/sh', '-c', 'echo to the log >&2; echo to the client']";
    let mut builder = Builder::new();
    for stderr in ["log", "null", "client", "inherit"] {
        builder = builder.table(&format!(
            "[service.{stderr}]\nlisten = \"127.0.0.1:0\"\n{say}\nstderr = \"{stderr}\""
        ));
    }
    let daemon = builder.start();
    for (stderr, client) in [
        ("null", "to the client\n"),
        ("client", "to the log\nto the client\n"),
        ("inherit", "to the client\n"),
        ("log", "to the client\n"),
    ] {
        let end = daemon.log_end();
        assert_eq!(talk(daemon.tcp(stderr), b""), client, "{stderr}");
        daemon.expect_from(end, &[&format!("EXIT: {stderr}")]);
        match stderr {
            "log" => drop(daemon.expect_from(end, &["log", "to the log"])),
            "inherit" => drop(daemon.expect_from(end, &["to the log"])),
            _ => {
                let said = daemon.lines()[end..].concat();
                assert!(!said.contains("to the log"), "{stderr}: {said}");
            }
        }
    }
}
