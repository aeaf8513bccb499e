//! Clients of all manners.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, sockopt};

use super::PATIENCE;

/// A connection that speaks a line at a time.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    /// Connects, with a bound on every later call.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// Sends the bytes.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// Sends the bytes and reads as many back.
    pub(crate) fn echo(&mut self, bytes: &[u8]) {
        self.send(bytes);
        let mut back = vec![0; bytes.len()];
        self.0.read_exact(&mut back).unwrap();
        assert_eq!(back, bytes);
    }

    /// Reads up to and with a newline; what there was at an end of file.
    pub(crate) fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\n") && matches!(self.0.read(&mut byte), Ok(1)) {
            line.push(byte[0]);
        }
        String::from_utf8_lossy(&line).into_owned()
    }

    /// Ends its own direction.
    pub(crate) fn half_close(&mut self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// Reads to the end; a reset is an end too.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        read_all(&mut self.0)
    }

    /// True while nothing has come and nobody has closed.
    pub(crate) fn is_silent(&mut self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let silent = matches!(self.0.peek(&mut [0]), Err(e) if e.kind() == ErrorKind::WouldBlock);
        self.0.set_nonblocking(false).unwrap();
        silent
    }
}

/// Reads to the end; a reset ends it as well, a timeout is a failure.
pub(crate) fn read_all(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
        result => {
            result.expect("the answer ends in time");
        }
    }
    bytes
}

/// One exchange: sends, ends its own direction, reads to the end.
pub(crate) fn talk(address: SocketAddr, bytes: &[u8]) -> String {
    let mut client = Client::connect(address);
    // A server that ends without reading may have reset the connection by now.
    let _ = client.0.write_all(bytes);
    let _ = client.0.shutdown(Shutdown::Write);
    String::from_utf8_lossy(&client.rest()).into_owned()
}

/// The same over a unix socket.
pub(crate) fn talk_unix(path: impl AsRef<Path>, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    String::from_utf8_lossy(&read_all(&mut stream)).into_owned()
}

/// Connects from another address of 127.0.0.0/8, so that many thousand connections have ports enough.
pub(crate) fn connect_from(source: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let SocketAddr::V4(to) = to else {
        panic!("an IPv4 address is needed, not {to}");
    };
    let fd = socket::socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    socket::setsockopt(&fd, sockopt::ReuseAddr, &true).unwrap();
    let source = SockaddrIn::from(SocketAddrV4::new(source, 0));
    socket::bind(fd.as_raw_fd(), &source).unwrap();
    socket::connect(fd.as_raw_fd(), &SockaddrIn::from(to)).unwrap();
    let stream = TcpStream::from(fd);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Lets the close of this socket send RST in place of FIN.
pub(crate) fn reset_on_close(stream: &impl AsFd) {
    let linger = nix::libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    socket::setsockopt(&stream.as_fd(), sockopt::Linger, &linger).unwrap();
}

/// Closes with RST.
pub(crate) fn reset(stream: TcpStream) {
    reset_on_close(&stream);
}
