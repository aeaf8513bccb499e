//! What an image is told when it is executed in the place of another: one variable of its environment.
//!
//! Invariant: this module only reads and writes the text; every version of the program understands it.

use std::fmt;
use std::os::fd::RawFd;

/// The variable.
pub const VARIABLE: &str = "OXINETD_HANDOVER";

/// The word that a rehearsal answers with when all is well, before its version.
pub const READY: &str = "oxinetd-is-ready";

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Read the state behind this descriptor, check it, say so on standard error, and end.
    Rehearse(RawFd),
    /// Serve in the place of the image that is held open here.
    TakeOver {
        /// The state.
        state: RawFd,
        /// The old image, for the way back.
        image: RawFd,
    },
    /// Serve again: the image that was to take over could not.
    GoBack {
        /// The state that was left to it.
        state: RawFd,
        /// Why, as far as it could tell.
        problem: String,
    },
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rehearse(state) => write!(f, "rehearse {state}"),
            Self::TakeOver { state, image } => write!(f, "take-over {state} {image}"),
            Self::GoBack { state, problem } => write!(f, "go-back {state} {problem}"),
        }
    }
}

impl Order {
    /// Understands the variable.
    pub fn parse(text: &str) -> Option<Self> {
        let (word, rest) = text.split_once(' ')?;
        let (state, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let state = state.parse().ok()?;
        match word {
            "rehearse" => Some(Self::Rehearse(state)),
            "take-over" => Some(Self::TakeOver {
                state,
                image: rest.parse().ok()?,
            }),
            "go-back" => Some(Self::GoBack {
                state,
                problem: rest.to_owned(),
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_survive_their_text() {
        for order in [
            Order::Rehearse(70),
            Order::TakeOver {
                state: 70,
                image: 71,
            },
            Order::GoBack {
                state: 70,
                problem: "descriptor 80: gone".to_owned(),
            },
        ] {
            assert_eq!(Order::parse(&order.to_string()), Some(order));
        }
        for junk in [
            "",
            "rehearse",
            "rehearse x",
            "take-over 5",
            "fly 5",
            "go-back",
        ] {
            assert_eq!(Order::parse(junk), None, "{junk}");
        }
    }
}
