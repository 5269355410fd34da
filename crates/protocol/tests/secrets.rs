//! Bodies and tokens appear neither in `Debug` nor in the prose of refusals: both may be logged.

mod samples;

use hubbub_protocol::command::{MessageSend, SessionAuthenticate, Token};
use hubbub_protocol::{Codec, Command, RoomSelector, frame};
use serde_json::json;

const SECRET: &str = "SECRET";

#[test]
fn debug_shows_no_body_and_no_token() {
    let send = MessageSend {
        room: samples::parsed::<RoomSelector>("general"),
        client_msg_id: samples::parsed("a"),
        body: SECRET.to_owned(),
    };
    let authenticate = SessionAuthenticate { token: Token(SECRET.to_owned()) };
    for command in [Command::from(send), authenticate.into()] {
        assert!(!format!("{command:?}").contains(SECRET), "{command:?}");
    }
    let message = samples::replies::message();
    assert!(!format!("{message:?}").contains("Good morning"));
    for (name, event) in samples::events::room_events() {
        assert!(!format!("{event:?}").contains("Good morning"), "{name}");
    }
}

#[test]
fn refusals_do_not_repeat_what_was_sent() {
    let fields = [
        "id",
        "cmd",
        "room",
        "rooms",
        "token",
        "epoch",
        "name",
        "kind",
        "members",
        "after",
        "before",
        "last",
        "limit",
        "client_msg_id",
        "body",
    ];
    let long = SECRET.repeat(20);
    let wrong = [json!(SECRET), json!(long), json!([SECRET]), json!({ SECRET: SECRET }), json!([[SECRET]])];
    for cmd in Command::NAMES {
        for field in fields {
            for value in &wrong {
                let mut tree = json!({ "id": 7, "cmd": cmd, "room": "general", "kind": "public", "epoch": "e" });
                tree[field] = value.clone();
                for codec in Codec::ALL {
                    let Err(refusal) = frame::decode(codec, &codec.encode(&tree)).command else { continue };
                    assert!(!refusal.to_string().contains(SECRET), "{refusal} for {tree}");
                }
            }
        }
    }
}
