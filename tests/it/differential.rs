//! The old servers themselves beside us: each starts on its own file, we on what `convert` makes of it, each in network and
//! mount namespaces of its own with the original ports. The same clients come to both, and must be served, refused and
//! found without a listener alike; and what is served must find itself in the same place: words, account, groups,
//! directory, mask, priority, limits, descriptors.
//!
//! The servers are those of Debian, unpacked by `tests/run` and not installed, as they exclude each other.

use std::fmt::Write as _;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use nix::sys::signal::Signal;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage, sockopt};

use crate::harness::{
    Builder, OXINETD, PATIENCE, Process, lacks_packages, lacks_root, on_own_host, probe, run,
    shell, text, until,
};

/// An old server.
#[derive(Clone, Copy, Debug)]
struct Peer {
    package: &'static str,
    path: &'static str,
    /// Before the name of its file, to stay in the foreground.
    arguments: &'static [&'static str],
    /// The word for `--from`.
    kind: &'static str,
    /// What of a line of an answer must be the same.
    comparable: fn(&str) -> Option<String>,
}

const XINETD: Peer = Peer {
    package: "xinetd",
    path: "/usr/sbin/xinetd",
    arguments: &[
        "-dontfork",
        "-stayalive",
        "-pidfile",
        "/run/xinetd.pid",
        "-f",
    ],
    kind: "xinetd",
    comparable: |line| Some(line.to_owned()),
};
const OPENBSD: Peer = Peer {
    package: "openbsd-inetd",
    path: "/usr/sbin/inetd",
    arguments: &["-i"],
    kind: "debian",
    // It does not tell who calls; we do.
    comparable: |line| (!line.starts_with("REMOTE_HOST=")).then(|| line.to_owned()),
};
const INETUTILS: Peer = Peer {
    package: "inetutils-inetd",
    path: "/usr/sbin/inetutils-inetd",
    arguments: &["-d"],
    kind: "inetutils",
    // It hands down what it inherited (descriptors, for root the groups), and ignores SIGPIPE for its programs too.
    comparable: |line| {
        let line = line.replace("changed 13 ", "");
        let line = if line.starts_with("uid=0/0") {
            "uid=0/0"
        } else {
            &line
        };
        (!line.starts_with("REMOTE_HOST=") && !line.starts_with("fds=")).then(|| line.to_owned())
    },
};

/// A file of an old server, and who comes.
struct Case {
    peer: Peer,
    /// `{report}` stands for a program that tells everything about itself.
    config: &'static str,
    hosts_allow: &'static str,
    hosts_deny: &'static str,
    /// A port that is listened on when the server is up.
    ready: u16,
    steps: Vec<Step>,
}

/// What a client does.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// From an address to a place; the answer up to the end, or the first bytes after a line of its own.
    Ask(&'static str, &'static str),
    /// The same, and stays.
    Hold(&'static str, &'static str),
    /// The first that stays goes, and what it held is free again.
    Leave,
}

/// Everywhere, from everywhere.
fn everybody(ports: &[&str]) -> Vec<Step> {
    let mut steps = Vec::new();
    for port in ports {
        for client in [
            "127.0.0.1",
            "10.0.0.1",
            "10.1.2.3",
            "192.0.2.7",
            "::1",
            "2001:db8::7",
        ] {
            let to = match client {
                "::1" | "2001:db8::7" => format!("[::1]:{port}"),
                "127.0.0.1" | "192.0.2.7" => format!("127.0.0.1:{port}"),
                _ => format!("10.0.0.1:{port}"),
            };
            steps.push(Step::Ask(client, Box::leak(to.into_boxed_str())));
        }
    }
    steps
}

