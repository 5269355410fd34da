//! Text that is no text, refused with the byte that makes it so (RFC 6455 §8.1).

use std::borrow::Cow;

use hubbub_websocket::{Incoming, ProtocolError};

use crate::wire::{CONTINUATION, FIN, RSV1, TEXT, UNLIMITED, client_deflate, client_frame, feed, verdict};

const BAD: &[&[u8]] = &[
    b"\x80",
    b"\xbf",
    b"\xc0\xaf",
    b"\xc1\xbf",
    b"\xe0\x80\xaf",
    b"\xe0\x9f\xbf",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf0\x80\x80\xaf",
    b"\xf0\x8f\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfe",
    b"\xff",
    b"\xc3(",
    b"\xe2\x82(",
    b"\xf0\x9f\x98(",
];

const GOOD: &[&str] =
    &["", "a", "\u{7f}", "\u{80}", "\u{7ff}", "\u{800}", "\u{d7ff}", "\u{e000}", "\u{ffff}", "\u{10000}", "\u{10ffff}"];

/// Long enough that a vectorised validator is at work.
fn padded(bytes: &[u8]) -> Vec<u8> {
    [&[b'a'; 200], bytes, &[b'z'; 200]].concat()
}

#[test]
fn bad_text_in_one_frame_and_in_any_two() {
    for bad in BAD.iter().flat_map(|bad| [bad.to_vec(), padded(bad)]) {
        assert_eq!(verdict(UNLIMITED, &client_frame(FIN | TEXT, &bad)).1, Some(ProtocolError::Utf8), "{bad:02x?}");
        for cut in 0..=bad.len() {
            let bytes = [client_frame(TEXT, &bad[..cut]), client_frame(FIN | CONTINUATION, &bad[cut..])].concat();
            assert_eq!(verdict(UNLIMITED, &bytes).1, Some(ProtocolError::Utf8), "{bad:02x?} cut at {cut}");
        }
    }
}

#[test]
fn good_text_in_any_three_fragments() {
    for good in GOOD {
        for left in 0..=good.len() {
            for right in left..=good.len() {
                let bytes = [
                    client_frame(TEXT, &good.as_bytes()[..left]),
                    client_frame(CONTINUATION, &good.as_bytes()[left..right]),
                    client_frame(FIN | CONTINUATION, &good.as_bytes()[right..]),
                ]
                .concat();
                let expected = vec![Incoming::Fragment, Incoming::Fragment, Incoming::Text(Cow::Borrowed(*good))];
                assert_eq!(verdict(UNLIMITED, &bytes), (expected, None));
            }
        }
    }
}

#[test]
fn a_character_may_not_be_open_at_the_end() {
    for open in [&b"\xc3"[..], b"\xe2\x82", b"\xf0\x9f\x98", b"text \xf0"] {
        assert_eq!(verdict(UNLIMITED, &client_frame(FIN | TEXT, open)).1, Some(ProtocolError::Utf8));
        let bytes = [client_frame(TEXT, open), client_frame(FIN, b"")].concat();
        assert_eq!(verdict(UNLIMITED, &bytes).1, Some(ProtocolError::Utf8));
        // Not yet: the rest may come.
        assert_eq!(verdict(UNLIMITED, &client_frame(TEXT, open)).1, None);
    }
}

#[test]
fn refused_in_the_middle_of_a_frame() {
    // The frame goes on for a thousand bytes that never come.
    for (bytes, hopeless_at) in
        [(&b"abc\xff"[..], 4), (b"\xed\xa0", 2), (b"\xf4\x90", 2), (b"\xce\xba\xe1\xbd\xb9\xed\xa0", 7)]
    {
        let mut frame = client_frame(FIN | TEXT, &[bytes, &[b'x'; 1000]].concat());
        let header_len = 8;
        frame.truncate(header_len + hopeless_at);
        assert_eq!(verdict(UNLIMITED, &frame).1, Some(ProtocolError::Utf8), "{bytes:02x?}");
        frame.truncate(frame.len() - 1);
        assert_eq!(verdict(UNLIMITED, &frame).1, None, "{bytes:02x?} less one");
    }
}

#[test]
fn inflated_text_is_checked_too() {
    for bad in BAD {
        let frame = client_frame(FIN | RSV1 | TEXT, &client_deflate(bad));
        assert_eq!(verdict(UNLIMITED, &frame).1, Some(ProtocolError::Utf8), "{bad:02x?}");
        let binary = client_frame(FIN | RSV1 | 2, &client_deflate(bad));
        assert_eq!(feed(UNLIMITED, &binary, []).error, None);
    }
}
