//! One batch of writes as one transaction: lock, look up, decide, write, commit.
//!
//! Rooms are locked in the order of their ids and new rooms inserted in the order of their keys, after the locks, so
//! two nodes never wait for each other in a circle. Must never decide anything itself: that is the plan's.

use std::collections::HashSet;
use std::sync::Arc;

use hubbub_protocol::reply::Sent;
use hubbub_protocol::{MessageId, RoomEvent, RoomEventData, RoomId, RoomRole, Timestamp, UserId};
use uuid::Uuid;

use super::statement::Bulk;
use super::{Connection, WRITES_AT_ONCE, begin_write};
use crate::bulk::Column::{Id, Int, Text};
use crate::bulk::Rows;
use crate::job::{Job, Work};
use crate::plan::{Logged, Plan, RoomState, Snapshot};

/// Locks the rooms and looks up, in one go, what the database holds of each write: first the rooms as they are once
/// they are locked, then the writes. The lookups see the database as it was before the locks were waited for; so they
/// tell which head they saw.
static LOOK: Bulk = Bulk::new(
    "WITH locked AS (SELECT id, head, members FROM rooms WHERE id IN (SELECT input.room FROM {input}) ORDER BY id {lock}) \
     SELECT id AS room, head, members, NULL AS user_id, NULL AS role, NULL AS client_msg_id, \
     NULL AS seq, NULL AS message, NULL AS at FROM locked \
     UNION ALL \
     SELECT input.room, rooms.head, NULL, input.user_id, members.role, input.client_msg_id, \
     messages.seq, messages.id, messages.at FROM {input} JOIN rooms ON rooms.id = input.room \
     LEFT JOIN members ON members.room = input.room AND members.user_id = input.user_id \
     LEFT JOIN messages ON messages.room = input.room AND messages.by_id = input.user_id \
     AND messages.client_msg_id = input.client_msg_id",
    &[("room", Id), ("user_id", Id), ("client_msg_id", Text)],
);
static INSERT_ROOMS: Bulk = Bulk::new(
    "INSERT INTO rooms (id, name, kind, head, members, created_at, direct_key) \
     SELECT id, name, kind, 1, members, created_at, direct_key FROM {input} \
     WHERE TRUE ORDER BY name, direct_key ON CONFLICT DO NOTHING RETURNING id",
    &[("id", Id), ("name", Text), ("kind", Text), ("members", Int), ("created_at", Int), ("direct_key", Text)],
);
static FIND_ROOMS: Bulk = Bulk::new(
    "SELECT input.id, rooms.id FROM {input} JOIN rooms ON rooms.id = input.id \
     UNION SELECT input.id, rooms.id FROM {input} JOIN rooms ON rooms.direct_key = input.direct_key",
    &[("id", Id), ("direct_key", Text)],
);
static FIND_LOGGED: Bulk = Bulk::new(
    "SELECT events.room, events.seq, events.at, events.by_id, events.kind, events.payload \
     FROM {input} JOIN events ON events.room = input.room AND events.seq = input.seq",
    &[("room", Id), ("seq", Int)],
);
static INSERT_EVENTS: Bulk = Bulk::new(
    "INSERT INTO events (room, seq, kind, at, by_id, by_name, payload) \
     SELECT room, seq, kind, at, by_id, by_name, payload FROM {input}",
    &[("room", Id), ("seq", Int), ("kind", Text), ("at", Int), ("by_id", Id), ("by_name", Text), ("payload", Text)],
);
static INSERT_MESSAGES: Bulk = Bulk::new(
    "INSERT INTO messages (room, seq, id, at, by_id, by_name, client_msg_id, body) \
     SELECT room, seq, id, at, by_id, by_name, client_msg_id, body FROM {input}",
    &[
        ("room", Id),
        ("seq", Int),
        ("id", Id),
        ("at", Int),
        ("by_id", Id),
        ("by_name", Text),
        ("client_msg_id", Text),
        ("body", Text),
    ],
);
static DELETE_MEMBERS: Bulk = Bulk::new(
    "DELETE FROM members WHERE (room, user_id) IN (SELECT input.room, input.user_id FROM {input})",
    &[("room", Id), ("user_id", Id)],
);
static DELETE_USER_ROOMS: Bulk = Bulk::new(
    "DELETE FROM user_rooms WHERE (user_id, room) IN (SELECT input.user_id, input.room FROM {input})",
    &[("room", Id), ("user_id", Id)],
);
static INSERT_MEMBERS: Bulk = Bulk::new(
    "INSERT INTO members (room, user_id, user_name, role) SELECT room, user_id, user_name, role FROM {input}",
    &[("room", Id), ("user_id", Id), ("user_name", Text), ("role", Text)],
);
static INSERT_USER_ROOMS: Bulk = Bulk::new(
    "INSERT INTO user_rooms (user_id, room) SELECT user_id, room FROM {input}",
    &[("room", Id), ("user_id", Id)],
);
/// A batch of messages alone, written in one go where the engine can ([`WRITES_AT_ONCE`]).
static INSERT_SAID: Bulk = Bulk::new(
    "WITH input AS MATERIALIZED (SELECT * FROM {input}), \
     logged AS (INSERT INTO events (room, seq, kind, at, by_id, by_name, payload) \
     SELECT room, seq, kind, at, by_id, by_name, payload FROM input), \
     said AS (INSERT INTO messages (room, seq, id, at, by_id, by_name, client_msg_id, body) \
     SELECT room, seq, id, at, by_id, by_name, client_msg_id, body FROM input) \
     UPDATE rooms SET head = newest.head \
     FROM (SELECT input.room, MAX(input.seq) AS head FROM input GROUP BY input.room) AS newest \
     WHERE rooms.id = newest.room",
    &[
        ("room", Id),
        ("seq", Int),
        ("kind", Text),
        ("at", Int),
        ("by_id", Id),
        ("by_name", Text),
        ("payload", Text),
        ("id", Id),
        ("client_msg_id", Text),
        ("body", Text),
    ],
);
static UPDATE_ROOMS: Bulk = Bulk::new(
    "UPDATE rooms SET head = input.head, members = input.members FROM {input} WHERE rooms.id = input.id",
    &[("id", Id), ("head", Int), ("members", Int)],
);

