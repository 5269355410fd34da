//! Sizes: inclusive limits, refusal by the header alone, memory that follows what came and not what was announced.

use std::borrow::Cow;

use hubbub_websocket::{Incoming, Parser, ParserConfig, ProtocolError};

use crate::wire::{
    BINARY, CONTINUATION, FIN, PING, RSV1, TEXT, UNLIMITED, client_deflate, client_frame, feed, verdict,
};

const LIMITED: ParserConfig = ParserConfig { frame_bytes_max: 1000, message_bytes_max: 1500, deflate: true };

/// The header of a frame whose payload never comes.
fn header(first: u8, payload_len: u64) -> Vec<u8> {
    let mut bytes = vec![first, 0xff];
    bytes.extend_from_slice(&payload_len.to_be_bytes());
    bytes
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(len)
    .collect()
}

#[test]
fn limits_include_themselves() {
    let (incoming, error) = verdict(LIMITED, &client_frame(FIN | BINARY, &[1; 1000]));
    assert_eq!((incoming.len(), error), (1, None));
    let too_large = client_frame(FIN | BINARY, &[1; 1001]);
    assert_eq!(verdict(LIMITED, &too_large).1, Some(ProtocolError::FrameTooLarge));
    // Known with the length, before mask and payload.
    assert_eq!(verdict(LIMITED, &too_large[..4]).1, Some(ProtocolError::FrameTooLarge));
    assert_eq!(verdict(LIMITED, &too_large[..3]).1, None);

    let first = client_frame(TEXT, &[b'a'; 1000]);
    let fits = [first.clone(), client_frame(FIN | CONTINUATION, &[b'b'; 500])].concat();
    let (incoming, error) = verdict(LIMITED, &fits);
    assert_eq!((incoming.len(), error), (2, None));
    let over = [first, client_frame(FIN | CONTINUATION, &[b'b'; 501])[..4].to_vec()].concat();
    assert_eq!(verdict(LIMITED, &over).1, Some(ProtocolError::MessageTooLarge));
}

#[test]
fn each_limit_alone_and_none() {
    let frame_only = ParserConfig { message_bytes_max: 0, ..LIMITED };
    let many = [client_frame(BINARY, &[1; 1000]), client_frame(0, &[2; 1000]), client_frame(FIN, &[3; 1000])].concat();
    assert_eq!(verdict(frame_only, &many).1, None);
    let message_only = ParserConfig { frame_bytes_max: 0, ..LIMITED };
    assert_eq!(verdict(message_only, &client_frame(FIN | BINARY, &[1; 1500])).1, None);
    assert_eq!(verdict(message_only, &client_frame(FIN | BINARY, &[1; 1501])).1, Some(ProtocolError::MessageTooLarge));
    assert_eq!(verdict(UNLIMITED, &header(FIN | BINARY, i64::MAX as u64)).1, None);
    assert_eq!(verdict(LIMITED, &header(FIN | BINARY, i64::MAX as u64)).1, Some(ProtocolError::FrameTooLarge));
}

#[test]
fn the_sum_of_announced_lengths_cannot_overflow() {
    let bytes = [client_frame(BINARY, b"x"), header(FIN, i64::MAX as u64)].concat();
    assert_eq!(verdict(LIMITED, &bytes).1, Some(ProtocolError::FrameTooLarge));
    assert_eq!(verdict(UNLIMITED, &bytes).1, None);
}

#[test]
fn control_frames_have_their_own_limit() {
    let tiny = ParserConfig { frame_bytes_max: 10, message_bytes_max: 10, deflate: false };
    assert_eq!(verdict(tiny, &client_frame(FIN | PING, &[1; 125])).1, None);
}

#[test]
fn an_announced_length_allocates_nothing() {
    let mut bytes = header(FIN | BINARY, 1 << 40);
    bytes.extend_from_slice(&[0; 4 + 100]);
    let outcome = feed(UNLIMITED, &bytes, [14, 50]);
    assert_eq!(outcome.error, None);
    assert!(outcome.held_bytes_max < 1024, "{}", outcome.held_bytes_max);
}

