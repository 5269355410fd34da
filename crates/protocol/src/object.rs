//! The nouns of the wire: room, member, message, user.
//!
//! Must never hold what only the server may see.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{MessageId, RoomId, Seq, UserId};
use crate::text::{ClientMsgId, Masked, RoomName};
use crate::time::Timestamp;

/// A user as others see them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UserRef {
    /// The user.
    pub id: UserId,
    /// Their name when this was written.
    pub name: Arc<str>,
}

/// What a room is for, which decides who may see, join and write.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoomKind {
    /// Anybody may find it and join.
    Public,
    /// Only its members know of it.
    Private,
    /// Between two or a few people; has no name, and the same people get the same room.
    Direct,
    /// Anybody may find it and join; only the owner and moderators write.
    Announcement,
}

impl RoomKind {
    /// The name on the wire and in storage.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Direct => "direct",
            Self::Announcement => "announcement",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Public, Self::Private, Self::Direct, Self::Announcement].into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether anybody may find and join such a room.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Public | Self::Announcement)
    }
}

/// What a member may do in a room. Later roles outrank earlier ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoomRole {
    /// Reads and, but in announcement rooms, writes.
    Member,
    /// Writes everywhere.
    Moderator,
    /// Made the room.
    Owner,
}

impl RoomRole {
    /// The name on the wire and in storage.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Moderator => "moderator",
            Self::Owner => "owner",
        }
    }

    /// The role with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Member, Self::Moderator, Self::Owner].into_iter().find(|role| role.as_str() == name)
    }
}

/// A member of a room and their role.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RoomMember {
    /// Who.
    pub user: UserRef,
    /// What they may do.
    pub role: RoomRole,
}

/// A room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Room {
    /// The room.
    pub id: RoomId,
    /// Its name; `null` when direct.
    pub name: Option<RoomName>,
    /// What it is for.
    pub kind: RoomKind,
    /// The newest sequence number.
    pub head: Seq,
    /// How many members it has.
    pub members: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// The members of a direct room.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peers: Option<Vec<UserRef>>,
}

/// A message in its present state.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// The message.
    pub id: MessageId,
    /// Its room.
    pub room: RoomId,
    /// The change that sent it.
    pub seq: Seq,
    /// Who sent it.
    pub by: UserRef,
    /// When it was committed, by the clock of a node.
    pub at: Timestamp,
    /// The sender's own id of it.
    pub client_msg_id: ClientMsgId,
    /// The text, as sent.
    pub body: String,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("room", &self.room)
            .field("seq", &self.seq)
            .field("by", &self.by)
            .field("at", &self.at)
            .field("client_msg_id", &self.client_msg_id)
            .field("body", &Masked(&self.body))
            .finish()
    }
}
