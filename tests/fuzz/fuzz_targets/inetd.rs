//! inetd.conf: the first byte chooses the dialect.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oxinetd::convert::{FORMATS, Kind};
use oxinetd_fuzz::{host, importer};

fuzz_target!(|data: &[u8]| {
    let Some((choice, content)) = data.split_first() else {
        return;
    };
    let dialects = FORMATS.iter().filter(|row| matches!(row.1, Kind::Inetd(_)));
    let from = dialects.map(|row| row.1).nth(usize::from(choice % 8));
    importer(from, "/in/x", host("in.ftpd: 10.\n", "in.ftpd: ALL\n").with("/in/x", content));
});
