//! Following rooms on a connection: subscribe, unsubscribe, resume.
//!
//! Owns the limit of subscriptions. Must never subscribe somebody who is no member.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use hubbub_chat::Caller;
use hubbub_protocol::command::{RoomSubscribe, RoomUnsubscribe, SessionResume};
use hubbub_protocol::reply::{Empty, ReplyOk, Resumed, ResumedRoom, Subscribed};
use hubbub_protocol::{ErrorCode, Refusal, RoomId, RoomSelector, Seq};

use crate::dispatch::Answer;
use crate::hub::lane::SubscriptionId;
use crate::hub::{Beginning, From};
use crate::link::Link;
use crate::node::Node;
use crate::session::Session;

/// Rooms of one resume that are looked up at the same time.
const RESUME_AT_A_TIME: usize = 16;

/// `room.subscribe`.
pub(crate) async fn subscribe(
    node: &Arc<Node>,
    link: &Arc<Link>,
    session: &mut Session,
    command: RoomSubscribe,
) -> Result<Answer, Refusal> {
    let from = match (command.after, command.last) {
        (Some(after), _) => From::After(after.0),
        (None, Some(last)) => From::Last(last.0),
        (None, None) => From::Now,
    };
    let room = node.chat.as_member(&Caller::new(&session.identity), &command.room).await?;
    let (subscribed, beginning) = follow(node, link, session, room, from).await?;
    Ok(Answer { ok: subscribed.into(), beginnings: vec![beginning] })
}

/// `room.unsubscribe`: no event of the room follows the reply. Not to follow it is fine.
pub(crate) async fn unsubscribe(
    node: &Arc<Node>,
    link: &Arc<Link>,
    session: &mut Session,
    command: RoomUnsubscribe,
) -> Result<Answer, Refusal> {
    let id = match command.room {
        RoomSelector::Id(id) => Some(id),
        // A name that no room has is not followed either.
        name @ RoomSelector::Name(_) => node.chat.room_id(&name).await.ok(),
    };
    if let Some(id) = id
        && let Some(subscription) = session.subscriptions.remove(&id)
        && let Some(room) = node.hub.room(id)
    {
        room.unsubscribe(subscription, link);
    }
    Ok(ReplyOk::from(Empty {}).into())
}

/// `session.resume`: every room from its cursor; a bad room or cursor is refused in its own place.
pub(crate) async fn resume(
    node: &Arc<Node>,
    link: &Arc<Link>,
    session: &mut Session,
    command: SessionResume,
) -> Result<Answer, Refusal> {
    let foreign = command.epoch != node.chat.epoch();
    let caller = Caller::new(&session.identity);
    let looked_up: Vec<_> = stream::iter(command.rooms.0)
        .map(|(key, cursor)| look_up(node, &caller, key, cursor))
        .buffered(RESUME_AT_A_TIME)
        .collect()
        .await;
    let (mut rooms, mut beginnings) = (Vec::with_capacity(looked_up.len()), Vec::new());
    for (key, found) in looked_up {
        let outcome = match found {
            Ok((room, cursor)) => {
                let from = if foreign { From::Foreign } else { From::After(cursor) };
                follow(node, link, session, room, from).await
            }
            Err(refusal) => Err(refusal),
        };
        rooms.push((
            key,
            match outcome {
                Ok((subscribed, beginning)) => {
                    beginnings.push(beginning);
                    ResumedRoom::Subscribed(subscribed)
                }
                Err(refusal) => ResumedRoom::Refused { err: refusal.to_wire() },
            },
        ));
    }
    Ok(Answer { ok: Resumed { rooms }.into(), beginnings })
}

async fn look_up(
    node: &Arc<Node>,
    caller: &Caller,
    key: String,
    cursor: Result<Seq, String>,
) -> (String, Result<(RoomId, Seq), Refusal>) {
    let found = async {
        let cursor = cursor.map_err(|rule| Refusal::field("rooms", rule))?;
        let selector: RoomSelector = key.parse().map_err(|rule: &str| Refusal::field("rooms", rule))?;
        Ok((node.chat.as_member(caller, &selector).await?, cursor))
    };
    let found = found.await;
    (key, found)
}

async fn follow(
    node: &Arc<Node>,
    link: &Arc<Link>,
    session: &mut Session,
    room: RoomId,
    from: From,
) -> Result<(Subscribed, Beginning), Refusal> {
    let present: Option<SubscriptionId> = session.subscriptions.get(&room).copied();
    let max = node.chat.limits().subscriptions_per_connection;
    if present.is_none() && max != 0 && session.subscriptions.len() as u64 >= max {
        return Err(ErrorCode::TooManySubscriptions.into());
    }
    let user = session.identity.user.id;
    let (subscribed, subscription, beginning) = node.hub.subscribe(link, user, room, from, present).await?;
    session.subscriptions.insert(room, subscription);
    Ok((subscribed, beginning))
}
