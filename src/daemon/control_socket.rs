//! Where the control socket is, and its change by a reload.
//!
//! Invariant: a table whose control socket cannot be opened changes nothing; the one that is open stays.

use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;

use super::token::Token;
use super::{ControlSocket, Daemon};
use crate::listener::{self, BindError, Socket};
use crate::service::{Address, LogLevel, Settings, SocketOptions, UnixKind, UnixName};
use crate::sys::poller::Interest;

/// What a reload does with the control socket.
#[derive(Debug)]
pub(super) enum Moved {
    /// Nothing.
    Stays,
    /// Another one, or none, takes its place.
    To(Option<Socket>),
}

impl Daemon {
    /// Opens the socket at the start. Without it the daemon serves all the same.
    pub(super) fn open_control(&mut self) {
        match self.prepare_control(&self.settings) {
            Ok(moved) => self.move_control(moved),
            Err(error) => {
                let text =
                    format!("no control socket, status and reload by command do not work: {error}");
                self.note(LogLevel::Warning, None, &text);
            }
        }
    }

    /// Opens what `settings` ask for, if it is not what is open.
    pub(super) fn prepare_control(&self, settings: &Settings) -> Result<Moved, BindError> {
        let name = match &self.overrides.control {
            ControlSocket::OfTable => settings.control.as_ref(),
            ControlSocket::Off => None,
            ControlSocket::At(name) => Some(name),
        };
        let wanted = name.map(|name| Address::Unix {
            kind: UnixKind::Stream,
            name: name.clone(),
        });
        if self.control.socket.as_ref().map(|socket| &socket.asked) == wanted.as_ref() {
            return Ok(Moved::Stays);
        }
        let Some(address) = wanted else {
            return Ok(Moved::To(None));
        };
        if let Address::Unix {
            name: UnixName::Path(path),
            ..
        } = &address
            && let Some(directory) = path.parent()
        {
            let _ = std::fs::DirBuilder::new().mode(0o755).create(directory);
        }
        let options = SocketOptions {
            backlog: 128,
            group: Some(settings.control_gid),
            mode: 0o660,
            ..SocketOptions::default()
        };
        listener::bind(&address, &options).map(|socket| Moved::To(Some(socket)))
    }

    /// Puts it in force. The group of one that stays may be another one now.
    pub(super) fn move_control(&mut self, moved: Moved) {
        let new = match moved {
            Moved::Stays => {
                if let Some(socket) = &self.control.socket {
                    let _ = socket.give_to_group(self.settings.control_gid);
                }
                return;
            }
            Moved::To(new) => new,
        };
        if let Some(socket) = &new {
            let token = Token::Control.bits();
            let _ = self.poller.add(socket.as_fd(), Interest::Readable, token);
        }
        if let Some(old) = std::mem::replace(&mut self.control.socket, new) {
            self.poller.remove(&old);
        }
    }
}
