//! A program behind a relay child: the child, set up and with the rights of the service, starts the program as a child of
//! its own, on one end of a TCP connection that it makes for it.
//!
//! Invariant: the program has what it would have without the relay (its session, its limits, its words), and a connected
//! INET socket on its standard input and output. A program that cannot be executed is told as ever, by the record.
#![expect(
    unsafe_code,
    reason = "the program's steps are raw system calls, and its descriptors are put by number"
)]

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::Ordering;

use nix::fcntl::OFlag;
use nix::libc;
use nix::unistd::pipe2;

use super::child;
use super::orders::{FAILED, Orders};
use crate::sys::process;

/// The relay's end of the connection with its program.
pub const SERVER: RawFd = 10;
/// The program's own end, kept: what the program leaves unread at its exit must not destroy what it has written.
pub const KEPT: RawFd = 11;
/// The pidfd of the program.
pub const PROGRAM: RawFd = 12;

/// Starts the program. False: it could not be executed, and the record says why.
///
/// # Safety
/// In a child that [`child::set_up`] has come back to; `orders` are those of its set-up.
pub(super) unsafe fn start(orders: &Orders) -> io::Result<bool> {
    let (server, own) = connection()?;
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    let Some((_, program)) = process::fork()? else {
        // SAFETY: the child of the fork, with a copy of all memory; what follows is raw system calls.
        unsafe { execute(orders, own.as_raw_fd()) }
    };
    drop(writer);
    // The end comes when the program is executed, or with the death of who should have done it.
    File::from(reader).read_to_end(&mut Vec::new())?;
    // SAFETY: the record outlives the child.
    if unsafe { (*orders.record).stage.load(Ordering::Acquire) } & FAILED != 0 {
        return Ok(false);
    }
    for (fd, number) in [(&server, SERVER), (&own, KEPT), (&program, PROGRAM)] {
        put(fd.as_raw_fd(), number, libc::O_CLOEXEC)?;
    }
    Ok(true)
}

/// # Safety
/// As [`start`], in the program's process.
unsafe fn execute(orders: &Orders, connection: RawFd) -> ! {
    let stderr = (orders.stderr == orders.connection).then_some(2);
    for number in [0, 1].into_iter().chain(stderr) {
        if put(connection, number, 0).is_err() {
            child::exit(127);
        }
    }
    // SAFETY: promised by the caller. Everything else is close-on-exec.
    unsafe { child::execute(orders) }
}

/// Both ends of a connection over loopback.
fn connection() -> io::Result<(OwnedFd, OwnedFd)> {
    let bind = |ip: IpAddr| TcpListener::bind((ip, 0));
    let listener =
        bind(Ipv4Addr::LOCALHOST.into()).or_else(|_| bind(Ipv6Addr::LOCALHOST.into()))?;
    let server = TcpStream::connect(listener.local_addr()?)?;
    server.set_nodelay(true)?;
    loop {
        // Somebody else may have come first.
        let (own, peer) = listener.accept()?;
        if peer == server.local_addr()? {
            own.set_nodelay(true)?;
            return Ok((server.into(), own.into()));
        }
    }
}

fn put(fd: RawFd, number: RawFd, flags: i32) -> io::Result<()> {
    // SAFETY: a child's own numbers: nothing that anybody keeps is replaced.
    if unsafe { libc::dup3(fd, number, flags) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
