//! One connection of a bare client, from its subscriptions to its end.
//!
//! Must never outlive its socket: what is not answered is the client's again.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use hubbub_protocol::reply::{EventPage, Gap, Resumed, ResumedRoom, Sent, ServerFrame, Subscribed};
use hubbub_protocol::{Codec, MessageId, RoomEvent, RoomId, Seq, SessionEventData, Timestamp, WireError};
use rand::RngExt as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Pending, Raw};
use crate::record::{Delivered, Entry, body};
use crate::swarm::mutation::Mutation;
use crate::swarm::stopped;
use crate::wire::{Broken, Frame, Socket};

/// How often a sign of life is asked for.
const PING: Duration = Duration::from_secs(2);
/// A connection without a sign of life for so long is left.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// A reply that takes longer makes the client leave: the server tries for less.
const REPLY_MAX: Duration = Duration::from_secs(30);
/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(20);
/// The least wait before a refused message goes again.
const RETRY_MS_MIN: u64 = 200;
/// The share of acked messages that are sent once more, to see the first answer again.
const PROBE_SHARE: f64 = 0.02;
/// The share of messages that a mutation hits.
const MUTATED_SHARE: f64 = 0.05;
/// Events asked for at a time to fill a gap.
const PAGE: u64 = 100;

/// What a command was for.
enum Request {
    Subscribe(RoomId),
    Resume,
    Send(String),
    Fill(RoomId),
}

/// A gap that is being filled; later events wait for it.
struct Fill {
    next: Seq,
    to: Seq,
    held: Vec<RoomEvent>,
}

struct Connection<'a> {
    raw: &'a mut Raw,
    socket: Socket,
    requests: HashMap<u64, (Request, Instant)>,
    fills: HashMap<RoomId, Fill>,
    /// Rooms whose next event a mutation swallows.
    swallow: HashSet<RoomId>,
    heard: Instant,
    pinged: Instant,
}

/// Runs until the connection ends, the client jumps, or the swarm stops.
pub(super) async fn run(raw: &mut Raw, socket: Socket, jumps: &mut mpsc::Receiver<()>) {
    let now = Instant::now();
    let mut phase = raw.seat.phase.clone();
    let (requests, fills, swallow) = Default::default();
    let mut connection = Connection { raw, socket, requests, fills, swallow, heard: now, pinged: now };
    if connection.follow().await.is_err() {
        return;
    }
    let mut tick = tokio::time::interval(TICK);
    let mut frozen = connection.raw.seat.frozen.clone();
    loop {
        if *frozen.borrow() {
            tokio::select! {
                thawed = frozen.wait_for(|frozen| !*frozen) => drop(thawed),
                () = stopped(&mut phase) => return,
            }
            // What came meanwhile waits in the socket; the silence was its own.
            connection.heard = Instant::now();
        }
        let lived = tokio::select! {
            frame = connection.socket.next() => match frame {
                Ok(frame) => connection.take(frame).await,
                Err(broken) => Err(broken),
            },
            _ = tick.tick() => connection.tick().await,
            Some(()) = jumps.recv() => return,
            () = stopped(&mut phase) => return,
        };
        if let Err(broken) = lived {
            connection.raw.seat.recorder.feels(broken.kind());
            return;
        }
    }
}

