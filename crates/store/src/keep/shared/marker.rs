//! The mark in a database that is being filled: from where, and by which run of which command. A database that bears
//! it is not opened by anybody else; it is gone when all is there and verified.
//!
//! Must never be touched but in a transaction.

use hubbub_protocol::{Epoch, Timestamp};
use sqlx::AssertSqlSafe;

use super::rows::is_empty;
use super::{Connection, DURABLE, HAS_TABLE, LONG, begin_write, emptying};
use crate::keep::table::TABLES;
use crate::keep::target::{Claimed, Emptying, MARKER, RECORD};

const CREATE: &str =
    "CREATE TABLE hubbub_transfer (origin TEXT NOT NULL, holder TEXT NOT NULL, started_at BIGINT NOT NULL)";
const DROP: &str = "DROP TABLE hubbub_transfer";
const ORIGIN: &str = "SELECT origin FROM hubbub_transfer";
const MARK: &str = "INSERT INTO hubbub_transfer (origin, holder, started_at) VALUES ($1, $2, $3)";
const UNMARK: &str = "DELETE FROM hubbub_transfer";
const HOLD: &str = "UPDATE hubbub_transfer SET holder = $1";
const IS_HELD: &str = "UPDATE hubbub_transfer SET holder = $1 WHERE holder = $1";
const SET_EPOCH: &str = "UPDATE identity SET epoch = $1 WHERE id = 1";
const CREATE_RECORD: &str = "CREATE TABLE hubbub_backup (made_at BIGINT NOT NULL, contents TEXT NOT NULL)";
const ADD_RECORD: &str = "INSERT INTO hubbub_backup (made_at, contents) VALUES ($1, $2)";
const READ_RECORD: &str = "SELECT contents FROM hubbub_backup";

async fn has_table(conn: &mut Connection, name: &str) -> Result<bool, sqlx::Error> {
    let (tables,): (i64,) = sqlx::query_as(HAS_TABLE).persistent(false).bind(name).fetch_one(conn).await?;
    Ok(tables > 0)
}

/// From where the database is being filled; none when it is whole.
pub(crate) async fn origin(conn: &mut Connection) -> Result<Option<String>, sqlx::Error> {
    // One transaction of unnamed statements: nodes ask this at their start, and behind a pooler what was prepared for one
    // statement may be another's connection by the next.
    let mut tx = sqlx::Connection::begin(conn).await?;
    let origin: Option<(String,)> = match has_table(&mut tx, MARKER).await? {
        true => sqlx::query_as(ORIGIN).persistent(false).fetch_optional(&mut *tx).await?,
        false => None,
    };
    tx.commit().await?;
    Ok(origin.map(|(origin,)| origin))
}

/// Takes the database for a run of a command that fills it.
pub(crate) async fn claim(
    conn: &mut Connection,
    from: &str,
    holder: &str,
    emptied: Emptying,
) -> Result<Claimed, sqlx::Error> {
    let mut tx = begin_write(conn).await?;
    sqlx::raw_sql(LONG).execute(&mut *tx).await?;
    let begun = origin(&mut tx).await?;
    let is_begun = begun.is_some();
    match begun {
        Some(origin) if emptied == Emptying::Never => {
            if origin != from {
                tx.rollback().await?;
                return Ok(Claimed::Foreign);
            }
            sqlx::query(HOLD).persistent(false).bind(holder).execute(&mut *tx).await?;
            tx.commit().await?;
            return Ok(Claimed::Resumed);
        }
        None if emptied != Emptying::Always => {
            for table in TABLES {
                if !is_empty(&mut tx, table).await? {
                    tx.rollback().await?;
                    return Ok(Claimed::Occupied(table.name));
                }
            }
        }
        _ => {
            let names: Vec<_> = TABLES.iter().map(|table| table.name).collect();
            sqlx::raw_sql(AssertSqlSafe(emptying(&names))).execute(&mut *tx).await?;
        }
    }
    sqlx::raw_sql(if is_begun { UNMARK } else { CREATE }).execute(&mut *tx).await?;
    sqlx::query(MARK)
        .persistent(false)
        .bind(from)
        .bind(holder)
        .bind(Timestamp::now().millis())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(Claimed::Empty)
}

/// Whether this run has the database still. Run in the transaction of what it writes.
pub(super) async fn is_held(conn: &mut Connection, holder: &str) -> Result<bool, sqlx::Error> {
    Ok(sqlx::query(IS_HELD).persistent(false).bind(holder).execute(conn).await?.rows_affected() > 0)
}

/// Ends the filling: the database is whole and belongs to this history. Of a backup it keeps what is in it.
pub(crate) async fn finish(
    conn: &mut Connection,
    holder: &str,
    epoch: &Epoch,
    record: Option<&str>,
) -> Result<bool, sqlx::Error> {
    sqlx::raw_sql(DURABLE).execute(&mut *conn).await?;
    let mut tx = begin_write(conn).await?;
    if !is_held(&mut tx, holder).await? {
        tx.rollback().await?;
        return Ok(false);
    }
    sqlx::query(SET_EPOCH).persistent(false).bind(epoch.as_str()).execute(&mut *tx).await?;
    if let Some(contents) = record {
        sqlx::raw_sql(CREATE_RECORD).execute(&mut *tx).await?;
        sqlx::query(ADD_RECORD)
            .persistent(false)
            .bind(Timestamp::now().millis())
            .bind(contents)
            .execute(&mut *tx)
            .await?;
    }
    sqlx::raw_sql(DROP).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(true)
}

/// What a backup says is in it; none when the database is no backup.
pub(crate) async fn record(conn: &mut Connection) -> Result<Option<String>, sqlx::Error> {
    if !has_table(conn, RECORD).await? {
        return Ok(None);
    }
    let contents: Option<(String,)> = sqlx::query_as(READ_RECORD).persistent(false).fetch_optional(conn).await?;
    Ok(contents.map(|(contents,)| contents))
}
