//! One line, one service, for each dialect; and what cannot be kept.

use std::path::PathBuf;

use super::{Dialect, dialect};
use crate::convert::{Kind, Memory, Options, Outcome, convert};

fn run(text: &str, dialect: Option<Dialect>, lossy: bool) -> Outcome {
    let files = Memory::default()
        .with("/etc/inetd.conf", text)
        .with("/etc/hosts.allow", "in.ftpd: 10.\n")
        .with("/etc/hosts.deny", "ALL: ALL\n")
        .with(
            "/etc/services",
            "ftp 21/tcp\nx 1000/tcp\nx 1000/udp\ntime 37/udp\necho 7/tcp\necho 7/udp\n",
        );
    let options = Options {
        from: Some(Kind::Inetd(dialect)),
        lossy,
        ..Options::default()
    };
    convert(&options, &files, &[PathBuf::from("/etc/inetd.conf")])
}

#[test]
fn one_line_one_service() {
    use Dialect::{Busybox, Debian, FreeBsd, Inetutils, NetBsd, OpenBsd};
    for (line, dialect, expected) in [
        (
            "x stream tcp nowait daemon /bin/x x -a",
            OpenBsd,
            "listen = \"tcp4:x\"\ncommand = \"/bin/x -a\"\nuser = \"daemon\"",
        ),
        (
            "x stream tcp nowait daemon /bin/x",
            Busybox,
            "argv0 = \"/bin/x\"",
        ),
        (
            "x stream tcp nowait daemon /bin/x",
            Debian,
            "command = \"/bin/x\"\nuser",
        ),
        (
            "x stream tcp wait root /bin/x y",
            Debian,
            "argv0 = \"y\"\nwait = true",
        ),
        (
            "x stream tcp nowait.40 a.b /bin/x",
            Debian,
            "group = \"b\"\nrate = \"40/min\"",
        ),
        (
            "x stream tcp nowait/10/20/5 a:b /bin/x x",
            FreeBsd,
            "max_connections = 10\nmax_per_source = 5\nrate_per_source = \"20/min\"",
        ),
        (
            "x stream,7 tcp,rcvbuf=16k nowait root /bin/in.ftpd in.ftpd",
            NetBsd,
            "allow = [\"10.0.0.0/8\"]\nmax_connections = 7\nover_limit = \"queue\"\nreceive_buffer = \"16K\"",
        ),
        (
            "ftp stream tcp nowait root /usr/sbin/tcpd in.ftpd -l",
            OpenBsd,
            "command = \"/usr/sbin/in.ftpd -l\"\nuser = \"root\"\nallow = [\"10.0.0.0/8\"]",
        ),
        (
            "x stream tcp nowait root /usr/sbin/tcpd other",
            OpenBsd,
            "deny = [\"any\"]",
        ),
        (
            "x on protocol = tcp46, wait = no, user = u, group = g, exec = /bin/in.ftpd, args = in.ftpd \"a b\", service_max = 5, ip_max = 3;",
            NetBsd,
            "command = [\"/bin/in.ftpd\", \"a b\"]\nuser = \"u\"\ngroup = \"g\"\nallow = [\"10.0.0.0/8\"]\nrate = \"5/min\"\nrate_per_source = \"3/min\"",
        ),
        (
            "time dgram udp wait root internal",
            OpenBsd,
            "listen = \"udp4:time\"\nbuiltin = \"time\"\nallow_reflection = true\n",
        ),
        (
            "echo stream tcp nowait root internal",
            Inetutils,
            "listen = \"tcp4:echo\"\nbuiltin = \"echo\"\n",
        ),
        (
            "/run/x stream unix wait root /bin/x x",
            OpenBsd,
            "listen = \"unix:/run/x\"",
        ),
        (
            ":u:g:660:/run/x stream unix nowait root /bin/x x",
            FreeBsd,
            "socket_user = \"u\"\nsocket_group = \"g\"\nsocket_mode = \"0660\"",
        ),
        (
            "#<off># x stream tcp nowait root /bin/x",
            Debian,
            "enabled = false",
        ),
        (
            "x stream tcp nowait root /bin/x x\n\t-a -b",
            OpenBsd,
            "command = \"/bin/x -a -b\"",
        ),
    ] {
        // Two services, so that nothing common moves to [defaults].
        let out = run(
            &format!("echo dgram udp wait root internal\n{line}"),
            Some(dialect),
            false,
        );
        assert!(
            out.exit != 1 && out.toml.contains(expected),
            "{line}\n{}\n{:?}",
            out.toml,
            out.notes
        );
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn what_cannot_be_kept_is_told_at_its_line() {
    use Dialect::{Busybox, Debian, FreeBsd, NetBsd};
    let good = "x stream tcp nowait root /bin/x x\n";
    for (line, dialect, exit, said) in [
        (
            "rstatd/1-3 dgram rpc/udp wait root /bin/r r",
            Debian,
            2,
            ":2: `rpc/udp`: oxinetd does not offer Sun RPC: left out",
        ),
        (
            "tcpmux/+x stream tcp nowait root /bin/x x",
            FreeBsd,
            2,
            "TCPMUX: left out",
        ),
        (
            "auth stream tcp nowait root internal auth -r",
            FreeBsd,
            2,
            "no ident service",
        ),
        (
            "x stream tcp nowait root/daemon /bin/x x",
            FreeBsd,
            1,
            "login class `daemon`",
        ),
        ("#@ in ipsec ah/require", FreeBsd, 1, "IPsec policy"),
        (
            "x dgram udp nowait root /bin/x x",
            Busybox,
            2,
            "a socket of its own",
        ),
        (
            "x dgram udp nowait root /bin/x x",
            Debian,
            2,
            "the old inetd refused this line",
        ),
        (
            "omni stream tcp nowait root /bin/x",
            Debian,
            2,
            "`omni` is not in /etc/services",
        ),
        (
            "telnet stream tcp nowait root /bin/x",
            Debian,
            2,
            "written as 23",
        ),
        ("x raw tcp nowait root /bin/x", Debian, 2, "`raw` sockets"),
        (
            "x stream udp nowait root /bin/x",
            Debian,
            2,
            "do not go together",
        ),
        (
            "x stream tcp nowait root",
            Debian,
            2,
            "at least six fields, this has 5",
        ),
        (
            "x stream tcp nowait root /bin/x%{id}",
            Debian,
            2,
            "cannot hold `%{`",
        ),
        (
            "x stream tcp nowait root ftpd ftpd /",
            Debian,
            2,
            "no absolute path",
        ),
        (
            "x stream tcp nowait root /bin/x x a # b",
            Debian,
            2,
            "begins no comment",
        ),
        (
            "x stream:dataready tcp nowait root /bin/x x",
            NetBsd,
            2,
            "accept filter",
        ),
        (
            "x on protocol = tcp, wait = no, user = u, ip_max = 0, exec = /bin/in.ftpd;",
            NetBsd,
            2,
            "lets nobody in",
        ),
        (
            "x on protocol = udp, wait = yes, user = u, ip_max = 3, exec = /bin/x;",
            NetBsd,
            1,
            "cannot be kept for a `wait`",
        ),
        (
            "x on protocol = tcp, what = 1;",
            NetBsd,
            2,
            "no key of NetBSD's",
        ),
    ] {
        let out = run(&format!("{good}{line}\n"), Some(dialect), false);
        assert_eq!(out.exit, exit, "{line}: {:?}", out.notes);
        assert!(
            out.notes.iter().any(|n| n.to_string().contains(said)),
            "{line}: {:?}",
            out.notes
        );
        assert_eq!(out.toml.is_empty(), exit == 1, "{line}");
        assert_eq!(
            run(&format!("{good}{line}\n"), Some(dialect), true).exit,
            2,
            "lossy: {line}"
        );
    }
}

#[test]
fn an_unknown_dialect_is_never_silent_about_tcp() {
    let out = run("x stream tcp nowait root /bin/x\n", None, false);
    assert!(
        out.notes[0].text.contains("--from debian"),
        "{:?}",
        out.notes
    );
    assert!(out.toml.contains("tcp4:x"));
    let paired = "x stream tcp nowait root /bin/x\nx stream tcp6 nowait root /bin/x\n";
    assert_eq!(run(paired, None, false).exit, 0);
}

#[test]
fn exact_files_say_nothing() {
    let out = run(
        "x stream tcp4 nowait root /bin/x x\necho dgram udp4 wait root internal\n",
        None,
        false,
    );
    assert_eq!(
        (out.exit, out.summary.as_str()),
        (0, "converted 2 entries: 2 exact"),
        "{:?}",
        out.notes
    );
}

#[test]
fn the_dialect_is_read_off_what_only_one_of_them_has() {
    for (text, expected) in [
        ("# $FreeBSD: x $\n", Some(Dialect::FreeBsd)),
        (
            "#<off># x stream tcp nowait root /x x\n",
            Some(Dialect::Debian),
        ),
        (
            "x stream tcp nowait/10/10/5 root /x x",
            Some(Dialect::FreeBsd),
        ),
        (
            "x stream tcp nowait root/daemon /x x",
            Some(Dialect::FreeBsd),
        ),
        ("x stream tcp nowait:40 root /x x", Some(Dialect::NetBsd)),
        ("x on protocol = tcp;", Some(Dialect::NetBsd)),
        (
            "x stream tcp6only nowait root /x x",
            Some(Dialect::Inetutils),
        ),
        ("x stream tcp nowait.40 root /x x", None),
        ("x stream tcp nowait root /x -a/b", None),
    ] {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        assert_eq!(dialect(&lines), expected, "{text}");
    }
}