#[test]
fn held_memory_follows_what_came() {
    let limit = 64 * 1024;
    let config = ParserConfig { frame_bytes_max: limit, message_bytes_max: limit, deflate: true };
    // One frame in small reads: never more than the message, but for the box around it.
    let outcome = feed(config, &client_frame(FIN | BINARY, &noise(limit)), [1000; 66]);
    assert_eq!((outcome.incoming.len(), outcome.error), (1, None));
    assert!(outcome.held_bytes_max <= limit + 512, "{}", outcome.held_bytes_max);
    // One-byte fragments: a buffer that doubles, and the number of them is the caller's to count.
    let mut bytes = client_frame(TEXT, b"a");
    for _ in 0..limit - 1 {
        bytes.extend_from_slice(&client_frame(CONTINUATION, b"a"));
    }
    let outcome = feed(config, &bytes, []);
    assert_eq!((outcome.incoming.len(), outcome.error), (limit, None));
    assert!(outcome.held_bytes_max <= 2 * limit + 512, "{}", outcome.held_bytes_max);
    bytes.extend_from_slice(&client_frame(FIN, b"a"));
    assert_eq!(feed(config, &bytes, []).error, Some(ProtocolError::MessageTooLarge));
}

#[test]
fn inflated_bytes_are_what_counts() {
    let config = ParserConfig { frame_bytes_max: 1000, message_bytes_max: 1000, deflate: true };
    for payload in [vec![b'a'; 1000], noise(1000)] {
        let frame = client_frame(FIN | RSV1 | BINARY, &client_deflate(&payload));
        assert_eq!(verdict(config, &frame), (vec![Incoming::Binary(Cow::Owned(payload))], None));
    }
    for payload in [vec![b'a'; 1001], noise(1001)] {
        let frame = client_frame(FIN | RSV1 | BINARY, &client_deflate(&payload));
        assert_eq!(verdict(config, &frame).1, Some(ProtocolError::MessageTooLarge));
    }
}

#[test]
fn a_frame_alone_is_bound_by_both_limits_and_fragments_by_their_sum() {
    let deflated = client_deflate(&[b'a'; 1200]);
    let alone = client_frame(FIN | RSV1 | BINARY, &deflated);
    assert_eq!(verdict(LIMITED, &alone).1, Some(ProtocolError::MessageTooLarge));
    let (left, right) = deflated.split_at(3);
    let fragments = [client_frame(RSV1 | BINARY, left), client_frame(FIN, right)].concat();
    assert_eq!(verdict(LIMITED, &fragments).1, None);
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let bomb = client_frame(FIN | RSV1 | TEXT, &client_deflate(&vec![b' '; 64 * 1024 * 1024]));
    assert!(bomb.len() < 70_000);
    let config = ParserConfig { frame_bytes_max: 65_536, message_bytes_max: 65_536, deflate: true };
    assert_eq!(feed(config, &bomb, []).error, Some(ProtocolError::MessageTooLarge));
    assert_eq!(ProtocolError::MessageTooLarge.close_code(), 1009);
}

#[test]
fn deflated_bytes_that_inflate_to_nothing_are_bounded_too() {
    // Empty stored blocks for ever: no output, so the limit on inflated bytes alone would hold them all.
    let config = ParserConfig { frame_bytes_max: 0, message_bytes_max: 1000, deflate: true };
    let mut parser = Parser::new(config);
    let mut error = None;
    let mut sent = 0;
    for index in 0..100_000 {
        let first = if index == 0 { RSV1 | BINARY } else { CONTINUATION };
        let mut frame = client_frame(first, &[0, 0, 0, 0xff, 0xff]);
        if let Err(refused) = parser.next(&mut &mut frame[..]) {
            error = Some(refused);
            break;
        }
        sent += 5;
    }
    assert_eq!(error, Some(ProtocolError::MessageTooLarge));
    assert!(sent < 4000, "{sent}");
}
