//! What a check asks beside its walk through the tables.
//!
//! Must never join the two groups of tables: which of these rows are there is asked of one table at a time.

use hubbub_protocol::Epoch;
use uuid::Uuid;

use super::Connection;
use super::statement::Bulk;
use crate::bulk::Column::Id;
use crate::keep::check::Repeated;

static USERS: Bulk = Bulk::new("SELECT users.id FROM {input} JOIN users ON users.id = input.id", &[("id", Id)]);
static INDEXED: Bulk = Bulk::new(
    "SELECT input.room, input.user_id FROM {input} \
     JOIN user_rooms ON user_rooms.user_id = input.user_id AND user_rooms.room = input.room",
    &[("room", Id), ("user_id", Id)],
);
static MEMBERS: Bulk = Bulk::new(
    "SELECT input.room, input.user_id FROM {input} \
     JOIN members ON members.room = input.room AND members.user_id = input.user_id",
    &[("room", Id), ("user_id", Id)],
);
/// With how many there are, however few are answered.
const REPEATED_CLIENT_IDS: &str = "SELECT room, by_id, client_msg_id, MIN(seq), MAX(seq), COUNT(*) OVER () FROM messages \
     GROUP BY room, by_id, client_msg_id HAVING COUNT(*) > 1 ORDER BY room, by_id, client_msg_id LIMIT $1";
const REPEATED_MESSAGE_IDS: &str = "SELECT id, MIN(seq), COUNT(*) OVER () FROM messages \
     GROUP BY id HAVING COUNT(*) > 1 ORDER BY id LIMIT $1";
const EPOCHS: &str = "SELECT epoch FROM identity ORDER BY id";

/// Which of these users there are, in no order.
pub(crate) async fn users(conn: &mut Connection, users: &[Uuid]) -> Result<Vec<Uuid>, sqlx::Error> {
    let mut rows = USERS.rows();
    users.iter().for_each(|user| rows.push([(*user).into()]));
    Ok(USERS.fetch::<(Uuid,)>(conn, &rows).await?.into_iter().map(|(user,)| user).collect())
}

/// Which of these pairs of room and user are in the index of a user's rooms, in no order.
pub(crate) async fn indexed(conn: &mut Connection, pairs: &[(Uuid, Uuid)]) -> Result<Vec<(Uuid, Uuid)>, sqlx::Error> {
    pairs_in(&INDEXED, conn, pairs).await
}

/// Which of these pairs of room and user are members, in no order.
pub(crate) async fn members(conn: &mut Connection, pairs: &[(Uuid, Uuid)]) -> Result<Vec<(Uuid, Uuid)>, sqlx::Error> {
    pairs_in(&MEMBERS, conn, pairs).await
}

async fn pairs_in(
    asked: &'static Bulk,
    conn: &mut Connection,
    pairs: &[(Uuid, Uuid)],
) -> Result<Vec<(Uuid, Uuid)>, sqlx::Error> {
    let mut rows = asked.rows();
    pairs.iter().for_each(|(room, user)| rows.push([(*room).into(), (*user).into()]));
    asked.fetch(conn, &rows).await
}

/// The `client_msg_id`s that stand for more than one message of their room and sender, at most so many, and how many
/// there are.
pub(crate) async fn repeated_client_ids(
    conn: &mut Connection,
    limit: u32,
) -> Result<(Vec<Repeated>, u64), sqlx::Error> {
    type Found = (Uuid, Uuid, String, i64, i64, i64);
    let rows: Vec<Found> = sqlx::query_as(REPEATED_CLIENT_IDS).bind(i64::from(limit)).fetch_all(conn).await?;
    let total = rows.first().map_or(0, |row| row.5.unsigned_abs());
    let repeated = |(room, user, id, first, last, _): Found| Repeated {
        room: Some(room),
        user: Some(user),
        id,
        first: first.unsigned_abs(),
        last: last.unsigned_abs(),
    };
    Ok((rows.into_iter().map(repeated).collect(), total))
}

/// The ids that more than one message has, at most so many, and how many there are.
pub(crate) async fn repeated_message_ids(
    conn: &mut Connection,
    limit: u32,
) -> Result<(Vec<Repeated>, u64), sqlx::Error> {
    let rows: Vec<(Uuid, i64, i64)> =
        sqlx::query_as(REPEATED_MESSAGE_IDS).bind(i64::from(limit)).fetch_all(conn).await?;
    let total = rows.first().map_or(0, |row| row.2.unsigned_abs());
    let repeated = |(id, seq, _): (Uuid, i64, i64)| Repeated {
        room: None,
        user: None,
        id: id.to_string(),
        first: seq.unsigned_abs(),
        last: seq.unsigned_abs(),
    };
    Ok((rows.into_iter().map(repeated).collect(), total))
}

/// The names of the histories that the database says it holds: one.
pub(crate) async fn epochs(conn: &mut Connection) -> Result<Vec<Epoch>, sqlx::Error> {
    let rows: Vec<(String,)> = sqlx::query_as(EPOCHS).fetch_all(conn).await?;
    Ok(rows.into_iter().map(|(epoch,)| Epoch::from_text(epoch)).collect())
}
