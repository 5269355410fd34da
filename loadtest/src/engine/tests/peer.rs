//! A peer with words of its own, and the server's reading of them: `create|join|sub|send ID ROOM ...` one way, `ready`,
//! `ok ID HEAD [FROM TO]`, `no ID CODE RETRYABLE`, `msg SEQ BODY`, `bye MS` the other.

use crate::peer::{Ask, Asked, Dialogue, Message, Outgoing, Peer, Told, Upgrade};

pub(super) struct Lines {
    pub(super) has_history: bool,
    pub(super) is_idempotent: bool,
}

impl Peer for Lines {
    fn upgrade(&self, token: &str) -> Upgrade {
        Upgrade { query: format!("?token={token}"), ..Upgrade::default() }
    }

    fn dialogue(&self, _token: &str) -> Box<dyn Dialogue> {
        Box::new(Line)
    }

    fn has_history(&self) -> bool {
        self.has_history
    }

    fn has_idempotent_sends(&self) -> bool {
        self.is_idempotent
    }
}

struct Line;

impl Dialogue for Line {
    fn opened(&mut self, _: &mut dyn Outgoing, _: &mut dyn FnMut(Told<'_>)) {}

    fn ask(&mut self, id: u64, ask: &Ask<'_>, out: &mut dyn Outgoing) -> Asked {
        let text = match ask {
            Ask::Create { room } => format!("create {id} {room}"),
            Ask::Join { room } => format!("join {id} {room}"),
            Ask::Subscribe { room, after } => {
                format!("sub {id} {room} {}", after.map_or(-1, u64::cast_signed))
            }
            Ask::Send { room, body, key } => format!("send {id} {room} {key} {body}"),
            Ask::Typing { room } => format!("typing {id} {room}"),
            _ => return Asked::Unknown,
        };
        out.text(&text);
        Asked::Waiting
    }

    fn receive(&mut self, message: Message<'_>, _: &mut dyn Outgoing, told: &mut dyn FnMut(Told<'_>)) {
        let Message::Text(bytes) = message else { return };
        let text = String::from_utf8_lossy(bytes);
        let words: Vec<&str> = text.split(' ').collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        match words[0] {
            "ready" => told(Told::Ready),
            "ok" => {
                let gap = (words.len() > 3).then(|| (number(3), number(4)));
                told(Told::Done { id: number(1), head: number(2), gap });
            }
            "no" => {
                told(Told::Refused { id: number(1), code: words[2], is_retryable: words[3] == "1", retry_after_ms: 0 })
            }
            "msg" => told(Told::Message { seq: number(1), bytes }),
            "bye" => told(Told::Closing { retry_after_ms: number(1) }),
            code => told(Told::Failed { code }),
        }
    }
}
