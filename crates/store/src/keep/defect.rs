//! What can be wrong in a database, by name.
//!
//! Must never quote the body of a message.

use std::fmt;

use hubbub_protocol::{RoomId, Seq, UserId};

macro_rules! defect_kinds {
    ($($variant:ident = $name:literal : $doc:literal;)*) => {
        /// What kind of defect it is.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum DefectKind {
            $(#[doc = $doc] $variant,)*
        }

        impl DefectKind {
            /// Every kind, in the order of the documents.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name for programs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it means, for people.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $doc,)* }
            }
        }
    };
}

defect_kinds! {
    EpochWrong = "epoch_wrong": "The database does not name exactly one history.";
    SequenceGap = "sequence_gap": "Events of a room are missing between two others or before the first.";
    SequenceRepeated = "sequence_repeated": "Two events of a room have one seq.";
    FirstEventWrong = "first_event_wrong": "The first event of a room is not the one that made it.";
    HeadWrong = "head_wrong": "A room's head is not the seq of its newest event.";
    EventUnreadable = "event_unreadable": "What an event holds cannot be read.";
    EventMissing = "event_missing": "A message has no event of its seq.";
    MessageMissing = "message_missing": "An event says that a message was sent, and there is none of its seq.";
    MessageDiffers = "message_differs": "A message and its event differ in id, sender, time or client_msg_id.";
    EventOrphaned = "event_orphaned": "Events of a room that does not exist.";
    MessageOrphaned = "message_orphaned": "Messages of a room that does not exist.";
    MemberOrphaned = "member_orphaned": "Members of a room that does not exist.";
    MembersMiscounted = "members_miscounted": "A room counts other members than it has.";
    MemberUnknown = "member_unknown": "A member of a room is no user.";
    MemberNotIndexed = "member_not_indexed": "A user's rooms lack one that they are a member of.";
    IndexWithoutMember = "index_without_member": "A user's rooms name one that they are no member of.";
    LoginUnknown = "login_unknown": "A login of a user who does not exist.";
    ClientMsgIdRepeated = "client_msg_id_repeated": "Several messages of one room and sender have one client_msg_id.";
    MessageIdRepeated = "message_id_repeated": "Several messages have one id.";
}

/// Something that is wrong, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Defect {
    /// What kind.
    pub kind: DefectKind,
    /// In which room, where it is in one.
    pub room: Option<RoomId>,
    /// At which place of the room's order, where it has one: the first of several.
    pub seq: Option<Seq>,
    /// Which user it is about, where it is about one.
    pub user: Option<UserId>,
    /// What exactly was found, for people.
    pub text: String,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        if let Some(room) = self.room {
            write!(f, " room {room}")?;
        }
        if let Some(seq) = self.seq {
            write!(f, " seq {seq}")?;
        }
        if let Some(user) = self.user {
            write!(f, " user {user}")?;
        }
        write!(f, ": {}", self.text)
    }
}
