//! What a caller hands to the log and gets back from it.
//!
//! Must never touch a database.

use std::sync::Arc;

use hubbub_protocol::reply::Sent;
use hubbub_protocol::{Room, RoomEvent, RoomEventData, RoomId, RoomKind, RoomMember, RoomName, RoomRole, Seq, UserRef};

/// Called by the writer after each commit and before the writers are answered, with the new events in commit order.
/// It runs on the writer's task, so it must not block and must not panic.
pub type CommitHook = Arc<dyn Fn(&[Arc<RoomEvent>]) + Send + Sync>;

/// A change to be appended to a room's log.
#[derive(Clone, Debug)]
pub struct Append {
    /// The room.
    pub room: RoomId,
    /// Who does it.
    pub by: UserRef,
    /// What changes. A new message brings its own fresh id, by which the store knows its own write again.
    pub data: RoomEventData,
    /// What is asked of `by`.
    pub guard: Guard,
}

/// What is asked of whoever writes, checked in the transaction of the write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guard {
    /// Nothing.
    Open,
    /// To be a member.
    Member,
    /// To be a member with at least this role.
    AtLeast(RoomRole),
}

/// What became of a change that was not refused.
#[derive(Clone, PartialEq, Debug)]
pub enum Appended {
    /// It is committed.
    Committed(Arc<RoomEvent>),
    /// The message of this sender with this `client_msg_id` was committed before: the first answer again.
    Duplicate(Sent),
    /// A join of somebody who is in, or a leave of somebody who is not: no event.
    Unchanged,
}

/// A room to be made.
#[derive(Clone, Debug)]
pub struct NewRoom {
    /// Its id, made by the caller.
    pub id: RoomId,
    /// Its name; none when direct.
    pub name: Option<RoomName>,
    /// What it is for.
    pub kind: RoomKind,
    /// Who makes it.
    pub creator: UserRef,
    /// The first members with their roles, the creator among them.
    pub members: Vec<RoomMember>,
}

/// A room that was made, or the direct room that the same people have already.
#[derive(Clone, PartialEq, Debug)]
pub struct CreatedRoom {
    /// The room as it is now.
    pub room: Room,
    /// The direct room of these people was there before: nothing changed.
    pub existed: bool,
}

/// Which page of messages (CONTRACT §4 "Pages"). Bounds are exclusive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageQuery {
    /// The newest ones.
    Newest {
        /// At most so many.
        limit: u64,
    },
    /// The newest ones before a seq.
    Before {
        /// Exclusive bound.
        seq: Seq,
        /// At most so many.
        limit: u64,
    },
    /// The oldest ones after a seq.
    After {
        /// Exclusive bound.
        seq: Seq,
        /// At most so many.
        limit: u64,
    },
}
