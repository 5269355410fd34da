//! The directory: users and logins.
//!
//! Must never name a table of the room group.

use hubbub_protocol::{SessionId, Timestamp, UserId, UserName, UserSelector};
use uuid::Uuid;

use super::statement::{Bulk, query, query_as};
use super::{Connection, begin_write};
use crate::bulk::Column::{Id, Int, Text};
use crate::directory::{Login, NewLogin, NewUser, User, UserRole};

type UserRow = (Uuid, String, String, bool, i64);
type UserHashRow = (Uuid, String, String, bool, i64, Option<String>);

const INSERT_USER: &str = "INSERT INTO users (id, name, role, disabled, password_hash, created_at) \
     VALUES ($1, $2, $3, FALSE, $4, $5)";
const USER_BY_ID: &str = "SELECT id, name, role, disabled, created_at FROM users WHERE id = $1";
const USER_BY_NAME: &str = "SELECT id, name, role, disabled, created_at FROM users WHERE name = $1";
const USERS: &str = "SELECT id, name, role, disabled, created_at FROM users WHERE name > $1 ORDER BY name LIMIT $2";
const HASH_BY_NAME: &str = "SELECT id, name, role, disabled, created_at, password_hash FROM users WHERE name = $1";
const SET_HASH: &str = "UPDATE users SET password_hash = $2 WHERE id = $1";
const SET_DISABLED: &str = "UPDATE users SET disabled = $2 WHERE id = $1";
const SET_ROLE: &str = "UPDATE users SET role = $2 WHERE id = $1";
const INSERT_LOGIN: &str = "INSERT INTO logins (id, user_id, refresh_hash, expires_at, ended) \
     VALUES ($1, $2, $3, $4, FALSE)";
const LOGIN: &str = "SELECT user_id, refresh_hash, expires_at, ended FROM logins WHERE id = $1";
const END_LOGIN: &str = "UPDATE logins SET ended = TRUE WHERE id = $1 AND NOT ended";
const END_LOGINS: &str = "UPDATE logins SET ended = TRUE WHERE user_id = $1 AND NOT ended RETURNING id";
const ROTATE: &str = "UPDATE logins SET refresh_hash = $3, expires_at = $4 \
     WHERE id = $1 AND refresh_hash = $2 AND NOT ended";

/// In the order of the names, so that two of these at once never wait for each other in a circle.
static INSERT_USERS: Bulk = Bulk::new(
    "INSERT INTO users (id, name, role, disabled, password_hash, created_at) \
     SELECT id, name, role, FALSE, password_hash, created_at FROM {input} \
     WHERE TRUE ORDER BY name ON CONFLICT DO NOTHING",
    &[("id", Id), ("name", Text), ("role", Text), ("password_hash", Text), ("created_at", Int)],
);
static COUNT_USERS: Bulk = Bulk::new("SELECT COUNT(*) FROM {input} JOIN users ON users.id = input.id", &[("id", Id)]);
static USERS_NAMED: Bulk = Bulk::new(
    "SELECT users.id, users.name, users.role, users.disabled, users.created_at \
     FROM {input} JOIN users ON users.name = input.name",
    &[("name", Text)],
);

pub(crate) async fn create(conn: &mut Connection, new: &NewUser, user: &User) -> Result<(), sqlx::Error> {
    query(INSERT_USER)
        .bind(user.id.as_uuid())
        .bind(user.name.as_str())
        .bind(user.role.as_str())
        .bind(new.password_hash.as_deref())
        .bind(user.created_at.millis())
        .execute(conn)
        .await
        .map(drop)
}

/// Makes those whose name is free, each with the id at its place, and counts them.
pub(crate) async fn create_many(
    conn: &mut Connection,
    new: &[NewUser],
    ids: &[UserId],
    at: Timestamp,
) -> Result<u64, sqlx::Error> {
    let (mut wanted, mut made) = (INSERT_USERS.rows(), COUNT_USERS.rows());
    for (new, id) in new.iter().zip(ids) {
        wanted.push([
            id.as_uuid().into(),
            new.name.as_str().into(),
            new.role.as_str().into(),
            new.password_hash.as_deref().into(),
            at.millis().into(),
        ]);
        made.push([id.as_uuid().into()]);
    }
    let mut tx = begin_write(conn).await?;
    let mut count = INSERT_USERS.execute(&mut tx, &wanted).await?;
    if count < new.len() as u64 {
        // Some names were taken, by others or by an attempt whose answer was lost.
        let counted = COUNT_USERS.fetch::<(i64,)>(&mut tx, &made).await?;
        count = counted.first().map_or(0, |(count,)| count.unsigned_abs());
    }
    tx.commit().await?;
    Ok(count)
}

