//! What the server writes, byte by byte.

use bytes::BytesMut;
use hubbub_websocket::{
    CLOSE_REASON_BYTES_MAX, Opcode, SERVER_HEADER_BYTES_MAX, close_frame, close_reply, empty_close_frame, encode_frame,
    frame, frame_header_len, write_compressed_header, write_header,
};

#[test]
fn headers_at_every_boundary() {
    let cases: [(usize, &[u8]); 6] = [
        (0, &[0x82, 0]),
        (125, &[0x82, 125]),
        (126, &[0x82, 126, 0, 126]),
        (65_535, &[0x82, 126, 0xff, 0xff]),
        (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        (1 << 32, &[0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0]),
    ];
    for (payload_len, expected) in cases {
        let mut header = [0; SERVER_HEADER_BYTES_MAX];
        let header_len = write_header(Opcode::Binary, payload_len, &mut header);
        assert_eq!(&header[..header_len], expected);
        assert_eq!(frame_header_len(payload_len), expected.len());
        assert_eq!(write_compressed_header(Opcode::Binary, payload_len, &mut header), expected.len());
        assert_eq!(header[0], 0xc2);
        assert_eq!(header[1..expected.len()], expected[1..]);
    }
}

#[test]
fn frames_join_in_any_buffer() {
    let (mut vec, mut bytes) = (Vec::new(), BytesMut::new());
    for (opcode, payload) in [(Opcode::Text, "one"), (Opcode::Ping, ""), (Opcode::Binary, "two")] {
        encode_frame(opcode, payload.as_bytes(), &mut vec);
        encode_frame(opcode, payload.as_bytes(), &mut bytes);
    }
    assert_eq!(vec, b"\x81\x03one\x89\x00\x82\x03two");
    assert_eq!(vec, bytes);
    assert_eq!(&frame(Opcode::Text, b"one")[..], b"\x81\x03one");
}

#[test]
fn closes() {
    assert_eq!(&close_frame(1000, "bye")[..], b"\x88\x05\x03\xe8bye");
    assert_eq!(&close_frame(4999, "")[..], b"\x88\x02\x13\x87");
    assert_eq!(&empty_close_frame()[..], b"\x88\x00");
    for unspeakable in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        assert_eq!(close_frame(unspeakable, "no"), empty_close_frame());
    }
    assert_eq!(&close_reply(Some(3001))[..], b"\x88\x02\x0b\xb9");
    assert_eq!(close_reply(None), empty_close_frame());
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let reason = format!("{}é and more", "x".repeat(CLOSE_REASON_BYTES_MAX - 1));
    let frame = close_frame(1008, &reason);
    assert_eq!(frame.len(), 2 + 2 + CLOSE_REASON_BYTES_MAX - 1);
    assert_eq!(frame[1], 124);
    assert!(frame[4..].iter().all(|&byte| byte == b'x'));
}
