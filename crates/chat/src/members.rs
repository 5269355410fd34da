//! Members: joining and leaving.
//!
//! Both are durable events. Must never make an event when nothing changed.

use hubbub_protocol::event::{MemberJoined, MemberLeft};
use hubbub_protocol::{ErrorCode, Refusal, Room, RoomKind, RoomRole, RoomSelector};
use hubbub_store::{Append, Guard};

use crate::Chat;
use crate::caller::Caller;
use crate::refuse::{from_append, from_store};

impl Chat {
    /// Makes the caller a member of an open room; twice makes no second event.
    ///
    /// # Errors
    /// 30001 when there is no room that they may see.
    pub async fn join_room(&self, caller: &mut Caller, room: &RoomSelector) -> Result<Room, Refusal> {
        let sight = self.see(caller, room).await?;
        if sight.role.is_some() {
            return Ok(sight.room);
        }
        let joined = MemberJoined { user: caller.user.clone(), role: RoomRole::Member };
        self.change_members(caller, &sight.room, joined.into(), Guard::Open).await
    }

    /// Ends the caller's membership.
    ///
    /// # Errors
    /// 30002 when they are no member, 30004 for a direct room, which nobody leaves.
    pub async fn leave_room(&self, caller: &mut Caller, room: &RoomSelector) -> Result<Room, Refusal> {
        let sight = self.see(caller, room).await?;
        if sight.role.is_none() {
            return Err(ErrorCode::NotAMember.into());
        }
        if sight.room.kind == RoomKind::Direct {
            return Err(Refusal::new(ErrorCode::Conflict).because("Nobody leaves a direct room."));
        }
        let left = MemberLeft { user: caller.user.clone() };
        self.change_members(caller, &sight.room, left.into(), Guard::Member).await
    }

    async fn change_members(
        &self,
        caller: &Caller,
        room: &Room,
        data: hubbub_protocol::RoomEventData,
        guard: Guard,
    ) -> Result<Room, Refusal> {
        let append = Append { room: room.id, by: caller.user.clone(), data, guard };
        self.store.append(append).await.map_err(from_append)?;
        let after = self.store.room(&room.id.into()).await.map_err(from_store)?;
        after.ok_or_else(|| ErrorCode::RoomNotFound.into())
    }
}
