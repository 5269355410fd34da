//! Hubbub: commands, replies and events as `docs/protocol.md` says, in JSON or MessagePack.
//!
//! Owns the reading of deliveries by position: several million of them a second are not decoded. Must never rely on
//! that form: what looks different is decoded.

use std::sync::Arc;

use hubbub_protocol::RoomId;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{Ask, Asked, Dialogue, Message, Outgoing, Peer, RoomNames, Told, Upgrade};
use crate::target::{Codec, Target};

/// Messages in a page of history.
const PAGE: u32 = 50;

/// The name of the error that a second `room.create` of one name is answered with.
const CONFLICT: &str = "conflict";

/// Length of a room's id in text.
const ID_BYTES: usize = 36;

/// Begins a delivery in JSON; the room's id follows.
const JSON_SENT: &[u8] = br#"{"ev":"message.sent","room":""#;

/// Stands between the room's id and the number in JSON.
const JSON_SEQ: &[u8] = br#"","seq":"#;

/// Begins a delivery in MessagePack: a map of six, `ev`, its name, `room`, a text of 36 bytes.
const PACKED_SENT: &[u8] = b"\x86\xa2ev\xacmessage.sent\xa4room\xd9\x24";

/// Stands between the room's id and the number in MessagePack.
const PACKED_SEQ: &[u8] = b"\xa3seq";

pub(super) struct Hubbub {
    shared: Arc<Shared>,
}

struct Shared {
    names: RoomNames,
    codec: Codec,
}

impl Hubbub {
    pub(super) fn new(target: &Target) -> Self {
        Self { shared: Arc::new(Shared { names: RoomNames::new(&target.room_prefix), codec: target.codec }) }
    }
}

impl Peer for Hubbub {
    fn upgrade(&self, token: &str) -> Upgrade {
        let protocol = match self.shared.codec {
            Codec::Json => "hubbub.v1.json",
            Codec::Msgpack => "hubbub.v1.msgpack",
        };
        let headers = if token.is_empty() { vec![] } else { vec![("Authorization", format!("Bearer {token}"))] };
        Upgrade { protocols: Some(protocol.to_owned()), headers, ..Upgrade::default() }
    }

    fn dialogue(&self, _token: &str) -> Box<dyn Dialogue> {
        Box::new(HubbubDialogue::new(&self.shared))
    }

    fn has_history(&self) -> bool {
        true
    }

    fn has_idempotent_sends(&self) -> bool {
        true
    }
}

struct HubbubDialogue {
    shared: Arc<Shared>,
    /// What the server calls the rooms that this connection entered.
    rooms: SmallVec<[(RoomId, u32); 2]>,
    /// Asks whose answers mean more than yes or no.
    pending: SmallVec<[(u64, Pending); 1]>,
}

#[derive(Clone, Copy)]
enum Pending {
    Create,
    Join { room: u32 },
    Subscribe { room: u32 },
}

/// A command. What is not there is not written.
#[derive(Default, Serialize)]
struct Command<'a> {
    id: u64,
    cmd: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_msg_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u32>,
}

/// Any frame of the server, as far as it is of use.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(default)]
    re: Option<u64>,
    #[serde(borrow, default)]
    ok: Option<Answer<'a>>,
    #[serde(borrow, default)]
    err: Option<Refusal<'a>>,
    #[serde(default)]
    ev: Option<&'a str>,
    #[serde(default)]
    room: Option<&'a str>,
    #[serde(default)]
    seq: Option<u64>,
    #[serde(default)]
    data: Option<Content>,
}

/// `ok`, whatever was asked.
#[derive(Deserialize)]
struct Answer<'a> {
    /// The id of a room, or of a message.
    #[serde(default)]
    id: Option<&'a str>,
    #[serde(default)]
    room: Option<&'a str>,
    #[serde(default)]
    head: u64,
    #[serde(default)]
    gap: Option<Gap>,
    #[serde(default)]
    reset: bool,
}

