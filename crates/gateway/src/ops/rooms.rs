//! `/debug/rooms` and `/debug/rooms/{room}`: what this node holds of the rooms that somebody here follows.
//!
//! Must never show an event's content.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hubbub_protocol::{ErrorCode, Refusal, RoomId, RoomName, RoomSelector};
use serde_json::{Value, json};

use super::asked::Asked;
use crate::hub::lane::SubscriptionId;
use crate::hub::room::{Follower, Room};
use crate::node::Node;

/// Rooms whose names are looked up for one page; those of the others are shown where they are known already.
const NAMES_MAX: usize = 20;

/// How long a page waits for names.
const NAMES_TIMEOUT: Duration = Duration::from_millis(500);

/// Which rooms come first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sort {
    /// Those that most connections follow.
    Subscribers,
    /// Those with most events behind a hole.
    Waiting,
    /// Those with most events ever.
    Head,
}

/// The list.
///
/// # Errors
/// 10003 for a wrong parameter.
pub(super) async fn list(node: Option<&Arc<Node>>, query: Option<&str>) -> Result<Value, Refusal> {
    let mut asked = Asked::of(query)?;
    let sorts = [("subscribers", Sort::Subscribers), ("waiting", Sort::Waiting), ("head", Sort::Head)];
    let sort = asked.word("sort", &sorts)?;
    let limit = asked.limit()?;
    asked.end()?;
    let Some(node) = node else { return Ok(json!({ "count": 0, "rooms": [] })) };
    let mut rooms: Vec<(u64, Arc<Room>)> =
        node.hub.rooms().into_iter().map(|room| (weight(&room, sort), room)).collect();
    let count = rooms.len();
    rooms.sort_unstable_by_key(|(weight, room)| (Reverse(*weight), room.id));
    rooms.truncate(limit);
    let names = names(node, rooms.iter().map(|(_, room)| room.id)).await;
    let rows = rooms.iter().enumerate().map(|(at, (_, room))| {
        let hole = room.hole();
        json!({
            "room": room.id,
            "name": names.get(at).cloned().flatten(),
            "head": room.head(),
            "subscribers": room.subscribers(),
            "replaying": room.replaying(),
            "waiting_behind_hole": room.waiting(),
            "missing_from": hole.map(|hole| hole.after + 1),
        })
    });
    Ok(json!({ "count": count, "rooms": rows.collect::<Vec<_>>() }))
}

fn weight(room: &Room, sort: Sort) -> u64 {
    match sort {
        Sort::Subscribers => room.subscribers() as u64,
        Sort::Waiting => room.waiting() as u64,
        Sort::Head => room.head().unwrap_or(0),
    }
}

/// One room: its tail, and a page of who follows it.
///
/// # Errors
/// 10003 for a wrong parameter, 30001 for a room that nobody here follows.
pub(super) async fn show(node: Option<&Arc<Node>>, room: &str, query: Option<&str>) -> Result<Value, Refusal> {
    let selector: RoomSelector =
        room.parse().map_err(|_| Refusal::field("room", "a room is given by its id or its name"))?;
    let mut asked = Asked::of(query)?;
    let after: SubscriptionId = asked.parsed("after", "the `next` of the page before")?.unwrap_or(0);
    let limit = asked.limit()?;
    asked.end()?;
    let unknown = || Refusal::new(ErrorCode::RoomNotFound).because("Nobody on this node follows this room.");
    let node = node.ok_or_else(unknown)?;
    let id = find(node, selector).await?;
    let room = node.hub.room(id).ok_or_else(unknown)?;
    let name = names(node, [id]).await.pop().flatten();
    let (followers, count) = room.followers(after, limit);
    // A full page may be followed by another.
    let next = followers.last().filter(|_| followers.len() == limit).map(|follower| follower.id);
    Ok(json!({
        "room": id,
        "name": name,
        "ready": room.ready.initialized(),
        "repairing": room.repairing.load(std::sync::atomic::Ordering::Relaxed),
        "tail": room.view_tail(),
        "lanes": room.lane_sizes(),
        "count": count,
        "subscribers": followers.iter().map(row).collect::<Vec<_>>(),
        "next": next,
    }))
}

fn row(follower: &Follower) -> Value {
    let link = &follower.link;
    json!({
        "connection": link.id,
        "user": link.user(),
        "address": link.address,
        "state": if follower.live_after.is_some() { "live" } else { "replaying" },
        "live_after": follower.live_after,
        "outbox_bytes": link.outbox.waiting_bytes(),
    })
}

/// Which room is meant.
///
/// # Errors
/// 30001 for the name of none, 90002 while the database does not answer.
pub(super) async fn find(node: &Arc<Node>, selector: RoomSelector) -> Result<RoomId, Refusal> {
    match selector {
        RoomSelector::Id(id) => Ok(id),
        // A connection to the database is made where it is used, so that this may not be the runtime of the ops port.
        name @ RoomSelector::Name(_) => {
            let asking = Arc::clone(node);
            let found = node.runtime.spawn(async move { asking.chat.room_id(&name).await });
            found.await.map_err(|_| Refusal::new(ErrorCode::Internal))?
        }
    }
}

/// The names of the first of these rooms, as far as the store tells them in time.
async fn names(node: &Arc<Node>, rooms: impl IntoIterator<Item = RoomId>) -> Vec<Option<RoomName>> {
    let asked = rooms.into_iter().take(NAMES_MAX).map(|room| {
        let asking = Arc::clone(node);
        node.runtime.spawn(async move {
            let name = tokio::time::timeout(NAMES_TIMEOUT, asking.chat.room_name(room)).await;
            name.ok().and_then(Result::ok).flatten()
        })
    });
    join_all(asked).await.into_iter().map(|name| name.ok().flatten()).collect()
}
