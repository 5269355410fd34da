//! Any text as the values of the handshake's headers: no panic, and no answer that a client could not have asked for.

#![no_main]

use hubbub_websocket::handshake::{accept_key, key_is_valid, negotiate_deflate, version_is_supported};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|headers: Vec<&str>| {
    if let Some(agreement) = negotiate_deflate(headers.iter().copied()) {
        assert!(headers.iter().any(|header| header.contains("permessage-deflate")));
        assert!((8..=15).contains(&agreement.server_max_window_bits));
        // An answer is a legal offer with the same meaning.
        assert_eq!(negotiate_deflate([agreement.response_header.as_str()]), Some(agreement));
    }
    for header in headers {
        assert_eq!(accept_key(header).len(), 28);
        if key_is_valid(header) {
            assert_eq!(header.trim().len(), 24);
        }
        version_is_supported(header);
    }
});
