//! A followed room as the conversation sees it: how far it was shown, and who was seen in it.
//!
//! Must never print.

use std::collections::BTreeSet;

use hubbub_client::protocol::{RoomEvent, RoomEventData, RoomId, Seq};
use tokio::task::JoinHandle;

/// Names that `/who` remembers per room.
const SEEN_MAX: usize = 200;

/// A followed room.
pub(super) struct Followed {
    pub(super) id: RoomId,
    pub(super) name: String,
    pub(super) seen: BTreeSet<String>,
    /// Events since the room was last talked in.
    pub(super) unread: u64,
    /// The last event that was shown.
    pub(super) shown: Seq,
    /// The task that passes the room's deliveries on; the room is followed as long as it runs.
    pub(super) forward: JoinHandle<()>,
}

impl Followed {
    pub(super) const fn new(id: RoomId, name: String, forward: JoinHandle<()>) -> Self {
        Self { id, name, seen: BTreeSet::new(), unread: 0, shown: 0, forward }
    }

    /// Takes notice of an event that is shown.
    pub(super) fn note(&mut self, event: &RoomEvent) {
        self.shown = event.seq;
        match &event.data {
            RoomEventData::MemberLeft(left) => drop(self.seen.remove(left.user.name.as_ref())),
            RoomEventData::RoomCreated(created) => {
                created.members.iter().for_each(|member| self.see(&member.user.name));
            }
            RoomEventData::MemberJoined(joined) => self.see(&joined.user.name),
            _ => self.see(&event.by.name),
        }
    }

    fn see(&mut self, name: &str) {
        if self.seen.len() < SEEN_MAX {
            self.seen.insert(name.to_owned());
        }
    }
}
