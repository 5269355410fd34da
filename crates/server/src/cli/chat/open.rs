//! Everything that asks the server, as tasks, so that typing and reading never wait for an answer.
//!
//! Must never print.

use hubbub_client::protocol::reply::Sent;
use hubbub_client::protocol::{ErrorCode, Room, RoomKind};
use hubbub_client::{Client, ClientError, FollowFrom, RoomStream};
use serde_json::Value;

/// Events of history that are shown on joining.
const HISTORY: u64 = 50;
/// Pages of the room list that are shown at most: a cluster may have very many rooms.
const ROOM_PAGES_MAX: usize = 5;
/// Rooms per page.
const ROOMS_PER_PAGE: u64 = 100;

/// How a task ended.
pub(super) enum Outcome {
    Opened { asked: String, room: Room, stream: RoomStream, joined: bool },
    Left(Room),
    Created(Room),
    Rooms { rooms: Vec<Room>, more: bool },
    Shown(Room),
    Sent { room: String, sent: Sent },
    Failed { what: String, error: ClientError },
}

/// A task that is done: what was asked, with the `ref` of whoever asked.
pub(super) struct Done {
    pub(super) outcome: Outcome,
    pub(super) reference: Value,
    pub(super) kind: Kind,
}

/// What a task was for, where that matters at its end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Opens a room of the command line: sends wait for it.
    Start,
    /// Opens a room that was wished for: sends wait for it as well.
    Open,
    /// Sends: the next one waits for it.
    Send,
    /// Anything else.
    Other,
}

fn is(error: &ClientError, code: ErrorCode) -> bool {
    error.code() == Some(code.code())
}

fn failed(what: String) -> impl FnOnce(ClientError) -> Outcome {
    |error| Outcome::Failed { what, error }
}

/// Follows a room; joins it when it is open, makes it when that is wanted.
pub(super) async fn open(client: Client, name: String, create: bool) -> Outcome {
    let what = format!("cannot follow {name}");
    try_open(&client, &name, create).await.unwrap_or_else(failed(what))
}

async fn try_open(client: &Client, name: &str, create: bool) -> Result<Outcome, ClientError> {
    let mut joined = false;
    let followed = match client.follow(name, FollowFrom::Last(HISTORY)).await {
        Err(error) if is(&error, ErrorCode::NotAMember) => {
            joined = true;
            client.join(name).await?;
            client.follow(name, FollowFrom::Last(HISTORY)).await
        }
        Err(error) if create && is(&error, ErrorCode::RoomNotFound) => {
            joined = true;
            match client.create_room(name, RoomKind::Public, &[]).await {
                Ok(_) => {}
                // Somebody else was faster.
                Err(error) if is(&error, ErrorCode::Conflict) => drop(client.join(name).await?),
                Err(error) => return Err(error),
            }
            client.follow(name, FollowFrom::Last(HISTORY)).await
        }
        other => other,
    };
    let stream = followed?;
    let room = client.show(stream.room()).await?;
    Ok(Outcome::Opened { asked: name.to_owned(), room, stream, joined })
}

/// Stops being a member.
pub(super) async fn leave(client: Client, name: String) -> Outcome {
    client.leave(&name).await.map(Outcome::Left).unwrap_or_else(failed(format!("cannot leave {name}")))
}

/// Makes a room.
pub(super) async fn create(client: Client, name: String, kind: RoomKind) -> Outcome {
    let what = format!("cannot make {name}");
    client.create_room(&name, kind, &[]).await.map(Outcome::Created).unwrap_or_else(failed(what))
}

/// Shows a room.
pub(super) async fn show(client: Client, name: String) -> Outcome {
    client.show(&name).await.map(Outcome::Shown).unwrap_or_else(failed(format!("cannot look at {name}")))
}

/// Lists rooms.
pub(super) async fn rooms(client: Client) -> Outcome {
    let (mut rooms, mut after) = (Vec::new(), None);
    for _ in 0..ROOM_PAGES_MAX {
        match client.rooms(after, Some(ROOMS_PER_PAGE)).await {
            Ok(page) => {
                rooms.extend(page.rooms);
                after = page.next;
            }
            Err(error) => return failed("cannot list the rooms".into())(error),
        }
        if after.is_none() {
            break;
        }
    }
    Outcome::Rooms { rooms, more: after.is_some() }
}

/// Sends a message.
pub(super) async fn send(client: Client, room: String, body: String, client_msg_id: Option<String>) -> Outcome {
    let sent = match client_msg_id {
        Some(id) => client.send_as(&room, id, body).await,
        None => client.send(&room, body).await,
    };
    let what = format!("not sent to {room}");
    sent.map(|sent| Outcome::Sent { room, sent }).unwrap_or_else(failed(what))
}
