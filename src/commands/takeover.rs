//! What a daemon does that was executed in the place of another, or for the rehearsal of that: no command of the user's,
//! but a variable that the image before has set.

use super::{complain, exit};
use crate::daemon;
use crate::handover::{Order, VARIABLE};
use crate::sys::start;

/// Does what the variable says, if it is there. The exit code.
pub fn obey() -> Option<u8> {
    let text = start::take_variable(VARIABLE)?;
    let result = match Order::parse(&text) {
        Some(Order::Rehearse(state)) => daemon::rehearse(state).map(|answer| complain(&answer)),
        Some(order) => daemon::take_over(&order),
        None => Err(std::io::Error::other(format!(
            "{VARIABLE} is not understood; it is for the daemon's own use"
        ))),
    };
    Some(match result {
        Ok(()) => exit::OK,
        Err(error) => {
            complain(&format!("oxinetd: {error}\n"));
            exit::SYSTEM
        }
    })
}
