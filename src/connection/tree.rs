//! Which processes belong to a program that is to end: its group and session, its descendants, and those that carry
//! its connection id.
//!
//! Invariant: a process that started before its supposed parent is none of its children: numbers are used again.

use std::collections::{HashMap, HashSet};

use crate::sys::family::Process;

/// The living processes of the tree of `leader`, who is not reaped (so that his number is nobody else's), himself
/// excepted. `is_marked` tells of orphans whether they carry the connection's id; `adopter` is whose children orphans
/// become.
pub fn members(
    all: &[Process],
    leader: i32,
    adopter: i32,
    mut is_marked: impl FnMut(i32) -> bool,
) -> Vec<Process> {
    let mut children: HashMap<i32, Vec<&Process>> = HashMap::new();
    for process in all {
        children.entry(process.parent).or_default().push(process);
    }
    let since = all
        .iter()
        .find(|process| process.pid == leader)
        .map_or(0, |process| process.started);
    let belongs = |process: &Process| process.group == leader || process.session == leader;
    let mut open: Vec<&Process> = all
        .iter()
        .filter(|process| process.started >= since && process.pid != leader)
        .filter(|process| {
            belongs(process)
                || process.parent == leader
                || process.parent == adopter && !process.zombie && is_marked(process.pid)
        })
        .collect();
    let mut seen: HashSet<i32> = HashSet::from([leader, adopter]);
    let mut found = Vec::new();
    while let Some(process) = open.pop() {
        if !seen.insert(process.pid) {
            continue;
        }
        let own = children.get(&process.pid).map_or(&[][..], Vec::as_slice);
        open.extend(own.iter().filter(|child| child.started >= process.started));
        if !process.zombie {
            found.push(*process);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, group: i32, session: i32) -> Process {
        Process {
            pid,
            parent,
            group,
            session,
            started: 100,
            zombie: false,
        }
    }

    fn pids(all: &[Process], marked: i32) -> Vec<i32> {
        let mut pids: Vec<i32> = members(all, 10, 1, |pid| pid == marked)
            .iter()
            .map(|process| process.pid)
            .collect();
        pids.sort_unstable();
        pids
    }

    #[test]
    fn group_session_descendants_and_marked_orphans_are_found() {
        let all = [
            process(1, 0, 1, 1),
            process(10, 1, 10, 10),
            process(11, 10, 10, 10), // in the group
            process(12, 1, 12, 10),  // job control: another group, same session, orphan
            process(13, 11, 13, 13), // setsid, parent alive
            process(14, 13, 13, 13), // its child
            process(15, 1, 15, 15),  // double fork and setsid: an orphan with the mark
            process(16, 15, 15, 15), // its child
            process(20, 1, 20, 20),  // another connection
            process(21, 20, 20, 20),
            process(22, 1, 22, 22), // an orphan of somebody else
        ];
        assert_eq!(pids(&all, 15), [11, 12, 13, 14, 15, 16]);
        assert_eq!(pids(&all, 0), [11, 12, 13, 14]);
    }

    #[test]
    fn zombies_are_passed_through_and_not_told() {
        let mut all = [
            process(10, 1, 10, 10),
            process(11, 10, 10, 10),
            process(12, 11, 12, 12),
        ];
        (all[0].zombie, all[1].zombie) = (true, true);
        assert_eq!(pids(&all, 0), [12]);
    }

    #[test]
    fn older_processes_are_never_children() {
        let mut all = [
            process(10, 1, 10, 10),
            process(11, 10, 10, 10),
            process(12, 11, 12, 12),
        ];
        all[1].started = 90;
        assert_eq!(pids(&all, 0), [0; 0]);
    }
}
