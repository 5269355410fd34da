//! Nodes of two versions side by side: what the first release put on the bus is read for ever.
//!
//! The bytes were written by that release; they are only ever added to. Must never be written anew to please a change.

use std::sync::Arc;

use hubbub_bus::envelope::{self, Envelope, EnvelopeError};
use hubbub_protocol::event::{MemberLeft, MessageSent};
use hubbub_protocol::{MessageId, RoomEvent, RoomEventData, RoomId, Timestamp, UserId, UserRef};
use serde_json::json;

/// `NAME HEX`, a line each.
const FIRST_RELEASE: &str = include_str!("envelopes-1.txt");

fn stored(name: &str) -> Vec<u8> {
    let line = FIRST_RELEASE.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect("it is there");
    let digits = |at: usize| u8::from_str_radix(&line[at..at + 2], 16).expect("hex");
    (0..line.len()).step_by(2).map(digits).collect()
}

fn events() -> [RoomEvent; 2] {
    let id = |last: &str| format!("01890a5d-ac96-774b-bcce-b302099a80{last}");
    let room: RoomId = id("01").parse().unwrap();
    let user: UserId = id("02").parse().unwrap();
    let message: MessageId = id("03").parse().unwrap();
    let by = UserRef { id: user, name: "ada".into() };
    let sent = MessageSent {
        id: message,
        client_msg_id: serde_json::from_value("c-1".into()).unwrap(),
        body: "hello \u{1F44B}".into(),
    };
    let event =
        |seq, data| RoomEvent { room, seq, at: Timestamp::from_millis(1_767_323_045_678), by: by.clone(), data };
    [event(1, sent.into()), event(2, RoomEventData::MemberLeft(MemberLeft { user: by.clone() }))]
}

#[test]
fn the_first_release_is_read() {
    let [sent, left] = events();
    let read = |name: &str, own: &str| envelope::decode(&stored(name), own).unwrap();
    assert_eq!(read("event", "other"), Envelope::Events(vec![Arc::new(sent.clone())]));
    assert_eq!(read("events", "other"), Envelope::Events(vec![Arc::new(sent), Arc::new(left)]));
    assert_eq!(read("pulse", "other"), Envelope::Pulse { number: 4_711 });
    assert_eq!(read("event", "instance"), Envelope::Echo);
    assert_eq!(read("events", "instance"), Envelope::Echo);
}

#[test]
fn this_build_writes_what_the_first_release_reads() {
    let [sent, left] = events();
    assert_eq!(envelope::encode_event(&sent, "instance").unwrap(), stored("event"));
    assert_eq!(envelope::encode_events(&[&sent, &left], "instance").unwrap(), stored("events"));
    assert_eq!(envelope::encode_pulse(4_711).unwrap(), stored("pulse"));
}

#[test]
fn what_a_later_release_may_send_is_skipped() {
    let written = |value: serde_json::Value| rmp_serde::to_vec_named(&value).unwrap();
    let later = written(json!({"v": 2, "k": "event", "n": "x", "d": {"of": "another shape"}, "z": [1, 2]}));
    assert!(matches!(envelope::decode(&later, "other"), Err(EnvelopeError::Version { version: 2 })));
    let unknown = written(json!({"v": 1, "k": "presence", "n": "x", "d": {"user": 1}}));
    assert!(matches!(envelope::decode(&unknown, "other"), Err(EnvelopeError::Kind)));
    let [sent, _] = events();
    let mut event = serde_json::to_value(&sent).unwrap();
    event["later"] = json!({"deep": [true]});
    let extended = written(json!({"v": 1, "k": "event", "n": "x", "later": 1, "d": event}));
    assert_eq!(envelope::decode(&extended, "other").unwrap(), Envelope::Events(vec![Arc::new(sent)]));
}
