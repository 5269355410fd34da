//! Commands from HTTP requests: fields of path and query beside a JSON body, judged by the rules of frames.

use std::borrow::Cow;

use hubbub_protocol::value::Value;
use hubbub_protocol::{Command, ErrorCode, frame};

fn room(name: &str) -> Vec<(Cow<'_, str>, Value<'_>)> {
    vec![(Cow::Borrowed("room"), Value::Text(Cow::Borrowed(name)))]
}

fn refused(cmd: &str, body: &str, fields: Vec<(Cow<'_, str>, Value<'_>)>) -> (ErrorCode, Option<String>) {
    let refusal = frame::decode_request(cmd, body.as_bytes(), fields).unwrap_err();
    (refusal.code, refusal.field)
}

#[test]
fn the_path_wins_over_the_body() {
    let body = br#"{"room":"elsewhere","client_msg_id":"a","body":"hello","id":0,"cmd":"no.such"}"#;
    let Ok(Command::MessageSend(send)) = frame::decode_request("message.send", body, room("general")) else {
        panic!("a good request");
    };
    assert_eq!((send.room.to_string().as_str(), send.body.as_str()), ("general", "hello"));
    assert!(frame::decode_request("room.show", b"", room("general")).is_ok(), "no body at all");
}

#[test]
fn bodies_are_read_as_strictly_as_frames() {
    let malformed = (ErrorCode::Malformed, None);
    for body in ["{", "[]", "null", "{} {}", r#"{"a":1,"a":2}"#, r#"{"room":1,"room":2}"#, r#"{"a":"\ud800"}"#] {
        assert_eq!(refused("room.show", body, room("general")), malformed, "{body}");
    }
    assert_eq!(refused("no.such", "{}", Vec::new()), (ErrorCode::UnknownCommand, None));
    let invalid = |field: &str| (ErrorCode::InvalidField, Some(field.to_owned()));
    assert_eq!(refused("room.show", "{}", Vec::new()), invalid("room"));
    assert_eq!(refused("room.show", "{}", room("No Such")), invalid("room"));
    assert_eq!(refused("message.send", r#"{"client_msg_id":"a","body":5}"#, room("general")), invalid("body"));
}
