//! A socket goes over from one image of the program to the next: its queue, its path and its lock go with it.

use std::io;
use std::os::fd::AsFd;

use super::Socket;
use super::inherited::leads_to;
use super::unix::OwnPath;
use crate::handover::{Packer, Unpacker, state};
use crate::service::Address;
use crate::sys::heirloom::Kind;
use crate::sys::socket;

impl Socket {
    /// What a successor of this process is to know of it.
    pub fn pack(&self, packer: &mut Packer) -> io::Result<state::Socket> {
        let path = self.path.as_ref();
        Ok(state::Socket {
            fd: packer.fd(self.fd.as_fd())?,
            asked: self.asked.clone(),
            bound: self.bound.clone(),
            path: path.map(|path| path.pack(packer)).transpose()?,
            passed: self.passed.clone(),
        })
    }

    /// Takes one over from the predecessor, if it still is what it was: it listens, at that address.
    pub fn unpack(record: &state::Socket, unpacker: &mut Unpacker) -> io::Result<Self> {
        let fd = unpacker.peek(&record.fd)?;
        let is_it = match &record.bound {
            Address::Inherited { .. } => socket::is_listening(fd),
            bound @ (Address::Inet { .. } | Address::Unix { .. } | Address::Vsock { .. }) => {
                leads_to(fd, bound)
            }
        };
        if !is_it {
            return Err(io::Error::other(format!(
                "descriptor {} does not listen on {}",
                record.fd.number, record.bound
            )));
        }
        let path = record.path.as_ref();
        Ok(Self {
            path: path
                .map(|path| OwnPath::unpack(path, unpacker))
                .transpose()?,
            fd: unpacker.fd(&record.fd, Kind::Socket)?,
            asked: record.asked.clone(),
            bound: record.bound.clone(),
            passed: record.passed.clone(),
        })
    }
}
