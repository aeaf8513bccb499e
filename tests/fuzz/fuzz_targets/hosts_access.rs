//! hosts.allow, and after a line of three dashes hosts.deny, for a service that asks them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oxinetd::convert::Kind;
use oxinetd_fuzz::{host, importer};

fuzz_target!(|text: &str| {
    let (allow, deny) = text.split_once("\n---\n").unwrap_or((text, ""));
    let entry = "ftp stream tcp nowait root /usr/sbin/tcpd in.ftpd\n";
    importer(Some(Kind::Inetd(None)), "/in/x", host(allow, deny).with("/in/x", entry));
});
