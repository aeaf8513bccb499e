//! What `oxinetd status` shows, in each of its forms.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::harness::{
    Builder, Client, Daemon, OXINETD, PATIENCE, oxinetd, probe, run, talk, text, until,
};

/// Replaces what differs from run to run.
fn steady(text: &str, daemon: &Daemon) -> String {
    let pid = daemon.process().0.to_string();
    let directory = daemon.path().display().to_string();
    let mut text = text
        .replace(&format!("pid {pid}"), "pid PID")
        .replace(&directory, "DIR");
    for service in ["full", "idle", "paused", "broken"] {
        let port = daemon.tcp(service).port();
        text = text.replace(&format!("127.0.0.1:{port}"), "127.0.0.1:PORT");
    }
    let lines = text.lines().map(|line| {
        let mut line = match line.split_once(", loaded ") {
            Some((before, _)) => format!("{before}, loaded TIME"),
            None => line.to_owned(),
        };
        if let Some((before, rest)) = line.split_once(" running ") {
            let (_, after) = rest.split_once(", pid").unwrap();
            line = format!("{before} running UP, pid{after}");
        }
        if let Some((before, _)) = line.split_once(" 127.0.0.1\n") {
            line = before.to_owned();
        }
        // `now      127.0.0.1`, `2s ago   127.0.0.1`
        if let Some(before) = line.strip_suffix("127.0.0.1") {
            let words: Vec<&str> = before.trim_end().rsplitn(3, ' ').collect();
            let ago = if words[0] == "ago" {
                &words[..2]
            } else {
                &words[..1]
            };
            let end = before.trim_end().len() - ago.join(" ").len();
            line = format!("{}AGO 127.0.0.1", &before[..end]);
        }
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn table_has_a_line_for_each_state() {
    let builder = Builder::new().controlled();
    let Some(probe) = probe(&builder) else { return };
    let at =
        |name: &str, rest: &str| format!("[service.{name}]\nlisten = \"127.0.0.1:0\"\n{rest}\n");
    let table = [
        at(
            "full",
            &format!("command = ['{probe}', 'hold']\nmax_connections = 1"),
        ),
        at("idle", "builtin = \"echo\""),
        at(
            "paused",
            "builtin = \"discard\"\nmax_connections = \"unlimited\"",
        ),
        at("broken", "command = \"/nonexistent/program\""),
        "[service.off]\nlisten = \"4711\"\nenabled = false\nbuiltin = \"echo\"\n".to_owned(),
    ];
    let daemon = builder
        .table(&table.concat())
        .trouble("/nonexistent/program")
        .start();
    let mut held = Client::connect(daemon.tcp("full"));
    assert!(held.line().ends_with('\n'));
    assert_eq!(talk(daemon.tcp("broken"), b""), "");
    daemon.expect(&["ERROR: broken exec /nonexistent/program"]);
    daemon.ask(&["pause", "paused"]);
    let mut output = daemon.ask(&["status"]);
    until("the failure is known", PATIENCE, || {
        output = daemon.ask(&["status"]);
        text(&output).contains("failing")
    });
    assert_eq!(output.status.code(), Some(1), "something fails");
    assert_eq!(
        steady(&text(&output), &daemon),
        "oxinetd 0.1.0 running UP, pid PID, 5 services, 1 connections, 2 served, 0 refused\n\
         config DIR/oxinetd.toml, loaded TIME\n\
         \n\
         SERVICE LISTEN STATE NOW/MAX SERVED REFUSED LAST\n\
         ~ full tcp 127.0.0.1:PORT full 1/1 1 0 AGO 127.0.0.1\n\
         * idle tcp 127.0.0.1:PORT listening 0/256 0 0\n\
         ~ paused tcp 127.0.0.1:PORT paused, by command 0/- 0 0\n\
         x broken tcp 127.0.0.1:PORT failing: exec /nonexistent/program: No such file or directory (ENOENT) 0/256 1 0 AGO 127.0.0.1\n\
         - off tcp *:4711 disabled 0/256 0 0"
    );
    assert_eq!(daemon.ask(&["status", "-q"]).stdout, b"");
    assert_eq!(daemon.ask(&["status", "-q"]).status.code(), Some(1));
    assert_eq!(daemon.ask(&["status", "-q", "full"]).status.code(), Some(0));
    let unknown = daemon.ask(&["status", "nobody"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert_eq!(
        text(&unknown),
        "oxinetd: no service is called nobody; `oxinetd status` lists them\n"
    );
    drop(held);
}

#[test]
fn block_of_a_service_has_all_that_is_known_of_it() {
    let builder = Builder::new().controlled();
    let Some(probe) = probe(&builder) else { return };
    let keys = "description = \"a test\"\nmax_connections = 3\nmax_per_source = 2\nrate = \"50/s burst 90\"\ntimeout = \"10min\"";
    let table =
        format!("[service.x]\nlisten = \"127.0.0.1:0\"\n{keys}\ncommand = ['{probe}', 'hold']\n");
    let mut daemon = builder.table(&table).start();
    let mut clients = [(); 2].map(|()| Client::connect(daemon.tcp("x")));
    let pids = clients.each_mut().map(Client::line);
    daemon.trouble("FAIL: x per_source");
    assert_eq!(talk(daemon.tcp("x"), b""), "");
    daemon.expect(&["FAIL: x per_source"]);
    let status = text(&daemon.ask(&["status", "x"]));
    let block = status.split("\n\n").last().unwrap();
    let id = daemon.expect(&["START: x", pids[0].trim()]);
    let id = id.rsplit_once("id=").unwrap().1.to_owned();
    for words in [
        "service: x\n",
        "description: a test\n",
        "oxinetd.toml:",
        "limit: 3 connections, more wait in the queue\n",
        "limit: 2 connections for each source (IPv4 /32, IPv6 /64)\n",
        "limit: 50/s burst 90 starts, more wait in the queue\n",
        "limit: timeout 10m\n",
        "refused: 1 by per_source\n",
        "source: 127.0.0.1 has 2 connections, 1 refused\n",
        &format!(
            "connection: {id} pid {} from 127.0.0.1 port ",
            pids[0].trim()
        ),
        "KiB, 0 in, ",
        "LISTEN: x tcp 127.0.0.1:",
        "START: x pid=",
        "FAIL: x per_source from=127.0.0.1",
    ] {
        assert!(block.contains(words), "{words:?} in {block}");
    }
    let logged = block
        .lines()
        .filter(|line| line.trim_start().starts_with("log: "));
    assert_eq!(logged.count(), 4, "{block}");
    drop(clients);
}

#[test]
fn last_ten_lines_are_kept_with_those_of_the_program() {
    let table =
        "[service.x]\nlisten = \"127.0.0.1:0\"\ncommand = ['/bin/sh', '-c', 'echo grumble >&2']\n";
    let daemon = Builder::new().controlled().table(table).start();
    for turn in 1..=5 {
        talk(daemon.tcp("x"), b"");
        until("the end", PATIENCE, || daemon.count(&["EXIT: x"]) == turn);
    }
    let status = text(&daemon.ask(&["status", "x"]));
    let lines: Vec<&str> = status
        .lines()
        .filter(|line| line.trim_start().starts_with("log: "))
        .collect();
    assert_eq!(lines.len(), 10, "{status}");
    assert!(lines[9].contains(" EXIT: x "), "{status}");
    assert!(lines[8].ends_with(" x: grumble"), "{status}");
}

#[test]
fn json_and_metrics_say_the_same() {
    let daemon = Builder::new()
        .controlled()
        .table("[service.echo]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\n")
        .start();
    assert_eq!(talk(daemon.tcp("echo"), b"x"), "x");
    daemon.quiet();
    let json = text(&daemon.ask(&["status", "--format", "json"]));
    for words in [
        "\"name\": \"echo\"",
        "\"state\": \"listening\"",
        "\"served\": 1,",
        "\"longest_turn\": ",
    ] {
        assert!(json.contains(words), "{words} in {json}");
    }
    let metrics = text(&daemon.ask(&["status", "--format", "prometheus"]));
    for line in [
        "# TYPE oxinetd_service_served counter",
        "oxinetd_service_served_total{service=\"echo\"} 1",
        "oxinetd_service_connections{service=\"echo\"} 0",
        "oxinetd_service_failing{service=\"echo\"} 0",
    ] {
        assert!(
            metrics.lines().any(|other| other == line),
            "{line} in {metrics}"
        );
    }
    assert!(metrics.ends_with("# EOF\n"));
}

#[test]
fn watching_refreshes_with_rates_and_ends_with_its_reader() {
    let daemon = Builder::new()
        .controlled()
        .table("[service.echo]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\n")
        .start();
    let control = daemon.path().join("control");
    let mut watch = Command::new(OXINETD)
        .args(["status", "--watch", "--control", control.to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = |words: &str| {
        lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.contains(words))
    };
    assert!(next("* echo").is_some());
    assert_eq!(talk(daemon.tcp("echo"), b"x"), "x");
    assert!(next("1/s \u{2588}").is_some(), "a rate, and its graph");
    drop(lines);
    assert_eq!(watch.wait().unwrap().code(), Some(0));
}

#[test]
fn nobody_to_ask_is_3() {
    let builder = Builder::new();
    let nowhere = builder.path().join("nowhere");
    for words in [
        &["status"][..],
        &["status", "-q"],
        &["status", "--watch"],
        &["pause", "x"],
    ] {
        let output = oxinetd(&[words, &["--control", nowhere.to_str().unwrap()]].concat());
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    }
}

#[test]
fn metrics_are_served_over_http_by_a_child_without_rights() {
    let daemon = Builder::new()
        .controlled()
        .daemon("metrics = \"127.0.0.1:0\"")
        .table("[service.echo]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\n")
        .start();
    assert_eq!(talk(daemon.tcp("echo"), b"x"), "x");
    let address = daemon.tcp("*metrics");
    let mut slow = Client::connect(address);
    slow.send(b"GET /metr");
    until("the child", PATIENCE, || {
        !daemon.process().children().is_empty()
    });
    let child = daemon.process().children()[0];
    if crate::harness::root() {
        until("a child without rights", PATIENCE, || {
            child.number("Uid") != 0
        });
    }
    slow.send(b"ics HTTP/1.1\r\nHost: here\r\n\r\n");
    let answer = String::from_utf8(slow.rest()).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let content = "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(head.contains(content), "{head}");
    assert!(
        body.contains("oxinetd_service_served_total{service=\"echo\"} 1\n"),
        "{body}"
    );
    assert!(body.ends_with("# EOF\n"));
    assert!(talk(address, b"junk\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert!(talk(address, b"POST / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    if crate::harness::find("curl").is_some() {
        let url = format!("http://{address}/metrics");
        let curl = run(Command::new("curl").args(["-sS", "--fail", &url]));
        assert!(text(&curl).ends_with("# EOF\n"), "{}", text(&curl));
    }
    let status = text(&daemon.ask(&["status"]));
    assert!(status.contains("* *metrics"), "{status}");
}
