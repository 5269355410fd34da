//! Rooms: making, finding, listing, and who may see which.
//!
//! A room that one may not see answers as if it were not there. Must never trust a cached membership.

use hubbub_bus::RateClass;
use hubbub_protocol::command::{RoomCreate, RoomList};
use hubbub_protocol::reply::RoomPage;
use hubbub_protocol::{
    ErrorCode, Refusal, Room, RoomId, RoomKind, RoomMember, RoomRole, RoomSelector, Seq, UserRef, UserSelector,
};
use hubbub_store::{AppendError, NewRoom};

use crate::Chat;
use crate::caller::Caller;
use crate::refuse::{from_append, from_store};

/// Most people that `room.create` may name; they stand in one event, which has to fit a frame.
const FIRST_MEMBERS_MAX: usize = 100;

/// A room as one caller sees it.
pub(crate) struct Sight {
    /// The room.
    pub(crate) room: Room,
    /// What the caller is in it.
    pub(crate) role: Option<RoomRole>,
}

impl Chat {
    /// Makes a room; the caller owns it. A direct room of the same people is the same room.
    ///
    /// # Errors
    /// 10003 for a person that there is not, 30004 for a name that is taken.
    pub async fn create_room(&self, caller: &mut Caller, command: RoomCreate) -> Result<Room, Refusal> {
        let members = self.first_members(caller, &command).await?;
        let creator = caller.user.clone();
        let room = NewRoom { id: RoomId::new(), name: command.name, kind: command.kind, creator, members };
        match self.store.create_room(room).await {
            Ok(created) => {
                caller.created = !created.existed;
                Ok(created.room)
            }
            Err(AppendError::Conflict(_)) => {
                Err(Refusal::new(ErrorCode::Conflict).because("A room with this name is there already."))
            }
            Err(error) => Err(from_append(error)),
        }
    }

    async fn first_members(&self, caller: &Caller, command: &RoomCreate) -> Result<Vec<RoomMember>, Refusal> {
        let wrong = |reason: String| Refusal::field("members", reason);
        if command.members.len() > FIRST_MEMBERS_MAX {
            return Err(wrong(format!("a room starts with at most {FIRST_MEMBERS_MAX} members")));
        }
        let mut members = vec![RoomMember { user: caller.user.clone(), role: RoomRole::Owner }];
        for selector in &command.members {
            let user = match selector {
                UserSelector::Id(id) => self.users.find(&self.store, *id).await?,
                UserSelector::Name(_) => self.store.user(selector).await.map_err(from_store)?,
            };
            let user =
                user.filter(|user| !user.disabled).ok_or_else(|| wrong(format!("there is no user {selector}")))?;
            if members.iter().all(|member| member.user.id != user.id) {
                let user = UserRef { id: user.id, name: user.name.as_str().into() };
                members.push(RoomMember { user, role: RoomRole::Member });
            }
        }
        if command.kind == RoomKind::Direct && members.len() < 2 {
            return Err(wrong("a direct room is between at least two people".to_owned()));
        }
        Ok(members)
    }

    /// Shows a room that the caller may see.
    ///
    /// # Errors
    /// 30001 when there is none that the caller may see.
    pub async fn show_room(&self, caller: &mut Caller, room: &RoomSelector) -> Result<Room, Refusal> {
        Ok(self.see(caller, room).await?.room)
    }

    /// One page of the public rooms and the caller's own, by the time they were made.
    ///
    /// # Errors
    /// 10003 for an `after` that no page gave, 40001 over the fetch rate.
    pub async fn list_rooms(&self, caller: &mut Caller, command: RoomList) -> Result<RoomPage, Refusal> {
        let after: Option<RoomId> = command
            .after
            .map(|after| after.parse().map_err(|_| Refusal::field("after", "`after` is the `next` of another page")))
            .transpose()?;
        self.take(caller, RateClass::Fetches).await?;
        let limit = self.limits().page(command.limit.map(|limit| limit.0));
        let mut rooms = self.store.rooms_of(caller.user.id, after, limit + 1).await.map_err(from_store)?;
        let more = rooms.len() as u64 > limit;
        rooms.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = rooms.last().filter(|_| more).map(|room| room.id.to_string());
        Ok(RoomPage { rooms, next })
    }

    /// The room as the caller sees it.
    pub(crate) async fn see(&self, caller: &Caller, selector: &RoomSelector) -> Result<Sight, Refusal> {
        let hidden = || Refusal::new(ErrorCode::RoomNotFound);
        let room = self.store.room(selector).await.map_err(from_store)?.ok_or_else(hidden)?;
        let role = self.store.role(room.id, caller.user.id).await.map_err(from_store)?;
        if role.is_none() && !room.kind.is_open() {
            return Err(hidden());
        }
        Ok(Sight { room, role })
    }

    /// The room, of which the caller must be a member.
    ///
    /// # Errors
    /// 30001 when they may not see it, 30002 when they see it but are no member.
    pub async fn as_member(&self, caller: &Caller, selector: &RoomSelector) -> Result<RoomId, Refusal> {
        Ok(self.membership(caller, selector).await?.0)
    }

    /// The room, of which the caller must be a member, and its head at the moment when they were.
    ///
    /// # Errors
    /// 30001 when they may not see it, 30002 when they see it but are no member.
    pub async fn membership(&self, caller: &Caller, selector: &RoomSelector) -> Result<(RoomId, Seq), Refusal> {
        // For a member this is one read: a name's room never changes, and the room itself only matters for a refusal.
        let id = match selector {
            RoomSelector::Id(id) => *id,
            name @ RoomSelector::Name(_) => self.facts.find(&self.store, name).await?.0,
        };
        match self.store.membership(id, caller.user.id).await.map_err(from_store)? {
            Some((_, head)) => Ok((id, head)),
            None => {
                self.see(caller, &id.into()).await?;
                Err(ErrorCode::NotAMember.into())
            }
        }
    }
}
