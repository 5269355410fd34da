//! Socket.IO 4 over Engine.IO 4, on a WebSocket from the beginning.
//!
//! Speaks with the server of `loadtest/peers/socketio`: the events `subscribe (room)` and `publish (room, body)` are
//! acked, `message (room, body)` comes back. Must never poll over HTTP.
//!
//! Source: <https://socket.io/docs/v4/engine-io-protocol/>, <https://socket.io/docs/v4/socket-io-protocol/>.

use std::sync::Arc;

use serde::Deserialize;

use super::{Ask, Asked, Dialogue, Message, Outgoing, Peer, RoomNames, Told, Upgrade};
use crate::target::Target;

pub(super) struct Socketio {
    names: Arc<RoomNames>,
}

impl Socketio {
    pub(super) fn new(target: &Target) -> Self {
        Self { names: Arc::new(RoomNames::new(&target.room_prefix)) }
    }
}

impl Peer for Socketio {
    fn upgrade(&self, _token: &str) -> Upgrade {
        Upgrade { query: "?EIO=4&transport=websocket".to_owned(), ..Upgrade::default() }
    }

    fn dialogue(&self, token: &str) -> Box<dyn Dialogue> {
        let token = (!token.is_empty()).then(|| token.into());
        Box::new(SocketioDialogue { names: Arc::clone(&self.names), token })
    }

    fn has_history(&self) -> bool {
        false
    }

    fn has_idempotent_sends(&self) -> bool {
        false
    }
}

struct SocketioDialogue {
    names: Arc<RoomNames>,
    token: Option<Box<str>>,
}

/// What the server's acks hold; anything else is a yes.
#[derive(Deserialize)]
struct Verdict<'a> {
    #[serde(borrow, default)]
    error: Option<&'a str>,
}

/// What a refused namespace holds.
#[derive(Deserialize)]
struct ConnectError<'a> {
    #[serde(borrow)]
    message: &'a str,
}

impl Dialogue for SocketioDialogue {
    fn opened(&mut self, _out: &mut dyn Outgoing, _told: &mut dyn FnMut(Told<'_>)) {
        // The server speaks first.
    }

    fn ask(&mut self, id: u64, ask: &Ask<'_>, out: &mut dyn Outgoing) -> Asked {
        match *ask {
            Ask::Create { .. } | Ask::Join { .. } => return Asked::Done,
            Ask::Subscribe { room, .. } => out.text(&format!("42{id}[\"subscribe\",\"{}\"]", self.names.name(room))),
            Ask::Send { room, body, .. } => {
                out.text(&format!("42{id}[\"publish\",\"{}\",\"{body}\"]", self.names.name(room)));
            }
            Ask::Typing { .. } | Ask::Read { .. } | Ask::Page { .. } => return Asked::Unknown,
        }
        Asked::Waiting
    }

    fn receive(&mut self, message: Message<'_>, out: &mut dyn Outgoing, told: &mut dyn FnMut(Told<'_>)) {
        let Message::Text(bytes) = message else { return };
        match bytes {
            [b'4', b'2', ..] if bytes.starts_with(b"42[\"message\",") => told(Told::Message { seq: 0, bytes }),
            [b'4', b'3', rest @ ..] => acked(rest, told),
            [b'2', ..] => out.text("3"),
            [b'0', ..] => match self.token.take() {
                Some(token) => out.text(&format!("40{}", serde_json::json!({ "token": token }))),
                None => out.text("40"),
            },
            [b'4', b'0', ..] => told(Told::Ready),
            [b'4', b'4', rest @ ..] => {
                let error = serde_json::from_slice::<ConnectError<'_>>(rest);
                told(Told::Failed { code: error.map_or("connect_error", |error| error.message) });
            }
            [b'4', b'1', ..] | [b'1', ..] => told(Told::Closing { retry_after_ms: 0 }),
            _ => {}
        }
    }
}

/// `<id>[…]`.
fn acked(rest: &[u8], told: &mut dyn FnMut(Told<'_>)) {
    let digits = rest.iter().take_while(|sign| sign.is_ascii_digit()).count();
    let (id, answer) = rest.split_at(digits);
    let Some(id) = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok()) else {
        return told(Told::Failed { code: "unreadable" });
    };
    match serde_json::from_slice::<[Verdict<'_>; 1]>(answer) {
        Ok([Verdict { error: Some(code) }]) => {
            told(Told::Refused { id, code, is_retryable: false, retry_after_ms: 0 });
        }
        _ => told(Told::Done { id, head: 0, gap: None }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ask, open, receive, told};
    use super::*;

    fn dialogue(token: Option<&str>) -> SocketioDialogue {
        SocketioDialogue { names: Arc::new(RoomNames::new("r")), token: token.map(Into::into) }
    }

    #[test]
    fn the_handshake_takes_two_steps() {
        for (token, connect) in [(None, "40"), (Some("t\"1"), r#"40{"token":"t\"1"}"#)] {
            let mut dialogue = dialogue(token);
            assert!(open(&mut dialogue).0.0.is_empty());
            let hello = r#"0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#;
            let (said, sent) = receive(&mut dialogue, Message::Text(hello.as_bytes()));
            assert_eq!((said.len(), sent.texts()), (0, vec![connect]));
            assert_eq!(told(&mut dialogue, r#"40{"sid":"wZX3oN0bSVIhsaknAAAI"}"#), ["Ready"]);
        }
        assert_eq!(
            told(&mut dialogue(None), r#"44{"message":"Not authorized"}"#),
            [r#"Failed { code: "Not authorized" }"#]
        );
    }

    #[test]
    fn asks_are_events_with_acks() {
        let mut dialogue = dialogue(None);
        let (asked, sent) = ask(&mut dialogue, 12, &Ask::Subscribe { room: 3, after: Some(9) });
        assert_eq!((asked, sent.texts()), (Asked::Waiting, vec![r#"4212["subscribe","r-3"]"#]));
        let (asked, sent) = ask(&mut dialogue, 13, &Ask::Send { room: 3, body: "hl.0", key: "k" });
        assert_eq!((asked, sent.texts()), (Asked::Waiting, vec![r#"4213["publish","r-3","hl.0"]"#]));
        assert_eq!(ask(&mut dialogue, 14, &Ask::Join { room: 3 }).0, Asked::Done);
        for answer in ["4312[]", r#"4312["ok"]"#, r#"4312[{"room":"r-3"}]"#] {
            assert_eq!(told(&mut dialogue, answer), ["Done { id: 12, head: 0, gap: None }"], "{answer}");
        }
        let refused = r#"Refused { id: 13, code: "full", is_retryable: false, retry_after_ms: 0 }"#;
        assert_eq!(told(&mut dialogue, r#"4313[{"error":"full"}]"#), [refused]);
    }

    #[test]
    fn messages_pings_and_ends() {
        let mut dialogue = dialogue(None);
        let frame = r#"42["message","r-3","hl.0"]"#;
        assert_eq!(told(&mut dialogue, frame), [format!("message 0 {frame}")]);
        assert!(told(&mut dialogue, r#"42["other",1]"#).is_empty());
        assert_eq!(receive(&mut dialogue, Message::Text(b"2")).1.texts(), ["3"]);
        assert_eq!(told(&mut dialogue, "41"), ["Closing { retry_after_ms: 0 }"]);
        assert!(told(&mut dialogue, "6").is_empty());
        assert_eq!(told(&mut dialogue, "43[]"), [r#"Failed { code: "unreadable" }"#]);
    }
}
