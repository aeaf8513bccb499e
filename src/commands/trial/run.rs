//! `--run`: the program as a connection would start it, with the terminal at the other end.
//!
//! Invariant: the program has a real connection, over loopback or of unix sockets, so that it finds what it finds in
//! service; only the address of its peer, asked from the socket, is that of this host.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::super::{complain, exit};
use super::start::Start;
use crate::daemon;
use crate::event::End;
use crate::launch::{Connection, Launched, Launcher, Outcome};
use crate::relay::Task;
use crate::service::{Peer, Service};
use crate::sys::poll::{Wish, wait_for};
use crate::sys::{process, signals, start as limits, stream};

/// Runs it, and passes bytes until it ends.
pub(super) fn run(service: &Service, start: &Start) -> u8 {
    match serve(service, start) {
        Ok(()) => exit::OK,
        Err(error) => {
            complain(&format!("oxinetd try: service {}: {error}\n", service.name));
            exit::NO
        }
    }
}

fn serve(service: &Service, start: &Start) -> io::Result<()> {
    if service.wait {
        return Err(io::Error::other(
            "--run starts programs for a connection, and this one gets the socket (wait = true)",
        ));
    }
    let (far, near) = pair(&start.peer)?;
    let stderr = io::stderr();
    let mut launcher = Launcher::new(limits::raise_open_files()?)?;
    let connection = Connection {
        socket: near.as_fd(),
        stderr: Some(stderr.as_fd()),
        peer: Some(&start.peer),
        local: &start.local,
        id: "try",
        cookie: 0,
        concurrency: 1,
        cgroup: None,
        proxied_from: None,
    };
    let body = |socket| {
        daemon::body(&Task {
            service,
            socket,
            peer: &start.peer,
            local: &start.local,
            id: "try",
        })
    };
    let launched = launcher
        .launch(&start.plan, &connection, &body, 0, Instant::now())
        .map_err(|error| {
            io::Error::other(format!(
                "{}: {}",
                error.step,
                io::Error::from_raw_os_error(error.errno)
            ))
        })?;
    drop(near);
    signals::unblock_all()?;
    started(&mut launcher, start)?;
    let result = pass(&far);
    drop(far);
    ended(&launched)?;
    result
}

/// Both ends of a connection: ours, and the program's.
fn pair(peer: &Peer) -> io::Result<(OwnedFd, OwnedFd)> {
    let Peer::Inet(address) = peer else {
        let (far, near) = UnixStream::pair()?;
        return Ok((far.into(), near.into()));
    };
    let loopback = if address.is_ipv4() {
        "127.0.0.1:0"
    } else {
        "[::1]:0"
    };
    let listener = TcpListener::bind(loopback)?;
    let far = TcpStream::connect(listener.local_addr()?)?;
    let (near, _) = listener.accept()?;
    Ok((far.into(), near.into()))
}

/// Waits until the program runs, or tells at which step it did not.
fn started(launcher: &mut Launcher, start: &Start) -> io::Result<()> {
    let mut settled = Vec::new();
    loop {
        launcher.sweep(Instant::now(), &mut settled);
        match settled.pop().map(|news| news.outcome) {
            None => std::thread::sleep(Duration::from_millis(1)),
            Some(Outcome::Started) => return Ok(()),
            Some(Outcome::Failed { step, errno }) => {
                let error = io::Error::from_raw_os_error(errno);
                return Err(io::Error::other(format!(
                    "{}: {error}",
                    start.plan.describe(step)
                )));
            }
            Some(Outcome::Killed { step } | Outcome::Stuck { step }) => {
                return Err(io::Error::other(format!(
                    "{}: it did not get further",
                    start.plan.describe(step)
                )));
            }
        }
    }
}

/// Passes bytes both ways until the program's side is over.
fn pass(far: &OwnedFd) -> io::Result<()> {
    let (stdin, mut stdout) = (io::stdin(), io::stdout());
    let mut bytes = vec![0; 1 << 16];
    let mut open = true;
    loop {
        let mut wishes = vec![Wish::Read(far.as_fd())];
        if open {
            wishes.push(Wish::Read(stdin.as_fd()));
        }
        let ready = wait_for(&wishes, None);
        if ready.first() == Some(&true) {
            match stream::receive(far.as_raw_fd(), &mut bytes) {
                Ok(0) | Err(_) => return Ok(()),
                Ok(count) => stdout.write_all(bytes.get(..count).unwrap_or_default())?,
            }
            stdout.flush()?;
        }
        if ready.get(1) == Some(&true) {
            // Larger than the buffer of `stdin`, so that nothing stays in that.
            let count = stdin.lock().read(&mut bytes)?;
            let sent = stream::send_all(far.as_raw_fd(), bytes.get(..count).unwrap_or_default());
            if count == 0 {
                stream::end_sending(far.as_raw_fd())?;
            }
            // A program that reads no more may still have something to say.
            open = count > 0 && sent.is_ok();
        }
    }
}

/// Waits for the end of the program, and tells how it was.
fn ended(launched: &Launched) -> io::Result<()> {
    let dead = process::wait_blocking(launched.pidfd.as_fd())?;
    let how = match dead.map(|dead| dead.end) {
        Some(End::Status(status)) => format!("status {status}"),
        Some(End::Signal(signal)) => format!("signal {signal}"),
        None => "reaped by somebody else".to_owned(),
    };
    complain(&format!("oxinetd try: ended, {how}\n"));
    Ok(())
}
