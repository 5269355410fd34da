//! The shortest way through the codec: one frame in, one frame out.

use std::borrow::Cow;

use hubbub_websocket::{Deflater, Incoming, Opcode, Parser, ParserConfig, frame};

#[test]
fn the_examples_of_the_rfc() {
    let mut bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    let mut input = &mut bytes[..];
    let mut parser = Parser::new(ParserConfig { frame_bytes_max: 0, message_bytes_max: 0, deflate: true });
    assert_eq!(parser.next(&mut input), Ok(Some(Incoming::Text(Cow::Borrowed("Hello")))));
    assert_eq!(parser.next(&mut input), Ok(None));
    assert!(parser.is_idle());
    assert_eq!(&frame(Opcode::Text, b"Hello")[..], b"\x81\x05Hello");
    let mut out = Vec::new();
    assert!(Deflater::new(6).compress_frame(Opcode::Text, &b"Hello".repeat(9), &mut out));
    assert_eq!(out[0], 0xc1);
    out.splice(1..2, [out[1] | 0x80, 0, 0, 0, 0]);
    let mut input = &mut out[..];
    assert_eq!(parser.next(&mut input), Ok(Some(Incoming::Text(Cow::Owned("Hello".repeat(9))))));
    assert!(size_of::<Parser>() <= 80, "{}", size_of::<Parser>());
}