/// Runs a case against both servers, and compares.
fn same(case: &Case) {
    if lacks_root() || lacks_packages(&[case.peer.package]) {
        return;
    }
    let builder = Builder::new();
    let Some(program) = probe(&builder) else {
        return;
    };
    let report = builder.path().join("report");
    fs::copy(program, &report).unwrap();
    let config = case.config.replace("{report}", report.to_str().unwrap());
    let file = builder.file("old.conf", &config);
    let libwrap = (case.hosts_allow, case.hosts_deny);
    let (steps, ready, peer) = (case.steps.clone(), case.ready, case.peer);
    let old_file = file.clone();
    let old = apart(libwrap, move || {
        let mut server = Running::start(peer, &old_file);
        server.wait_for_listener(ready);
        answers(&steps)
    });
    let steps = case.steps.clone();
    let (ours, table) = apart(libwrap, move || {
        let converted = run(Command::new(OXINETD).args(["convert", "--from", peer.kind, &file]));
        let code = converted.status.code();
        assert!([Some(0), Some(2)].contains(&code), "{}", text(&converted));
        let table = String::from_utf8(converted.stdout).unwrap();
        let daemon = "[daemon]\ninclude = []\ncontrol = \"off\"\nlog_to = \"stderr\"\n\n";
        let path = builder.file("converted.toml", &format!("{daemon}{table}"));
        let builder = builder.arguments(&["run", "--config", &path]);
        let builder = builder.trouble("FAIL: ").trouble("WARNING: ");
        let daemon = builder.trouble("no server to redirect to").start();
        let answers = answers(&steps);
        drop(daemon);
        (answers, table)
    });
    assert_eq!(old.len(), case.steps.len());
    let mut differences = String::new();
    for ((step, old), ours) in case.steps.iter().zip(&old).zip(&ours) {
        let lines = |answer: &str| -> Vec<String> {
            answer
                .lines()
                .filter_map(|line| (case.peer.comparable)(line))
                .collect()
        };
        if lines(old) != lines(ours) {
            writeln!(differences, "{step:?}\n--- before\n{old}\n--- now\n{ours}").unwrap();
        }
    }
    assert!(differences.is_empty(), "{differences}\n{config}\n{table}");
    // A server that refuses everything would be equal to another.
    assert!(
        old.iter().any(|answer| answer.contains("argv[0]")),
        "{old:#?}"
    );
}

/// Runs `body` on a host of its own, with these rules of libwrap, a group more, and addresses to come from.
fn apart<T: Send + 'static>(
    (allow, deny): (&'static str, &'static str),
    body: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (send, receive) = mpsc::channel();
    on_own_host(move || {
        fs::write("/etc/hosts.allow", allow).unwrap();
        fs::write("/etc/hosts.deny", deny).unwrap();
        let mut groups = fs::OpenOptions::new()
            .append(true)
            .open("/etc/group")
            .unwrap();
        groups.write_all(b"oxinetd-it:x:54321:nobody\n").unwrap();
        for address in [
            "10.0.0.1/32",
            "10.1.2.3/32",
            "192.0.2.7/32",
            "2001:db8::7/128",
        ] {
            shell(&format!("ip address add {address} dev lo"));
        }
        // Whoever runs the tests nicely: only this thread, and what it starts.
        shell(&format!("renice -n 0 -p {}", nix::unistd::gettid()));
        send.send(body()).unwrap();
    });
    receive.recv().unwrap()
}

/// An old server, ended with its scope.
struct Running(Child);

impl Running {
    fn start(peer: Peer, file: &str) -> Self {
        let mut command = Command::new(peer.path);
        command
            .args(peer.arguments)
            .arg(file)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        Self(command.spawn().unwrap())
    }

