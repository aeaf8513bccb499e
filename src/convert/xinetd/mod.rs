//! xinetd.conf, with its includes.

mod access;
mod addresses;
mod banners;
mod lexer;
mod limits;
mod log;
mod merge;
mod program;
mod socket;
mod translate;

use lexer::Block;
use merge::Record;

use super::Format;
use super::entry::Value;
use super::note::Place;
use super::session::{Session, Source};

/// Reads all files as if one included the others.
pub(super) fn read(session: &mut Session<'_>, sources: &[Source]) -> Format {
    let mut blocks: Vec<Block> = Vec::new();
    for source in sources {
        let name = source
            .path
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        if source.listed && !lexer::is_read(&name) {
            let text = "xinetd takes no file from a directory whose name has a dot or ends in `~`: passed over";
            session.notes.note(&Place::file(&source.path), text);
            continue;
        }
        blocks.extend(lexer::read(session, source));
        if source.text.latin1 {
            let text = "is not UTF-8: it was read as Latin-1, and what is taken over is UTF-8 now";
            session.notes.note(&Place::file(&source.path), text);
        }
    }
    let mut defaults = Record::default();
    let mut services = Vec::new();
    for block in &blocks {
        match &block.service {
            None => defaults.apply(block, &mut session.notes),
            Some(name) => {
                let mut record = Record::inherited(&defaults);
                record.apply(block, &mut session.notes);
                services.push((name, block, record));
            }
        }
    }
    for (name, block, mut record) in services {
        record.fill(&defaults);
        translate::service(session, name, block, &record, &defaults);
    }
    let mut baseline: Vec<(&'static str, Value)> = vec![
        ("sandbox", "none".into()),
        ("stderr", "client".into()),
        ("max_connections", "unlimited".into()),
        ("max_per_source", "unlimited".into()),
        ("rate", "50/s".into()),
        ("over_limit", "refuse".into()),
        ("pause", "10s".into()),
    ];
    if session.entries.is_empty() {
        for (key, value) in translate::defaults(session, &defaults) {
            match baseline.iter_mut().find(|(k, _)| *k == key) {
                Some(row) => row.1 = value,
                None => baseline.push((key, value)),
            }
        }
    }
    if session.entries.iter().any(|e| e.get("user").is_none()) {
        // xinetd answers for these itself; here they run in a child that needs no rights.
        baseline.insert(0, ("user", "nobody".into()));
    }
    Format {
        name: "xinetd.conf".to_owned(),
        baseline,
        remarks: &[
            "xinetd handed its own environment to every program; here it is a clean one (`pass_env`).",
            "`cps` closed the socket for a time; here clients wait in the queue for as long (`pause`).",
        ],
        later_wins: false,
    }
}
