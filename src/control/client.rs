//! The client's side: connect, ask, read the answer.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use super::{Answer, Request};
use crate::service::UnixName;

/// A daemon that does not answer within this time is stuck. A reload may take long: it waits for a directory service.
const PATIENCE: Duration = Duration::from_secs(40);

/// Why there is no answer.
#[derive(Debug)]
pub enum ClientError {
    /// Nobody listens there.
    NotRunning(String),
    /// Somebody does, and it went wrong.
    Failed(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning(text) | Self::Failed(text) => f.write_str(text),
        }
    }
}

/// The socket that `--control` names: a path, `@abstract`, or `None` for the default of this user.
pub fn name(given: Option<&str>, root: bool) -> Result<UnixName, String> {
    match given {
        Some("off") => Err("with --control off there is no daemon to ask".to_owned()),
        Some(text) => match text.strip_prefix('@') {
            Some(name) => Ok(UnixName::Abstract(name.to_owned())),
            None => Ok(UnixName::Path(PathBuf::from(text))),
        },
        None if root => Ok(UnixName::Path("/run/oxinetd/control.sock".into())),
        None => match std::env::var_os("XDG_RUNTIME_DIR") {
            Some(directory) => Ok(UnixName::Path(
                PathBuf::from(directory).join("oxinetd.sock"),
            )),
            None => Err("XDG_RUNTIME_DIR is not set: say --control SOCKET".to_owned()),
        },
    }
}

/// Asks the daemon behind `name`.
pub fn ask(name: &UnixName, request: &Request) -> Result<Answer, ClientError> {
    let failed = |error: io::Error| ClientError::Failed(format!("{name}: {error}"));
    let mut stream = connect(name)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    stream
        .write_all(request.line().as_bytes())
        .map_err(failed)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(failed)?;
    serde_json::from_slice(&answer).map_err(|error| {
        ClientError::Failed(format!("{name}: the answer is not understood: {error}"))
    })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "io::ErrorKind is an open list"
)]
fn connect(name: &UnixName) -> Result<UnixStream, ClientError> {
    let stream = match name {
        UnixName::Path(path) => UnixStream::connect(path),
        UnixName::Abstract(name) => SocketAddr::from_abstract_name(name)
            .and_then(|address| UnixStream::connect_addr(&address)),
    };
    stream.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NotRunning(format!(
            "no daemon listens on {name}: is oxinetd running? another socket is named by --control"
        )),
        io::ErrorKind::PermissionDenied => ClientError::Failed(format!(
            "{name}: permission denied: ask as root, or as a member of [daemon] control_group"
        )),
        _ => ClientError::Failed(format!("{name}: {error}")),
    })
}
