//! Each rule that a client can break, and the legal thing right beside it.

use std::borrow::Cow;

use hubbub_websocket::{Incoming, Parser, ParserConfig, ProtocolError};

use crate::wire::{
    BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, RSV1, TEXT, UNLIMITED, client_close, client_deflate, client_frame,
    feed, verdict,
};

const NO_DEFLATE: ParserConfig = ParserConfig { deflate: false, ..UNLIMITED };

fn text(text: &str) -> Incoming<'static> {
    Incoming::Text(Cow::Owned(text.to_owned()))
}

/// The error must come exactly with the byte at the end of `bytes`, never later and never earlier.
fn refused_at_the_end(config: ParserConfig, bytes: &[u8], error: ProtocolError) {
    assert_eq!(verdict(config, bytes).1, Some(error), "{bytes:02x?}");
    assert_eq!(verdict(config, &bytes[..bytes.len() - 1]).1, None, "{bytes:02x?} less one");
}

#[test]
fn the_example_of_rfc_6455() {
    let frame = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(verdict(UNLIMITED, &frame), (vec![text("Hello")], None));
}

#[test]
fn first_byte() {
    for reserved in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        refused_at_the_end(UNLIMITED, &[FIN | reserved], ProtocolError::ReservedOpcode);
    }
    for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
        for bits in [0x10, 0x20, 0x30, 0x50, 0x60, 0x70] {
            refused_at_the_end(UNLIMITED, &[FIN | bits | opcode], ProtocolError::ReservedBits);
        }
        refused_at_the_end(NO_DEFLATE, &[FIN | RSV1 | opcode], ProtocolError::ReservedBits);
    }
    for control in [CLOSE, PING, PONG] {
        refused_at_the_end(UNLIMITED, &[FIN | RSV1 | control], ProtocolError::ReservedBits);
        refused_at_the_end(UNLIMITED, &[control], ProtocolError::FragmentedControl);
    }
    for opcode in [TEXT, BINARY] {
        assert_eq!(verdict(UNLIMITED, &[FIN | RSV1 | opcode]).1, None);
    }
}

#[test]
fn order_of_fragments() {
    for fin in [0, FIN] {
        refused_at_the_end(UNLIMITED, &[fin | CONTINUATION], ProtocolError::LoneContinuation);
        for opcode in [TEXT, BINARY] {
            let bytes = [client_frame(opcode, b"a"), vec![fin | opcode]].concat();
            refused_at_the_end(UNLIMITED, &bytes, ProtocolError::InterleavedMessage);
        }
    }
    let compressed_continuation = [client_frame(RSV1 | TEXT, b"a"), vec![FIN | RSV1 | CONTINUATION]].concat();
    refused_at_the_end(UNLIMITED, &compressed_continuation, ProtocolError::ReservedBits);
    let after_the_end = [client_frame(TEXT, b"a"), client_frame(FIN, b"b"), vec![FIN]].concat();
    refused_at_the_end(UNLIMITED, &after_the_end, ProtocolError::LoneContinuation);
}

