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
use crate::hub::{Beginning, From, Membership};
use crate::link::Link;
use crate::metrics::Followed;
use crate::node::Node;
use crate::session::Session;
use crate::traced::to_wire;

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
    let caller = Caller::new(&session.identity);
    let followed = async {
        let (room, member) = membership(node, &caller, &command.room).await?;
        follow(node, link, session, room, member, from).await
    };
    let followed = followed.await;
    node.metrics.followed("room.subscribe", came_to(&followed));
    let (subscribed, beginning) = followed?;
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
            Ok((room, member, cursor)) => {
                let from = if foreign { From::Foreign } else { From::After(cursor) };
                follow(node, link, session, room, member, from).await
            }
            Err(refusal) => Err(refusal),
        };
        node.metrics.followed("session.resume", came_to(&outcome));
        rooms.push((
            key,
            match outcome {
                Ok((subscribed, beginning)) => {
                    beginnings.push(beginning);
                    ResumedRoom::Subscribed(subscribed)
                }
                Err(refusal) => ResumedRoom::Refused { err: to_wire(&refusal) },
            },
        ));
    }
    Ok(Answer { ok: Resumed { rooms }.into(), beginnings })
}

/// What following a room came to, for the metrics.
fn came_to(followed: &Result<(Subscribed, Beginning), Refusal>) -> Followed {
    match followed {
        Err(_) => Followed::Refused,
        Ok((subscribed, _)) if subscribed.reset => Followed::Reset,
        Ok((subscribed, _)) if subscribed.gap.is_some() => Followed::Gap,
        Ok((subscribed, _)) if subscribed.replayed > 0 => Followed::Replayed,
        Ok(_) => Followed::Live,
    }
}

async fn look_up(
    node: &Arc<Node>,
    caller: &Caller,
    key: String,
    cursor: Result<Seq, String>,
) -> (String, Result<(RoomId, Membership, Seq), Refusal>) {
    let found = async {
        let cursor = cursor.map_err(|rule| Refusal::field("rooms", rule))?;
        let selector: RoomSelector = key.parse().map_err(|rule: &str| Refusal::field("rooms", rule))?;
        let (room, member) = membership(node, caller, &selector).await?;
        Ok((room, member, cursor))
    };
    let found = found.await;
    (key, found)
}

/// The room, of which the caller must be a member. The head is of the same moment: who is a member then has come back
/// from every departure up to there, and every later one ends what they follow.
async fn membership(
    node: &Arc<Node>,
    caller: &Caller,
    selector: &RoomSelector,
) -> Result<(RoomId, Membership), Refusal> {
    let (room, seen) = node.chat.membership(caller, selector).await?;
    Ok((room, Membership { user: caller.user.id, seen }))
}

async fn follow(
    node: &Arc<Node>,
    link: &Arc<Link>,
    session: &mut Session,
    room: RoomId,
    member: Membership,
    from: From,
) -> Result<(Subscribed, Beginning), Refusal> {
    let max = node.chat.limits().subscriptions_per_connection;
    let is_full = |session: &Session| max != 0 && session.subscriptions.len() as u64 >= max;
    if is_full(session) {
        // Those of rooms that the user has left since do not count.
        let is_there = |id, subscription| node.hub.room(id).is_some_and(|room| room.has(subscription));
        session.subscriptions.retain(|id, subscription| is_there(*id, *subscription));
    }
    let present: Option<SubscriptionId> = session.subscriptions.get(&room).copied();
    if present.is_none() && is_full(session) {
        return Err(ErrorCode::TooManySubscriptions.into());
    }
    let (subscribed, subscription, beginning) = node.hub.subscribe(link, member, room, from, present).await?;
    session.subscriptions.insert(room, subscription);
    // A departure that was delivered before the subscription stood could not end it.
    if beginning.may_have_left(member)
        && let Err(refusal) = node.chat.as_member(&Caller::new(&session.identity), &room.into()).await
    {
        session.subscriptions.remove(&room);
        beginning.call_off(subscription);
        return Err(refusal);
    }
    Ok((subscribed, beginning))
}
