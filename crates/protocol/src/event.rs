//! Events: what happened, told to whom it concerns (CONTRACT §4).
//!
//! Room events are durable: each takes its room's next `seq`. One more kind costs one struct and one line in
//! `room_events!`. A kind that this build does not know is passed on as it is, so that nodes of two versions can
//! serve one room. Must never hold what a member of the room may not see.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error as _};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::id::{Epoch, MessageId, RoomId, Seq, SessionId};
use crate::limit::ClientLimits;
use crate::object::{Room, RoomMember, RoomRole, UserRef};
use crate::text::{ClientMsgId, Masked};
use crate::time::Timestamp;
use crate::trace::TraceContext;

macro_rules! room_events {
    ($($variant:ident = $name:literal : $doc:literal;)*) => {
        /// What changed in a room.
        #[derive(Clone, PartialEq, Debug)]
        pub enum RoomEventData {
            $(#[doc = $doc] $variant($variant),)*
            /// A kind of event that this build does not know, passed on as it came.
            Other {
                /// Its name.
                ev: String,
                /// Its `data`.
                data: serde_json::Value,
            },
        }

        impl RoomEventData {
            /// Every name that this build knows, in the order of the documents.
            pub const NAMES: &[&str] = &[$($name),*];

            /// What each of them tells, for people, in the order of [`RoomEventData::NAMES`].
            pub const MEANINGS: &[&str] = &[$($doc),*];

            /// The name on the wire and in the log.
            #[must_use]
            pub fn name(&self) -> &str {
                match self { $(Self::$variant(_) => $name,)* Self::Other { ev, .. } => ev }
            }

            /// The event with this name and this `data`.
            ///
            /// # Errors
            /// When `data` is not what an event of this name holds.
            pub fn from_parts(ev: &str, data: serde_json::Value) -> Result<Self, serde_json::Error> {
                match ev {
                    $($name => serde_json::from_value(data).map(Self::$variant),)*
                    _ => Ok(Self::Other { ev: ev.to_owned(), data }),
                }
            }

            /// Adds the schemas of all kinds to a generator, by event name.
            pub(crate) fn schemas(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
                vec![$(($name, generator.subschema_for::<$variant>())),*]
            }
        }

        impl Serialize for RoomEventData {
            /// Writes `data` alone.
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Self::$variant(data) => data.serialize(serializer),)*
                    Self::Other { data, .. } => data.serialize(serializer),
                }
            }
        }

        $(impl From<$variant> for RoomEventData {
            fn from(data: $variant) -> Self {
                Self::$variant(data)
            }
        })*
    };
}

room_events! {
    RoomCreated = "room.created": "The room was made; stands for its first members too.";
    MemberJoined = "member.joined": "Somebody became a member.";
    MemberLeft = "member.left": "Somebody is no member any more.";
    MessageSent = "message.sent": "A message was sent.";
}

/// `data` of `room.created`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RoomCreated {
    /// The room as it was made.
    pub room: Room,
    /// Its first members, the creator among them.
    pub members: Vec<RoomMember>,
}

/// `data` of `member.joined`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MemberJoined {
    /// Who joined.
    pub user: UserRef,
    /// What they may do.
    pub role: RoomRole,
}

/// `data` of `member.left`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MemberLeft {
    /// Who left.
    pub user: UserRef,
}

/// `data` of `message.sent`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MessageSent {
    /// The message.
    pub id: MessageId,
    /// The sender's own id of it, by which their other tabs know it.
    pub client_msg_id: ClientMsgId,
    /// The text, as sent.
    pub body: String,
}

impl fmt::Debug for MessageSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageSent")
            .field("id", &self.id)
            .field("client_msg_id", &self.client_msg_id)
            .field("body", &Masked(&self.body))
            .finish()
    }
}

