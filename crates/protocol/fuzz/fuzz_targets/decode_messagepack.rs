//! Any bytes as a command in MessagePack: never a panic, and what is accepted survives being written and read again.

#![no_main]

use hubbub_protocol::{Codec, CommandFrame, frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let decoded = frame::decode(Codec::MessagePack, bytes);
    let Ok(command) = &decoded.command else { return };
    let id = decoded.id.expect("a command that is accepted has an id");
    for codec in Codec::ALL {
        let again = frame::decode(codec, &codec.encode(&CommandFrame { id, command }));
        assert_eq!(again.id, Some(id));
        // A faulty cursor is written as null, which is faulty again.
        assert_eq!(again.command.map(|command| command.name()), Ok(command.name()));
    }
});
