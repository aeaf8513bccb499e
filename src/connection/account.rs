//! Bytes of a connection from the kernel's sequence counts, exact to the byte.
//!
//! A FIN takes a sequence number, so it is counted like a byte; which counts hold one follows from the state, or for a
//! connection that is closed, from a second count that leaves it out.

use crate::sys::tcp::{CLOSE, FIN_RECEIVED, FIN_SENT, Info};

/// Bytes from and to the peer: what arrived here, and what was written for the peer, sent or not. `queued` is SIOCOUTQ,
/// `ended` that the peer's FIN was seen on a closed connection.
pub fn bytes(info: &Info, queued: u64, ended: bool) -> (u64, u64) {
    let fin_in = if info.state == CLOSE {
        ended
    } else {
        FIN_RECEIVED.contains(&info.state)
    };
    let out = info.acked + queued;
    let fin_out = if info.state == CLOSE {
        ours_is_counted(info, out)
    } else {
        FIN_SENT.contains(&info.state)
    };
    (
        info.received.saturating_sub(fin_in.into()),
        out.saturating_sub(fin_out.into()),
    )
}

/// On a closed connection: one more than the bytes that were sent for the first time or wait is our FIN.
fn ours_is_counted(info: &Info, out: u64) -> bool {
    let data = info.sent.saturating_sub(info.resent) + info.unsent;
    out == data + 1
}

/// After a hang-up: true when the client has vanished (reset, keepalive, user timeout), false when both directions were
/// ended in order.
pub fn is_gone(info: &Info, queued: u64, ended: bool, error: bool) -> bool {
    error || info.state == CLOSE && !(ended && ours_is_counted(info, info.acked + queued))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(state: u8, received: u64, acked: u64) -> Info {
        Info {
            state,
            received,
            acked,
            ..Info::default()
        }
    }

    #[test]
    fn fins_are_no_bytes() {
        const ESTABLISHED: u8 = 1;
        for (state, expected) in [
            (ESTABLISHED, (100, 60)),
            (4, (100, 59)),
            (5, (100, 59)),
            (8, (99, 60)),
            (9, (99, 59)),
            (11, (99, 59)),
        ] {
            assert_eq!(bytes(&info(state, 100, 50), 10, false), expected, "{state}");
        }
    }

    #[test]
    fn closed_connections_tell_by_their_second_count() {
        let mut closed = info(CLOSE, 100, 51);
        (closed.sent, closed.resent) = (57, 7);
        assert_eq!(bytes(&closed, 0, true), (99, 50));
        assert_eq!(bytes(&closed, 0, false), (100, 50));
        closed.acked = 50;
        assert_eq!(bytes(&closed, 0, false), (100, 50), "reset without a FIN");
        closed.unsent = 20;
        assert_eq!(bytes(&closed, 20, false), (100, 70), "reset with a queue");
    }

    #[test]
    fn orderly_ends_are_no_disconnect() {
        let mut closed = info(CLOSE, 1, 1);
        assert!(!is_gone(&closed, 0, true, false));
        assert!(is_gone(&closed, 0, true, true), "an error is");
        assert!(is_gone(&closed, 0, false, false), "a consumed reset is");
        closed.acked = 0;
        assert!(
            is_gone(&closed, 0, true, false),
            "reset after the peer's FIN"
        );
        assert!(!is_gone(&info(9, 1, 1), 0, true, false), "last ack");
    }
}
