//! The log of a room, read by pages.
//!
//! Must never show an event to somebody who is no member.

use hubbub_bus::RateClass;
use hubbub_protocol::command::EventList;
use hubbub_protocol::reply::EventPage;
use hubbub_protocol::{Refusal, RoomEvent, RoomId, Seq};

use crate::Chat;
use crate::caller::Caller;
use crate::refuse::from_store;

impl Chat {
    /// One page of the log, to fill a gap.
    ///
    /// # Errors
    /// 30001 or 30002 for a room that one is not in, 40001 over the fetch rate.
    pub async fn list_events(&self, caller: &mut Caller, command: EventList) -> Result<EventPage, Refusal> {
        self.take(caller, RateClass::Fetches).await?;
        let room = self.as_member(caller, &command.room).await?;
        let limit = self.limits().page(command.limit.map(|limit| limit.0));
        let (events, head) = self.read_log(room, command.after.0, limit).await?;
        Ok(EventPage { events, head })
    }

    /// The log for the gateway's own use: replays and repairs. The caller has checked who asks.
    ///
    /// # Errors
    /// 90002 when the database cannot be asked.
    pub async fn read_log(&self, room: RoomId, after: Seq, limit: u64) -> Result<(Vec<RoomEvent>, Seq), Refusal> {
        self.store.events(room, after, limit).await.map_err(from_store)
    }

    /// The newest seq of each of these rooms, in one query.
    ///
    /// # Errors
    /// 90002 when the database cannot be asked.
    pub async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<(RoomId, Seq)>, Refusal> {
        self.store.heads(rooms).await.map_err(from_store)
    }
}
