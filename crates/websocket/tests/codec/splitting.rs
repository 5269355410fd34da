//! The verdict on a stream never depends on how it was cut, whether the stream is legal or not.

use hubbub_websocket::ParserConfig;
use proptest::prelude::*;

use crate::wire::{client_deflate, client_frame, feed, feed_bytewise};

/// A frame that is right, or wrong in one of many ways.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        6 => prop::sample::select(vec![0x81u8, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a, 0xc1, 0xc2, 0x41]),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        3 => any::<String>().prop_map(String::into_bytes),
        2 => proptest::collection::vec(any::<u8>(), 0..140),
        1 => Just(vec![b'a'; 300]),
        1 => prop_oneof![Just(999u16), Just(1000), Just(1005), Just(4000)].prop_map(|code| code.to_be_bytes().to_vec()),
    ];
    (first, payload, prop::option::weighted(0.1, any::<prop::sample::Index>())).prop_map(|(first, payload, spoilt)| {
        let payload = if first & 0x40 != 0 { client_deflate(&payload) } else { payload };
        let mut frame = client_frame(first, &payload);
        if let Some(index) = spoilt {
            let at = index.index(frame.len());
            frame[at] = frame[at].wrapping_add(0x55);
        }
        frame
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_gives_the_same(
        frames in proptest::collection::vec(frames(), 0..8),
        reads in proptest::collection::vec(0usize..200, 0..30),
        frame_bytes_max in prop_oneof![Just(0usize), 1usize..400],
        message_bytes_max in prop_oneof![Just(0usize), 1usize..800],
        deflate in any::<bool>(),
    ) {
        let stream = frames.concat();
        let config = ParserConfig { frame_bytes_max, message_bytes_max, deflate };
        let whole = feed(config, &stream, []);
        let bytewise = feed_bytewise(config, &stream);
        let pieces = feed(config, &stream, reads);
        prop_assert_eq!((&whole.incoming, whole.error), (&bytewise.incoming, bytewise.error));
        prop_assert_eq!((&whole.incoming, whole.error), (&pieces.incoming, pieces.error));
        if message_bytes_max > 0 {
            let bound = 4 * message_bytes_max + 2048;
            prop_assert!(bytewise.held_bytes_max <= bound && pieces.held_bytes_max <= bound);
        }
    }
}
