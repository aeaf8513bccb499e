//! xinetd.conf.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oxinetd::convert::Kind;
use oxinetd_fuzz::{host, importer};

fuzz_target!(|data: &[u8]| {
    importer(Some(Kind::Xinetd), "/in/x", host("", "").with("/in/x", data));
});