/// Runs the batch. When this fails nothing of it was committed, unless the commit itself was sent: then each job
/// that had an event keeps it as `lost`, and the next attempt looks for it.
pub(crate) async fn run(conn: &mut Connection, jobs: &mut [Job]) -> Result<Plan, sqlx::Error> {
    let at = Timestamp::now();
    let mut tx = begin_write(conn).await?;
    let mut snapshot = Snapshot::default();
    look(&mut tx, jobs, &mut snapshot).await?;
    make_rooms(&mut tx, jobs, &mut snapshot, at).await?;
    find_logged(&mut tx, jobs, &mut snapshot).await?;
    let plan = Plan::decide(jobs, snapshot, at);
    if plan.is_empty() {
        tx.rollback().await?;
        return Ok(plan);
    }
    if WRITES_AT_ONCE && plan.events.iter().all(|(_, event)| matches!(event.data, RoomEventData::MessageSent(_))) {
        write_said(&mut tx, jobs, &plan).await?;
    } else {
        write_log(&mut tx, jobs, &plan).await?;
        write_members(&mut tx, &plan).await?;
        write_rooms(&mut tx, &plan).await?;
    }
    for (job, event) in &plan.events {
        jobs[*job].lost = Some(Arc::clone(event));
    }
    tx.commit().await?;
    Ok(plan)
}

/// What [`LOOK`] answers: the room's head, its members (in the rows of locked rooms alone), the user and their role,
/// the `client_msg_id` and the message that has it.
type Looked =
    (Uuid, i64, Option<i64>, Option<Uuid>, Option<String>, Option<String>, Option<i64>, Option<Uuid>, Option<i64>);

async fn look(conn: &mut Connection, jobs: &[Job], snapshot: &mut Snapshot) -> Result<(), sqlx::Error> {
    let rows = asked(jobs);
    let mut looked = LOOK.fetch::<Looked>(conn, &rows).await?;
    if !take_rooms(snapshot, &looked) {
        // Another node committed while its locks were waited for. They are ours now, so this time nothing can change.
        looked = LOOK.fetch::<Looked>(conn, &rows).await?;
        take_rooms(snapshot, &looked);
    }
    for (room, _, _, user, role, key, seq, id, at) in looked {
        let (Some(user), room) = (user, RoomId::from_uuid(room)) else { continue };
        let user = UserId::from_uuid(user);
        if let Some(role) = role {
            let role = RoomRole::from_name(&role).ok_or_else(|| sqlx::Error::Decode("an unknown role".into()))?;
            snapshot.roles.insert((room, user), role);
        }
        if let (Some(key), Some(seq), Some(id), Some(at)) = (key, seq, id, at) {
            let (id, at) = (MessageId::from_uuid(id), Timestamp::from_millis(at));
            snapshot.sent.insert((room, user, key), Sent { seq: seq.unsigned_abs(), id, at, duplicate: true });
        }
    }
    Ok(())
}

