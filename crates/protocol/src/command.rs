//! Commands: what a client asks for (CONTRACT §4).
//!
//! One more command costs one struct and one line in [`commands!`]. Must never check what depends on
//! configuration or state: that is the business of `chat`.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::error::{ErrorCode, Refusal};
use crate::fields::{self, Source};
use crate::id::{Epoch, SEQ_MAX, Seq};
use crate::object::RoomKind;
use crate::text::{ClientMsgId, RoomName, RoomSelector, UserSelector};
use crate::value::Value;

macro_rules! commands {
    ($($variant:ident = $name:literal : $doc:literal;)*) => {
        /// A command with its arguments.
        #[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
        #[serde(tag = "cmd")]
        pub enum Command {
            $(#[doc = $doc] #[serde(rename = $name)] $variant($variant),)*
        }

        impl Command {
            /// Every command name there is, in the order of the contract.
            pub const NAMES: &[&str] = &[$($name),*];

            /// The name on the wire, also the label of its metrics.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }

            /// Types the arguments of the command `cmd`, which stand in `frame` beside `id` and `cmd`.
            ///
            /// # Errors
            /// [`ErrorCode::UnknownCommand`]; [`ErrorCode::InvalidField`] with the name of the argument.
            pub fn decode(cmd: &str, frame: &Value<'_>) -> Result<Self, Refusal> {
                match cmd {
                    $($name => typed(frame).map(Self::$variant),)*
                    _ => Err(Refusal::new(ErrorCode::UnknownCommand)),
                }
            }
        }

        $(impl From<$variant> for Command {
            fn from(command: $variant) -> Self {
                Self::$variant(command)
            }
        })*
    };
}

commands! {
    SessionAuthenticate = "session.authenticate": "Signs on with an access token.";
    SessionRenew = "session.renew": "Replaces the token of a session by a newer one of the same user.";
    SessionResume = "session.resume": "Subscribes to many rooms at once, each from its cursor.";
    RoomCreate = "room.create": "Makes a room; the creator owns it.";
    RoomJoin = "room.join": "Becomes a member of an open room.";
    RoomLeave = "room.leave": "Stops being a member.";
    RoomShow = "room.show": "Shows one room.";
    RoomList = "room.list": "Lists the public rooms and one's own.";
    RoomSubscribe = "room.subscribe": "Follows a room on this connection, with a replay of what was missed.";
    RoomUnsubscribe = "room.unsubscribe": "Stops following a room on this connection.";
    MessageSend = "message.send": "Sends a message; the same `client_msg_id` again gets the first answer.";
    MessageList = "message.list": "Lists messages in their present state.";
    EventList = "event.list": "Lists the log of a room, to fill a gap.";
}

fn typed<'v, T: Deserialize<'v>>(frame: &'v Value<'v>) -> Result<T, Refusal> {
    T::deserialize(Source(frame)).map_err(fields::FieldFault::into_refusal)
}

/// An access token. Shown nowhere: its `Debug` is masked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Arguments of `session.authenticate`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SessionAuthenticate {
    /// The access token.
    pub token: Token,
}

/// Arguments of `session.renew`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SessionRenew {
    /// A newer access token of the same user.
    pub token: Token,
}

/// Arguments of `session.resume`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SessionResume {
    /// The epoch that the cursors belong to.
    pub epoch: Epoch,
    /// The last seq that the client has of each room.
    pub rooms: Cursors,
}

/// Arguments of `room.create`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RoomCreate {
    /// Its name; none when direct.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<RoomName>,
    /// What it is for.
    pub kind: RoomKind,
    /// Its first members beside the creator, by id or name.
    #[serde(skip_serializing_if = "Vec::is_empty", default, deserialize_with = "null_is_default")]
    pub members: Vec<UserSelector>,
}

macro_rules! room_command {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
        pub struct $name {
            /// The room, by id or name.
            pub room: RoomSelector,
        }
    };
}

room_command!(
    /// Arguments of `room.join`.
    RoomJoin
);
room_command!(
    /// Arguments of `room.leave`.
    RoomLeave
);
room_command!(
    /// Arguments of `room.show`.
    RoomShow
);
room_command!(
    /// Arguments of `room.unsubscribe`.
    RoomUnsubscribe
);

