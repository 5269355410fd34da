//! Centrifugo 4 and later: its JSON protocol, one JSON document a line, several in one frame.
//!
//! A room is a channel; whether it keeps a history is told by the answer to its subscription, and so is the epoch that
//! recovery needs: both are kept for all connections. Must never ask for what the channel did not say it has.
//!
//! Source: <https://centrifugal.dev/docs/transports/client_protocol> and `client.proto` of `centrifugal/protocol`.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::{Ask, Asked, Dialogue, Message, Outgoing, Peer, RoomNames, Told, Upgrade};
use crate::target::Target;

/// The number of the connect command; asks are numbered behind it.
const CONNECT_ID: u64 = 1;

/// Publications in a page of history.
const PAGE: u32 = 50;

/// Begins a delivery.
const PUBLICATION: &[u8] = br#"{"push":{"channel":""#;

/// How far from the end of a delivery its offset is looked for: the digits, the braces, tags and a time.
const TAIL_BYTES: usize = 96;

pub(super) struct Centrifugo {
    shared: Arc<Shared>,
}

struct Shared {
    names: RoomNames,
    /// The epoch of each room that keeps a history.
    epochs: Mutex<HashMap<u32, Box<str>>>,
}

impl Shared {
    fn new(prefix: &str) -> Self {
        Self { names: RoomNames::new(prefix), epochs: Mutex::new(HashMap::new()) }
    }

    fn epochs(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Box<str>>> {
        // An insertion that panicked has left a whole map behind.
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Centrifugo {
    pub(super) fn new(target: &Target) -> Self {
        Self { shared: Arc::new(Shared::new(&target.room_prefix)) }
    }
}

impl Peer for Centrifugo {
    fn upgrade(&self, _token: &str) -> Upgrade {
        Upgrade::default()
    }

    fn dialogue(&self, token: &str) -> Box<dyn Dialogue> {
        Box::new(CentrifugoDialogue::new(&self.shared, token))
    }

    fn has_history(&self) -> bool {
        !self.shared.epochs().is_empty()
    }

    fn has_idempotent_sends(&self) -> bool {
        false
    }
}

struct CentrifugoDialogue {
    shared: Arc<Shared>,
    token: Option<Box<str>>,
    answers_pings: bool,
    /// Subscriptions that wait for their answer: number, room, cursor.
    pending: SmallVec<[(u64, u32, Option<u64>); 1]>,
}

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(default)]
    id: u64,
    error: Option<Refusal>,
    connect: Option<Connected>,
    #[serde(borrow)]
    subscribe: Option<Subscribed<'a>>,
    #[serde(borrow)]
    push: Option<Push<'a>>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    code: u32,
    #[serde(default)]
    temporary: bool,
}

#[derive(Deserialize)]
struct Connected {
    #[serde(default)]
    pong: bool,
}

#[derive(Deserialize)]
struct Subscribed<'a> {
    #[serde(default)]
    recoverable: bool,
    #[serde(default)]
    epoch: &'a str,
    #[serde(default)]
    offset: u64,
    #[serde(default)]
    recovered: bool,
    #[serde(default)]
    was_recovering: bool,
    #[serde(borrow, default)]
    publications: Vec<Publication<'a>>,
}

#[derive(Deserialize)]
struct Publication<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(default)]
    offset: u64,
}

#[derive(Deserialize)]
struct Push<'a> {
    #[serde(borrow, rename = "pub")]
    publication: Option<Publication<'a>>,
    unsubscribe: Option<Ended>,
    disconnect: Option<Ended>,
}

#[derive(Deserialize)]
struct Ended {
    #[serde(default)]
    code: u32,
    #[serde(default)]
    reconnect: bool,
}

impl CentrifugoDialogue {
    fn new(shared: &Arc<Shared>, token: &str) -> Self {
        let token = (!token.is_empty()).then(|| token.into());
        Self { shared: Arc::clone(shared), token, answers_pings: true, pending: SmallVec::new() }
    }