/// A durable change of a room: one row of its log.
#[derive(Clone, PartialEq, Debug)]
pub struct RoomEvent {
    /// Which room.
    pub room: RoomId,
    /// Its place in the room's order.
    pub seq: Seq,
    /// When it was committed, by the clock of a node.
    pub at: Timestamp,
    /// Who did it.
    pub by: UserRef,
    /// What changed.
    pub data: RoomEventData,
    /// The recorded trace that it came from, on its way from commit to socket; not on the wire. Boxed: most have none.
    pub trace: Option<Box<TraceContext>>,
}

impl Serialize for RoomEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut event = serializer.serialize_struct("RoomEvent", 6)?;
        event.serialize_field("ev", self.data.name())?;
        event.serialize_field("room", &self.room)?;
        event.serialize_field("seq", &self.seq)?;
        event.serialize_field("at", &self.at)?;
        event.serialize_field("by", &self.by)?;
        event.serialize_field("data", &self.data)?;
        event.end()
    }
}

impl<'de> Deserialize<'de> for RoomEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Parts {
            ev: String,
            room: RoomId,
            seq: Seq,
            at: Timestamp,
            by: UserRef,
            data: serde_json::Value,
        }
        let Parts { ev, room, seq, at, by, data } = Parts::deserialize(deserializer)?;
        let data = RoomEventData::from_parts(&ev, data).map_err(D::Error::custom)?;
        Ok(Self { room, seq, at, by, data, trace: None })
    }
}

impl JsonSchema for RoomEvent {
    fn schema_name() -> Cow<'static, str> {
        "RoomEvent".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (room, seq) = (generator.subschema_for::<RoomId>(), generator.subschema_for::<Seq>());
        let (at, by) = (generator.subschema_for::<Timestamp>(), generator.subschema_for::<UserRef>());
        let kinds: Vec<_> = RoomEventData::schemas(generator)
            .into_iter()
            .map(|(name, data)| {
                json_schema!({
                    "type": "object",
                    "properties": { "ev": { "const": name }, "room": room, "seq": seq, "at": at, "by": by, "data": data },
                    "required": ["ev", "room", "seq", "at", "by", "data"],
                })
            })
            .collect();
        json_schema!({ "description": "A durable change of a room: one row of its log.", "oneOf": kinds })
    }
}

/// An event of this connection alone: it has no room and no `seq`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SessionEvent {
    /// Its name and data.
    #[serde(flatten)]
    pub event: SessionEventData,
    /// When.
    pub at: Timestamp,
}

impl SessionEvent {
    /// The event as of now.
    #[must_use]
    pub fn now(event: SessionEventData) -> Self {
        Self { event, at: Timestamp::now() }
    }
}

/// Name and `data` of a session event.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "ev", content = "data")]
pub enum SessionEventData {
    /// The connection is signed on.
    #[serde(rename = "session.ready")]
    Ready(Box<SessionReady>),
    /// The token ends within a minute; renew it.
    #[serde(rename = "session.expiring")]
    Expiring {
        /// When it ends.
        expires_at: Timestamp,
    },
    /// The server is about to close this connection.
    #[serde(rename = "session.closing")]
    Closing {
        /// The name of the close code that follows.
        reason: String,
        /// How long to wait before connecting again, in milliseconds, spread so that not all come at once.
        retry_after_ms: u64,
    },
}

impl SessionEventData {
    /// Every name that this build knows.
    pub const NAMES: &[&str] = &["session.ready", "session.expiring", "session.closing"];
}

/// `data` of `session.ready`, and the answer to `session.authenticate`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SessionReady {
    /// This connection's id.
    pub session: SessionId,
    /// Who signed on.
    pub user: UserRef,
    /// The name of the node.
    pub node: String,
    /// The epoch that cursors from here belong to.
    pub epoch: Epoch,
    /// How often the server pings, in milliseconds.
    pub heartbeat_ms: u64,
    /// When the token ends.
    pub expires_at: Timestamp,
    /// The limits that the client can keep to by itself.
    pub limits: ClientLimits,
}
