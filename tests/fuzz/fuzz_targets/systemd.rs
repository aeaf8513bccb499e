//! A socket unit, and after a line of three dashes its service, for each connection and for all of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oxinetd::convert::Kind;
use oxinetd_fuzz::{host, importer};

fuzz_target!(|text: &str| {
    let (socket, service) = text.split_once("\n---\n").unwrap_or((text, ""));
    let files = host("", "")
        .with("/in/x.socket", socket)
        .with("/in/x@.service", service)
        .with("/in/x.service", service);
    importer(Some(Kind::Systemd), "/in/x.socket", files);
});
