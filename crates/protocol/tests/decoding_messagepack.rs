//! What only MessagePack can hold: other integers, bytes, extensions, other keys, lying lengths (CONTRACT §4).

use hubbub_protocol::{Codec, ErrorCode, frame};

/// A map of these fields; keys and values are MessagePack already.
fn map(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0xde];
    bytes.extend(u16::try_from(fields.len()).unwrap().to_be_bytes());
    for (key, value) in fields {
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
    }
    bytes
}

/// A text of at most 31 bytes.
fn text(text: &str) -> Vec<u8> {
    assert!(text.len() < 32);
    let length = u8::try_from(text.len()).unwrap();
    [0xa0 | length].into_iter().chain(text.bytes()).collect()
}

/// `room.list` with id 7 and one more field.
fn with(key: &[u8], value: &[u8]) -> Vec<u8> {
    map(&[(&text("id"), &[7]), (&text("cmd"), &text("room.list")), (key, value)])
}

fn seen(bytes: &[u8]) -> (Option<u64>, Option<(ErrorCode, Option<String>)>) {
    let decoded = frame::decode(Codec::MessagePack, bytes);
    (decoded.id, decoded.command.err().map(|refusal| (refusal.code, refusal.field)))
}

fn assert_malformed(re: Option<u64>, bytes: &[u8]) {
    assert_eq!(seen(bytes), (re, Some((ErrorCode::Malformed, None))), "{:x?}", &bytes[..bytes.len().min(60)]);
}

#[test]
fn an_id_may_have_any_width_of_integer() {
    let ids: [&[u8]; 8] = [
        &[7],
        &[0xcc, 7],
        &[0xcd, 0, 7],
        &[0xce, 0, 0, 0, 7],
        &[0xcf, 0, 0, 0, 0, 0, 0, 0, 7],
        &[0xd0, 7],
        &[0xd2, 0, 0, 0, 7],
        &[0xd3, 0, 0, 0, 0, 0, 0, 0, 7],
    ];
    for id in ids {
        assert_eq!(seen(&map(&[(&text("id"), id), (&text("cmd"), &text("room.list"))])), (Some(7), None));
    }
    let wrong: [&[u8]; 9] = [
        &[0],
        &[0xff],
        &[0xd0, 0xff],
        &[0xc0],
        &[0xc3],
        &[0xca, 0x40, 0xe0, 0, 0],
        &[0xcf, 0x00, 0x20, 0, 0, 0, 0, 0, 0],
        &[0xa1, b'7'],
        &[0xc4, 1, 7],
    ];
    for id in wrong {
        assert_malformed(None, &map(&[(&text("id"), id), (&text("cmd"), &text("room.list"))]));
    }
}

#[test]
fn lengths_are_not_believed() {
    for header in [
        [0xdd, 0xff, 0xff, 0xff, 0xff],
        [0xdf, 0xff, 0xff, 0xff, 0xff],
        [0xdb, 0xff, 0xff, 0xff, 0xff],
        [0xc6, 0xff, 0xff, 0xff, 0xff],
        [0xc9, 0xff, 0xff, 0xff, 0xff],
    ] {
        assert_malformed(None, &header);
        assert_malformed(None, &with(&text("x"), &header));
        // The same under many lists, where the walk goes without recursion.
        let deep: Vec<u8> = [0x91; 300].into_iter().chain(header).collect();
        assert_malformed(None, &with(&text("x"), &deep));
    }
    let command: Vec<u8> = [0xdf, 0xff, 0xff, 0xff, 0xff]
        .into_iter()
        .chain(text("id"))
        .chain([7])
        .chain(text("cmd"))
        .chain(text("room.list"))
        .collect();
    assert_malformed(None, &command);
}

