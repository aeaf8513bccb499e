//! From accept to exec and from exit to close the daemon allocates nothing once it is warm. This binary is the
//! daemon too, with an allocator that counts: the test reads the count in the daemon's memory while it serves.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::exit,
    reason = "a counting allocator; a test tells its result on stdout and by its exit code"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use oxinetd::cli::Cli;
use oxinetd::commands::run;

#[global_allocator]
static COUNTING: Counting = Counting;
static COUNT: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: everything is the system's; the count allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: handed on.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: handed on.
        unsafe { System.realloc(place, layout, size) }
    }
}

/// In the environment of the daemon that is counted.
const COUNTED: &str = "OXINETD_TEST_COUNTED";

/// Name, keys, and what one connection may allocate.
const SERVICES: [(&str, &str, u64); 4] = [
    ("plain", "command = \"/bin/cat\"", 0),
    (
        "full",
        "command = [\"/bin/cat\", \"-u\"]\nenv = { WHO = \"%{remote_addr}\" }\nlimits = { core = \"0\" }\n\
         rate_per_source = \"100000/s\"",
        0,
    ),
    ("echo", "builtin = \"echo\"", 0),
    // A control group of its own, so that its tree can be killed: the paths of a mkdir and an rmdir.
    (
        "ended",
        "command = \"/bin/cat\"\ntimeout = \"1h\"\nidle_timeout = \"10min\"\non_disconnect = \"term\"",
        4,
    ),
];
const WARM_UP: u64 = 1000;
const MEASURED: u64 = 1000;

fn main() -> ExitCode {
    if std::env::var_os(COUNTED).is_some() {
        println!("{}", (&raw const COUNT) as usize);
        let Ok(oxinetd::cli::Command::Run(command)) = Cli::read().map(|cli| cli.command) else {
            return ExitCode::FAILURE;
        };
        return ExitCode::from(run::run(&command));
    }
    let mut failed = false;
    for (name, keys, allowed) in SERVICES {
        let count = allocations(name, keys);
        let told =
            format!("{count} allocations in {MEASURED} connections, {allowed} for each allowed");
        println!("test connections_of_{name} ... {told}");
        failed |= count > allowed * MEASURED;
    }
    ExitCode::from(u8::from(failed))
}

/// How many allocations the daemon makes for the measured connections.
fn allocations(name: &str, keys: &str) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let table = directory.path().join("oxinetd.toml");
    let text = format!(
        "[daemon]\ncontrol = \"off\"\nlog_to = \"stderr\"\ninclude = []\n\
         [defaults]\nuser = \"root\"\n[service.{name}]\nlisten = \"127.0.0.1:0\"\n{keys}\n"
    );
    std::fs::write(&table, text).unwrap();
    let mut daemon = Command::new(std::env::current_exe().unwrap())
        .args(["run", "--config", table.to_str().unwrap()])
        .env(COUNTED, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (place, address) = started(&mut daemon);
    let memory = File::open(format!("/proc/{}/mem", daemon.id())).unwrap();
    let count = || {
        let mut bytes = [0; 8];
        memory.read_exact_at(&mut bytes, place).unwrap();
        u64::from_ne_bytes(bytes)
    };
    talk(address, WARM_UP);
    let before = count();
    talk(address, MEASURED);
    let made = count() - before;
    let pid = nix::unistd::Pid::from_raw(daemon.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(daemon.wait().unwrap().success());
    made
}

/// Where the count stands, and the address of the service. The rest of the log is thrown away.
fn started(daemon: &mut Child) -> (u64, SocketAddr) {
    let mut place = String::new();
    let mut told = BufReader::new(daemon.stdout.take().unwrap());
    told.read_line(&mut place).unwrap();
    let mut log = BufReader::new(daemon.stderr.take().unwrap());
    let (mut line, mut address) = (String::new(), None);
    while !line.contains("ready: ") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "the daemon ended");
        if let Some((_, listens)) = line.split_once(" tcp ") {
            address = listens.trim().parse().ok();
        }
    }
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    (place.trim().parse().unwrap(), address.unwrap())
}

fn talk(address: SocketAddr, count: u64) {
    for _ in 0..count {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"hello").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "hello");
    }
}