#[test]
fn masks_and_lengths() {
    refused_at_the_end(UNLIMITED, &[FIN | TEXT, 0x05], ProtocolError::Unmasked);
    for opcode in [CLOSE, PING, PONG] {
        refused_at_the_end(UNLIMITED, &[FIN | opcode, 0x80 | 126], ProtocolError::LongControl);
        refused_at_the_end(UNLIMITED, &[FIN | opcode, 0x80 | 127], ProtocolError::LongControl);
    }
    refused_at_the_end(UNLIMITED, &[FIN | TEXT, 0xfe, 0, 125], ProtocolError::OverlongLength);
    refused_at_the_end(UNLIMITED, &[FIN | TEXT, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], ProtocolError::OverlongLength);
    refused_at_the_end(UNLIMITED, &[FIN | TEXT, 0xff, 0x80], ProtocolError::LengthTopBit);
    assert_eq!(verdict(UNLIMITED, &[FIN | TEXT, 0xfe, 0, 126]).1, None);
    assert_eq!(verdict(UNLIMITED, &[FIN | TEXT, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]).1, None);
    assert_eq!(verdict(UNLIMITED, &[FIN | TEXT, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).1, None);
}

#[test]
fn every_close_code() {
    for code in 0..=u16::MAX {
        let legal = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        let outcome = feed(UNLIMITED, &client_close(code, b"why"), []);
        if legal {
            assert_eq!(outcome.incoming, [Incoming::Close(Some((code, Cow::Borrowed("why"))))], "{code}");
        } else {
            assert_eq!(outcome.error, Some(ProtocolError::CloseCode), "{code}");
        }
    }
}

#[test]
fn close_payloads() {
    assert_eq!(verdict(UNLIMITED, &client_frame(FIN | CLOSE, b"")), (vec![Incoming::Close(None)], None));
    assert_eq!(verdict(UNLIMITED, &client_frame(FIN | CLOSE, b"\x03")).1, Some(ProtocolError::ClosePayload));
    let empty_reason = Incoming::Close(Some((1000, Cow::Borrowed(""))));
    assert_eq!(verdict(UNLIMITED, &client_close(1000, b"")), (vec![empty_reason], None));
    for reason in [&b"\xc3"[..], b"ok\xff", b"\xed\xa0\x80"] {
        assert_eq!(verdict(UNLIMITED, &client_close(1000, reason)).1, Some(ProtocolError::CloseReason));
    }
    let longest = [b'x'; 123];
    let got = verdict(UNLIMITED, &client_close(4999, &longest)).0;
    assert_eq!(got, [Incoming::Close(Some((4999, String::from_utf8_lossy(&longest).into_owned().into())))]);
}

#[test]
fn nothing_is_read_behind_a_close() {
    let bytes = [client_close(1000, b"bye"), vec![0xff; 64], client_frame(FIN | TEXT, b"late")].concat();
    assert_eq!(verdict(UNLIMITED, &bytes), (vec![Incoming::Close(Some((1000, Cow::Borrowed("bye"))))], None));
}

#[test]
fn control_frames_between_and_inside_reads_of_a_message() {
    let bytes = [
        client_frame(TEXT, b"one "),
        client_frame(FIN | PING, &[7; 125]),
        client_frame(CONTINUATION, b""),
        client_frame(FIN | PONG, b""),
        client_frame(FIN | CONTINUATION, b"two"),
        client_frame(FIN | BINARY, b""),
    ]
    .concat();
    let expected = vec![
        Incoming::Fragment,
        Incoming::Ping(Cow::Owned(vec![7; 125])),
        Incoming::Fragment,
        Incoming::Pong(Cow::Owned(vec![])),
        text("one two"),
        Incoming::Binary(Cow::Owned(vec![])),
    ];
    assert_eq!(verdict(UNLIMITED, &bytes), (expected, None));
}

#[test]
fn a_close_inside_a_fragmented_message_drops_the_message() {
    let bytes = [client_frame(TEXT, b"one "), client_close(1001, b"")].concat();
    let mut bytes = bytes;
    let mut input = &mut bytes[..];
    let mut parser = Parser::new(UNLIMITED);
    assert_eq!(parser.next(&mut input), Ok(Some(Incoming::Fragment)));
    assert!(!parser.is_idle() && parser.held_bytes() > 0);
    assert!(matches!(parser.next(&mut input), Ok(Some(Incoming::Close(Some((1001, _)))))));
    assert_eq!(parser.held_bytes(), 0);
}

#[test]
fn a_whole_frame_is_not_copied() {
    for opcode in [TEXT, BINARY, PING, PONG] {
        let mut bytes = client_frame(FIN | opcode, b"in place");
        let range = bytes.as_ptr_range();
        let mut input = &mut bytes[..];
        let incoming = Parser::new(UNLIMITED).next(&mut input).expect("legal").expect("whole");
        let (Incoming::Text(Cow::Borrowed(_))
        | Incoming::Binary(Cow::Borrowed(_))
        | Incoming::Ping(Cow::Borrowed(_))
        | Incoming::Pong(Cow::Borrowed(_))) = &incoming
        else {
            panic!("copied: {incoming:?}");
        };
        if let Incoming::Binary(payload) = &incoming {
            assert!(range.contains(&payload.as_ptr()));
        }
    }
}

#[test]
fn an_idle_parser_is_small_and_holds_no_heap() {
    assert!(size_of::<Parser>() <= 100, "{} bytes", size_of::<Parser>());
    let mut parser = Parser::new(UNLIMITED);
    let deflated = client_deflate(b"compressed");
    let messages = [
        [client_frame(TEXT, b"a"), client_frame(FIN, b"b")].concat(),
        client_frame(FIN | RSV1 | TEXT, &deflated),
        client_frame(FIN | PING, b"ping"),
        client_frame(FIN | TEXT, b"whole"),
        client_frame(FIN | BINARY, b""),
    ];
    for message in &messages {
        for byte in message {
            parser.next(&mut &mut [*byte][..]).expect("legal");
        }
        assert!(parser.is_idle(), "{message:02x?}");
        assert_eq!(parser.held_bytes(), 0, "{message:02x?}");
    }
}

#[test]
fn codes_and_reasons_fit_a_close_frame() {
    use ProtocolError::*;
    let all = [
        (Unmasked, 1002),
        (ReservedBits, 1002),
        (ReservedOpcode, 1002),
        (FragmentedControl, 1002),
        (LongControl, 1002),
        (LoneContinuation, 1002),
        (InterleavedMessage, 1002),
        (OverlongLength, 1002),
        (LengthTopBit, 1002),
        (ClosePayload, 1002),
        (CloseCode, 1002),
        (CloseReason, 1007),
        (Utf8, 1007),
        (Deflate, 1007),
        (FrameTooLarge, 1009),
        (MessageTooLarge, 1009),
    ];
    for (error, code) in all {
        assert_eq!(error.close_code(), code, "{error}");
        assert!((1..=123).contains(&error.reason().len()), "{error}");
    }
}
