//! System errors in words.

use std::fmt;

use nix::errno::Errno;

/// The error `number` as `No such file or directory (ENOENT)`.
pub fn describe(number: i32) -> Described {
    Described(number)
}

/// See [`describe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Described(i32);

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errno = Errno::from_raw(self.0);
        if errno == Errno::UnknownErrno {
            return write!(f, "error {}", self.0);
        }
        write!(f, "{} ({errno:?})", errno.desc())
    }
}

pub use nix::libc::{EAGAIN, EINVAL, ENOBUFS, ETIMEDOUT};

/// True for an error that ends by itself: descriptors, memory or processes are used up for now.
pub fn is_exhaustion(errno: i32) -> bool {
    use nix::libc::{EMFILE, ENFILE, ENOMEM};
    [EMFILE, ENFILE, ENOMEM, EAGAIN, ENOBUFS].contains(&errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_a_sentence_and_a_name() {
        let cases = [
            (2, "No such file or directory (ENOENT)"),
            (98, "Address already in use (EADDRINUSE)"),
            (9999, "error 9999"),
        ];
        for (number, text) in cases {
            assert_eq!(describe(number).to_string(), text);
        }
    }
}
