//! What /proc tells of another process.

use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

/// What a process has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// User and system time.
    pub cpu: Duration,
    /// Resident memory, bytes.
    pub memory: u64,
}

/// The usage of `pid`; `None` when it is gone.
pub fn usage(pid: i32) -> Option<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let ticks = sysconf(SysconfVar::CLK_TCK)
        .ok()
        .flatten()
        .and_then(|ticks| u64::try_from(ticks).ok())?;
    let page = sysconf(SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .and_then(|size| u64::try_from(size).ok())?;
    parse(&stat, ticks, page)
}

/// The load average of the last minute; `None` without /proc.
pub fn load_average() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// Fields 14, 15 and 24 of proc_pid_stat(5). The name in the second field may hold anything, so the count starts after
/// its closing parenthesis.
fn parse(stat: &str, ticks: u64, page: u64) -> Option<Usage> {
    let fields: Vec<&str> = stat
        .get(stat.rfind(')')? + 1..)?
        .split_ascii_whitespace()
        .collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let time = number(11)? + number(12)?;
    let cpu = Duration::from_nanos(time.checked_mul(1_000_000_000)?.checked_div(ticks)?);
    Some(Usage {
        cpu,
        memory: number(21)?.checked_mul(page)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_no_harm() {
        let line = "7 (a) b (c)) S 1 7 7 0 -1 0 1 2 3 4 150 50 0 0 20 0 1 0 99 4096 25 18446744073709551615 1";
        let usage = parse(line, 100, 4096).unwrap();
        assert_eq!(
            usage,
            Usage {
                cpu: Duration::from_secs(2),
                memory: 25 * 4096
            }
        );
        assert_eq!(parse("junk", 100, 4096), None);
    }

    #[test]
    fn this_process_uses_memory() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(usage(own).unwrap().memory > 0);
        assert_eq!(usage(i32::MAX), None);
    }
}
