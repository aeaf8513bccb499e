//! The grammars within strings: addresses, commands, prefixes and the other values of a table.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oxinetd::config::values::{
    address, command, duration, hours, mode, percent, prefix, rate, size, template,
};

fuzz_target!(|text: &str| {
    let _ = address::parse(text);
    let _ = address::unix_name(text);
    if let Ok(words) = command::split(text) {
        assert!(words.iter().all(|word| word.len() <= text.len()));
    }
    let _ = prefix::parse(text);
    let _ = duration::parse(text);
    let _ = hours::parse(text);
    let _ = mode::parse(text);
    let _ = percent::parse(text);
    let _ = rate::parse(text);
    let _ = size::parse(text);
    let _ = template::parse(text);
});
