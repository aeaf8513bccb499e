//! Text with `%{…}` specifiers.
//!
//! Only values that make sense; see the parent module for the invariant.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::Peer;

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
    /// The text with its specifiers replaced. `id` is asked once at most.
    pub fn fill(&self, service: &str, peer: &Peer, id: impl FnOnce() -> String) -> String {
        let mut text = String::new();
        let mut id = Some(id);
        let mut made = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Specifier(Specifier::Service) => text.push_str(service),
                // Writing to a string cannot fail.
                Piece::Specifier(Specifier::RemoteAddr) => drop(write!(text, "{peer}")),
                Piece::Specifier(Specifier::RemotePort) => {
                    if let Some(port) = peer.port() {
                        let _ = write!(text, "{port}");
                    }
                }
                Piece::Specifier(Specifier::Id) => {
                    if let Some(id) = id.take() {
                        made = id();
                    }
                    text.push_str(&made);
                }
            }
        }
        text
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifiers_are_replaced_and_one_id_serves_all() {
        let specifiers = [
            Specifier::Service,
            Specifier::RemoteAddr,
            Specifier::RemotePort,
            Specifier::Id,
            Specifier::Id,
        ];
        let mut pieces = vec![Piece::Text("<".to_owned())];
        for specifier in specifiers {
            pieces.push(Piece::Specifier(specifier));
            pieces.push(Piece::Text("|".to_owned()));
        }
        let template = Template(pieces);
        let mut count = 0;
        let mut id = || {
            count += 1;
            format!("id{count}")
        };
        let inet = Peer::Inet("192.0.2.7:99".parse().unwrap());
        assert_eq!(
            template.fill("x", &inet, &mut id),
            "<x|192.0.2.7|99|id1|id1|"
        );
        let unix = Peer::Unix {
            uid: 1,
            gid: 1,
            pid: 1,
        };
        assert_eq!(template.fill("x", &unix, &mut id), "<x|unix||id2|id2|");
    }
}
