//! The frames of Hubbub: written as the protocol's own types read them, read as those write them.

use hubbub_protocol::{Codec as WireCodec, RoomEvent, frame};

use super::super::testing::{ask, open, receive, told};
use super::*;

const ROOM: &str = "01993a5e-7c00-7a31-9d0e-5b6f0c1d2e3f";

fn dialogue(codec: Codec) -> HubbubDialogue {
    HubbubDialogue::new(&Arc::new(Shared { names: RoomNames::new("r"), codec }))
}

/// The golden event of this name, in the server's own words.
fn event(text: &str, codec: WireCodec) -> (Vec<u8>, RoomEvent) {
    let event: RoomEvent = serde_json::from_str(text).expect("an event");
    let bytes = match codec {
        WireCodec::Json => serde_json::to_vec(&event).expect("JSON"),
        WireCodec::MessagePack => rmp_serde::to_vec_named(&event).expect("MessagePack"),
    };
    (bytes, event)
}

#[test]
fn the_upgrade_names_the_form_and_the_token() {
    for (codec, name) in [(Codec::Json, "hubbub.v1.json"), (Codec::Msgpack, "hubbub.v1.msgpack")] {
        let peer = Hubbub { shared: Arc::new(Shared { names: RoomNames::new("r"), codec }) };
        let upgrade = peer.upgrade("abc");
        assert_eq!(upgrade.protocols.as_deref(), Some(name));
        assert_eq!(upgrade.headers, [("Authorization", "Bearer abc".to_owned())]);
        assert!(peer.upgrade("").headers.is_empty());
    }
}

