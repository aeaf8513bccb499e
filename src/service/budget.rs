//! How many connections a limit of descriptors has room for.
//!
//! Pure arithmetic: the daemon holds to it, and `check` tells beforehand.

use super::{Service, Stderr};

/// Descriptors that are never given to connections: logs, control, a load, a spare.
const RESERVE: u64 = 24;
/// Connections that linger at once; over that plain close.
const LINGERING: u64 = 256;

/// What the descriptors go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// What is taken besides connections.
    pub besides: u64,
    /// What each connection takes at most, of any service.
    pub each: u64,
    /// Connections that there is room for.
    pub room: u32,
}

impl Budget {
    /// The budget of a daemon with this limit, these listening sockets and services.
    pub fn new<'a>(
        open_files: u64,
        listeners: usize,
        services: impl Iterator<Item = &'a Service>,
    ) -> Self {
        let (mut count, mut each) = (0, None);
        for service in services {
            count += 1;
            each = each.max(Some(descriptors(service)));
        }
        let each = each.unwrap_or(2);
        let besides = listeners as u64
            + 2 * count
            + low_descriptors(open_files)
            + RESERVE.min(open_files / 8)
            + most_lingering(open_files);
        let room = open_files.saturating_sub(besides) / each;
        Self {
            besides,
            each,
            room: u32::try_from(room).unwrap_or(u32::MAX).max(1),
        }
    }

    /// Descriptors that this many connections need in all.
    pub fn needs(&self, connections: u64) -> u64 {
        connections * self.each + self.besides
    }
}

/// What a connection takes: itself and the handle of its process, and a third where it has a stderr pipe. The connections
/// of a worker share its handle.
fn descriptors(service: &Service) -> u64 {
    if service.has_worker() {
        1
    } else if service.process.stderr == Stderr::LogEach {
        3
    } else {
        2
    }
}

/// Connections that may linger at once.
pub fn most_lingering(open_files: u64) -> u64 {
    (open_files / 16).min(LINGERING)
}

/// Descriptors below this number belong to launches: 64, the entries of a descriptor table that are part of it; a quarter
/// where only few descriptors are allowed.
pub fn low_descriptors(open_files: u64) -> u64 {
    (open_files / 4).clamp(8, 64) & !3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_shared_out() {
        let budget = Budget::new(1024, 10, std::iter::empty());
        assert_eq!(budget.besides, 10 + 64 + 24 + 64);
        assert_eq!((budget.each, budget.room), (2, 431));
        assert_eq!(budget.needs(431), 1024);
        let least = Budget::new(8, 1, std::iter::empty());
        assert_eq!(least.room, 1, "one is always tried");
    }
}