impl Connection<'_> {
    async fn ask(&mut self, request: Request, mut command: Value) -> Result<(), Broken> {
        let id = self.raw.id();
        command["id"] = id.into();
        self.requests.insert(id, (request, Instant::now()));
        self.socket.send(&command.to_string()).await
    }

    /// Follows all rooms from the cursors: by one resume or by single subscriptions, as chance has it.
    async fn follow(&mut self) -> Result<(), Broken> {
        let rooms = self.raw.seat.rooms.clone();
        let too_early = self.raw.seat.mutation == Some(Mutation::AfterOffByOne) && self.raw.seat.rng.random();
        let cursor = |raw: &Raw, room| raw.seat.recorder.cursor(room).saturating_sub(u64::from(too_early));
        let resumes = self.raw.seat.rng.random();
        match self.raw.epoch.clone().filter(|_| resumes) {
            Some(epoch) => {
                let cursors = rooms.iter().map(|room| (room.to_string(), cursor(self.raw, *room).into())).collect();
                let command = json!({ "cmd": "session.resume", "epoch": epoch, "rooms": Value::Object(cursors) });
                self.ask(Request::Resume, command).await
            }
            None => {
                for room in rooms {
                    let after = cursor(self.raw, room);
                    let command = json!({ "cmd": "room.subscribe", "room": room, "after": after });
                    self.ask(Request::Subscribe(room), command).await?;
                }
                Ok(())
            }
        }
    }

    async fn tick(&mut self) -> Result<(), Broken> {
        let now = Instant::now();
        if now - self.heard > SILENCE_MAX || self.requests.values().any(|(_, asked)| now - *asked > REPLY_MAX) {
            return Err(Broken::Lost("silence".to_owned()));
        }
        if now - self.pinged > PING {
            self.pinged = now;
            self.socket.ping().await?;
        }
        self.raw.compose(now);
        while let Some(at) = self.raw.pending.iter().position(|pending| pending.due.is_some_and(|due| due <= now)) {
            self.transmit(at).await?;
        }
        Ok(())
    }

    async fn transmit(&mut self, at: usize) -> Result<(), Broken> {
        let Pending { key, room, transmissions, due, .. } = &mut self.raw.pending[at];
        *due = None;
        *transmissions += 1;
        let (key, room, first) = (key.clone(), *room, *transmissions == 1);
        self.raw.seat.recorder.push(Entry::Sent { key: key.clone(), retries_unseen: false });
        let hit = self.raw.seat.rng.random_bool(MUTATED_SHARE);
        if self.raw.seat.mutation == Some(Mutation::AckBeforeCommit) && hit {
            let seq = self.raw.seat.recorder.cursor(room) + 1;
            let sent = Sent { seq, id: MessageId::new(), at: Timestamp::now(), duplicate: false };
            self.acked(&key, sent);
            return Ok(());
        }
        self.send(key, room, first).await
    }

    async fn send(&mut self, key: String, room: RoomId, first: bool) -> Result<(), Broken> {
        let forgets = self.raw.seat.mutation == Some(Mutation::NoIdempotency) && !first;
        let client_msg_id = if forgets { Uuid::new_v4().simple().to_string() } else { key.clone() };
        let body = body(&key);
        let command = json!({ "cmd": "message.send", "room": room, "client_msg_id": client_msg_id, "body": body });
        self.ask(Request::Send(key), command).await
    }

    async fn take(&mut self, frame: Frame) -> Result<(), Broken> {
        self.heard = Instant::now();
        let text = match frame {
            Frame::Text(text) => text,
            Frame::Ping(payload) => return self.socket.pong(&payload).await,
            Frame::Pong => return Ok(()),
            Frame::Close { code, reason } => return Err(Broken::Lost(format!("closed: {code} {reason}"))),
        };
        let frame = hubbub_protocol::server::decode(Codec::Json, text.as_bytes());
        match frame.map_err(|unreadable| Broken::Lost(unreadable.to_string()))? {
            ServerFrame::Reply { re: Some(re), outcome } => match self.requests.remove(&re) {
                Some((request, _)) => self.answered(request, outcome).await,
                None => Err(Broken::Lost("a reply to nothing".to_owned())),
            },
            ServerFrame::Room(event) => {
                self.event(event);
                Ok(())
            }
            ServerFrame::Session(SessionEventData::Ready(ready)) => {
                self.raw.epoch = Some(ready.epoch);
                Ok(())
            }
            ServerFrame::Reply { re: None, .. } | ServerFrame::Session(_) | ServerFrame::Unknown => Ok(()),
        }
    }

    async fn answered(&mut self, request: Request, outcome: Result<Value, WireError>) -> Result<(), Broken> {
        match request {
            Request::Send(key) => match outcome {
                Ok(ok) => {
                    let sent: Sent = parse(ok)?;
                    self.acked(&key, sent);
                    self.probe(key).await
                }
                Err(error) => {
                    self.refused(&key, &error);
                    Ok(())
                }
            },
            Request::Subscribe(room) => {
                let subscribed = outcome.map_err(|error| refusal(&error))?;
                self.subscribed(room, parse(subscribed)?).await
            }
            Request::Resume => {
                let resumed: Resumed = parse(outcome.map_err(|error| refusal(&error))?)?;
                for (_, room) in resumed.rooms {
                    match room {
                        ResumedRoom::Subscribed(subscribed) => self.subscribed(subscribed.room, subscribed).await?,
                        ResumedRoom::Refused { err } => return Err(refusal(&err)),
                    }
                }
                Ok(())
            }
            Request::Fill(room) => {
                let page: EventPage = parse(outcome.map_err(|error| refusal(&error))?)?;
                self.filled(room, page).await
            }
        }
    }

    fn acked(&mut self, key: &str, sent: Sent) {
        let at = self.raw.pending.iter().position(|pending| pending.key == key);
        // An answer to a probe has no pending message any more: its room is that of the first answer.
        let Some(pending) = at.and_then(|at| self.raw.pending.remove(at)) else {
            let room = self.raw.probed.remove(key);
            if let Some(room) = room {
                self.raw.seat.recorder.push(Entry::Acked {
                    key: key.to_owned(),
                    room,
                    sent,
                    waited_ms: 0,
                    came: Timestamp::now(),
                });
            }
            return;
        };
        let waited_ms = u64::try_from(pending.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (key, room) = (pending.key, pending.room);
        if self.raw.seat.rng.random_bool(PROBE_SHARE) {
            self.raw.probed.insert(key.clone(), room);
        }
        self.raw.seat.recorder.push(Entry::Acked { key, room, sent, waited_ms, came: Timestamp::now() });
        self.raw.seat.recorder.ends(true);
    }

    /// Sends an acked message once more, if it was chosen.
    async fn probe(&mut self, key: String) -> Result<(), Broken> {
        let Some(room) = self.raw.probed.get(&key).copied() else { return Ok(()) };
        self.raw.seat.recorder.push(Entry::Sent { key: key.clone(), retries_unseen: false });
        self.send(key, room, false).await
    }

    fn refused(&mut self, key: &str, error: &WireError) {
        let Some(at) = self.raw.pending.iter().position(|pending| pending.key == key) else {
            self.raw.probed.remove(key);
            return;
        };
        if error.retry {
            self.raw.seat.recorder.feels(format!("refused {}", error.name));
            let wait = Duration::from_millis(error.retry_after_ms.unwrap_or(0).max(RETRY_MS_MIN));
            self.raw.pending[at].due = Some(Instant::now() + wait);
        } else {
            self.raw.pending.remove(at);
            self.raw.seat.recorder.push(Entry::Refused { key: key.to_owned(), code: error.code });
            self.raw.seat.recorder.ends(false);
        }
    }

    async fn subscribed(&mut self, room: RoomId, subscribed: Subscribed) -> Result<(), Broken> {
        let Subscribed { head, epoch, replayed, gap, reset, .. } = subscribed;
        self.raw.epoch = Some(epoch);
        if reset {
            self.raw.seat.recorder.push(Entry::Ended { room, reason: format!("reset at head {head}") });
        }
        let begun = self.raw.seat.recorder.cursor(room) > 0;
        if self.raw.seat.mutation == Some(Mutation::AfterOffByOne) && begun && replayed > 0 {
            self.swallow.insert(room);
        }
        if let Some(Gap { from, to }) = gap {
            self.fills.insert(room, Fill { next: from, to, held: Vec::new() });
            self.fill(room, from).await?;
        }
        Ok(())
    }

    async fn fill(&mut self, room: RoomId, next: Seq) -> Result<(), Broken> {
        let command = json!({ "cmd": "event.list", "room": room, "after": next - 1, "limit": PAGE });
        self.ask(Request::Fill(room), command).await
    }

    async fn filled(&mut self, room: RoomId, page: EventPage) -> Result<(), Broken> {
        let Some(mut fill) = self.fills.remove(&room) else { return Ok(()) };
        let before = fill.next;
        for event in page.events.into_iter().filter(|event| event.seq <= fill.to) {
            fill.next = event.seq + 1;
            self.record(&event);
        }
        if fill.next > fill.to {
            fill.held.into_iter().for_each(|event| self.event(event));
            return Ok(());
        }
        if fill.next == before {
            return Err(Broken::Lost("a gap that cannot be filled".to_owned()));
        }
        let next = fill.next;
        self.fills.insert(room, fill);
        self.fill(room, next).await
    }

    fn event(&mut self, event: RoomEvent) {
        if let Some(fill) = self.fills.get_mut(&event.room) {
            fill.held.push(event);
            return;
        }
        let lost = self.raw.seat.mutation == Some(Mutation::PublishLost)
            && event.seq > 1
            && self.raw.seat.rng.random_bool(MUTATED_SHARE);
        if lost || self.swallow.remove(&event.room) {
            return;
        }
        self.record(&event);
    }

    fn record(&mut self, event: &RoomEvent) {
        self.raw.seat.recorder.push(Entry::Delivered(Delivered::now(event)));
    }
}

fn parse<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Broken> {
    serde_json::from_value(value).map_err(|error| Broken::Lost(format!("unreadable: {error}")))
}

/// A refused subscription is tried again on the next connection.
fn refusal(error: &WireError) -> Broken {
    Broken::Lost(format!("refused: {} {}", error.code, error.message))
}