/// Whose role and which messages the appends ask about; every room of theirs is among it.
fn asked(jobs: &[Job]) -> Rows<'_> {
    let mut rows = LOOK.rows();
    // In a busy room the same people write again and again, but never the same message.
    let mut roles = HashSet::new();
    for append in appends(jobs) {
        let room = append.room;
        let (user, key) = match &append.data {
            RoomEventData::MessageSent(message) => (append.by.id, Some(message.client_msg_id.as_str())),
            RoomEventData::MemberJoined(joined) => (joined.user.id, None),
            RoomEventData::MemberLeft(left) => (left.user.id, None),
            _ => (append.by.id, None),
        };
        for (user, key) in [(user, key), (append.by.id, None)] {
            // Who writes a message is looked up with it.
            if roles.insert((room, user)) || key.is_some() {
                rows.push([room.as_uuid().into(), user.as_uuid().into(), key.into()]);
            }
        }
    }
    rows
}

/// Takes the rooms as they are under the lock; false when the lookups saw an older head of one.
fn take_rooms(snapshot: &mut Snapshot, looked: &[Looked]) -> bool {
    for (room, head, members, ..) in looked {
        if let Some(members) = members {
            let state = RoomState { head: head.unsigned_abs(), members: members.unsigned_abs() };
            snapshot.rooms.insert(RoomId::from_uuid(*room), state);
        }
    }
    looked.iter().filter(|(_, _, members, ..)| members.is_none()).all(|(room, head, ..)| {
        snapshot.rooms.get(&RoomId::from_uuid(*room)).is_some_and(|state| state.head == head.unsigned_abs())
    })
}

async fn make_rooms(
    conn: &mut Connection,
    jobs: &[Job],
    snapshot: &mut Snapshot,
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    let mut wanted = INSERT_ROOMS.rows();
    for job in jobs {
        if let Work::Create { room, direct_key } = &job.work {
            wanted.push([
                room.id.as_uuid().into(),
                room.name.as_ref().map(|name| name.as_str()).into(),
                room.kind.as_str().into(),
                signed(room.members.len() as u64).into(),
                at.millis().into(),
                direct_key.as_deref().into(),
            ]);
        }
    }
    let made = INSERT_ROOMS.fetch::<(Uuid,)>(conn, &wanted).await?;
    snapshot.made = made.into_iter().map(|(room,)| RoomId::from_uuid(room)).collect();
    let mut missing = FIND_ROOMS.rows();
    for job in jobs {
        if let Work::Create { room, direct_key } = &job.work
            && !snapshot.made.contains(&room.id)
        {
            missing.push([room.id.as_uuid().into(), direct_key.as_deref().into()]);
        }
    }
    for (wanted, there) in FIND_ROOMS.fetch::<(Uuid, Uuid)>(conn, &missing).await? {
        snapshot.existing.insert(RoomId::from_uuid(wanted), RoomId::from_uuid(there));
    }
    Ok(())
}

/// What stands in the log where an attempt whose commit was not answered may have written.
async fn find_logged(conn: &mut Connection, jobs: &[Job], snapshot: &mut Snapshot) -> Result<(), sqlx::Error> {
    let mut logged = FIND_LOGGED.rows();
    for lost in jobs.iter().filter_map(|job| job.lost.as_ref()) {
        logged.push([lost.room.as_uuid().into(), signed(lost.seq).into()]);
    }
    let found = FIND_LOGGED.fetch::<(Uuid, i64, i64, Uuid, String, String)>(conn, &logged).await?;
    for (room, seq, at, by, kind, payload) in found {
        let event = Logged { at: Timestamp::from_millis(at), by: UserId::from_uuid(by), kind, payload };
        snapshot.logged.insert((RoomId::from_uuid(room), seq.unsigned_abs()), event);
    }
    Ok(())
}