    /// Seen in /proc: a connection would be served.
    fn wait_for_listener(&mut self, port: u16) {
        let wanted = format!(":{port:04X} ");
        until("the old server listens", PATIENCE, || {
            assert_eq!(self.0.try_wait().unwrap(), None, "the old server has ended");
            ["tcp", "tcp6"].iter().any(|kind| {
                let table = fs::read_to_string(format!("/proc/thread-self/net/{kind}")).unwrap();
                let listens = |line: &str| line.contains(&wanted) && line.contains(" 0A ");
                table.lines().any(listens)
            })
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let process = Process(self.0.id().cast_signed());
        for left in process.descendants() {
            // It may have ended meanwhile.
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(left.0), Signal::SIGKILL);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What each step of the clients comes to.
fn answers(steps: &[Step]) -> Vec<String> {
    let mut held: Vec<TcpStream> = Vec::new();
    let mut answers = Vec::new();
    for step in steps {
        answers.push(match *step {
            Step::Ask(from, to) => match connect(from, to) {
                Some(mut client) => whole_answer(&mut client),
                None => "nobody listens".to_owned(),
            },
            Step::Hold(from, to) => match connect(from, to) {
                Some(mut client) => {
                    let answer = first_answer(&mut client);
                    held.push(client);
                    answer
                }
                None => "nobody listens".to_owned(),
            },
            Step::Leave => {
                drop(held.remove(0));
                // Until the place of whoever left is free again there is nothing to wait for from outside.
                String::new()
            }
        });
    }
    answers
}

/// A connection from this address; `None`: refused.
fn connect(from: &str, to: &str) -> Option<TcpStream> {
    let (from, to): (IpAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
    let family = if to.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let fd = socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    socket::setsockopt(&fd, sockopt::ReuseAddr, &true).unwrap();
    let source = SockaddrStorage::from(SocketAddr::new(from, 0));
    socket::bind(fd.as_raw_fd(), &source).unwrap();
    match socket::connect(fd.as_raw_fd(), &SockaddrStorage::from(to)) {
        Ok(()) => {}
        Err(nix::errno::Errno::ECONNREFUSED) => return None,
        Err(error) => panic!("{from} to {to}: {error}"),
    }
    let stream = TcpStream::from(fd);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Some(stream)
}

/// Says a line, ends its own direction, and reads to the end.
fn whole_answer(client: &mut TcpStream) -> String {
    let _ = client.write_all(b"a line\n");
    let _ = client.shutdown(std::net::Shutdown::Write);
    let mut bytes = Vec::new();
    match client.read_to_end(&mut bytes) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        result => drop(result.unwrap()),
    }
    if bytes.is_empty() {
        return "closed".to_owned();
    }
    // Nobody misses the other spelling of an IPv4 address.
    String::from_utf8_lossy(&bytes).replace("::ffff:", "")
}

/// Says a line, and reads one.
fn first_answer(client: &mut TcpStream) -> String {
    let _ = client.write_all(b"a line\n");
    let mut bytes = [0; 100];
    match client.read(&mut bytes) {
        Ok(0) => "closed".to_owned(),
        Ok(count) => String::from_utf8_lossy(&bytes[..count]).into_owned(),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => "closed".to_owned(),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn xinetd_serves_and_refuses_the_same() {
    same(&Case {
        peer: XINETD,
        config: "\
defaults
{
	instances = 60
	only_from = 127.0.0.1
	only_from += 10.0.0.0/8
	no_access = 10.1.2.3
}

service ftp
{
	socket_type = stream
	wait = no
	user = nobody
	server = {report}
}

# adds to what stands above
service telnet
{
	socket_type = stream
	protocol = tcp
	wait = no
	user = nobody
	server = {report}
	server_args = -a \"b c\" # d
	only_from += 192.0.2.0 ::1
}

service finger
{
	socket_type = stream
	wait = no
	user = nobody
	server = {report}
	only_from = 10.0.0.{1,2} 192.0.{1,2} 2001:db8::/32
	no_access =
}

service gopher
{
	socket_type = stream
	wait = no
	user = nobody
	server = {report}
	only_from -= 10.0.0.0/8
	no_access -= 10.1.2.3
}

service pop3
{
	socket_type = stream
	wait = no
	user = nobody
	server = {report}
	only_from =
}

service imap2
{
	disable = yes
	socket_type = stream
	wait = no
	user = nobody
	server = {report}
}

service http
{
	socket_type = stream
	wait = no
	user = nobody
	server = {report}
	only_from = 0.0.0.0 ::/0
	no_access = 10.1.0.0 127.0.0.1
	flags = IPv4
}
",
        hosts_allow: "",
        hosts_deny: "",
        ready: 80,
        steps: everybody(&["21", "23", "79", "70", "110", "143", "80"]),
    });
}

#[test]
fn xinetd_programs_find_themselves_in_the_same_place() {
    same(&Case {
        peer: XINETD,
        config: "\
defaults
{
	umask = 027
	passenv =
}

service ftp
{
	socket_type = stream
	wait = no
	user = nobody
	group = games
	nice = 5
	server = {report}
	server_args = -l %{id} $HOME ; `x`
	env = ONE=1 TWO=a=b
	env += THREE=3
	rlimit_cpu = 20
	rlimit_data = 64M
	rlimit_stack = 512K
	rlimit_as = 1000M
}

service telnet
{
	socket_type = stream
	wait = no
	user = nobody
	groups = yes
	umask = 0077
	nice = -3
	flags = NAMEINARGS KEEPALIVE NODELAY
	server = {report}
	server_args = another-name x
}

service finger
{
	type = UNLISTED
	port = 7979
	socket_type = stream
	wait = no
	user = 54322
	flags = IPv6
	server = {report}
}

service gopher
{
	id = gopher-v4
	socket_type = stream
	wait = no
	user = root
	bind = 10.0.0.1
	server = {report}
}

service gopher
{
	id = gopher-v6
	socket_type = stream
	wait = no
	user = daemon
	groups = no
	bind = ::1
	server = {report}
}

service echo
{
	type = INTERNAL
	id = echo-stream
	socket_type = stream
	wait = no
}

service discard
{
	type = INTERNAL
	socket_type = stream
	protocol = tcp
	user = root
	wait = no
}
",
        hosts_allow: "",
        hosts_deny: "",
        ready: 7,
        steps: everybody(&["21", "23", "7979", "70", "7", "9"]),
    });
}

#[test]
fn libwrap_judges_for_xinetd() {
    same(&Case {
        peer: XINETD,
        config: "\
service ftp
{
	socket_type = stream
	wait = no
	user = nobody
	server = {report}
}

service telnet
{
	socket_type = stream
	wait = no
	user = nobody
	flags = NAMEINARGS
	server = {report}
	server_args = /x/in.telnetd
}

service finger
{
	socket_type = stream
	wait = no
	user = nobody
	libwrap = in.fingerd
	server = {report}
}

service gopher
{
	socket_type = stream
	wait = no
	user = nobody
	flags = NOLIBWRAP
	server = {report}
}

service pop3
{
	socket_type = stream
	wait = no
	user = nobody
	server = {report}
	libwrap = pop3d
	only_from = 10.0.0.0/8
}

service imap2
{
	socket_type = stream
	wait = no
	user = nobody
	server = {report}
	libwrap = imapd
}
",
        hosts_allow: "# first match wins\n\
            report: 10. EXCEPT 10.1.2.3\n\
            in.telnetd, in.fingerd: 192.0.2.0/255.255.255.0 [2001:db8::]/32\n\
            in.fingerd: \\\n  127.0.0.1 : deny\n\
            pop3d: 10.1.2.3 : deny\n\
            ALL EXCEPT report, in.telnetd, imapd: ALL\n",
        hosts_deny: "imapd: ALL EXCEPT 10. 127. [::1]\nALL EXCEPT imapd: ALL\n",
        ready: 143,
        steps: everybody(&["21", "23", "79", "70", "110", "143"]),
    });
}

#[test]
fn xinetd_limits_hold_alike() {
    use Step::{Ask, Hold, Leave};
    same(&Case {
        peer: XINETD,
        config: "\
service ftp
{
	socket_type = stream
	wait = no
	user = nobody
	server = /bin/cat
	instances = 3
	per_source = 2
}

service telnet
{
	socket_type = stream
	wait = no
	user = nobody
	server = {report}
	access_times = 0:00-23:59
}
",
        hosts_allow: "",
        hosts_deny: "",
        ready: 23,
        steps: vec![
            Hold("10.0.0.1", "10.0.0.1:21"),
            Hold("10.0.0.1", "10.0.0.1:21"),
            Hold("10.0.0.1", "10.0.0.1:21"),
            Hold("192.0.2.7", "10.0.0.1:21"),
            Hold("10.1.2.3", "10.0.0.1:21"),
            Leave,
            Ask("10.0.0.1", "10.0.0.1:23"),
        ],
    });
}

/// One service for each form of an address, odd ones among them.
#[test]
fn xinetd_reads_addresses_alike() {
    const ITEMS: [&str; 24] = [
        "127.0.0.1",
        "10.1.0.0",
        "10.0.0.0",
        "0.0.0.0",
        "127.0.0.{1,2} 10.1.2.{3}",
        "10.{0,9}",
        "{10}",
        "10.1.2.3/16",
        "127.0/16",
        "10/8",
        "10.0.0.1/255.0.0.0",
        "10.0.0.1/33",
        "127.1",
        "127.0",
        "0x7f.0.0.1",
        "167772161",
        "2001:db8::/32",
        "::1",
        "::/0",
        "::1/64",
        "::ffff:10.0.0.0/104",
        "::",
        "10.1.{1-5}",
        "10.0.0.1,10.1.2.3",
    ];
    let mut config = String::new();
    let mut ports: Vec<&str> = vec!["70"];
    for (item, port) in ITEMS.iter().zip(2000..) {
        write!(
            config,
            "service t{port}\n{{\ntype = UNLISTED\nport = {port}\nsocket_type = stream\nprotocol = tcp\nwait = no\n\
             user = nobody\nserver = {{report}}\nonly_from = {item}\n}}\n"
        )
        .unwrap();
        ports.push(Box::leak(port.to_string().into_boxed_str()));
    }
    config.push_str(
        "service gopher\n{\nsocket_type = stream\nwait = no\nuser = nobody\nserver = {report}\n\
         only_from = 0.0.0.0\nno_access = 10.1 10.1.2.0/255.255.255.0 127.0.{0}\n}\n",
    );
    same(&Case {
        peer: XINETD,
        config: Box::leak(config.into_boxed_str()),
        hosts_allow: "",
        hosts_deny: "",
        ready: 70,
        steps: everybody(&ports),
    });
}

#[test]
fn xinetd_banners_come_alike() {
    same(&Case {
        peer: XINETD,
        config: "\
defaults
{
	banner_success = /etc/debian_version
}

service gopher
{
	socket_type = stream
	wait = no
	user = nobody
	server = {report}
}

service finger
{
	socket_type = stream
	wait = no
	user = nobody
	banner = /etc/issue.net
	server = {report}
}
",
        hosts_allow: "",
        hosts_deny: "",
        ready: 79,
        steps: everybody(&["70", "79"]),
    });
}

/// xinetd ends a relay when one side ends its own direction, so the clients stay.
#[test]
fn xinetd_redirects_alike() {
    let mut steps = everybody(&["70"]);
    for step in everybody(&["21", "23"]) {
        if let Step::Ask(from, to) = step {
            steps.push(Step::Hold(from, to));
        }
    }
    same(&Case {
        peer: XINETD,
        config: "\
service gopher
{
	socket_type = stream
	wait = no
	user = nobody
	server = {report}
}

service finger
{
	socket_type = stream
	wait = no
	user = nobody
	bind = 127.0.0.1
	server = /bin/cat
	only_from = 127.0.0.1
}

service ftp
{
	socket_type = stream
	wait = no
	user = nobody
	redirect = 127.0.0.1 finger
	no_access = 10.1.2.3
}

service telnet
{
	socket_type = stream
	wait = no
	user = nobody
	redirect = localhost nntp
}
",
        hosts_allow: "",
        hosts_deny: "ftp: 192.0.2.\n",
        ready: 23,
        steps,
    });
}

const INETD: &str = "\
# comment
ftp     stream  tcp   nowait  nobody        {report}  ftpd -l 'a b' \"c d\"e f'g # x
telnet\tstream\ttcp4\tnowait\tnobody:games\t{report}\tin.telnetd
finger  stream  tcp6  nowait  nobody.games  {report}  x \\y \\\\z a\\ b
127.0.0.1:pop3  stream  tcp  nowait  mail   {report} x
imap2   stream  tcp   nowait  mail          {report}
http    stream  tcp   nowait.50  root       {report}  x
#smtp   stream  tcp   nowait  root          {report}  x
echo    stream  tcp   nowait  root          internal
discard stream  tcp4  nowait  root          internal
10.0.0.1:
gopher  stream  tcp   nowait  nobody        {report}  x
";

#[test]
fn openbsd_inetd_serves_the_same() {
    same(&Case {
        peer: OPENBSD,
        config: INETD,
        hosts_allow: "",
        hosts_deny: "",
        ready: 70,
        steps: everybody(&["21", "23", "79", "110", "70", "80", "143", "25", "7", "9"]),
    });
}

#[test]
fn inetutils_inetd_serves_the_same() {
    let steps = everybody(&["21", "23", "79", "110", "70", "80", "143", "25", "7", "9"]);
    // Its `tcp6` takes IPv4 in some versions: a note says so.
    let told = |step: &Step| matches!(step, Step::Ask(from, to) if to.ends_with(":79") && !from.contains(':'));
    let steps = steps.into_iter().filter(|step| !told(step));
    same(&Case {
        peer: INETUTILS,
        config: INETD,
        hosts_allow: "",
        hosts_deny: "",
        ready: 70,
        steps: steps.collect(),
    });
}

#[test]
fn tcpd_judges_for_inetd() {
    if !lacks_packages(&["tcpd"]) {
        same(&Case {
            peer: OPENBSD,
            config: "\
ftp   stream  tcp   nowait  nobody  /usr/sbin/tcpd  {report} -l
http  stream  tcp4  nowait  nobody  {report}  x
",
            hosts_allow: "report: 10.0.0.1, [2001:db8::7]\nx: ALL: deny\n",
            hosts_deny: "ALL: ALL EXCEPT 192.0.2.\n",
            ready: 80,
            steps: everybody(&["21", "80"]),
        });
    }
}
