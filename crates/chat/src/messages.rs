//! Messages: sending and listing.
//!
//! Must never answer a send before its commit, nor charge for a duplicate.

use hubbub_bus::RateClass;
use hubbub_protocol::command::{MessageList, MessageSend};
use hubbub_protocol::event::MessageSent;
use hubbub_protocol::mutation::{self, Mutation};
use hubbub_protocol::reply::{MessagePage, Sent};
use hubbub_protocol::text::check_body;
use hubbub_protocol::{ErrorCode, MessageId, Refusal, RoomId, RoomKind, RoomName, RoomRole, RoomSelector};
use hubbub_store::{Append, AppendError, Appended, Guard, PageQuery};
use hubbub_trace::Kind;

use crate::Chat;
use crate::caller::Caller;
use crate::refuse::{from_append, from_store};

impl Chat {
    /// Sends a message; the same `client_msg_id` again gets the first answer and costs nothing.
    ///
    /// # Errors
    /// 10003 for a bad body, 30001 or 30002 for a room that one is not in, 20004 in an announcement room without the
    /// role, 40001 over the send rate.
    pub async fn send_message(&self, caller: &mut Caller, command: MessageSend) -> Result<Sent, Refusal> {
        let chars_max = usize::try_from(self.limits().body_chars_max).unwrap_or(usize::MAX);
        check_body(&command.body, chars_max).map_err(|rule| Refusal::field("body", rule))?;
        let authorising = hubbub_trace::child("chat.authorise", Kind::Internal);
        // The budget is taken before the room is looked for: who has none left, or sees it shrink, learns nothing of
        // rooms that they may not see.
        let budget = self.take(caller, RateClass::Sends).await;
        let found = self.facts.find(&self.store, &command.room).await;
        if let Err(refusal) = budget {
            let Ok((room, _)) = found else { return Err(refusal) };
            // A retry is free even now: it may be the answer to it that was lost.
            let first = self.store.find_sent(room, caller.user.id, &command.client_msg_id).await.map_err(from_store)?;
            return first.ok_or(refusal);
        }
        let (room, kind) = found?;
        drop(authorising);
        let mut sent = MessageSent { id: MessageId::new(), client_msg_id: command.client_msg_id, body: command.body };
        if mutation::is(Mutation::NoDedup)
            && let Ok(other) = sent.id.to_string().parse()
        {
            sent.client_msg_id = other;
        }
        let guard = match kind {
            RoomKind::Announcement => Guard::AtLeast(RoomRole::Moderator),
            _ => Guard::Member,
        };
        let id = sent.id;
        match self.store.append(Append { room, by: caller.user.clone(), data: sent.into(), guard }).await {
            Ok(Appended::Committed(event)) => {
                caller.created = true;
                Ok(Sent { seq: event.seq, id, at: event.at, duplicate: false })
            }
            Ok(Appended::Duplicate(first)) => {
                self.give_back(caller, RateClass::Sends);
                Ok(first)
            }
            Ok(Appended::Unchanged) => Err(ErrorCode::Internal.into()),
            Err(error) => Err(self.refuse_send(caller, room, error).await),
        }
    }

    /// A stranger to a room learns only what they may: that it is there when it is open, nothing otherwise.
    async fn refuse_send(&self, caller: &Caller, room: RoomId, error: AppendError) -> Refusal {
        match error {
            AppendError::NotAMember | AppendError::Forbidden => match self.see(caller, &room.into()).await {
                Ok(_) => from_append(error),
                Err(refusal) => refusal,
            },
            error => from_append(error),
        }
    }

    /// One page of messages in their present state.
    ///
    /// # Errors
    /// 30001 or 30002 for a room that one is not in, 40001 over the fetch rate.
    pub async fn list_messages(&self, caller: &mut Caller, command: MessageList) -> Result<MessagePage, Refusal> {
        let limit = self.limits().page(command.limit.map(|limit| limit.0));
        let page = match (command.before, command.after) {
            // Both at once were refused when the command was decoded.
            (Some(before), _) => PageQuery::Before { seq: before.0, limit },
            (None, Some(after)) => PageQuery::After { seq: after.0, limit },
            (None, None) => PageQuery::Newest { limit },
        };
        self.take(caller, RateClass::Fetches).await?;
        let room = self.as_member(caller, &command.room).await?;
        let (messages, head) = self.store.messages(room, page).await.map_err(from_store)?;
        Ok(MessagePage { messages, head })
    }

    /// Which room a selector means, without asking whether the caller may see it.
    ///
    /// # Errors
    /// 30001 when there is none.
    pub async fn room_id(&self, selector: &RoomSelector) -> Result<RoomId, Refusal> {
        Ok(self.facts.find(&self.store, selector).await?.0)
    }

    /// The name of a room, for operators; none for one that has none. Read once, since it never changes.
    ///
    /// # Errors
    /// 30001 when there is no such room, 90002 while the database does not answer.
    pub async fn room_name(&self, room: RoomId) -> Result<Option<RoomName>, Refusal> {
        self.facts.name(&self.store, room).await
    }
}
