//! A launch that does not come to its program: a hung file system, or a user who stops his own children between the
//! change of identity and the exec. It costs its service a slot for five seconds, and nobody else anything.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::harness::{Builder, Client, Daemon, alone, lacks_root, skip, talk};

const OTHER: &str =
    "[service.other]\nlisten = \"127.0.0.1:0\"\ncommand = \"/bin/cat\"\nuser = \"65534\"\nlog = []";

/// The others are served, and the daemon does not wake up all the time for what hangs.
fn others_are_served(daemon: &Daemon) {
    for _ in 0..50 {
        assert_eq!(talk(daemon.tcp("other"), b"fine"), "fine");
    }
}

/// A server of FUSE that never says a word: whoever looks into the directory waits for it.
struct Hung {
    directory: String,
    _device: File,
}

impl Hung {
    fn mount(directory: &str) -> Option<Self> {
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let Ok(device) = device else {
            skip("needs /dev/fuse");
            return None;
        };
        let fd = device.as_raw_fd();
        let options = format!("fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other");
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(
            Some("hung"),
            directory,
            Some("fuse"),
            flags,
            Some(options.as_str()),
        )
        .unwrap();
        Some(Self {
            directory: directory.to_owned(),
            _device: device,
        })
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        umount2(self.directory.as_str(), MntFlags::MNT_DETACH).unwrap();
    }
}

#[test]
fn hung_file_system_stops_its_service_only() {
    if lacks_root() {
        return;
    }
    let _alone = alone();
    let builder = Builder::new();
    let directory = builder.path().join("hung");
    fs::create_dir(&directory).unwrap();
    let path = directory.to_str().unwrap().to_owned();
    let daemon = builder
        .table(OTHER)
        .table(&format!(
            "[service.directory]\nlisten = \"127.0.0.1:0\"\ncommand = \"/bin/cat\"\nuser = \"root\"\n\
             working_directory = \"{path}\"\n\
             [service.program]\nlisten = \"127.0.0.1:0\"\ncommand = \"{path}/program\"\nuser = \"65534\""
        ))
        .trouble("directory")
        .trouble("program")
        .trouble("warning")
        .start();
    let Some(hung) = Hung::mount(&path) else {
        return;
    };
    let connect = |service: &str| {
        let address = daemon.tcp(service);
        (0..20)
            .map(move |_| Client::connect(address))
            .collect::<Vec<_>>()
    };
    let waiting = [connect("directory"), connect("program")];
    others_are_served(&daemon);
    daemon.expect(&["directory", "launch stuck at step chdir"]);
    daemon.expect(&["program", "launch stuck at step exec"]);
    others_are_served(&daemon);
    drop(waiting);
    drop(hung);
}

#[test]
fn user_who_stops_his_children_before_exec_stops_nobody_else() {
    if lacks_root() {
        return;
    }
    let _alone = alone();
    let daemon = Builder::new()
        .daemon("shutdown_timeout = \"1s\"")
        .table(OTHER)
        .table(
            "[service.victim]\nlisten = \"127.0.0.1:0\"\ncommand = \"/bin/true\"\nuser = \"54321\"\nlog = []\n\
             stop_timeout = \"1s\"\nmax_connections = \"unlimited\"\nmax_per_source = \"unlimited\"",
        )
        .trouble("victim")
        .trouble("killed")
        .start();
    // -1: every process that this user may signal.
    let mut attacker = Command::new("/bin/sh")
        .args(["-c", "while :; do kill -STOP -1; done"])
        .uid(54321)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let address = daemon.tcp("victim");
    for _ in 0..20 {
        let clients: Vec<_> = (0..50).map(|_| Client::connect(address)).collect();
        assert_eq!(talk(daemon.tcp("other"), b"fine"), "fine");
        assert_ne!(daemon.process().state(), Some('T'));
        drop(clients);
    }
    others_are_served(&daemon);
    attacker.kill().unwrap();
    attacker.wait().unwrap();
    // Who was stopped is let go: those in the set-up run on, or were killed after five seconds.
    let mut release = Command::new("/bin/sh");
    release.args(["-c", "kill -CONT -1; :"]).uid(54321);
    let idle = || {
        release.stderr(Stdio::null()).status().unwrap();
        daemon.process().children().is_empty()
    };
    crate::harness::until("the end of the victims", Duration::from_secs(60), idle);
}
