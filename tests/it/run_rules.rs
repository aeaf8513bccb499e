//! How `oxinetd run` starts, and when it must not.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use crate::harness::{Builder, OXINETD, PATIENCE, lacks_root, root, run, talk, text, until};

const ECHO: &str = "[service.echo]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"";

#[test]
fn bad_table_ends_in_78_with_every_problem_and_nothing_bound() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let builder = Builder::new().table(&format!(
        "[service.good]\nlisten = \"{address}\"\nbuiltin = \"echo\"\n\
         [service.bad]\nlisten = \"127.0.0.1:0\"\nbultin = \"echo\"\n\
         [service.worse]\nlisten = \"127.0.0.1:70000\"\nbuiltin = \"echo\""
    ));
    let output = builder.run();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("bultin") && said.contains("70000"), "{said}");
    assert!(!said.contains("LISTEN"), "{said}");
    TcpListener::bind(address).unwrap();
}

#[test]
fn nothing_bound_ends_in_69() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let output = Builder::new()
        .table(&format!(
            "[service.echo]\nlisten = \"127.0.0.1:{port}\"\nbuiltin = \"echo\""
        ))
        .run();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(
        said.contains("echo") && said.contains(&port.to_string()),
        "{said}"
    );
}

#[test]
fn taken_address_is_retried_while_others_serve() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut daemon = Builder::new()
        .table(ECHO)
        .table(&format!(
            "[service.late]\nlisten = \"{address}\"\nbuiltin = \"echo\""
        ))
        .trouble("late")
        .start();
    daemon.expect(&["late", &address.port().to_string()]);
    assert_eq!(talk(daemon.tcp("echo"), b"served"), "served");
    assert!(daemon.addresses("late").is_empty());
    drop(taken);
    daemon.expect(&["LISTEN: late", &address.port().to_string()]);
    assert_eq!(talk(address, b"at last"), "at last");
    daemon.rebase();
}

#[test]
fn config_comes_from_the_option_then_the_environment() {
    let by_environment =
        Builder::new().table("[service.from_env]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"");
    let file = by_environment.write();
    let daemon = Builder::new()
        .env("OXINETD_CONFIG", file.to_str().unwrap())
        .arguments(&["run"])
        .start();
    assert_eq!(talk(daemon.tcp("from_env"), b"x"), "x");
    drop(daemon);
    let daemon = Builder::new()
        .env("OXINETD_CONFIG", file.to_str().unwrap())
        .table(ECHO)
        .start();
    assert_eq!(talk(daemon.tcp("echo"), b"x"), "x");
}

#[test]
fn missing_named_file_is_an_error_and_never_the_embedded_table() {
    let output = run(Command::new(OXINETD).args(["run", "--config", "/nonexistent/table.toml"]));
    assert_eq!(output.status.code(), Some(78), "{}", text(&output));
    assert!(text(&output).contains("/nonexistent/table.toml"));
}

#[test]
fn ready_is_a_newline_on_the_descriptor_and_ready_1_on_the_socket() {
    // Builder::start reads the newline on descriptor 1; here the socket of the service manager, and another number.
    let builder = Builder::new().table(ECHO);
    let path = builder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let newline = builder.path().join("newline");
    let redirect = format!("exec 7>{}; exec \"$@\" --ready-fd 7", newline.display());
    let config = builder.write();
    let daemon = builder
        .env("NOTIFY_SOCKET", path.to_str().unwrap())
        .through(&["sh", "-c", &redirect, "sh"])
        .arguments(&["run", "--config", config.to_str().unwrap()])
        .start();
    let mut states = String::new();
    while !states.contains("READY=1") {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).expect("READY=1 in time");
        states.push_str(&String::from_utf8_lossy(&buffer[..length]));
        states.push('\n');
    }
    until("the newline", PATIENCE, || {
        fs::read_to_string(&newline).unwrap() == "\n"
    });
    assert_eq!(talk(daemon.tcp("echo"), b"ready"), "ready");
}

#[test]
fn services_do_not_inherit_the_service_managers_variables() {
    let table = "[service.env]\nlisten = \"127.0.0.1:0\"\ncommand = \"/usr/bin/env\"";
    let builder = Builder::new().table(table);
    let path = builder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let daemon = builder
        .env("NOTIFY_SOCKET", path.to_str().unwrap())
        .env("WATCHDOG_USEC", "30000000")
        .env("SECRET_TOKEN", "x")
        .start();
    let seen = talk(daemon.tcp("env"), b"");
    for variable in [
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "SECRET_TOKEN",
        "OXINETD_IT",
    ] {
        assert!(!seen.contains(variable), "{variable} in {seen}");
    }
}