    fn subscribe(&mut self, id: u64, room: u32, after: Option<u64>, out: &mut dyn Outgoing) {
        let mut text = format!(r#"{{"id":{},"subscribe":{{"channel":"{}""#, wire(id), self.shared.names.name(room));
        if let Some(after) = after
            && let Some(epoch) = self.shared.epochs().get(&room)
        {
            // Writing to a string cannot fail.
            write!(text, r#","recover":true,"epoch":"{epoch}","offset":{after}"#).ok();
        }
        text.push_str("}}");
        self.pending.push((id, room, after));
        out.text(&text);
    }

    fn page(&self, id: u64, room: u32, before: Option<u64>, out: &mut dyn Outgoing) {
        let name = self.shared.names.name(room);
        let mut text = format!(r#"{{"id":{},"history":{{"channel":"{name}","limit":{PAGE},"reverse":true"#, wire(id));
        if let Some(before) = before
            && let Some(epoch) = self.shared.epochs().get(&room)
        {
            // Writing to a string cannot fail.
            write!(text, r#","since":{{"offset":{before},"epoch":"{epoch}"}}"#).ok();
        }
        out.text(&(text + "}}"));
    }

    fn line(&mut self, line: &[u8], out: &mut dyn Outgoing, told: &mut dyn FnMut(Told<'_>)) {
        if line == b"{}" {
            if self.answers_pings {
                out.text("{}");
            }
            return;
        }
        if is_publication(line) {
            return told(Told::Message { seq: offset_at_end(line), bytes: line });
        }
        match serde_json::from_slice::<Reply<'_>>(line) {
            Ok(Reply { push: Some(push), .. }) => pushed(&push, told),
            Ok(reply) => self.answered(&reply, told),
            Err(_) => told(Told::Failed { code: "unreadable" }),
        }
    }

    fn answered(&mut self, reply: &Reply<'_>, told: &mut dyn FnMut(Told<'_>)) {
        let id = reply.id.saturating_sub(CONNECT_ID);
        let pending = self.pending.iter().position(|(waiting, ..)| *waiting == id);
        let pending = pending.map(|at| self.pending.swap_remove(at));
        match (&reply.error, id) {
            (Some(error), 0) => told(Told::Failed { code: itoa::Buffer::new().format(error.code) }),
            (Some(error), _) => {
                let (mut buffer, is_retryable) = (itoa::Buffer::new(), error.temporary);
                told(Told::Refused { id, code: buffer.format(error.code), is_retryable, retry_after_ms: 0 });
            }
            (None, 0) => {
                self.answers_pings = reply.connect.as_ref().is_some_and(|connected| connected.pong);
                told(Told::Ready);
            }
            (None, _) => match (&reply.subscribe, pending) {
                (Some(subscribed), Some((_, room, after))) => self.subscribed(id, room, after, subscribed, told),
                _ => told(Told::Done { id, head: 0, gap: None }),
            },
        }
    }

    fn subscribed(
        &self,
        id: u64,
        room: u32,
        after: Option<u64>,
        answer: &Subscribed<'_>,
        told: &mut dyn FnMut(Told<'_>),
    ) {
        let known = match answer.recoverable {
            true => self.shared.epochs().insert(room, answer.epoch.into()),
            false => None,
        };
        let is_short = answer.was_recovering && !answer.recovered;
        let is_reset = is_short && known.is_some_and(|known| *known != *answer.epoch);
        // With a recovery the offset is the one that was asked for, and the publications go on from there.
        let replayed = answer.publications.iter().map(|publication| publication.offset).max();
        let head = answer.offset.max(replayed.unwrap_or(0));
        let gap = after.filter(|after| is_short && !is_reset && *after < head).map(|after| (after + 1, head));
        told(Told::Done { id, head, gap });
        if is_reset {
            // The stream was lost and another begun: offsets cannot be compared.
            told(Told::Failed { code: "reset" });
        }
        for publication in &answer.publications {
            told(Told::Message { seq: publication.offset, bytes: publication.data.get().as_bytes() });
        }
    }
}

/// The number of an ask on the wire.
const fn wire(id: u64) -> u64 {
    id + CONNECT_ID
}

/// Whether the line is a delivery in the form that the server writes: decoding it would cost more than all the rest.
fn is_publication(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(PUBLICATION) else { return false };
    // Our names of channels need no escaping, so the first quote ends the name.
    memchr::memchr(b'"', rest).is_some_and(|end| rest[end..].starts_with(br#"","pub":{"#))
}

/// The offset of a delivery, which stands behind its content; 0 when there is no history.
fn offset_at_end(line: &[u8]) -> u64 {
    const FIELD: &[u8] = br#""offset":"#;
    let tail = &line[line.len().saturating_sub(TAIL_BYTES)..];
    let Some(at) = memchr::memmem::rfind(tail, FIELD) else { return 0 };
    let digits = tail[at + FIELD.len()..].iter().take_while(|sign| sign.is_ascii_digit());
    digits.fold(0, |sum: u64, digit| sum.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
}

fn pushed(push: &Push<'_>, told: &mut dyn FnMut(Told<'_>)) {
    if let Some(publication) = &push.publication {
        told(Told::Message { seq: publication.offset, bytes: publication.data.get().as_bytes() });
    }
    match (&push.disconnect, &push.unsubscribe) {
        (Some(Ended { reconnect: true, .. }), _) => told(Told::Closing { retry_after_ms: 0 }),
        (Some(ended), _) | (None, Some(ended)) => {
            told(Told::Failed { code: itoa::Buffer::new().format(ended.code) });
        }
        (None, None) => {}
    }
}

impl Dialogue for CentrifugoDialogue {
    fn opened(&mut self, out: &mut dyn Outgoing, _told: &mut dyn FnMut(Told<'_>)) {
        let connect = match self.token.take() {
            Some(token) => serde_json::json!({ "token": token }),
            None => serde_json::json!({}),
        };
        out.text(&format!(r#"{{"id":{CONNECT_ID},"connect":{connect}}}"#));
    }

    fn ask(&mut self, id: u64, ask: &Ask<'_>, out: &mut dyn Outgoing) -> Asked {
        match *ask {
            Ask::Create { .. } | Ask::Join { .. } => return Asked::Done,
            Ask::Subscribe { room, after } => self.subscribe(id, room, after, out),
            Ask::Send { room, body, .. } => {
                let (id, name) = (wire(id), self.shared.names.name(room));
                let publish = format!(r#""publish":{{"channel":"{name}","data":{{"body":"{body}"}}}}"#);
                out.text(&format!(r#"{{"id":{id},{publish}}}"#));
            }
            Ask::Page { room, before } => self.page(id, room, before, out),
            Ask::Typing { .. } | Ask::Read { .. } => return Asked::Unknown,
        }
        Asked::Waiting
    }

    fn receive(&mut self, message: Message<'_>, out: &mut dyn Outgoing, told: &mut dyn FnMut(Told<'_>)) {
        let (Message::Text(mut rest) | Message::Binary(mut rest)) = message;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            if end > 0 {
                self.line(&rest[..end], out, told);
            }
            rest = &rest[end + 1..];
        }
        if !rest.is_empty() {
            self.line(rest, out, told);
        }
    }
}

#[cfg(test)]
#[path = "centrifugo_tests.rs"]
mod tests;
