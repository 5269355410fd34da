//! Reads of rooms and members.
//!
//! Must never join the room group with the directory group: `rooms_of` asks each for its own.

use std::collections::HashMap;

use hubbub_protocol::{Room, RoomId, RoomKind, RoomMember, RoomRole, RoomSelector, Seq, Timestamp, UserId, UserRef};
use uuid::Uuid;

use super::Connection;
use super::statement::{Bulk, query_as};
use crate::bulk::Column::Id;

type RoomRow = (Uuid, Option<String>, String, i64, i64, i64);

const ROOM_BY_ID: &str = "SELECT id, name, kind, head, members, created_at FROM rooms WHERE id = $1";
const ROOM_BY_NAME: &str = "SELECT id, name, kind, head, members, created_at FROM rooms WHERE name = $1";
const OPEN_ROOMS: &str = "SELECT id, name, kind, head, members, created_at FROM rooms \
     WHERE kind IN ('public', 'announcement') AND id > $1 ORDER BY id LIMIT $2";
const ROOMS_OF_USER: &str = "SELECT room FROM user_rooms WHERE user_id = $1 AND room > $2 ORDER BY room LIMIT $3";
const ROLE: &str = "SELECT role FROM members WHERE room = $1 AND user_id = $2";
const MEMBERS: &str = "SELECT user_id, user_name, role FROM members WHERE room = $1 AND user_id > $2 \
     ORDER BY user_id LIMIT $3";

static ROOMS_BY_ID: Bulk = Bulk::new(
    "SELECT id, name, kind, head, members, created_at FROM rooms WHERE id IN (SELECT input.id FROM {input})",
    &[("id", Id)],
);
static MEMBERSHIPS: Bulk = Bulk::new(
    "SELECT members.room, members.user_id, members.role, rooms.head FROM {input} \
     JOIN members ON members.room = input.room AND members.user_id = input.user_id \
     JOIN rooms ON rooms.id = input.room",
    &[("room", Id), ("user_id", Id)],
);
static PEERS: Bulk = Bulk::new(
    "SELECT members.room, members.user_id, members.user_name FROM {input} JOIN members ON members.room = input.id",
    &[("id", Id)],
);

pub(crate) async fn room(conn: &mut Connection, selector: &RoomSelector) -> Result<Option<Room>, sqlx::Error> {
    let row: Option<RoomRow> = match selector {
        RoomSelector::Id(id) => query_as(ROOM_BY_ID).bind(id.as_uuid()).fetch_optional(&mut *conn).await?,
        RoomSelector::Name(name) => query_as(ROOM_BY_NAME).bind(name.as_str()).fetch_optional(&mut *conn).await?,
    };
    let Some(row) = row else { return Ok(None) };
    let mut rooms = vec![room_of(row)?];
    fill_peers(conn, &mut rooms).await?;
    Ok(rooms.pop())
}

pub(crate) async fn role(conn: &mut Connection, room: RoomId, user: UserId) -> Result<Option<RoomRole>, sqlx::Error> {
    let row: Option<(String,)> = query_as(ROLE).bind(room.as_uuid()).bind(user.as_uuid()).fetch_optional(conn).await?;
    row.map(|(role,)| role_of(&role)).transpose()
}

/// For each pair of room and user, in their order: the role and the room's head; none when no member.
pub(crate) async fn memberships(
    conn: &mut Connection,
    keys: &[(RoomId, UserId)],
) -> Result<Vec<Option<(RoomRole, Seq)>>, sqlx::Error> {
    let mut rows = MEMBERSHIPS.rows();
    keys.iter().for_each(|(room, user)| rows.push([room.as_uuid().into(), user.as_uuid().into()]));
    let found = MEMBERSHIPS.fetch::<(Uuid, Uuid, String, i64)>(conn, &rows).await?;
    let found: Result<HashMap<_, _>, sqlx::Error> = found
        .into_iter()
        .map(|(room, user, role, head)| Ok(((room, user), (role_of(&role)?, head.unsigned_abs()))))
        .collect();
    let found = found?;
    Ok(keys.iter().map(|(room, user)| found.get(&(room.as_uuid(), user.as_uuid())).copied()).collect())
}

