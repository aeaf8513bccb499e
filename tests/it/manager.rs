//! The service manager's side: what it is told, what it keeps, and what comes back after a crash.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::IoSliceMut;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use crate::harness::{Builder, Client, Daemon, PATIENCE, lacks, talk, talk_unix, text, until};

/// A socket such as a manager has, and what came to it.
struct Manager {
    socket: UnixDatagram,
    said: Vec<String>,
    kept: BTreeMap<String, OwnedFd>,
}

impl Manager {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        Self {
            socket,
            said: Vec::new(),
            kept: BTreeMap::new(),
        }
    }

    /// Takes one message, and does what it says. False: there is none.
    #[expect(
        unsafe_code,
        reason = "descriptors that came with a message are owned from then on"
    )]
    fn take(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let mut room = nix::cmsg_space!([RawFd; 8]);
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        let fd = self.socket.as_raw_fd();
        let Ok(message) = recvmsg::<()>(fd, &mut buffers, Some(&mut room), MsgFlags::empty())
        else {
            return false;
        };
        let mut fds = Vec::new();
        for one in message.cmsgs().unwrap() {
            if let ControlMessageOwned::ScmRights(numbers) = one {
                // SAFETY: the kernel has just made these descriptors for us.
                fds.extend(
                    numbers
                        .iter()
                        .map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) }),
                );
            }
        }
        let length = message.bytes;
        let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
        let name = text.lines().find_map(|line| line.strip_prefix("FDNAME="));
        if text.starts_with("FDSTORE=1\n") {
            self.kept
                .insert(name.unwrap().to_owned(), fds.pop().unwrap());
        } else if text.starts_with("FDSTOREREMOVE=1\n") {
            self.kept.remove(name.unwrap());
        }
        self.said.push(text);
        true
    }

    /// Takes messages until one has these words.
    fn expect(&mut self, words: &str) {
        let from = self.said.len();
        until(words, PATIENCE, || {
            self.take();
            self.said[from..].iter().any(|text| text.contains(words))
        });
    }

    fn keeps(&mut self, count: usize) {
        until("the sockets that are kept", PATIENCE, || {
            self.take();
            self.kept.len() == count
        });
    }
}

fn managed(builder: Builder) -> (Builder, Manager) {
    let path = builder.path().join("notify");
    let manager = Manager::at(&path);
    (
        builder.env("NOTIFY_SOCKET", path.to_str().unwrap()),
        manager,
    )
}

const ECHO: &str = "[service.echo]\nlisten = \"127.0.0.1:0\"\nbuiltin = \"echo\"\n";

#[test]
fn manager_is_told_each_state() {
    let builder = Builder::new().controlled().table(ECHO);
    let (builder, mut manager) = managed(builder.env("WATCHDOG_USEC", "400000"));
    let mut daemon = builder.start();
    manager.expect("READY=1\n");
    manager.expect("STATUS=1 services, 0 connections, 0 served, 0 refused\n");
    manager.expect("WATCHDOG=1\n");
    assert_eq!(daemon.ask(&["reload"]).status.code(), Some(0));
    manager.expect("RELOADING=1\nMONOTONIC_USEC=");
    manager.expect("READY=1\n");
    daemon.trouble("reload refused");
    daemon.trouble("oxinetd.toml");
    daemon.rewrite("garbage");
    assert_eq!(daemon.ask(&["reload"]).status.code(), Some(1));
    manager.expect("RELOADING=1\n");
    manager.expect("READY=1\n");
    daemon.signal(Signal::SIGSTOP);
    while manager.take() {}
    let silent = manager.said.len();
    std::thread::sleep(Duration::from_secs(1));
    manager.take();
    assert_eq!(
        manager.said.len(),
        silent,
        "no sign of life of a loop that hangs"
    );
    daemon.signal(Signal::SIGCONT);
    manager.expect("WATCHDOG=1\n");
    daemon.signal(Signal::SIGTERM);
    manager.expect("STOPPING=1\n");
    assert_eq!(daemon.wait(PATIENCE).code(), Some(0));
    while manager.take() {}
    assert!(
        manager.kept.is_empty(),
        "nothing is kept after an end that was asked for"
    );
}