#[test]
fn nesting_is_bounded_and_keeps_the_id() {
    let deep = |levels: usize| -> Vec<u8> { std::iter::repeat_n(0x91, levels).chain([1]).collect() };
    assert_eq!(seen(&with(&text("x"), &deep(126))), (Some(7), None));
    for levels in [127, 128, 100_000, 1_000_000] {
        assert_malformed(Some(7), &with(&text("x"), &deep(levels)));
    }
    assert_malformed(None, &deep(100_000));
}

#[test]
fn bytes_and_extensions_are_no_arguments_but_may_stand_in_unknown_fields() {
    let values: [&[u8]; 7] = [
        &[0xc4, 2, b'a', b'b'],
        &[0xc5, 0, 1, b'a'],
        &[0xc6, 0, 0, 0, 0],
        &[0xd6, 0xff, 0, 0, 0, 1],
        &[0xd8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0xc7, 0, 5],
        &[0xc8, 0, 1, 5, 9],
    ];
    for value in values {
        assert_eq!(seen(&with(&text("unknown"), value)), (Some(7), None));
        for field in ["after", "limit"] {
            let refused = Some((ErrorCode::InvalidField, Some(field.to_owned())));
            assert_eq!(seen(&with(&text(field), value)), (Some(7), refused), "{value:x?}");
        }
        let send = map(&[
            (&text("id"), &[7]),
            (&text("cmd"), &text("message.send")),
            (&text("room"), &text("general")),
            (&text("client_msg_id"), &text("a")),
            (&text("body"), value),
        ]);
        assert_eq!(seen(&send), (Some(7), Some((ErrorCode::InvalidField, Some("body".to_owned())))));
        assert_malformed(Some(7), &map(&[(&text("id"), &[7]), (&text("cmd"), value)]));
        assert_malformed(None, &map(&[(&text("id"), value), (&text("cmd"), &text("room.list"))]));
    }
}

#[test]
fn keys_are_text() {
    let keys: [&[u8]; 6] = [&[5], &[0xc0], &[0xc4, 2, b'i', b'd'], &[0x90], &[0x80], &[0xa1, 0xff]];
    for key in keys {
        assert_malformed(Some(7), &with(key, &[1]));
        let nested: Vec<u8> = [0x81].iter().chain(key).chain(&[1]).copied().collect();
        assert_malformed(Some(7), &with(&text("unknown"), &nested));
    }
}

#[test]
fn duplicate_keys_are_malformed() {
    assert_malformed(Some(7), &with(&text("cmd"), &text("room.list")));
    assert_malformed(None, &with(&text("id"), &[7]));
    // The same text may be written with a longer header.
    assert_malformed(None, &with(&[0xd9, 2, b'i', b'd'], &[8]));
    let nested = map(&[(&text("a"), &[1]), (&text("a"), &[2])]);
    assert_malformed(Some(7), &with(&text("unknown"), &nested));
}

#[test]
fn a_text_is_utf8() {
    let texts: [&[u8]; 6] = [
        &[0xa1, 0xff],
        &[0xa3, 0xed, 0xa0, 0x80],
        &[0xd9, 2, 0xc0, 0x80],
        &[0xda, 0, 1, 0x80],
        &[0xdb, 0, 0, 0, 1, 0xfe],
        &[0xa2, b'a', 0xc3],
    ];
    for text_bytes in texts {
        assert_malformed(Some(7), &with(&text("after"), text_bytes));
        assert_malformed(Some(7), &with(&text("unknown"), text_bytes));
        assert_malformed(Some(7), &with(text_bytes, &[1]));
    }
}

#[test]
fn nothing_stands_behind_the_end_and_nothing_is_missing() {
    let good = with(&text("limit"), &[5]);
    assert_eq!(seen(&good), (Some(7), None));
    for end in 0..good.len() {
        assert_malformed(None, &good[..end]);
    }
    for more in [vec![0xc0], vec![0], good.clone(), vec![0xc1]] {
        assert_malformed(None, &[good.clone(), more].concat());
    }
    assert_malformed(None, &[0xc1]);
    assert_malformed(None, &with(&text("x"), &[0xc1]));
}