/// A batch of messages alone, with the heads of their rooms.
async fn write_said(conn: &mut Connection, jobs: &[Job], plan: &Plan) -> Result<(), sqlx::Error> {
    let mut rows = INSERT_SAID.rows();
    for (job, event) in &plan.events {
        let (Work::Append { payload, .. }, RoomEventData::MessageSent(message)) = (&jobs[*job].work, &event.data)
        else {
            continue;
        };
        rows.push([
            event.room.as_uuid().into(),
            signed(event.seq).into(),
            event.data.name().into(),
            event.at.millis().into(),
            event.by.id.as_uuid().into(),
            (&*event.by.name).into(),
            payload.as_str().into(),
            message.id.as_uuid().into(),
            message.client_msg_id.as_str().into(),
            message.body.as_str().into(),
        ]);
    }
    INSERT_SAID.execute(conn, &rows).await?;
    Ok(())
}

async fn write_rooms(conn: &mut Connection, plan: &Plan) -> Result<(), sqlx::Error> {
    let mut rooms = UPDATE_ROOMS.rows();
    for (room, state) in &plan.rooms {
        rooms.push([room.as_uuid().into(), signed(state.head).into(), signed(state.members).into()]);
    }
    UPDATE_ROOMS.execute(conn, &rooms).await?;
    Ok(())
}

async fn write_log(conn: &mut Connection, jobs: &[Job], plan: &Plan) -> Result<(), sqlx::Error> {
    let mut payloads = Vec::new();
    for (job, event) in &plan.events {
        if let Work::Create { .. } = &jobs[*job].work {
            payloads.push(serde_json::to_string(&event.data).map_err(|error| sqlx::Error::Encode(error.into()))?);
        }
    }
    let mut payloads = payloads.iter();
    let (mut events, mut messages) = (INSERT_EVENTS.rows(), INSERT_MESSAGES.rows());
    for (job, event) in &plan.events {
        let payload = match &jobs[*job].work {
            Work::Append { payload, .. } => Some(payload),
            Work::Create { .. } => payloads.next(),
        };
        push_event(&mut events, event, payload.map_or("null", String::as_str));
        if let RoomEventData::MessageSent(message) = &event.data {
            messages.push([
                event.room.as_uuid().into(),
                signed(event.seq).into(),
                message.id.as_uuid().into(),
                event.at.millis().into(),
                event.by.id.as_uuid().into(),
                (&*event.by.name).into(),
                message.client_msg_id.as_str().into(),
                message.body.as_str().into(),
            ]);
        }
    }
    INSERT_EVENTS.execute(conn, &events).await?;
    INSERT_MESSAGES.execute(conn, &messages).await?;
    Ok(())
}

fn push_event<'a>(rows: &mut Rows<'a>, event: &'a RoomEvent, payload: &'a str) {
    rows.push([
        event.room.as_uuid().into(),
        signed(event.seq).into(),
        event.data.name().into(),
        event.at.millis().into(),
        event.by.id.as_uuid().into(),
        (&*event.by.name).into(),
        payload.into(),
    ]);
}

/// The rows in the room group and the index of them in the directory group, by separate statements.
async fn write_members(conn: &mut Connection, plan: &Plan) -> Result<(), sqlx::Error> {
    let (mut gone, mut there) = (DELETE_MEMBERS.rows(), INSERT_MEMBERS.rows());
    let (mut gone_index, mut there_index) = (DELETE_USER_ROOMS.rows(), INSERT_USER_ROOMS.rows());
    for ((room, user), change) in &plan.members {
        let key = || [room.as_uuid().into(), user.as_uuid().into()];
        if change.had_row {
            gone.push(key());
            gone_index.push(key());
        }
        if let Some((name, role)) = &change.row {
            let [room, user] = key();
            there.push([room, user, (&**name).into(), role.as_str().into()]);
            there_index.push(key());
        }
    }
    DELETE_MEMBERS.execute(conn, &gone).await?;
    DELETE_USER_ROOMS.execute(conn, &gone_index).await?;
    INSERT_MEMBERS.execute(conn, &there).await?;
    INSERT_USER_ROOMS.execute(conn, &there_index).await?;
    Ok(())
}

fn appends(jobs: &[Job]) -> impl Iterator<Item = &crate::append::Append> {
    jobs.iter().filter_map(|job| match &job.work {
        Work::Append { append, .. } => Some(append),
        Work::Create { .. } => None,
    })
}

/// Seqs and counts stay far below 2^53, so they fit.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