#[derive(Clone, Copy, Deserialize)]
struct Gap {
    from: u64,
    to: u64,
}

/// `err`.
#[derive(Deserialize)]
struct Refusal<'a> {
    name: &'a str,
    #[serde(default)]
    retry: bool,
    #[serde(default)]
    retry_after_ms: u64,
}

/// `data` of an event of the session.
#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    retry_after_ms: u64,
}

impl HubbubDialogue {
    fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), rooms: SmallVec::new(), pending: SmallVec::new() }
    }

    fn send(&self, command: &Command<'_>, out: &mut dyn Outgoing) {
        // A struct of numbers and texts can always be written.
        match self.shared.codec {
            Codec::Json => {
                if let Ok(text) = serde_json::to_string(command) {
                    out.text(&text);
                }
            }
            Codec::Msgpack => {
                if let Ok(bytes) = rmp_serde::to_vec_named(command) {
                    out.binary(&bytes);
                }
            }
        }
    }

    fn read(&mut self, frame: &Frame<'_>, bytes: &[u8], told: &mut dyn FnMut(Told<'_>)) {
        match (frame.re, &frame.ok, &frame.err) {
            (Some(id), Some(answer), _) => self.done(id, answer, told),
            (Some(id), None, Some(refusal)) => self.refused(id, refusal, told),
            (None, _, Some(refusal)) => told(Told::Failed { code: refusal.name }),
            _ => self.happened(frame, bytes, told),
        }
    }

    fn take_pending(&mut self, id: u64) -> Option<Pending> {
        let at = self.pending.iter().position(|(waiting, _)| *waiting == id)?;
        Some(self.pending.swap_remove(at).1)
    }

    fn done(&mut self, id: u64, answer: &Answer<'_>, told: &mut dyn FnMut(Told<'_>)) {
        let pending = self.take_pending(id);
        let entered = match pending {
            Some(Pending::Join { room }) => answer.id.map(|id| (id, room)),
            Some(Pending::Subscribe { room }) => answer.room.map(|id| (id, room)),
            Some(Pending::Create) | None => None,
        };
        if let Some((id, room)) = entered
            && let Ok(id) = id.parse()
            && !self.rooms.contains(&(id, room))
        {
            self.rooms.push((id, room));
        }
        let follows = matches!(pending, Some(Pending::Subscribe { .. }));
        let (head, gap) = if follows { (answer.head, answer.gap) } else { (0, None) };
        told(Told::Done { id, head, gap: gap.map(|gap| (gap.from, gap.to)) });
        if follows && answer.reset {
            // The cursor was of another log: whatever was between is not known to anybody.
            told(Told::Failed { code: "reset" });
        }
    }

    fn refused(&mut self, id: u64, refusal: &Refusal<'_>, told: &mut dyn FnMut(Told<'_>)) {
        let Refusal { name: code, retry: is_retryable, retry_after_ms } = *refusal;
        match self.take_pending(id) {
            Some(Pending::Create) if code == CONFLICT => told(Told::Done { id, head: 0, gap: None }),
            _ => told(Told::Refused { id, code, is_retryable, retry_after_ms }),
        }
    }

    fn happened(&self, frame: &Frame<'_>, bytes: &[u8], told: &mut dyn FnMut(Told<'_>)) {
        match (frame.ev, frame.seq) {
            (Some("message.sent"), Some(seq)) => told(Told::Message { seq, bytes }),
            (Some("session.ready"), _) => told(Told::Ready),
            (Some("session.closing"), _) => {
                let retry_after_ms = frame.data.as_ref().map_or(0, |content| content.retry_after_ms);
                told(Told::Closing { retry_after_ms });
            }
            (Some(_), Some(seq)) => {
                let id = frame.room.and_then(|room| room.parse::<RoomId>().ok());
                let known = self.rooms.iter().find(|(known, _)| Some(*known) == id);
                if let Some((_, room)) = known {
                    told(Told::Passed { room: *room, seq });
                }
            }
            _ => {}
        }
    }
}

