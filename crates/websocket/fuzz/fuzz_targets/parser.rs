//! Any bytes at all as the stream of a client.

#![no_main]

mod replay;

use hubbub_websocket::ParserConfig;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&[switches, limit, first, second], stream)) = data.split_first_chunk::<4>() else { return };
    let limit = usize::from(limit) * 8;
    let config = ParserConfig {
        frame_bytes_max: if switches & 2 == 0 { 0 } else { limit / 2 + 1 },
        // Never none: a deflated input of some kilobytes inflates to megabytes, which is only slow.
        message_bytes_max: if switches & 4 == 0 { 1 << 16 } else { limit + 1 },
        deflate: switches & 1 != 0,
    };
    replay::check(config, stream, &[usize::from(first), usize::from(second)]);
});
