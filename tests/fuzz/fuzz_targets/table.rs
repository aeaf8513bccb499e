//! The reader of our own tables: any text ends in a table or in a report that can be shown in every format.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oxinetd::config::Format;

fuzz_target!(|text: &str| {
    let loaded = oxinetd_fuzz::loaded(text);
    assert_eq!(loaded.table.is_none(), loaded.report.has_errors());
    for format in [Format::Human { color: true }, Format::Short, Format::Json, Format::Github] {
        let _ = loaded.report.render(format);
    }
});