/// Arguments of `room.list`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct RoomList {
    /// The `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<String>,
    /// Length of the page.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<PageLimit>,
}

/// Arguments of `room.subscribe`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RoomSubscribe {
    /// The room, by id or name.
    pub room: RoomSelector,
    /// Replay what follows this seq.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<Cursor>,
    /// Replay so many of the newest events; not together with `after`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last: Option<Cursor>,
}

/// Arguments of `message.send`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MessageSend {
    /// The room, by id or name.
    pub room: RoomSelector,
    /// The client's own id of the message.
    pub client_msg_id: ClientMsgId,
    /// The text; stored as sent.
    pub body: String,
}

/// Arguments of `message.list`. `before` and `after` are exclusive and not both there.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MessageList {
    /// The room, by id or name.
    pub room: RoomSelector,
    /// Only messages before this seq.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<Cursor>,
    /// Only messages after this seq.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<Cursor>,
    /// Length of the page.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<PageLimit>,
}

/// Arguments of `event.list`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EventList {
    /// The room, by id or name.
    pub room: RoomSelector,
    /// Only events after this seq.
    pub after: Cursor,
    /// Length of the page.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<PageLimit>,
}

/// A sequence number as a client gives it: an integer from 0 to 2^53-1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, JsonSchema)]
pub struct Cursor(pub Seq);

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            seq @ 0..=SEQ_MAX => Ok(Self(seq)),
            _ => Err(D::Error::custom("a sequence number is at most 2^53-1")),
        }
    }
}

/// Length of a page: at least 1; above the configured maximum it is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct PageLimit(pub u64);

impl<'de> Deserialize<'de> for PageLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            0 => Err(D::Error::custom("a page has at least one row")),
            limit => Ok(Self(limit)),
        }
    }
}

fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The cursors of `session.resume`, in the order and with the keys of the frame.
///
/// A bad key or cursor is kept with its fault, since it is answered in its own place and fails no neighbour.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Cursors(pub Vec<(String, Result<Seq, String>)>);

impl Serialize for Cursors {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(room, seq)| (room, seq.as_ref().ok())))
    }
}

impl JsonSchema for Cursors {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Cursors".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        std::collections::BTreeMap::<String, Seq>::json_schema(generator)
    }
}

impl<'de> Deserialize<'de> for Cursors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rooms;
        impl<'de> Visitor<'de> for Rooms {
            type Value = Cursors;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of rooms and cursors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Cursors, A::Error> {
                let mut rooms = Vec::new();
                while let Some((room, LooseSeq(seq))) = access.next_entry::<String, LooseSeq>()? {
                    rooms.push((room, seq));
                }
                Ok(Cursors(rooms))
            }
        }
        deserializer.deserialize_map(Rooms)
    }
}

/// A cursor or, for any other value, its fault.
struct LooseSeq(Result<Seq, String>);

impl<'de> Deserialize<'de> for LooseSeq {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        const FAULT: &str = "a cursor is an integer from 0 to 2^53-1";
        macro_rules! faulty {
            ($($visit:ident: $from:ty),*) => {
                $(fn $visit<E: serde::de::Error>(self, _: $from) -> Result<LooseSeq, E> {
                    Ok(LooseSeq(Err(FAULT.to_owned())))
                })*
            };
        }
        impl<'de> Visitor<'de> for Any {
            type Value = LooseSeq;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a cursor")
            }
            faulty!(visit_i64: i64, visit_f64: f64, visit_str: &str, visit_bool: bool, visit_bytes: &[u8]);
            fn visit_u64<E: serde::de::Error>(self, seq: u64) -> Result<LooseSeq, E> {
                Ok(LooseSeq(if seq <= SEQ_MAX { Ok(seq) } else { Err(FAULT.to_owned()) }))
            }
            fn visit_unit<E: serde::de::Error>(self) -> Result<LooseSeq, E> {
                Ok(LooseSeq(Err(FAULT.to_owned())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<LooseSeq, A::Error> {
                while access.next_element::<IgnoredAny>()?.is_some() {}
                Ok(LooseSeq(Err(FAULT.to_owned())))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<LooseSeq, A::Error> {
                while access.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(LooseSeq(Err(FAULT.to_owned())))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