pub(crate) async fn users_named(conn: &mut Connection, names: &[UserName]) -> Result<Vec<User>, sqlx::Error> {
    let mut rows = USERS_NAMED.rows();
    names.iter().for_each(|name| rows.push([name.as_str().into()]));
    USERS_NAMED.fetch::<UserRow>(conn, &rows).await?.into_iter().map(user_of).collect()
}

pub(crate) async fn user(conn: &mut Connection, selector: &UserSelector) -> Result<Option<User>, sqlx::Error> {
    let row: Option<UserRow> = match selector {
        UserSelector::Id(id) => query_as(USER_BY_ID).bind(id.as_uuid()).fetch_optional(conn).await?,
        UserSelector::Name(name) => query_as(USER_BY_NAME).bind(name.as_str()).fetch_optional(conn).await?,
    };
    row.map(user_of).transpose()
}

pub(crate) async fn users(
    conn: &mut Connection,
    after: Option<&UserName>,
    limit: u64,
) -> Result<Vec<User>, sqlx::Error> {
    let rows: Vec<UserRow> = query_as(USERS)
        .bind(after.map_or("", |name| name.as_str()))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(conn)
        .await?;
    rows.into_iter().map(user_of).collect()
}

pub(crate) async fn password_hash(
    conn: &mut Connection,
    name: &UserName,
) -> Result<Option<(User, Option<String>)>, sqlx::Error> {
    let row: Option<UserHashRow> = query_as(HASH_BY_NAME).bind(name.as_str()).fetch_optional(conn).await?;
    row.map(|(id, name, role, disabled, at, hash)| Ok((user_of((id, name, role, disabled, at))?, hash))).transpose()
}

pub(crate) async fn set_password_hash(
    conn: &mut Connection,
    user: UserId,
    hash: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let done = query(SET_HASH).bind(user.as_uuid()).bind(hash).execute(conn).await?;
    Ok(done.rows_affected() > 0)
}

pub(crate) async fn set_disabled(conn: &mut Connection, user: UserId, disabled: bool) -> Result<bool, sqlx::Error> {
    let done = query(SET_DISABLED).bind(user.as_uuid()).bind(disabled).execute(conn).await?;
    Ok(done.rows_affected() > 0)
}

pub(crate) async fn set_role(conn: &mut Connection, user: UserId, role: UserRole) -> Result<bool, sqlx::Error> {
    let done = query(SET_ROLE).bind(user.as_uuid()).bind(role.as_str()).execute(conn).await?;
    Ok(done.rows_affected() > 0)
}

pub(crate) async fn start_login(conn: &mut Connection, login: &NewLogin) -> Result<(), sqlx::Error> {
    query(INSERT_LOGIN)
        .bind(login.id.as_uuid())
        .bind(login.user.as_uuid())
        .bind(login.refresh_hash.as_slice())
        .bind(login.expires_at.millis())
        .execute(conn)
        .await
        .map(drop)
}

pub(crate) async fn login(conn: &mut Connection, id: SessionId) -> Result<Option<Login>, sqlx::Error> {
    let row: Option<(Uuid, Vec<u8>, i64, bool)> = query_as(LOGIN).bind(id.as_uuid()).fetch_optional(conn).await?;
    Ok(row.map(|(user, refresh_hash, expires_at, ended)| Login {
        id,
        user: UserId::from_uuid(user),
        refresh_hash,
        expires_at: Timestamp::from_millis(expires_at),
        ended,
    }))
}

pub(crate) async fn end_login(conn: &mut Connection, id: SessionId) -> Result<bool, sqlx::Error> {
    Ok(query(END_LOGIN).bind(id.as_uuid()).execute(conn).await?.rows_affected() > 0)
}

pub(crate) async fn end_logins_of(conn: &mut Connection, user: UserId) -> Result<Vec<SessionId>, sqlx::Error> {
    let rows: Vec<(Uuid,)> = query_as(END_LOGINS).bind(user.as_uuid()).fetch_all(conn).await?;
    Ok(rows.into_iter().map(|(id,)| SessionId::from_uuid(id)).collect())
}

pub(crate) async fn rotate_refresh(
    conn: &mut Connection,
    id: SessionId,
    old_hash: &[u8],
    new_hash: &[u8],
    expires_at: Timestamp,
) -> Result<bool, sqlx::Error> {
    let query = query(ROTATE).bind(id.as_uuid()).bind(old_hash).bind(new_hash).bind(expires_at.millis());
    Ok(query.execute(conn).await?.rows_affected() > 0)
}

fn user_of((id, name, role, disabled, created_at): UserRow) -> Result<User, sqlx::Error> {
    let unreadable = |what: &str| sqlx::Error::Decode(what.to_owned().into());
    Ok(User {
        id: UserId::from_uuid(id),
        name: name.parse().map_err(unreadable)?,
        role: UserRole::from_name(&role).ok_or_else(|| unreadable("an unknown role"))?,
        disabled,
        created_at: Timestamp::from_millis(created_at),
    })
}
