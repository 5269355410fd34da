//! Any bytes as a bus message: decoding never panics, and what was read is read again from what is written.

#![no_main]

use std::sync::Arc;

use hubbub_bus::envelope::{Envelope, decode, encode_events, encode_pulse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut read) = decode(bytes, "reader") else { return };
    let written = match &mut read {
        Envelope::Pulse { number } => encode_pulse(*number),
        Envelope::Events(events) => {
            // Two events of one seq, which no node sends, could not be told apart by their traces.
            events.iter_mut().filter_map(Arc::get_mut).for_each(|event| event.trace = None);
            encode_events(&events.iter().map(|event| &**event).collect::<Vec<_>>(), "writer", &[])
        }
        Envelope::Echo => return,
    };
    let written = written.expect("what was read can be written");
    assert_eq!(decode(&written, "reader").expect("what was written can be read"), read);
});