#[test]
fn includes_are_read_in_name_order_with_their_own_defaults() {
    let builder = Builder::new();
    let directory = builder.path().join("d");
    fs::create_dir(&directory).unwrap();
    let service = |name: &str| {
        format!(
            "[service.{name}]\nlisten = \"127.0.0.1:0\"\ncommand = ['/bin/sh', '-c', 'nice; umask']\n"
        )
    };
    fs::write(directory.join("10-a.toml"), service("a")).unwrap();
    let b = format!("[defaults]\nnice = 7\numask = \"0077\"\n{}", service("b"));
    fs::write(directory.join("20-b.toml"), b).unwrap();
    fs::write(directory.join("30-c.toml~"), "not a table").unwrap();
    let main = builder.path().join("main.toml");
    let user = if root() { "user = \"nobody\"\n" } else { "" };
    let head = "[daemon]\ninclude = [\"d/*.toml\"]\ncontrol = \"off\"\nlog_to = \"stderr\"\n";
    fs::write(&main, format!("{head}[defaults]\n{user}nice = 3\n")).unwrap();
    let daemon = builder
        .arguments(&["run", "--config", main.to_str().unwrap()])
        .start();
    daemon.expect(&["LISTEN: b "]);
    assert_eq!(talk(daemon.tcp("a"), b""), "3\n0022\n");
    assert_eq!(talk(daemon.tcp("b"), b""), "7\n0077\n");
    let order: Vec<_> = daemon
        .lines()
        .iter()
        .filter_map(|line| Some(line.split_once("LISTEN: ")?.1[..1].to_owned()))
        .collect();
    assert_eq!(order, ["a", "b"]);
}

#[test]
fn root_refuses_a_table_that_others_may_write() {
    if lacks_root() {
        return;
    }
    for mode in [0o666, 0o664] {
        let builder = Builder::new().table(ECHO);
        let config = builder.write();
        fs::set_permissions(&config, fs::Permissions::from_mode(mode)).unwrap();
        let config = config.to_str().unwrap();
        let output = run(Command::new(OXINETD).args(["run", "--config", config]));
        assert_eq!(
            output.status.code(),
            Some(78),
            "{mode:o}: {}",
            text(&output)
        );
        assert!(text(&output).contains("oxinetd.toml"), "{}", text(&output));
    }
    // A directory that others may write without the sticky bit is no better.
    let builder = Builder::new().table(ECHO);
    let config = builder.write();
    fs::set_permissions(builder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let output = run(Command::new(OXINETD).args(["run", "--config", config.to_str().unwrap()]));
    assert_eq!(output.status.code(), Some(78), "{}", text(&output));
}

#[test]
fn unprivileged_daemon_serves_and_refuses_other_users() {
    if lacks_root() {
        return;
    }
    let drop_root = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let mine = "[service.who]\nlisten = \"127.0.0.1:0\"\ncommand = ['/usr/bin/id', '-u']";
    let daemon = Builder::new()
        .table(mine)
        .through(&drop_root)
        .trouble("user")
        .start();
    assert_eq!(talk(daemon.tcp("who"), b""), "65534\n");
    drop(daemon);
    let output = Builder::new()
        .table(&format!("{mine}\nuser = \"root\""))
        .through(&drop_root)
        .run();
    assert_eq!(output.status.code(), Some(78), "{}", text(&output));
}

#[test]
fn disabled_service_is_checked_and_not_bound() {
    let daemon = Builder::new()
        .table(ECHO)
        .table("[service.off]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\nenabled = false")
        .start();
    assert_eq!(talk(daemon.tcp("echo"), b"x"), "x");
    assert!(daemon.addresses("off").is_empty());
    let output = Builder::new()
        .table("[service.off]\nlisten = \"nonsense\"\nbuiltin = \"echo\"\nenabled = false")
        .run();
    assert_eq!(output.status.code(), Some(78), "{}", text(&output));
}

#[test]
fn defaults_hold_for_services_that_say_nothing_else() {
    let say = "listen = \"127.0.0.1:0\"\ncommand = ['/bin/sh', '-c', 'nice; umask; echo $A$B']";
    let daemon = Builder::new()
        .defaults("nice = 3\nenv = { A = \"a\", B = \"b\" }")
        .table(&format!("[service.plain]\n{say}"))
        .table(&format!(
            "[service.own]\n{say}\nnice = 5\numask = \"0077\"\nenv = {{ B = \"c\" }}"
        ))
        .start();
    assert_eq!(talk(daemon.tcp("plain"), b""), "3\n0022\nab\n");
    assert_eq!(
        talk(daemon.tcp("own"), b""),
        "5\n0077\nac\n",
        "env is merged"
    );
}