#[test]
fn listener_that_a_reload_closes_is_kept_by_nobody() {
    let two = format!(
        "{ECHO}{}",
        ECHO.replace("echo]", "other]").replace(".1:", ".2:")
    );
    let (builder, mut manager) = managed(Builder::new().controlled().table(&two));
    let mut daemon = builder.start();
    manager.keeps(2);
    let gone = daemon.tcp("other");
    let table = std::fs::read_to_string(daemon.path().join("oxinetd.toml")).unwrap();
    daemon.rewrite(&table[..table.find("[service.other]").unwrap()]);
    let output = daemon.ask(&["reload"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    // Before the manager has read that it is to forget it.
    assert_eq!(manager.kept.len(), 2);
    assert!(
        TcpStream::connect(gone).is_err(),
        "it does not listen on in other hands"
    );
    manager.keeps(1);
    assert!(
        manager
            .kept
            .keys()
            .all(|name| name.starts_with("oxinetd-echo-"))
    );
    daemon.rebase();
}

#[test]
fn busy_manager_gets_everything_in_the_end() {
    let three = "[\"127.0.0.1:0\", \"127.0.0.2:0\", \"127.0.0.3:0\"]";
    let table = ECHO.replace("\"127.0.0.1:0\"", three);
    let many: String = (0..40)
        .map(|n| table.replace("echo]", &format!("e{n}]")))
        .collect();
    let (builder, mut manager) = managed(Builder::new().table(&many));
    let daemon = builder.start();
    assert_eq!(talk(daemon.tcp("e39"), b"nobody waits"), "nobody waits");
    manager.keeps(120);
}

/// A daemon to which these sockets are passed.
fn start_with(builder: Builder, kept: &BTreeMap<String, OwnedFd>) -> Daemon {
    let mut script = String::new();
    // By way of numbers that are nobody's, all of them first: they may be among those that are wanted.
    for (number, fd) in (3..).zip(kept.values()) {
        writeln!(script, "exec {}<&{}", number + 500, fd.as_raw_fd()).unwrap();
    }
    for (number, _) in (3..).zip(kept.values()) {
        writeln!(script, "exec {number}<&{0} {0}<&-", number + 500).unwrap();
    }
    let names: Vec<&str> = kept.keys().map(String::as_str).collect();
    write!(
        script,
        "export LISTEN_PID=$$ LISTEN_FDS={} LISTEN_FDNAMES={}\nexec \"$@\"",
        kept.len(),
        names.join(":")
    )
    .unwrap();
    builder.through(&["bash", "-c", &script, "bash"]).start()
}

#[test]
fn crash_loses_no_listener_and_nobody_in_its_queue() {
    if lacks(&["bash"]) {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("sock");
    let services = format!(
        "{ECHO}{}{}[service.unix]\nlisten = \"{}\"\nbuiltin = \"echo\"\n",
        ECHO.replace("echo]", "second]"),
        ECHO.replace("echo]", "dropped]"),
        path.display()
    );
    let (builder, mut manager) = managed(Builder::new().table(&services));
    let mut first = builder.start();
    manager.keeps(4);
    let (echo, second) = (first.tcp("echo"), first.tcp("second"));
    let dropped = first.tcp("dropped");
    first.signal(Signal::SIGKILL);
    first.wait(PATIENCE);
    let mut waiting = Client::connect(echo);
    waiting.send(b"kept");
    waiting.half_close();
    let without = services.replace(&ECHO.replace("echo]", "dropped]"), "");
    let (builder, mut again) = managed(Builder::new().table(&without));
    let next = start_with(builder, &manager.kept);
    assert_eq!((next.tcp("echo"), next.tcp("second")), (echo, second));
    assert_eq!(waiting.rest(), b"kept");
    assert_eq!(talk(second, b"second"), "second");
    assert_eq!(talk_unix(&path, b"unix"), "unix");
    again.expect("FDSTOREREMOVE=1\nFDNAME=oxinetd-dropped-");
    again.keeps(3);
    assert!(
        TcpStream::connect(dropped).is_err(),
        "nobody asks for it any more"
    );
    drop(next);
    assert!(
        !path.exists(),
        "the path is ours again, and removed at the end"
    );
}