#[test]
fn asks_in_json() {
    let mut dialogue = dialogue(Codec::Json);
    assert!(open(&mut dialogue).0.0.is_empty());
    for (asked, expected) in [
        (Ask::Create { room: 3 }, r#"{"id":9,"cmd":"room.create","name":"r-3","kind":"public"}"#),
        (Ask::Join { room: 3 }, r#"{"id":9,"cmd":"room.join","room":"r-3"}"#),
        (Ask::Subscribe { room: 3, after: None }, r#"{"id":9,"cmd":"room.subscribe","room":"r-3"}"#),
        (Ask::Subscribe { room: 3, after: Some(7) }, r#"{"id":9,"cmd":"room.subscribe","room":"r-3","after":7}"#),
        (
            Ask::Send { room: 3, body: "hl.1", key: "k1" },
            r#"{"id":9,"cmd":"message.send","room":"r-3","client_msg_id":"k1","body":"hl.1"}"#,
        ),
        (Ask::Page { room: 3, before: Some(8) }, r#"{"id":9,"cmd":"message.list","room":"r-3","before":8,"limit":50}"#),
    ] {
        let (outcome, sent) = ask(&mut dialogue, 9, &asked);
        assert_eq!((outcome, sent.texts()), (Asked::Waiting, vec![expected]));
    }
    assert_eq!(ask(&mut dialogue, 10, &Ask::Typing { room: 3 }).0, Asked::Unknown);
    assert_eq!(ask(&mut dialogue, 10, &Ask::Read { room: 3, seq: 1 }).0, Asked::Unknown);
}

#[test]
fn the_protocol_reads_every_ask_in_both_forms() {
    for (codec, wire) in [(Codec::Json, WireCodec::Json), (Codec::Msgpack, WireCodec::MessagePack)] {
        let mut dialogue = dialogue(codec);
        for asked in [
            Ask::Create { room: 3 },
            Ask::Join { room: 3 },
            Ask::Subscribe { room: 3, after: Some(7) },
            Ask::Send { room: 3, body: "hl.1", key: "k1" },
            Ask::Page { room: 3, before: None },
        ] {
            let (_, sent) = ask(&mut dialogue, 9, &asked);
            let decoded = frame::decode(wire, &sent.0[0]);
            assert_eq!(decoded.id, Some(9));
            decoded.command.expect("a command");
        }
    }
}

#[test]
fn deliveries_are_read_by_position_in_both_forms() {
    let text = include_str!("../../../crates/protocol/golden/event.message.sent.json");
    for seq in [1, 127, 128, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, (1 << 53) - 1] {
        let text = text.replace("\"seq\": 42", &format!("\"seq\": {seq}"));
        let (json, _) = event(&text, WireCodec::Json);
        assert_eq!(json_seq(&json), Some(seq));
        let (packed, _) = event(&text, WireCodec::MessagePack);
        assert_eq!(packed_seq(&packed), Some(seq));
        for end in 0..packed.len().min(80) {
            packed_seq(&packed[..end]);
            json_seq(&json[..end]);
        }
        let mut dialogue = dialogue(Codec::Msgpack);
        let (said, _) = receive(&mut dialogue, Message::Binary(&packed));
        assert!(said.len() == 1 && said[0].starts_with(&format!("message {seq} ")), "{said:?}");
    }
}

#[test]
fn deliveries_of_another_form_are_decoded() {
    let frame = format!(r#"{{"room":"{ROOM}", "ev":"message.sent","seq":5,"data":{{"body":"hl.1"}}}}"#);
    assert_eq!(json_seq(frame.as_bytes()), None);
    assert_eq!(told(&mut dialogue(Codec::Json), &frame), [format!("message 5 {frame}")]);
}

#[test]
fn other_events_use_up_a_number_of_their_room() {
    let joined = include_str!("../../../crates/protocol/golden/event.member.joined.json");
    for (codec, wire) in [(Codec::Json, WireCodec::Json), (Codec::Msgpack, WireCodec::MessagePack)] {
        let (bytes, _) = event(joined, wire);
        let message = || match codec {
            Codec::Json => Message::Text(&bytes),
            Codec::Msgpack => Message::Binary(&bytes),
        };
        let mut dialogue = dialogue(codec);
        assert!(receive(&mut dialogue, message()).0.is_empty(), "nobody knows the room yet");
        ask(&mut dialogue, 1, &Ask::Join { room: 3 });
        let answer = format!(r#"{{"re":1,"ok":{{"id":"{ROOM}","name":"r-3","kind":"public","head":2}}}}"#);
        assert_eq!(told(&mut dialogue, &answer), ["Done { id: 1, head: 0, gap: None }"]);
        assert_eq!(receive(&mut dialogue, message()).0, ["Passed { room: 3, seq: 2 }"]);
    }
}

#[test]
fn subscriptions_tell_head_and_gap() {
    let mut dialogue = dialogue(Codec::Json);
    ask(&mut dialogue, 12, &Ask::Subscribe { room: 3, after: Some(40) });
    let answer = include_str!("../../../crates/protocol/golden/reply.room.subscribe.gap.json");
    assert_eq!(told(&mut dialogue, answer), ["Done { id: 12, head: 5000, gap: Some((41, 4000)) }"]);
    ask(&mut dialogue, 12, &Ask::Subscribe { room: 3, after: Some(99) });
    let answer = include_str!("../../../crates/protocol/golden/reply.room.subscribe.reset.json");
    assert_eq!(told(&mut dialogue, answer), ["Done { id: 12, head: 42, gap: None }", r#"Failed { code: "reset" }"#]);
    assert!(dialogue.pending.is_empty());
    assert_eq!(dialogue.rooms.len(), 1);
}

#[test]
fn a_room_that_is_there_already_counts_as_made() {
    let mut dialogue = dialogue(Codec::Json);
    let conflict = include_str!("../../../crates/protocol/golden/error.conflict.json");
    let refused = r#"Refused { id: 20, code: "conflict", is_retryable: false, retry_after_ms: 0 }"#;
    assert_eq!(told(&mut dialogue, conflict), [refused]);
    ask(&mut dialogue, 20, &Ask::Create { room: 3 });
    assert_eq!(told(&mut dialogue, conflict), ["Done { id: 20, head: 0, gap: None }"]);
}

#[test]
fn sends_are_acked_or_refused_with_the_time_to_wait() {
    let mut dialogue = dialogue(Codec::Json);
    for answer in [
        include_str!("../../../crates/protocol/golden/reply.message.send.json"),
        include_str!("../../../crates/protocol/golden/reply.message.send.duplicate.json"),
    ] {
        assert_eq!(told(&mut dialogue, answer), ["Done { id: 15, head: 0, gap: None }"]);
    }
    let limited = include_str!("../../../crates/protocol/golden/error.rate_limited.json");
    let refused = r#"Refused { id: 20, code: "rate_limited", is_retryable: true, retry_after_ms: 1800 }"#;
    assert_eq!(told(&mut dialogue, limited), [refused]);
    let page = include_str!("../../../crates/protocol/golden/reply.message.list.json");
    assert_eq!(told(&mut dialogue, page), ["Done { id: 16, head: 0, gap: None }"]);
}

#[test]
fn the_session_begins_and_ends() {
    let mut dialogue = dialogue(Codec::Json);
    let ready = include_str!("../../../crates/protocol/golden/event.session.ready.json");
    assert_eq!(told(&mut dialogue, ready), ["Ready"]);
    let closing = include_str!("../../../crates/protocol/golden/event.session.closing.json");
    assert_eq!(told(&mut dialogue, closing), ["Closing { retry_after_ms: 3200 }"]);
    let expiring = include_str!("../../../crates/protocol/golden/event.session.expiring.json");
    assert!(told(&mut dialogue, expiring).is_empty());
    let unasked = include_str!("../../../crates/protocol/golden/error.malformed.no_id.json");
    assert_eq!(told(&mut dialogue, unasked), [r#"Failed { code: "malformed" }"#]);
    assert_eq!(told(&mut dialogue, "no JSON"), [r#"Failed { code: "unreadable" }"#]);
}
