//! Commands: what a client asks for (CONTRACT §4).
//!
//! One more command costs one struct and one line in `commands!`. Must never check what depends on
//! configuration or state: that is the business of `chat`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::argument::null_is_default;
pub use crate::argument::{Cursor, Cursors, PageLimit, Token};
use crate::error::{ErrorCode, Refusal};
use crate::event::SessionReady;
use crate::fields::{self, Source};
use crate::id::Epoch;
use crate::object::{Room, RoomKind};
use crate::reply::{Empty, EventPage, MessagePage, Renewed, Resumed, RoomPage, Sent, Subscribed};
use crate::text::{ClientMsgId, Masked, RoomName, RoomSelector, UserSelector};
use crate::value::Value;

macro_rules! commands {
    ($($variant:ident = $name:literal -> $ok:ident : $doc:literal;)*) => {
        /// A command with its arguments.
        #[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
        #[serde(tag = "cmd")]
        pub enum Command {
            $(#[doc = $doc] #[serde(rename = $name)] $variant($variant),)*
        }

        impl Command {
            /// Every command name there is, in the order of the contract.
            pub const NAMES: &[&str] = &[$($name),*];

            /// What each command does, for people, in the order of [`Command::NAMES`].
            pub const MEANINGS: &[&str] = &[$($doc),*];

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
                let command = match cmd {
                    $($name => typed(frame).map(Self::$variant),)*
                    _ => Err(Refusal::new(ErrorCode::UnknownCommand)),
                }?;
                command.check()?;
                Ok(command)
            }

            /// Adds the schemas of the arguments of every command to a generator, by name.
            pub(crate) fn argument_schemas(
                generator: &mut schemars::SchemaGenerator,
            ) -> Vec<(&'static str, schemars::Schema)> {
                vec![$(($name, generator.subschema_for::<$variant>())),*]
            }

            /// Adds the schemas of the `ok` of every command to a generator, by name.
            pub(crate) fn ok_schemas(generator: &mut schemars::SchemaGenerator) -> Vec<(&'static str, schemars::Schema)> {
                vec![$(($name, generator.subschema_for::<$ok>())),*]
            }
        }

        $(impl From<$variant> for Command {
            fn from(command: $variant) -> Self {
                Self::$variant(command)
            }
        }

        impl Arguments for $variant {
            const NAME: &'static str = $name;
            type Ok = $ok;
        })*
    };
}

commands! {
    SessionAuthenticate = "session.authenticate" -> SessionReady: "Signs on with an access token.";
    SessionRenew = "session.renew" -> Renewed: "Replaces the token of a session by a newer one of the same user.";
    SessionResume = "session.resume" -> Resumed: "Subscribes to many rooms at once, each from its cursor.";
    RoomCreate = "room.create" -> Room: "Makes a room; the creator owns it.";
    RoomJoin = "room.join" -> Room: "Becomes a member of an open room.";
    RoomLeave = "room.leave" -> Room: "Stops being a member.";
    RoomShow = "room.show" -> Room: "Shows one room.";
    RoomList = "room.list" -> RoomPage: "Lists the public rooms and one's own.";
    RoomSubscribe = "room.subscribe" -> Subscribed: "Follows a room on this connection, with a replay of what was missed.";
    RoomUnsubscribe = "room.unsubscribe" -> Empty: "Stops following a room on this connection.";
    MessageSend = "message.send" -> Sent: "Sends a message; the same `client_msg_id` again gets the first answer.";
    MessageList = "message.list" -> MessagePage: "Lists messages in their present state.";
    EventList = "event.list" -> EventPage: "Lists the log of a room, to fill a gap.";
}

/// The arguments of one command, and the type of its answer.
pub trait Arguments: Into<Command> {
    /// The name of the command on the wire.
    const NAME: &'static str;
    /// The `ok` that answers it.
    type Ok;
}

/// A command as a client sends it: its id beside the name and the arguments.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct CommandFrame<'a> {
    /// The client's id of the command, from 1 to 2^53-1, unlike that of any command still unanswered.
    pub id: u64,
    /// The command.
    #[serde(flatten)]
    pub command: &'a Command,
}

impl Command {
    /// Checks the rules that tie arguments together. [`Command::decode`] has done so; a command that was built
    /// otherwise (from an HTTP query) is checked before it is obeyed.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidField`] with the argument that may not stand beside the others, or is missed by them.
    pub fn check(&self) -> Result<(), Refusal> {
        match self {
            Self::RoomCreate(RoomCreate { name: None, kind, .. }) if *kind != RoomKind::Direct => {
                Err(Refusal::field("name", "only a direct room has no name"))
            }
            Self::RoomCreate(RoomCreate { name: Some(_), kind: RoomKind::Direct, .. }) => {
                Err(Refusal::field("name", "a direct room has no name"))
            }
            Self::RoomSubscribe(RoomSubscribe { after: Some(_), last: Some(_), .. }) => {
                Err(Refusal::field("last", "`after` and `last` exclude each other"))
            }
            Self::MessageList(MessageList { before: Some(_), after: Some(_), .. }) => {
                Err(Refusal::field("after", "`before` and `after` exclude each other"))
            }
            _ => Ok(()),
        }
    }
}

fn typed<'v, T: Deserialize<'v>>(frame: &'v Value<'v>) -> Result<T, Refusal> {
    T::deserialize(Source(frame)).map_err(fields::FieldFault::into_refusal)
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
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MessageSend {
    /// The room, by id or name.
    pub room: RoomSelector,
    /// The client's own id of the message.
    pub client_msg_id: ClientMsgId,
    /// The text; stored as sent.
    pub body: String,
}

impl fmt::Debug for MessageSend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageSend")
            .field("room", &self.room)
            .field("client_msg_id", &self.client_msg_id)
            .field("body", &Masked(&self.body))
            .finish()
    }
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
