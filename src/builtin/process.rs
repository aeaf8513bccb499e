//! The process driver: one client, one process, blocking calls.
//!
//! Invariant: runs in a forked child that has dropped its privileges. It starts on one page of buffer and takes the large
//! one only for a client that fills it, so that an idle client costs little; and it closes in a way that truncates no
//! reply, whatever the client has sent and nobody read.

use std::io;
use std::os::fd::RawFd;
use std::time::{Duration, Instant, SystemTime};

use super::{Next, Stream, entry};
use crate::service::Builtin;
use crate::sys::{poll, stream};

/// Serves the client on the blocking stream socket `fd` until its end. Returns the exit status of the process: 0 also when
/// the client went away, 74 (EX_IOERR) for any other failure of the socket, 70 (EX_SOFTWARE) for a built-in that this
/// binary lacks.
pub fn serve(builtin: &Builtin, fd: RawFd) -> u8 {
    let Some(entry) = entry(&builtin.kind) else {
        return 70;
    };
    let mut machine = (entry.stream)(SystemTime::now());
    match drive(machine.as_mut(), fd) {
        Ok(()) => 0,
        Err(error) if stream::is_gone(&error) => 0,
        Err(_) => 74,
    }
}

fn drive(machine: &mut dyn Stream, fd: RawFd) -> io::Result<()> {
    let mut small = [0; SMALL];
    let mut large = Vec::new();
    let mut ended = false;
    loop {
        let buffer = if large.is_empty() {
            small.as_mut_slice()
        } else {
            large.as_mut_slice()
        };
        let length = match machine.next() {
            Next::Read => match stream::receive(fd, buffer)? {
                0 => {
                    ended = true;
                    machine.on_end();
                    continue;
                }
                length => {
                    let bytes = buffer.get_mut(..length).unwrap_or_default();
                    let answer = machine.on_input(bytes);
                    stream::send_all(fd, buffer.get(..answer).unwrap_or_default())?;
                    length
                }
            },
            Next::Write => {
                let length = machine.fill(buffer);
                stream::send_all(fd, buffer.get(..length).unwrap_or_default())?;
                throw_away(fd, buffer)?;
                length
            }
            Next::Done => break,
        };
        if length == SMALL && large.is_empty() {
            large = vec![0; LARGE];
        }
    }
    if ended {
        return Ok(());
    }
    linger(fd, &mut small)
}

/// Drops what a client says that was not asked.
fn throw_away(fd: RawFd, buffer: &mut [u8]) -> io::Result<()> {
    match stream::receive_now(fd, buffer) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}

/// Closing with unread input would send RST, which destroys replies that are still on their way (RFC 2525, 2.17). So: end
/// of file first, then wait for the client's, within bounds.
fn linger(fd: RawFd, buffer: &mut [u8]) -> io::Result<()> {
    stream::end_sending(fd)?;
    let deadline = Instant::now() + LINGER;
    let mut left = LINGER_BYTES;
    while left > 0 && poll::wait_readable(fd, Some(deadline)) {
        match stream::receive(fd, buffer)? {
            0 => break,
            length => left = left.saturating_sub(length),
        }
    }
    Ok(())
}

/// On the stack: nothing is allocated for a client that sends little.
const SMALL: usize = 4 * 1024;

/// Measured with bare C loops over loopback: 16 KiB is slower, 128 and 256 KiB and splice(2) gain nothing that stands out
/// of the noise.
const LARGE: usize = 64 * 1024;

