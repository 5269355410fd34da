//! Reads of the log and of messages. Each is one statement, so each sees one moment.
//!
//! Must never page by anything but `seq`.

use hubbub_protocol::reply::Sent;
use hubbub_protocol::{
    ClientMsgId, Message, MessageId, RoomEvent, RoomEventData, RoomId, Seq, Timestamp, UserId, UserRef,
};
use uuid::Uuid;

use super::Connection;
use super::statement::{Bulk, query_as};
use crate::append::PageQuery;
use crate::bulk::Column::Id;
use crate::replica::Tip;

static HEADS: Bulk = Bulk::new("SELECT id, head FROM rooms WHERE id IN (SELECT input.id FROM {input})", &[("id", Id)]);

/// The head comes as a row of its own, so that an empty page has it as well.
const EVENTS: &str = "SELECT head, NULL, NULL, NULL, NULL, NULL, NULL FROM rooms WHERE id = $1 UNION ALL SELECT * FROM \
     (SELECT CAST(NULL AS BIGINT), seq, kind, at, by_id, by_name, payload FROM events WHERE room = $1 AND seq > $2 ORDER BY seq \
     LIMIT $3) AS page";
const MESSAGES_AFTER: &str = "SELECT head, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM rooms WHERE id = $1 UNION ALL \
     SELECT * FROM (SELECT CAST(NULL AS BIGINT), seq, id, at, by_id, by_name, client_msg_id, body FROM messages \
     WHERE room = $1 AND seq > $2 ORDER BY seq LIMIT $3) AS page";
const MESSAGES_BEFORE: &str = "SELECT head, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM rooms WHERE id = $1 UNION ALL \
     SELECT * FROM (SELECT CAST(NULL AS BIGINT), seq, id, at, by_id, by_name, client_msg_id, body FROM messages \
     WHERE room = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3) AS page";
const FIND_SENT: &str = "SELECT seq, id, at FROM messages WHERE room = $1 AND by_id = $2 AND client_msg_id = $3";

/// The history, and the newest event of a room in it.
const TIP: &str = "SELECT (SELECT epoch FROM identity WHERE id = 1), head, at, by_id FROM rooms \
     JOIN events ON events.room = rooms.id AND events.seq = rooms.head WHERE rooms.id = $1";

type EventRow = (Option<i64>, Option<i64>, Option<String>, Option<i64>, Option<Uuid>, Option<String>, Option<String>);
type MessageRow =
    (Option<i64>, Option<i64>, Option<Uuid>, Option<i64>, Option<Uuid>, Option<String>, Option<String>, Option<String>);

pub(crate) async fn heads(conn: &mut Connection, rooms: &[RoomId]) -> Result<Vec<(RoomId, Seq)>, sqlx::Error> {
    let mut rows = HEADS.rows();
    rooms.iter().for_each(|room| rows.push([room.as_uuid().into()]));
    let heads = HEADS.fetch::<(Uuid, i64)>(conn, &rows).await?;
    Ok(heads.into_iter().map(|(room, head)| (RoomId::from_uuid(room), head.unsigned_abs())).collect())
}

/// Which event is a room's newest, and of which history; none of a room that does not exist.
pub(crate) async fn tip(conn: &mut Connection, room: RoomId) -> Result<Option<Tip>, sqlx::Error> {
    let row: Option<(String, i64, i64, Uuid)> = query_as(TIP).bind(room.as_uuid()).fetch_optional(conn).await?;
    Ok(row.map(|(epoch, head, at, by)| Tip { epoch, head: head.unsigned_abs(), at, by }))
}

pub(crate) async fn events(
    conn: &mut Connection,
    room: RoomId,
    after: Seq,
    limit: u64,
) -> Result<(Vec<RoomEvent>, Seq), sqlx::Error> {
    let rows: Vec<EventRow> =
        query_as(EVENTS).bind(room.as_uuid()).bind(signed(after)).bind(signed(limit)).fetch_all(conn).await?;
    let (mut events, mut head) = (Vec::with_capacity(rows.len()), 0);
    for row in rows {
        match row {
            (Some(found), ..) => head = found.unsigned_abs(),
            (None, Some(seq), Some(kind), Some(at), Some(by), Some(name), Some(payload)) => {
                let data = serde_json::from_str(&payload)
                    .and_then(|data| RoomEventData::from_parts(&kind, data))
                    // The reason may quote a body, and it goes to the log: the place is enough to find the row.
                    .map_err(|_| sqlx::Error::Decode(format!("event {seq} of room {room} cannot be read").into()))?;
                let by = UserRef { id: UserId::from_uuid(by), name: name.into() };
                events.push(RoomEvent {
                    room,
                    seq: seq.unsigned_abs(),
                    at: Timestamp::from_millis(at),
                    by,
                    data,
                    trace: None,
                });
            }
            _ => return Err(sqlx::Error::Decode("an incomplete row of the log".into())),
        }
    }
    events.sort_unstable_by_key(|event| event.seq);
    Ok((events, head))
}

pub(crate) async fn messages(
    conn: &mut Connection,
    room: RoomId,
    page: PageQuery,
) -> Result<(Vec<Message>, Seq), sqlx::Error> {
    let (sql, bound, limit) = match page {
        PageQuery::Newest { limit } => (MESSAGES_BEFORE, u64::MAX, limit),
        PageQuery::Before { seq, limit } => (MESSAGES_BEFORE, seq, limit),
        PageQuery::After { seq, limit } => (MESSAGES_AFTER, seq, limit),
    };
    let rows: Vec<MessageRow> =
        query_as(sql).bind(room.as_uuid()).bind(signed(bound)).bind(signed(limit)).fetch_all(conn).await?;
    let (mut messages, mut head) = (Vec::with_capacity(rows.len()), 0);
    for row in rows {
        match row {
            (Some(found), ..) => head = found.unsigned_abs(),
            (None, Some(seq), Some(id), Some(at), Some(by), Some(name), Some(client_msg_id), Some(body)) => {
                messages.push(Message {
                    id: MessageId::from_uuid(id),
                    room,
                    seq: seq.unsigned_abs(),
                    by: UserRef { id: UserId::from_uuid(by), name: name.into() },
                    at: Timestamp::from_millis(at),
                    client_msg_id: client_msg_id.parse().map_err(|rule: &str| sqlx::Error::Decode(rule.into()))?,
                    body,
                });
            }
            _ => return Err(sqlx::Error::Decode("an incomplete row of messages".into())),
        }
    }
    messages.sort_unstable_by_key(|message| message.seq);
    Ok((messages, head))
}

pub(crate) async fn find_sent(
    conn: &mut Connection,
    room: RoomId,
    by: UserId,
    client_msg_id: &ClientMsgId,
) -> Result<Option<Sent>, sqlx::Error> {
    let row: Option<(i64, Uuid, i64)> = query_as(FIND_SENT)
        .bind(room.as_uuid())
        .bind(by.as_uuid())
        .bind(client_msg_id.as_str())
        .fetch_optional(conn)
        .await?;
    Ok(row.map(|(seq, id, at)| Sent {
        seq: seq.unsigned_abs(),
        id: MessageId::from_uuid(id),
        at: Timestamp::from_millis(at),
        duplicate: true,
    }))
}

/// Bounds above what the column holds mean "no bound".
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
