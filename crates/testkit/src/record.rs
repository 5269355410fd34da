//! What a client saw, in the order in which it saw it.
//!
//! Must never judge: that is the checker's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hubbub_protocol::reply::Sent;
use hubbub_protocol::{MessageId, RoomEvent, RoomEventData, RoomId, Seq, Timestamp};

/// One thing that a client did or saw.
#[derive(Clone, PartialEq, Debug)]
pub enum Entry {
    /// It transmitted a message.
    Sent {
        /// Names the message; see [`body`].
        key: String,
        /// The client retries by itself, so one entry may stand for several transmissions.
        retries_unseen: bool,
    },
    /// An ack came.
    Acked {
        /// Of which message.
        key: String,
        /// In which room.
        room: RoomId,
        /// The ack.
        sent: Sent,
        /// From the first transmission to here, in milliseconds.
        waited_ms: u64,
        /// When it came.
        came: Timestamp,
    },
    /// A message was refused for good.
    Refused {
        /// Which one.
        key: String,
        /// The error code.
        code: u32,
    },
    /// From here on every event behind `after` must come.
    Following {
        /// Of which room.
        room: RoomId,
        /// The cursor.
        after: Seq,
    },
    /// Something that a person would have noticed: a message refused for now, a connection lost or not to be had.
    Felt {
        /// When.
        at: Timestamp,
        /// What, in words that can be counted.
        error: String,
    },
    /// An event came.
    Delivered(Delivered),
    /// The server or the SDK gave up on a room; what came later is not known.
    Ended {
        /// Which room.
        room: RoomId,
        /// What it said.
        reason: String,
    },
}

/// An event as it came.
#[derive(Clone, PartialEq, Debug)]
pub struct Delivered {
    /// The room.
    pub room: RoomId,
    /// Its place.
    pub seq: Seq,
    /// Of a message: its id and its key.
    pub message: Option<(MessageId, String)>,
    /// When it was committed, by the clock of a node.
    pub committed: Timestamp,
    /// When it came.
    pub came: Timestamp,
}

impl Delivered {
    /// An event that comes now.
    #[must_use]
    pub fn now(event: &RoomEvent) -> Self {
        let message = match &event.data {
            RoomEventData::MessageSent(sent) => Some((sent.id, key_of(&sent.body).to_owned())),
            _ => None,
        };
        Self { room: event.room, seq: event.seq, message, committed: event.at, came: Timestamp::now() }
    }
}

/// The body of a message: its key, so that a message can be told whatever happened to its `client_msg_id`.
#[must_use]
pub fn body(key: &str) -> String {
    format!("{key} and a few words more, as people write them")
}

fn key_of(body: &str) -> &str {
    body.split(' ').next().unwrap_or(body)
}

/// Everything that one client saw.
#[derive(Clone, PartialEq, Debug)]
pub struct Record {
    /// Its name.
    pub client: String,
    /// In order.
    pub entries: Vec<Entry>,
}

/// Where a room ends, as a node tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// Who says so.
    pub node: String,
    /// Of which room.
    pub room: RoomId,
    /// The newest seq.
    pub seq: Seq,
}

#[derive(Debug, Default)]
struct Progress {
    entries: Vec<Entry>,
    cursors: HashMap<RoomId, Seq>,
    unacked: usize,
    sent: u64,
    acked: u64,
    delivered: u64,
}

/// Where a client writes its record; cheap to clone, read by whoever watches.
#[derive(Clone, Debug)]
pub struct Recorder {
    client: Arc<str>,
    progress: Arc<Mutex<Progress>>,
}

/// How far a client is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Messages transmitted, retries not counted.
    pub sent: u64,
    /// Acks of different messages.
    pub acked: u64,
    /// Events.
    pub delivered: u64,
    /// Messages without an ack yet.
    pub unacked: usize,
}

impl Recorder {
    /// An empty record.
    #[must_use]
    pub fn new(client: &str) -> Self {
        Self { client: client.into(), progress: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a message.
    pub fn begins(&self) {
        let mut progress = self.lock();
        progress.unacked += 1;
        progress.sent += 1;
    }

    /// Notes what a person would have noticed now.
    pub fn feels(&self, error: impl Into<String>) {
        self.push(Entry::Felt { at: Timestamp::now(), error: error.into() });
    }

    /// Ends a message, acked or refused.
    pub fn ends(&self, acked: bool) {
        let mut progress = self.lock();
        progress.unacked = progress.unacked.saturating_sub(1);
        progress.acked += u64::from(acked);
    }

    /// Appends an entry.
    pub fn push(&self, entry: Entry) {
        let mut progress = self.lock();
        match &entry {
            Entry::Following { room, after } => {
                progress.cursors.entry(*room).or_insert(*after);
            }
            Entry::Delivered(delivered) => {
                let cursor = progress.cursors.entry(delivered.room).or_default();
                *cursor = delivered.seq.max(*cursor);
                progress.delivered += 1;
            }
            _ => {}
        }
        progress.entries.push(entry);
    }

    /// The highest seq that came in a room.
    #[must_use]
    pub fn cursor(&self, room: RoomId) -> Seq {
        self.lock().cursors.get(&room).copied().unwrap_or(0)
    }

    /// How far the client is.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let progress = self.lock();
        let Progress { unacked, sent, acked, delivered, .. } = *progress;
        Counts { sent, acked, delivered, unacked }
    }

    /// The client's name.
    #[must_use]
    pub fn client(&self) -> &str {
        &self.client
    }

    /// The record so far.
    #[must_use]
    pub fn record(&self) -> Record {
        Record { client: self.client.to_string(), entries: self.lock().entries.clone() }
    }
}
