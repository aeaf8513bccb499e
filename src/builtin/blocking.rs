//! The driver of one blocking socket: one client, one thread of control.
//!
//! Invariant: it starts on one page of buffer and takes the large one only for a client that fills it, so that an idle
//! client costs little; and it closes in a way that truncates no reply, whatever the client has sent and nobody read.

use std::io;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use super::{IO_ERROR, Next, Stream};
use crate::sys::{poll, stream};

/// Serves the client on the blocking stream socket `fd` until its end. Returns how it went, as an exit status: 0 also
/// when the client went away, 74 (EX_IOERR) for any other failure of the socket.
pub(super) fn drive(machine: &mut dyn Stream, fd: RawFd) -> u8 {
    match run(machine, fd) {
        Ok(()) => 0,
        Err(error) if stream::is_gone(&error) => 0,
        Err(_) => IO_ERROR,
    }
}

fn run(machine: &mut dyn Stream, fd: RawFd) -> io::Result<()> {
    let mut small = [0; SMALL];
    let mut large = Vec::new();
    let mut ended = false;
    let has_records = stream::has_records(fd);
    loop {
        if has_records && machine.next() == Next::Read {
            // A record that does not fit would lose its rest.
            let length = stream::next_record(fd)?;
            if length > small.len().max(large.len()) {
                large.resize(length, 0);
            }
        }
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
            Next::WriteAfter(pause) => {
                let until = Instant::now() + pause;
                while !ended && poll::wait_readable(fd, Some(until)) {
                    ended = throw_away(fd, buffer)?;
                }
                if ended && poll::wait_hang_up(fd, until) {
                    return Ok(());
                }
                let length = machine.fill(buffer);
                stream::send_all(fd, buffer.get(..length).unwrap_or_default())?;
                0
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

/// Drops what a client says that was not asked. True: it has ended its direction.
fn throw_away(fd: RawFd, buffer: &mut [u8]) -> io::Result<bool> {
    match stream::receive_now(fd, buffer) {
        Ok(length) => Ok(length == 0),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Closing with unread input would send RST, which destroys replies that are still on their way (RFC 2525, 2.17). So: end
/// of file first, then wait for the client's, within bounds.
pub fn linger(fd: RawFd, buffer: &mut [u8]) -> io::Result<()> {
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

pub(super) const LINGER: Duration = Duration::from_secs(2);
pub(super) const LINGER_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::Maker;
    use crate::service::BuiltinKind;
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::thread::{self, JoinHandle};

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    /// A client, and the thread that serves it in place of a child.
    fn connected(kind: &BuiltinKind) -> (TcpStream, JoinHandle<u8>) {
        let (client, server) = pair();
        let maker = Maker::open(kind).unwrap();
        let thread = thread::spawn(move || drive(maker.stream().as_mut(), server.as_raw_fd()));
        (client, thread)
    }

    fn pattern(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i * 7 % 251) as u8).collect()
    }

    #[test]
    fn echo_gives_every_byte_back_after_half_close() {
        for length in [0, 1, SMALL, SMALL + 1, 3_000_000] {
            let (client, server) = connected(&BuiltinKind::Echo);
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
            let (mut client, server) = connected(&kind);
            client.write_all(&pattern(100_000)).unwrap();
            // Closed with unread input or in the middle of output: both ends see a reset.
            drop(client);
            assert_eq!(server.join().unwrap(), 0);
        }
    }

    #[test]
    fn discard_takes_everything_and_says_nothing() {
        let (mut client, server) = connected(&BuiltinKind::Discard);
        client.write_all(&pattern(1_000_000)).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.read_to_end(&mut Vec::new()).unwrap(), 0);
        assert_eq!(server.join().unwrap(), 0);
    }

    #[test]
    fn chargen_goes_on_until_the_client_leaves() {
        let (mut client, server) = connected(&BuiltinKind::Chargen);
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
        let (mut client, server) = connected(&BuiltinKind::Chargen);
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
            let (mut client, server) = connected(&kind);
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
        let (client, server) = connected(&BuiltinKind::Time);
        let start = Instant::now();
        assert_eq!(server.join().unwrap(), 0);
        let time = start.elapsed();
        assert!(time >= Duration::from_millis(1800), "{time:?}");
        assert!(time < LINGER * 3, "{time:?}");
        drop(client);
    }

    #[test]
    fn a_pause_is_sat_out_whatever_the_client_does() {
        struct Slow(u8);
        impl Stream for Slow {
            fn next(&self) -> Next {
                match self.0 {
                    3 => Next::Done,
                    _ => Next::WriteAfter(Duration::from_millis(150)),
                }
            }
            fn on_input(&mut self, _: &mut [u8]) -> usize {
                0
            }
            fn on_end(&mut self) {}
            fn fill(&mut self, room: &mut [u8]) -> usize {
                room[0] = self.0;
                self.0 += 1;
                1
            }
        }
        for (talks, ends) in [(false, false), (true, false), (false, true), (true, true)] {
            let (mut client, server) = pair();
            let thread = thread::spawn(move || drive(&mut Slow(0), server.as_raw_fd()));
            let start = Instant::now();
            if talks {
                client.write_all(&pattern(20_000)).unwrap();
            }
            if ends {
                client.shutdown(Shutdown::Write).unwrap();
            }
            let mut said = [9; 3];
            client.read_exact(&mut said).unwrap();
            assert_eq!(said, [0, 1, 2]);
            assert!(start.elapsed() >= Duration::from_millis(450));
            drop(client);
            assert_eq!(thread.join().unwrap(), 0);
        }
        // Ended by somebody else who holds the socket: at once.
        let (_client, server) = pair();
        let other = server.try_clone().unwrap();
        let thread = thread::spawn(move || drive(&mut Slow(0), server.as_raw_fd()));
        other.shutdown(Shutdown::Both).unwrap();
        assert_eq!(thread.join().unwrap(), 0);
    }

    #[test]
    fn what_is_no_socket_fails() {
        let file = tempfile::tempfile().unwrap();
        let maker = Maker::open(&BuiltinKind::Echo).unwrap();
        assert_eq!(drive(maker.stream().as_mut(), file.as_raw_fd()), 74);
    }
}