pub(crate) async fn members(
    conn: &mut Connection,
    room: RoomId,
    after: Option<UserId>,
    limit: u64,
) -> Result<Vec<RoomMember>, sqlx::Error> {
    let rows: Vec<(Uuid, String, String)> = query_as(MEMBERS)
        .bind(room.as_uuid())
        .bind(after.map_or(Uuid::nil(), |user| user.as_uuid()))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(conn)
        .await?;
    rows.into_iter()
        .map(|(id, name, role)| {
            let user = UserRef { id: UserId::from_uuid(id), name: name.into() };
            Ok(RoomMember { user, role: role_of(&role)? })
        })
        .collect()
}

pub(crate) async fn rooms_of(
    conn: &mut Connection,
    user: UserId,
    after: Option<RoomId>,
    limit: u64,
) -> Result<Vec<Room>, sqlx::Error> {
    let after = after.map_or(Uuid::nil(), |room| room.as_uuid());
    let rows = i64::try_from(limit).unwrap_or(i64::MAX);
    let open: Vec<RoomRow> = query_as(OPEN_ROOMS).bind(after).bind(rows).fetch_all(&mut *conn).await?;
    let own: Vec<(Uuid,)> =
        query_as(ROOMS_OF_USER).bind(user.as_uuid()).bind(after).bind(rows).fetch_all(&mut *conn).await?;
    // Past the last open room of a full page nothing belongs to this page.
    let last = if open.len() as u64 == limit { open.last().map(|row| row.0) } else { None };
    let mut wanted = ROOMS_BY_ID.rows();
    for (room,) in own {
        if last.is_none_or(|last| room < last) && open.binary_search_by(|row| row.0.cmp(&room)).is_err() {
            wanted.push([room.into()]);
        }
    }
    let own = ROOMS_BY_ID.fetch::<RoomRow>(conn, &wanted).await?;
    let mut rooms = open.into_iter().chain(own).map(room_of).collect::<Result<Vec<_>, _>>()?;
    rooms.sort_unstable_by_key(|room| room.id);
    rooms.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    fill_peers(conn, &mut rooms).await?;
    Ok(rooms)
}

/// Adds the people of direct rooms, by user id, in one statement.
async fn fill_peers(conn: &mut Connection, rooms: &mut [Room]) -> Result<(), sqlx::Error> {
    let mut direct = PEERS.rows();
    for room in rooms.iter().filter(|room| room.kind == RoomKind::Direct) {
        direct.push([room.id.as_uuid().into()]);
    }
    let mut peers: HashMap<Uuid, Vec<UserRef>> = HashMap::new();
    for (room, id, name) in PEERS.fetch::<(Uuid, Uuid, String)>(conn, &direct).await? {
        peers.entry(room).or_default().push(UserRef { id: UserId::from_uuid(id), name: name.into() });
    }
    for room in rooms.iter_mut().filter(|room| room.kind == RoomKind::Direct) {
        let mut people = peers.remove(&room.id.as_uuid()).unwrap_or_default();
        people.sort_unstable_by_key(|user| user.id);
        room.peers = Some(people);
    }
    Ok(())
}

fn room_of((id, name, kind, head, members, created_at): RoomRow) -> Result<Room, sqlx::Error> {
    let unreadable = |what: &str| sqlx::Error::Decode(what.to_owned().into());
    Ok(Room {
        id: RoomId::from_uuid(id),
        name: name.map(|name| name.parse()).transpose().map_err(unreadable)?,
        kind: RoomKind::from_name(&kind).ok_or_else(|| unreadable("an unknown kind of room"))?,
        head: head.unsigned_abs(),
        members: members.unsigned_abs(),
        created_at: Timestamp::from_millis(created_at),
        peers: None,
    })
}

fn role_of(role: &str) -> Result<RoomRole, sqlx::Error> {
    RoomRole::from_name(role).ok_or_else(|| sqlx::Error::Decode("an unknown role".into()))
}
