//! Replies: what answers a command (CONTRACT §4).
//!
//! Must never be sent for a write before its transaction has committed (the type cannot tell; the gateway's
//! dispatch awaits).

use schemars::JsonSchema;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::error::WireError;
use crate::id::{Epoch, MessageId, RoomId, Seq};
use crate::object::{Message, Room};
use crate::time::Timestamp;
use crate::{RoomEvent, SessionEventData};

/// A reply frame. `re` is the id of the command, null where it could not be read or where an `err` answers none.
#[derive(Clone, PartialEq, Debug)]
pub struct Reply<'a, T: Serialize> {
    /// The command that this answers.
    pub re: Option<u64>,
    /// The answer.
    pub outcome: Outcome<'a, T>,
}

impl<T: Serialize> Serialize for Reply<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut reply = serializer.serialize_struct("Reply", 2)?;
        reply.serialize_field("re", &self.re)?;
        match &self.outcome {
            Outcome::Ok(ok) => reply.serialize_field("ok", ok)?,
            Outcome::Err(err) => reply.serialize_field("err", err)?,
        }
        reply.end()
    }
}

/// The answer itself.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome<'a, T: Serialize> {
    /// Done.
    Ok(T),
    /// Refused.
    Err(&'a WireError),
}

/// The `ok` of a command, by command.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ReplyOk {
    /// `session.authenticate`.
    Ready(Box<crate::event::SessionReady>),
    /// `session.renew`.
    Renewed(Renewed),
    /// `session.resume`.
    Resumed(Resumed),
    /// `room.create`, `room.join`, `room.leave`, `room.show`.
    Room(Room),
    /// `room.list`.
    Rooms(RoomPage),
    /// `room.subscribe`.
    Subscribed(Subscribed),
    /// `room.unsubscribe`.
    Empty(Empty),
    /// `message.send`.
    Sent(Sent),
    /// `message.list`.
    Messages(MessagePage),
    /// `event.list`.
    Events(EventPage),
}

/// Answer of `room.unsubscribe`: `{}`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Empty {}

/// Answer of `session.renew`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Renewed {
    /// When the new token ends.
    pub expires_at: Timestamp,
}

/// Answer of `session.resume`: one outcome for each room, with the keys as sent.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Resumed {
    /// By the key that the client sent.
    #[serde(with = "ordered")]
    #[schemars(with = "std::collections::BTreeMap<String, ResumedRoom>")]
    pub rooms: Vec<(String, ResumedRoom)>,
}

/// One room of `session.resume`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ResumedRoom {
    /// As the answer of `room.subscribe`.
    Subscribed(Subscribed),
    /// This room was refused.
    Refused {
        /// Why.
        err: WireError,
    },
}

/// Answer of `room.list`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RoomPage {
    /// The page.
    pub rooms: Vec<Room>,
    /// `after` of the next page; none at the end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// Answer of `room.subscribe`. `replayed` events follow, then live ones.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Subscribed {
    /// The room's id, whatever the command named it by.
    pub room: RoomId,
    /// The newest seq when the subscription began.
    pub head: Seq,
    /// The epoch that cursors from here belong to.
    pub epoch: Epoch,
    /// How many events follow before live ones.
    pub replayed: u64,
    /// What is not replayed because it is too far behind; fill it with `event.list`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gap: Option<Gap>,
    /// The cursor means nothing here: start fresh from `head`.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub reset: bool,
}

/// Seqs that are not replayed, both ends inside.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Gap {
    /// The first one.
    pub from: Seq,
    /// The last one.
    pub to: Seq,
}

/// Answer of `message.send`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Sent {
    /// Its place in the room's order.
    pub seq: Seq,
    /// The message.
    pub id: MessageId,
    /// When it was committed.
    pub at: Timestamp,
    /// The message was there already: this is the first answer again.
    pub duplicate: bool,
}

/// Answer of `message.list`, ascending.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MessagePage {
    /// The page.
    pub messages: Vec<Message>,
    /// The room's newest seq.
    pub head: Seq,
}

/// Answer of `event.list`, ascending.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EventPage {
    /// The page.
    pub events: Vec<RoomEvent>,
    /// The room's newest seq.
    pub head: Seq,
}

macro_rules! into_ok {
    ($($type:ident => $variant:ident),*) => {
        $(impl From<$type> for ReplyOk {
            fn from(ok: $type) -> Self {
                Self::$variant(ok)
            }
        })*
    };
}
into_ok!(Renewed => Renewed, Resumed => Resumed, Room => Room, RoomPage => Rooms, Subscribed => Subscribed,
         Empty => Empty, Sent => Sent, MessagePage => Messages, EventPage => Events);

/// What a client reads from the server: a reply or an event.
#[derive(Clone, PartialEq, Debug)]
pub enum ServerFrame {
    /// Answers a command.
    Reply {
        /// Which one.
        re: Option<u64>,
        /// How.
        outcome: Result<serde_json::Value, WireError>,
    },
    /// A durable change of a room.
    Room(RoomEvent),
    /// Concerns this connection alone.
    Session(SessionEventData),
    /// Something that this build does not know, to be ignored.
    Unknown,
}

mod ordered {
    //! A list of pairs as an object that keeps their order.
    use std::fmt;
    use std::marker::PhantomData;

    use serde::de::{Deserializer, MapAccess, Visitor};
    use serde::{Deserialize, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer, V: Serialize>(
        pairs: &[(String, V)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(pairs.iter().map(|(key, value)| (key, value)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, V: Deserialize<'de>>(
        deserializer: D,
    ) -> Result<Vec<(String, V)>, D::Error> {
        struct Pairs<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Pairs<V> {
            type Value = Vec<(String, V)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = access.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(Pairs(PhantomData))
    }
}
