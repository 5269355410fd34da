//! Any bytes as a bus message: decoding never panics, and what was read is read again from what is written.

#![no_main]

use hubbub_bus::envelope::{Envelope, decode, encode_event, encode_events, encode_pulse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(read) = decode(bytes, "reader") else { return };
    let written = match &read {
        Envelope::Pulse { number } => encode_pulse(*number),
        Envelope::Events(events) if events.len() == 1 => encode_event(&events[0], "writer"),
        Envelope::Events(events) => encode_events(&events.iter().map(|event| &**event).collect::<Vec<_>>(), "writer"),
        Envelope::Echo => return,
    };
    let written = written.expect("what was read can be written");
    assert_eq!(decode(&written, "reader").expect("what was written can be read"), read);
});
