//! The record that an old image hands its successor: any bytes end in a state or in an error, and a state survives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oxinetd::handover::{Loaded, decode, decode_state, encode};

fuzz_target!(|bytes: &[u8]| {
    let _ = decode_state(bytes);
    let mut record = b"oxinetd handover 1\n".to_vec();
    record.extend(bytes);
    let _ = decode::<Loaded>(&record);
    if let Ok(state) = decode_state(&record) {
        let again = encode(&state).expect("a state can be written");
        assert!(decode_state(&again).is_ok());
    }
});
