//! What is refused, with which code, which `field` and which `re` (CONTRACT §4 and §5).

use hubbub_protocol::{Codec, ErrorCode, frame};
use serde_json::{Value, json};

/// What came of a frame: the id, and the code and field of the refusal; `None` where it was a good command.
type Seen = (Option<u64>, Option<(ErrorCode, Option<String>)>);

fn decode(codec: Codec, bytes: &[u8]) -> Seen {
    let decoded = frame::decode(codec, bytes);
    (decoded.id, decoded.command.err().map(|refusal| (refusal.code, refusal.field)))
}

fn assert_malformed(codec: Codec, re: Option<u64>, bytes: &[u8]) {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]);
    assert_eq!(decode(codec, bytes), (re, Some((ErrorCode::Malformed, None))), "{shown}");
}

const ROOM: &str = "01993a5e-7c00-7a31-9d0e-5b6f0c1d2e3f";

#[test]
fn json_that_cannot_be_read_is_malformed_and_names_no_command() {
    for text in [
        "",
        " ",
        "{",
        "nonsense",
        r#"{"id":7,"cmd":"room.list""#,
        r#"{"id":7,"cmd":"room.list",}"#,
        r#"{'id':7,'cmd':'room.list'}"#,
        r#"{"id":07,"cmd":"room.list"}"#,
        r#"{"id":+7,"cmd":"room.list"}"#,
        r#"{"id":7,"cmd":"room.list","x":NaN}"#,
        "{\"id\":7,\"cmd\":\"room.list\",\"x\":\"a\nb\"}",
        r#"{"id":7,"cmd":"room.list","x":"\x41"}"#,
        // Behind the end: which of two values was meant cannot be told.
        r#"{"id":7,"cmd":"room.list"}{"id":8,"cmd":"room.list"}"#,
        r#"{"id":7,"cmd":"room.list"} x"#,
        "{\"id\":7,\"cmd\":\"room.list\"}\0",
        "\u{feff}{\"id\":7,\"cmd\":\"room.list\"}",
    ] {
        assert_malformed(Codec::Json, None, text.as_bytes());
    }
    assert_malformed(Codec::Json, None, b"{\"id\":7,\"cmd\":\"room.list\xff\"}".as_slice().split_last().unwrap().1);
    assert_malformed(Codec::Json, None, &b"[".repeat(100_000));
    assert_malformed(Codec::Json, None, &br#"{"id":"#.repeat(100_000));
}

#[test]
fn white_space_around_a_command_is_fine() {
    assert_eq!(decode(Codec::Json, b" \r\n\t{ \"id\" : 7 , \"cmd\" : \"room.list\" }\n "), (Some(7), None));
}

#[test]
fn a_command_is_an_object() {
    for tree in [json!([]), json!([7, "room.list"]), json!(7), json!("room.list"), json!(null), json!(true), json!(1.5)]
    {
        for codec in Codec::ALL {
            assert_malformed(codec, None, &codec.encode(&tree));
        }
    }
}

#[test]
fn lone_surrogates_are_malformed_and_keep_the_id() {
    for escape in [r"\ud800", r"\udc00", r"\ud800x", r"\ud800A", r"\udc00\ud800", r"\ud800\ud800"] {
        for frame in [
            format!(r#"{{"id":7,"cmd":"message.send","room":"general","client_msg_id":"a","body":"{escape}"}}"#),
            format!(r#"{{"cmd":"room.list","unknown":["{escape}"],"id":7}}"#),
            format!(r#"{{"cmd":"room.list","{escape}":1,"id":7}}"#),
            format!(r#"{{"cmd":"{escape}","id":7}}"#),
        ] {
            assert_malformed(Codec::Json, Some(7), frame.as_bytes());
        }
    }
    let pair = r#"{"id":7,"cmd":"message.send","room":"general","client_msg_id":"a","body":"\ud83d\udc4b"}"#;
    assert_eq!(decode(Codec::Json, pair.as_bytes()), (Some(7), None));
}

#[test]
fn duplicate_keys_are_malformed_and_keep_an_id_that_stands_once() {
    let many: Vec<_> = (0..40).map(|at| format!(r#""k{at}":{at}"#)).collect();
    let many = format!(r#"{{"id":7,"cmd":"room.list",{},"k7":7}}"#, many.join(","));
    for (re, frame) in [
        (Some(7), r#"{"id":7,"cmd":"room.list","cmd":"room.list"}"#),
        (Some(7), r#"{"id":7,"cmd":"room.list","limit":5,"limit":5}"#),
        (Some(7), r#"{"id":7,"cmd":"room.list","unknown":1,"unknown":2}"#),
        (Some(7), r#"{"id":7,"cmd":"room.list","unknown":{"deep":[{"a":1,"a":1}]}}"#),
        (Some(7), r#"{"id":7,"cmd":"room.list","a":1,"\u0061":1}"#),
        (Some(7), r#"{"id":7,"cmd":"session.resume","epoch":"e","rooms":{"general":1,"general":2}}"#),
        (Some(7), r#"{"id":7,"cmd":"no.such","a":1,"a":1}"#),
        (None, r#"{"id":7,"id":7,"cmd":"room.list"}"#),
        (None, r#"{"id":7,"cmd":"room.list","id":8}"#),
        (None, r#"{"id":7,"cmd":"room.list","\u0069d":8}"#),
        (None, r#"{"id":7,"id":7,"cmd":"room.list","body":"\ud800"}"#),
        (Some(7), &many),
    ] {
        assert_malformed(Codec::Json, re, frame.as_bytes());
    }
}

#[test]
fn an_id_is_an_integer_from_1_to_the_largest_exact_one() {
    for (id, re) in [("1", 1), ("7", 7), ("9007199254740991", 9_007_199_254_740_991)] {
        let frame = format!(r#"{{"id":{id},"cmd":"room.list"}}"#);
        assert_eq!(decode(Codec::Json, frame.as_bytes()), (Some(re), None));
    }
    let wrong = [
        "0",
        "-1",
        "-0",
        "1.0",
        "1.5",
        "1e3",
        "9007199254740992",
        "18446744073709551616",
        "\"7\"",
        "null",
        "true",
        "[7]",
        "{}",
        "-9223372036854775809",
    ];
    for id in wrong {
        assert_malformed(Codec::Json, None, format!(r#"{{"id":{id},"cmd":"room.list"}}"#).as_bytes());
        // The id is looked at before the name, and a fault elsewhere does not make it better.
        assert_malformed(Codec::Json, None, format!(r#"{{"id":{id},"cmd":"no.such"}}"#).as_bytes());
        assert_malformed(Codec::Json, None, format!(r#"{{"id":{id},"cmd":"a","b":"\ud800"}}"#).as_bytes());
    }
    for codec in Codec::ALL {
        assert_malformed(codec, None, &codec.encode(&json!({ "cmd": "room.list" })));
        assert_malformed(codec, None, &codec.encode(&json!({})));
    }
}

#[test]
fn a_cmd_is_text() {
    for codec in Codec::ALL {
        assert_malformed(codec, Some(7), &codec.encode(&json!({ "id": 7 })));
        for cmd in [json!(null), json!(1), json!(["room.list"]), json!({}), json!(false)] {
            assert_malformed(codec, Some(7), &codec.encode(&json!({ "id": 7, "cmd": cmd })));
        }
    }
}

#[test]
fn unknown_commands_are_told_apart() {
    for cmd in ["", "room", "room.List", "room.list ", "message.sent", "session.ready", "\u{0}", &"x".repeat(10_000)] {
        for codec in Codec::ALL {
            let bytes = codec.encode(&json!({ "id": 7, "cmd": cmd, "limit": 0 }));
            assert_eq!(decode(codec, &bytes), (Some(7), Some((ErrorCode::UnknownCommand, None))), "{cmd}");
        }
    }
}

#[test]
fn unknown_fields_are_ignored() {
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    for codec in Codec::ALL {
        let frame = json!({
            "id": 7, "cmd": "room.list", "trace": "x", "re": null, "ev": 1, "float": 1.5, "list": [1, "a", null, {}],
            "object": { "limit": 0, "cmd": "no.such", "id": 0 }, "": true, "deep": deep,
        });
        assert_eq!(decode(codec, &codec.encode(&frame)), (Some(7), None));
    }
}

#[test]
fn null_is_absent_where_an_argument_may_be_absent() {
    for frame in [
        json!({ "id": 7, "cmd": "room.list", "after": null, "limit": null }),
        json!({ "id": 7, "cmd": "room.subscribe", "room": ROOM, "after": null, "last": null }),
        json!({ "id": 7, "cmd": "room.subscribe", "room": ROOM, "after": 0, "last": null }),
        json!({ "id": 7, "cmd": "message.list", "room": ROOM, "before": null, "after": null, "limit": null }),
        json!({ "id": 7, "cmd": "event.list", "room": ROOM, "after": 0, "limit": null }),
        json!({ "id": 7, "cmd": "room.create", "kind": "direct", "name": null, "members": null }),
    ] {
        for codec in Codec::ALL {
            assert_eq!(decode(codec, &codec.encode(&frame)), (Some(7), None), "{frame}");
        }
    }
}

#[test]
fn nesting_is_bounded_and_keeps_the_id() {
    let deep = |open: &str, close: &str, levels: usize| {
        format!(r#"{{"id":7,"cmd":"room.list","x":{}1{}}}"#, open.repeat(levels), close.repeat(levels))
    };
    assert_eq!(decode(Codec::Json, deep("[", "]", 126).as_bytes()), (Some(7), None));
    for levels in [127, 128, 100_000] {
        assert_malformed(Codec::Json, Some(7), deep("[", "]", levels).as_bytes());
        assert_malformed(Codec::Json, Some(7), deep(r#"{"a":"#, "}", levels).as_bytes());
    }
}

/// Arguments that are wrong: the command, its frame without `id` and `cmd`, and the field that is named.
fn wrong_arguments() -> Vec<(&'static str, Value, &'static str)> {
    let mut all = vec![
        ("session.authenticate", json!({}), "token"),
        ("session.renew", json!({}), "token"),
        ("session.resume", json!({ "rooms": {} }), "epoch"),
        ("session.resume", json!({ "epoch": "e" }), "rooms"),
        ("session.resume", json!({ "epoch": 5, "rooms": {} }), "epoch"),
        ("session.resume", json!({ "epoch": "e".repeat(65), "rooms": {} }), "epoch"),
        ("room.create", json!({ "name": "general" }), "kind"),
        ("room.create", json!({ "name": "general", "kind": "secret" }), "kind"),
        ("room.create", json!({ "name": "general", "kind": { "public": null } }), "kind"),
        ("room.create", json!({ "kind": "public" }), "name"),
        ("room.create", json!({ "kind": "private", "name": null }), "name"),
        ("room.create", json!({ "kind": "direct", "name": "us" }), "name"),
        ("room.create", json!({ "kind": "public", "name": ROOM }), "name"),
        ("room.create", json!({ "kind": "direct", "members": "grace" }), "members"),
        ("room.create", json!({ "kind": "direct", "members": { "grace": 1 } }), "members"),
        ("room.create", json!({ "kind": "direct", "members": ["grace", 5] }), "members"),
        ("room.create", json!({ "kind": "direct", "members": ["Grace"] }), "members"),
        ("room.create", json!({ "kind": "direct", "members": [null] }), "members"),
        ("room.list", json!({ "after": 5 }), "after"),
        ("room.subscribe", json!({ "room": ROOM, "after": 3, "last": 5 }), "last"),
        ("message.list", json!({ "room": ROOM, "before": 3, "after": 5 }), "after"),
        ("event.list", json!({ "room": ROOM }), "after"),
        ("event.list", json!({ "room": ROOM, "after": null }), "after"),
        ("message.send", json!({ "room": ROOM, "body": "x" }), "client_msg_id"),
        ("message.send", json!({ "room": ROOM, "client_msg_id": "a" }), "body"),
    ];
    for name in ["", "General", "a b", "-x", "x".repeat(65).as_str(), "é", "a/b", "a\u{0}"] {
        all.push(("room.create", json!({ "kind": "public", "name": name }), "name"));
        all.push(("room.join", json!({ "room": name }), "room"));
    }
    for id in ["", "\n", "é", "\u{7f}", "x".repeat(65).as_str()] {
        all.push(("message.send", json!({ "room": ROOM, "client_msg_id": id, "body": "x" }), "client_msg_id"));
    }
    for wrong in [json!(null), json!(5), json!(-5), json!(1.5), json!(true), json!(["x"]), json!({ "x": "x" })] {
        all.push(("session.authenticate", json!({ "token": wrong }), "token"));
        all.push(("message.send", json!({ "room": ROOM, "client_msg_id": "a", "body": wrong }), "body"));
        all.push(("message.send", json!({ "room": ROOM, "client_msg_id": wrong, "body": "x" }), "client_msg_id"));
        for cmd in ["room.join", "room.leave", "room.show", "room.subscribe", "room.unsubscribe", "message.list"] {
            all.push((cmd, json!({ "room": wrong }), "room"));
        }
    }
    for wrong in
        [json!("5"), json!(-1), json!(1.0), json!(9_007_199_254_740_992_u64), json!(true), json!([]), json!({})]
    {
        all.push(("event.list", json!({ "room": ROOM, "after": wrong }), "after"));
        all.push(("room.subscribe", json!({ "room": ROOM, "after": wrong }), "after"));
        all.push(("room.subscribe", json!({ "room": ROOM, "last": wrong }), "last"));
        all.push(("message.list", json!({ "room": ROOM, "before": wrong }), "before"));
    }
    for wrong in [json!(0), json!(-1), json!("5"), json!(1.5), json!(false), json!([1])] {
        all.push(("room.list", json!({ "limit": wrong }), "limit"));
        all.push(("message.list", json!({ "room": ROOM, "limit": wrong }), "limit"));
        all.push(("event.list", json!({ "room": ROOM, "after": 0, "limit": wrong }), "limit"));
    }
    for wrong in [json!(null), json!([]), json!("general"), json!(5)] {
        all.push(("session.resume", json!({ "epoch": "e", "rooms": wrong }), "rooms"));
    }
    all
}

#[test]
fn wrong_arguments_are_named() {
    for (cmd, mut frame, field) in wrong_arguments() {
        frame["id"] = json!(7);
        frame["cmd"] = json!(cmd);
        for codec in Codec::ALL {
            let expected = (Some(7), Some((ErrorCode::InvalidField, Some(field.to_owned()))));
            assert_eq!(decode(codec, &codec.encode(&frame)), expected, "{frame} as {codec:?}");
        }
    }
}

#[test]
fn rooms_are_named_by_id_or_name() {
    for room in ["general", "0", "a.b_c-d", ROOM, &ROOM.to_uppercase(), &ROOM.replace('-', ""), &"x".repeat(64)] {
        for codec in Codec::ALL {
            let frame = json!({ "id": 7, "cmd": "room.show", "room": room });
            assert_eq!(decode(codec, &codec.encode(&frame)), (Some(7), None), "{room}");
        }
    }
    // Without hyphens it is a name: forms of UUIDs that no server writes must not hide a room.
    assert!(ROOM.replace('-', "").parse::<hubbub_protocol::RoomId>().is_err());
    assert!(format!("{{{ROOM}}}").parse::<hubbub_protocol::RoomId>().is_err());
    assert!(format!("urn:uuid:{ROOM}").parse::<hubbub_protocol::RoomId>().is_err());
}

#[test]
fn a_bad_cursor_fails_no_other() {
    let wrong = [
        json!(-1),
        json!("5"),
        json!(1.5),
        json!(null),
        json!(true),
        json!([1]),
        json!({ "a": 1 }),
        json!(9_007_199_254_740_992_u64),
    ];
    for wrong in wrong {
        for codec in Codec::ALL {
            let rooms = json!({ "general": 5, "": wrong, ROOM: 0 });
            let frame = json!({ "id": 7, "cmd": "session.resume", "epoch": "e", "rooms": rooms });
            let decoded = frame::decode(codec, &codec.encode(&frame));
            let Ok(hubbub_protocol::Command::SessionResume(resume)) = decoded.command else { panic!("{frame}") };
            let cursors = resume.rooms.0;
            assert_eq!(cursors[0], ("general".to_owned(), Ok(5)));
            assert!(cursors[1].1.is_err() && cursors[1].0.is_empty());
            assert_eq!(cursors[2], (ROOM.to_owned(), Ok(0)));
        }
    }
}

#[test]
fn any_page_length_above_the_maximum_is_left_to_be_cut() {
    for limit in [1, 100, 101, u64::MAX] {
        for codec in Codec::ALL {
            let frame = json!({ "id": 7, "cmd": "room.list", "limit": limit });
            assert_eq!(decode(codec, &codec.encode(&frame)), (Some(7), None), "{limit}");
        }
    }
}

#[test]
fn a_traceparent_is_read_or_as_if_it_was_not_there() {
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for codec in Codec::ALL {
        let read = |traceparent: Value| {
            let tree = json!({ "id": 7, "cmd": "room.list", "traceparent": traceparent });
            let decoded = frame::decode(codec, &codec.encode(&tree));
            assert!(decoded.command.is_ok(), "{tree}");
            decoded.trace.map(|trace| trace.to_string())
        };
        assert_eq!(read(traceparent.into()).as_deref(), Some(traceparent));
        for other in [json!("00-x"), json!(7), json!(null), json!([traceparent]), json!({ "traceparent": traceparent })]
        {
            assert_eq!(read(other.clone()), None, "{other}");
        }
        let refused = json!({ "id": 7, "cmd": "room.burn", "traceparent": traceparent });
        let refused = frame::decode(codec, &codec.encode(&refused));
        assert!(refused.command.is_err() && refused.trace.is_some(), "a refusal belongs to its trace too");
    }
}
