//! Any server that echoes or broadcasts: what it is sent follows templates, what it sends is searched for marks.
//!
//! Must never wait for an answer: nobody knows what one looks like.

use std::sync::{Arc, LazyLock};

use memchr::memmem::Finder;

use super::{Ask, Asked, Dialogue, Message, Outgoing, Peer, RoomNames, Told, Upgrade};
use crate::proof::STAMP_BYTES;
use crate::target::{RawTemplates, Target};

/// How `hubbub-load bare` is told to follow a room; used when no template at all is given.
pub const DEFAULT_SUBSCRIBE: &str = "sub {room}";

/// How `hubbub-load bare` is told to spread a message; used when no template at all is given.
pub const DEFAULT_SEND: &str = "pub {room} {body}";

/// What every mark begins with.
static MARK: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"hl."));

pub(super) struct Raw {
    shared: Arc<Shared>,
}

struct Shared {
    names: RoomNames,
    templates: RawTemplates,
}

impl Raw {
    pub(super) fn new(target: &Target) -> Self {
        let mut templates = target.raw.clone();
        if templates == RawTemplates::default() {
            templates.subscribe = DEFAULT_SUBSCRIBE.to_owned();
            templates.send = DEFAULT_SEND.to_owned();
        }
        Self { shared: Arc::new(Shared { names: RoomNames::new(&target.room_prefix), templates }) }
    }
}

impl Peer for Raw {
    fn upgrade(&self, token: &str) -> Upgrade {
        let headers = if token.is_empty() { vec![] } else { vec![("Authorization", format!("Bearer {token}"))] };
        Upgrade { headers, ..Upgrade::default() }
    }

    fn dialogue(&self, _token: &str) -> Box<dyn Dialogue> {
        Box::new(RawDialogue(Arc::clone(&self.shared)))
    }

    fn has_history(&self) -> bool {
        false
    }

    fn has_idempotent_sends(&self) -> bool {
        false
    }
}

struct RawDialogue(Arc<Shared>);

impl RawDialogue {
    fn send(&self, template: &str, id: u64, room: u32, body: &str, out: &mut dyn Outgoing) -> Asked {
        if !template.is_empty() {
            out.text(&fill(template, id, &self.0.names.name(room), body));
        }
        Asked::Done
    }
}

/// The template with its names replaced. What was put in is not looked at again.
fn fill(template: &str, id: u64, room: &str, body: &str) -> String {
    let mut text = String::with_capacity(template.len() + room.len() + body.len());
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(behind) = rest.strip_prefix("{room}") {
            text.push_str(room);
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix("{body}") {
            text.push_str(body);
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix("{id}") {
            text.push_str(itoa::Buffer::new().format(id));
            rest = behind;
        } else {
            // Any other brace is the template's own, as in JSON.
            text.push('{');
            rest = &rest[1..];
        }
    }
    text + rest
}

impl Dialogue for RawDialogue {
    fn opened(&mut self, out: &mut dyn Outgoing, told: &mut dyn FnMut(Told<'_>)) {
        if !self.0.templates.open.is_empty() {
            out.text(&fill(&self.0.templates.open, 0, "", ""));
        }
        told(Told::Ready);
    }

    fn ask(&mut self, id: u64, ask: &Ask<'_>, out: &mut dyn Outgoing) -> Asked {
        match *ask {
            Ask::Create { .. } | Ask::Join { .. } => Asked::Done,
            Ask::Subscribe { room, .. } => self.send(&self.0.templates.subscribe, id, room, "", out),
            Ask::Send { room, body, .. } => self.send(&self.0.templates.send, id, room, body, out),
            Ask::Typing { .. } | Ask::Read { .. } | Ask::Page { .. } => Asked::Unknown,
        }
    }

    fn receive(&mut self, message: Message<'_>, _out: &mut dyn Outgoing, told: &mut dyn FnMut(Told<'_>)) {
        let (Message::Text(mut rest) | Message::Binary(mut rest)) = message;
        while let Some(at) = MARK.find(rest) {
            let (mark, behind) = rest.split_at(rest.len().min(at + STAMP_BYTES));
            told(Told::Message { seq: 0, bytes: mark });
            rest = behind;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ask, open, receive, told};
    use super::*;
    use crate::clock::Nanos;
    use crate::proof::{Stamp, StampFinder};

    fn dialogue(templates: RawTemplates) -> RawDialogue {
        RawDialogue(Arc::new(Shared { names: RoomNames::new("r"), templates }))
    }

    #[test]
    fn templates_are_filled_once() {
        let templates = RawTemplates {
            open: "hello".to_owned(),
            subscribe: String::new(),
            send: r#"{"op":{"n":{id}},"to":"{room}","text":"{body}"}"#.to_owned(),
        };
        let mut dialogue = dialogue(templates);
        let (sent, ready) = open(&mut dialogue);
        assert_eq!((sent.texts(), ready), (vec!["hello"], vec!["Ready".to_owned()]));
        let (asked, sent) = ask(&mut dialogue, 7, &Ask::Send { room: 3, body: "{id}", key: "k" });
        assert_eq!(asked, Asked::Done);
        assert_eq!(sent.texts(), [r#"{"op":{"n":7},"to":"r-3","text":"{id}"}"#]);
        let (asked, sent) = ask(&mut dialogue, 8, &Ask::Subscribe { room: 3, after: None });
        assert_eq!((asked, sent.0.len()), (Asked::Done, 0));
        assert_eq!(ask(&mut dialogue, 9, &Ask::Typing { room: 3 }).0, Asked::Unknown);
    }

    #[test]
    fn without_any_template_it_speaks_to_the_bare_server() {
        let target = Target {
            peer: crate::target::PeerKind::Raw,
            urls: vec![],
            sender_urls: vec![],
            ca_file: None,
            insecure: false,
            source_addresses: vec![],
            spread_loopback: false,
            tokens: vec![],
            room_prefix: "r".to_owned(),
            codec: crate::target::Codec::Json,
            deflate: false,
            raw: RawTemplates::default(),
        };
        let mut dialogue = Raw::new(&target).dialogue("");
        assert!(open(&mut *dialogue).0.0.is_empty());
        assert_eq!(ask(&mut *dialogue, 1, &Ask::Subscribe { room: 5, after: None }).1.texts(), ["sub r-5"]);
        assert_eq!(ask(&mut *dialogue, 2, &Ask::Send { room: 5, body: "hi", key: "" }).1.texts(), ["pub r-5 hi"]);
    }

    #[test]
    fn every_mark_in_a_frame_is_told_by_itself() {
        let mut frame = String::from("[");
        let mut text = String::new();
        for number in 1..=3 {
            Stamp { run: 9, room: 1, sender: 2, number, at: Nanos(5) }.write(64, &mut text);
            frame.push_str(&format!("\"{text}\","));
        }
        let mut numbers = Vec::new();
        let out = &mut super::super::testing::Sent::default();
        dialogue(RawTemplates::default()).receive(Message::Binary(frame.as_bytes()), out, &mut |one| {
            let Told::Message { bytes, .. } = one else { panic!("{one:?}") };
            numbers.push(StampFinder::new(9).find(bytes).expect("a mark").0.number);
        });
        assert_eq!(numbers, [1, 2, 3]);
        let mut dialogue = dialogue(RawTemplates::default());
        assert!(receive(&mut dialogue, Message::Text(b"pong")).0.is_empty());
        assert_eq!(told(&mut dialogue, "hl.cut").len(), 1, "the reader of marks refuses it");
    }
}
