//! permessage-deflate on both sides: the examples of RFC 7692 §7.2.3, streams cut or broken, windows kept.

use std::borrow::Cow;

use hubbub_websocket::{Deflater, Incoming, Opcode, ProtocolError};
use proptest::prelude::*;

use crate::distances::inflate_measured;
use crate::wire::{
    BINARY, CONTINUATION, FIN, PING, RSV1, TEXT, UNLIMITED, client_deflate, client_frame, feed, verdict,
};

fn text(text: &str) -> Incoming<'static> {
    Incoming::Text(Cow::Owned(text.to_owned()))
}

/// The payload of the only server frame in `bytes`, and whether RSV1 was set.
fn server_payload(bytes: &[u8]) -> (bool, &[u8]) {
    let header_len = match bytes[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    (bytes[0] & RSV1 != 0, &bytes[header_len..])
}

#[test]
fn the_examples_of_rfc_7692() {
    let cases: [&[u8]; 4] = [
        // §7.2.3.1 one block with fixed codes.
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
        // §7.2.3.3 a stored block.
        &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
        // §7.2.3.4 BFINAL set.
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        // §7.2.3.5 two blocks.
        &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
    ];
    for payload in cases {
        assert_eq!(verdict(UNLIMITED, &client_frame(FIN | RSV1 | TEXT, payload)), (vec![text("Hello")], None));
    }
    // §7.2.3.1 in fragments.
    let fragments = [
        client_frame(RSV1 | TEXT, &[0xf2, 0x48, 0xcd]),
        client_frame(FIN | PING, b""),
        client_frame(FIN | CONTINUATION, &[0xc9, 0xc9, 0x07, 0x00]),
    ]
    .concat();
    let expected = vec![Incoming::Fragment, Incoming::Ping(Cow::Borrowed(b"")), text("Hello")];
    assert_eq!(verdict(UNLIMITED, &fragments), (expected, None));
    // §7.2.3.6 an empty message.
    assert_eq!(verdict(UNLIMITED, &client_frame(FIN | RSV1 | TEXT, &[0x00])), (vec![text("")], None));
}

#[test]
fn final_blocks_in_the_middle_and_at_the_end() {
    let hello_final = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let twice = [&hello_final[..], &hello_final[..], &[0x00]].concat();
    assert_eq!(verdict(UNLIMITED, &client_frame(FIN | RSV1 | TEXT, &twice)), (vec![text("HelloHello")], None));
    assert_eq!(verdict(UNLIMITED, &client_frame(FIN | RSV1 | TEXT, &hello_final)), (vec![text("Hello")], None));
}

#[test]
fn broken_streams() {
    let whole = client_deflate(&b"a sentence that is long enough to have several codes in it. ".repeat(3));
    for cut in 0..whole.len() {
        let (incoming, error) = verdict(UNLIMITED, &client_frame(FIN | RSV1 | BINARY, &whole[..cut]));
        assert_eq!((incoming, error), (vec![], Some(ProtocolError::Deflate)), "cut at {cut} of {}", whole.len());
    }
    // A reserved block type, a distance before the beginning, a stored block with a wrong complement.
    for bad in [&[0x06][..], &[0x4b, 0x04, 0x12, 0x00], &[0x00, 0x05, 0x00, 0x00, 0x00]] {
        assert_eq!(
            verdict(UNLIMITED, &client_frame(FIN | RSV1 | BINARY, bad)).1,
            Some(ProtocolError::Deflate),
            "{bad:02x?}"
        );
    }
}

#[test]
fn no_window_outlives_its_message() {
    // The second message of §7.2.3.2 points into the first, which client_no_context_takeover forbids.
    let first = client_frame(FIN | RSV1 | TEXT, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    let second = client_frame(FIN | RSV1 | TEXT, &[0xf2, 0x00, 0x11, 0x00, 0x00]);
    let outcome = feed(UNLIMITED, &[first.clone(), second].concat(), []);
    assert_eq!((outcome.incoming, outcome.error), (vec![text("Hello")], Some(ProtocolError::Deflate)));
    // Nor does an error.
    assert_eq!(feed(UNLIMITED, &first, []).error, None);

    let mut deflater = Deflater::new(6);
    let (mut one, mut two) = (Vec::new(), Vec::new());
    let payload = b"the same bytes again and again and again and again".repeat(4);
    assert!(deflater.compress_frame(Opcode::Text, &payload, &mut one));
    assert!(deflater.compress_frame(Opcode::Text, &payload, &mut two));
    assert_eq!(one, two);
}

#[test]
fn what_does_not_shrink_goes_out_plain() {
    let mut deflater = Deflater::new(6);
    for payload in [&b""[..], b"a", b"hello"] {
        let mut out = Vec::new();
        assert!(!deflater.compress_frame(Opcode::Text, payload, &mut out));
        assert_eq!(server_payload(&out), (false, payload));
    }
}

/// Text that repeats itself at all distances.
fn repetitive(len: usize) -> Vec<u8> {
    let mut state = 7u32;
    let mut out: Vec<u8> = Vec::with_capacity(len + 64);
    while out.len() < len {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let distance = (state >> 8) as usize % (64 << ((state >> 4) % 10));
        if distance > 0 && distance < out.len() && state & 1 == 0 {
            let from = out.len() - distance;
            let until = (from + 40).min(out.len());
            out.extend_from_within(from..until);
        } else {
            out.extend_from_slice(&state.to_le_bytes());
        }
    }
    out.truncate(len);
    out
}

#[test]
fn each_level_keeps_to_its_window() {
    let payload = repetitive(200_000);
    for level in 1..=9 {
        for window_bits in 9..=15 {
            let mut out = Vec::new();
            assert!(Deflater::with_window_bits(level, window_bits).compress_frame(Opcode::Binary, &payload, &mut out));
            let (compressed, deflated) = server_payload(&out);
            assert!(compressed);
            let (inflated, farthest) = inflate_measured(deflated);
            assert!(inflated == payload, "level {level}, window {window_bits}");
            assert!(farthest <= 1 << window_bits, "level {level}, window {window_bits}: {farthest}");
        }
    }
    // The full window is used where it may be, so the above could have failed.
    let mut out = Vec::new();
    Deflater::new(9).compress_frame(Opcode::Binary, &payload, &mut out);
    assert!(inflate_measured(server_payload(&out).1).1 > 1 << 14);
}

#[test]
fn a_message_that_fits_the_window_needs_no_smaller_one() {
    for window_bits in 8..=14 {
        let payload = repetitive(1 << window_bits);
        let mut out = Vec::new();
        Deflater::new(9).compress_frame(Opcode::Binary, &payload, &mut out);
        let (compressed, deflated) = server_payload(&out);
        assert!(compressed, "window {window_bits}");
        let (inflated, farthest) = inflate_measured(deflated);
        assert!(inflated == payload && farthest <= 1 << window_bits, "window {window_bits}: {farthest}");
    }
}

#[test]
fn noise_between_messages_does_no_harm() {
    // Bytes that do not shrink once left the compressor with output that nobody had fetched, and broke the next message.
    let mut state = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(300_000)
    .collect();
    let payload = repetitive(150_000);
    for level in 1..=9 {
        let mut deflater = Deflater::new(level);
        for _ in 0..4 {
            let mut out = Vec::new();
            assert!(!deflater.compress_frame(Opcode::Binary, &noise, &mut out), "level {level}");
            assert!(server_payload(&out).1 == noise, "level {level}");
            out.clear();
            assert!(deflater.compress_frame(Opcode::Binary, &payload, &mut out), "level {level}");
            assert!(inflate_measured(server_payload(&out).1).0 == payload, "level {level}");
        }
    }
}

proptest! {
    #[test]
    fn what_is_deflated_inflates(
        unit in proptest::collection::vec(any::<u8>(), 0..300),
        times in 0usize..200,
        level in 1u32..=9,
    ) {
        let payload = unit.repeat(times);
        let mut out = Vec::new();
        let compressed = Deflater::new(level).compress_frame(Opcode::Binary, &payload, &mut out);
        let (rsv1, sent) = server_payload(&out);
        prop_assert_eq!(rsv1, compressed);
        prop_assert!(sent.len() <= payload.len());
        let frame = client_frame(FIN | BINARY | if rsv1 { RSV1 } else { 0 }, sent);
        let outcome = feed(UNLIMITED, &frame, []);
        prop_assert_eq!(outcome.incoming, vec![Incoming::Binary(Cow::Owned(payload))]);
    }
}
