//! Any bytes as a frame of the server, in both codecs: never a panic.

#![no_main]

use hubbub_protocol::{Codec, server};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for codec in Codec::ALL {
        if let Ok(server::ServerFrame::Room(event)) = server::decode(codec, bytes) {
            let again = server::decode(codec, &codec.encode(&event));
            assert!(matches!(again, Ok(server::ServerFrame::Room(_))), "{again:?}");
        }
    }
});