const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{BuiltinKind, Model};
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::thread::{self, JoinHandle};

    /// A client, and the thread that serves it in place of a child.
    fn connected(kind: BuiltinKind) -> (TcpStream, JoinHandle<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let builtin = Builtin {
            kind,
            model: Model::Process,
            allow_reflection: false,
        };
        let thread = thread::spawn(move || serve(&builtin, server.as_raw_fd()));
        (client, thread)
    }

    fn pattern(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i * 7 % 251) as u8).collect()
    }

    #[test]
    fn echo_gives_every_byte_back_after_half_close() {
        for length in [0, 1, SMALL, SMALL + 1, 3_000_000] {
            let (client, server) = connected(BuiltinKind::Echo);
            let sent = pattern(length);
            let mut writer = client.try_clone().unwrap();
            let bytes = sent.clone();
            let sending = thread::spawn(move || {
                writer.write_all(&bytes).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let mut received = Vec::new();
            (&client).read_to_end(&mut received).unwrap();
            sending.join().unwrap();
            assert_eq!(received.len(), length);
            assert!(received == sent);
            assert_eq!(server.join().unwrap(), 0);
        }
    }

    #[test]
    fn a_client_that_resets_is_no_failure() {
        for kind in [
            BuiltinKind::Echo,
            BuiltinKind::Discard,
            BuiltinKind::Chargen,
        ] {
            let (mut client, server) = connected(kind);
            client.write_all(&pattern(100_000)).unwrap();
            // Closed with unread input or in the middle of output: both ends see a reset.
            drop(client);
            assert_eq!(server.join().unwrap(), 0);
        }
    }

    #[test]
    fn discard_takes_everything_and_says_nothing() {
        let (mut client, server) = connected(BuiltinKind::Discard);
        client.write_all(&pattern(1_000_000)).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.read_to_end(&mut Vec::new()).unwrap(), 0);
        assert_eq!(server.join().unwrap(), 0);
    }

    #[test]
    fn chargen_goes_on_until_the_client_leaves() {
        let (mut client, server) = connected(BuiltinKind::Chargen);
        client.shutdown(Shutdown::Write).unwrap();
        let mut text = vec![0; 500_000];
        client.read_exact(&mut text).unwrap();
        let round = 95 * 74;
        assert!(text.starts_with(b" !\"#"));
        assert!(text[..text.len() - round] == text[round..]);
        drop(client);
        assert_eq!(server.join().unwrap(), 0);
    }

    #[test]
    fn chargen_throws_away_what_a_client_says() {
        let (mut client, server) = connected(BuiltinKind::Chargen);
        let mut writer = client.try_clone().unwrap();
        let talking = thread::spawn(move || writer.write_all(&pattern(16_000_000)).is_ok());
        let mut text = vec![0; 65_536];
        while !talking.is_finished() {
            client.read_exact(&mut text).unwrap();
        }
        assert!(talking.join().unwrap());
        drop(client);
        assert_eq!(server.join().unwrap(), 0);
    }

    #[test]
    fn a_short_reply_survives_unread_input() {
        for (kind, length) in [(BuiltinKind::Time, 4), (BuiltinKind::Daytime, 26)] {
            let (mut client, server) = connected(kind);
            // Never read by the machine; the client reads only after the server has ended its side.
            let _ = client.write_all(&pattern(20_000));
            let mut reply = Vec::new();
            client.read_to_end(&mut reply).unwrap();
            assert_eq!(reply.len(), length);
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(server.join().unwrap(), 0);
        }
    }

    #[test]
    fn lingering_ends_by_itself() {
        let (client, server) = connected(BuiltinKind::Time);
        let start = Instant::now();
        assert_eq!(server.join().unwrap(), 0);
        let time = start.elapsed();
        assert!(time >= Duration::from_millis(1800), "{time:?}");
        assert!(time < LINGER * 3, "{time:?}");
        drop(client);
    }

    #[test]
    fn what_is_no_socket_and_what_is_not_here_fails() {
        let file = tempfile::tempfile().unwrap();
        let builtin = |kind| Builtin {
            kind,
            model: Model::Process,
            allow_reflection: false,
        };
        assert_eq!(serve(&builtin(BuiltinKind::Echo), file.as_raw_fd()), 74);
        assert_eq!(serve(&builtin(BuiltinKind::Tarpit), file.as_raw_fd()), 70);
    }
}