/// The number of a delivery that has the form in which the server writes JSON.
#[inline]
fn json_seq(bytes: &[u8]) -> Option<u64> {
    let rest = bytes.strip_prefix(JSON_SENT)?.get(ID_BYTES..)?.strip_prefix(JSON_SEQ)?;
    let digits = rest.iter().position(|sign| !sign.is_ascii_digit()).filter(|digits| (1..=16).contains(digits))?;
    Some(rest[..digits].iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// The number of a delivery that has the form in which the server writes MessagePack.
#[inline]
fn packed_seq(bytes: &[u8]) -> Option<u64> {
    let rest = bytes.strip_prefix(PACKED_SENT)?.get(ID_BYTES..)?.strip_prefix(PACKED_SEQ)?;
    let (marker, rest) = rest.split_first()?;
    Some(match marker {
        0x00..=0x7f => u64::from(*marker),
        0xcc => u64::from(*rest.first()?),
        0xcd => u64::from(u16::from_be_bytes(*rest.first_chunk()?)),
        0xce => u64::from(u32::from_be_bytes(*rest.first_chunk()?)),
        0xcf => u64::from_be_bytes(*rest.first_chunk()?),
        _ => return None,
    })
}

impl Dialogue for HubbubDialogue {
    fn opened(&mut self, _out: &mut dyn Outgoing, _told: &mut dyn FnMut(Told<'_>)) {
        // The token went with the upgrade, and `session.ready` follows.
    }

    fn ask(&mut self, id: u64, ask: &Ask<'_>, out: &mut dyn Outgoing) -> Asked {
        let named = |room| self.shared.names.name(room);
        let (name, pending);
        let command = match *ask {
            Ask::Create { room } => {
                (name, pending) = (named(room), Some(Pending::Create));
                Command { cmd: "room.create", name: Some(&name), kind: Some("public"), ..Command::default() }
            }
            Ask::Join { room } => {
                (name, pending) = (named(room), Some(Pending::Join { room }));
                Command { cmd: "room.join", room: Some(&name), ..Command::default() }
            }
            Ask::Subscribe { room, after } => {
                (name, pending) = (named(room), Some(Pending::Subscribe { room }));
                Command { cmd: "room.subscribe", room: Some(&name), after, ..Command::default() }
            }
            Ask::Send { room, body, key } => {
                (name, pending) = (named(room), None);
                let (client_msg_id, body) = (Some(key), Some(body));
                Command { cmd: "message.send", room: Some(&name), client_msg_id, body, ..Command::default() }
            }
            Ask::Page { room, before } => {
                (name, pending) = (named(room), None);
                let limit = Some(PAGE);
                Command { cmd: "message.list", room: Some(&name), before, limit, ..Command::default() }
            }
            Ask::Typing { .. } | Ask::Read { .. } => return Asked::Unknown,
        };
        self.send(&Command { id, ..command }, out);
        self.pending.extend(pending.map(|pending| (id, pending)));
        Asked::Waiting
    }

    fn receive(&mut self, message: Message<'_>, _out: &mut dyn Outgoing, told: &mut dyn FnMut(Told<'_>)) {
        let (bytes, seq) = match message {
            Message::Text(bytes) => (bytes, json_seq(bytes)),
            Message::Binary(bytes) => (bytes, packed_seq(bytes)),
        };
        if let Some(seq) = seq {
            return told(Told::Message { seq, bytes });
        }
        let frame = match message {
            Message::Text(_) => serde_json::from_slice::<Frame<'_>>(bytes).ok(),
            Message::Binary(_) => rmp_serde::from_slice::<Frame<'_>>(bytes).ok(),
        };
        match frame {
            Some(frame) => self.read(&frame, bytes, told),
            None => told(Told::Failed { code: "unreadable" }),
        }
    }
}

#[cfg(test)]
#[path = "hubbub_tests.rs"]
mod tests;
