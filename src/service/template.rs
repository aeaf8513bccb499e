//! Text with `%{…}` specifiers.
//!
//! Only values that make sense; see the parent module for the invariant.

use serde::{Deserialize, Serialize};

/// Text with `%{…}` specifiers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template(pub Vec<Piece>);

/// A part of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Piece {
    /// Literal text.
    Text(String),
    /// A value of the connection.
    Specifier(Specifier),
}

/// The values that `%{…}` can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Specifier {
    /// `%{remote_addr}`; `unix` for unix peers.
    RemoteAddr,
    /// `%{remote_port}`; empty for unix peers.
    RemotePort,
    /// `%{service}`.
    Service,
    /// `%{id}`, the connection id of the log.
    Id,
}

impl Template {
    /// The text, when it holds no specifier.
    pub fn literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }
}

impl From<&str> for Template {
    fn from(text: &str) -> Self {
        Self(vec![Piece::Text(text.to_owned())])
    }
}
