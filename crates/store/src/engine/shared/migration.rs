//! Brings the schema up to this build, one node at a time, all or nothing.
//!
//! Must never touch a database from which a newer build has taken something away.

use hubbub_protocol::{Epoch, Timestamp};
use sqlx::AssertSqlSafe;

use super::statement::{query, query_as};
use super::{Connection, HAS_MIGRATIONS, LOCK_SCHEMA, begin_write, migration_text};
use crate::migrations::{MIGRATIONS, Schema};

const CREATE_TABLE: &str = "CREATE TABLE IF NOT EXISTS hubbub_migrations (version BIGINT NOT NULL PRIMARY KEY, \
     name TEXT NOT NULL, applied_at BIGINT NOT NULL)";
const APPLIED: &str = "SELECT version, name FROM hubbub_migrations ORDER BY version";
const RECORD: &str = "INSERT INTO hubbub_migrations (version, name, applied_at) VALUES ($1, $2, $3)";
const FIRST_EPOCH: &str = "INSERT INTO identity (id, epoch) SELECT 1, $1 WHERE NOT EXISTS (SELECT 1 FROM identity)";
const RENEW_EPOCH: &str = "UPDATE identity SET epoch = $1 WHERE id = 1";
const EPOCH: &str = "SELECT epoch FROM identity WHERE id = 1";

/// What the database has and lacks. Changes nothing.
pub(crate) async fn schema(conn: &mut Connection) -> Result<Schema, sqlx::Error> {
    let (tables,): (i64,) = query_as(HAS_MIGRATIONS).fetch_one(&mut *conn).await?;
    if tables == 0 {
        return Ok(Schema::of(&[]));
    }
    let applied: Vec<(i64, String)> = query_as(APPLIED).fetch_all(conn).await?;
    Ok(Schema::of(&applied))
}

/// Applies what is lacking in one transaction and says what there was to apply. Whoever comes second finds nothing
/// to do.
pub(crate) async fn migrate(conn: &mut Connection) -> Result<Schema, sqlx::Error> {
    let mut tx = begin_write(conn).await?;
    sqlx::raw_sql(LOCK_SCHEMA).execute(&mut *tx).await?;
    sqlx::raw_sql(CREATE_TABLE).execute(&mut *tx).await?;
    let schema = schema(&mut tx).await?;
    if schema.newer.is_some() {
        tx.rollback().await?;
        return Ok(schema);
    }
    for migration in MIGRATIONS.iter().filter(|migration| schema.pending.contains(&migration.name)) {
        sqlx::raw_sql(AssertSqlSafe(migration_text(migration.text))).execute(&mut *tx).await?;
        query(RECORD)
            .bind(migration.version)
            .bind(migration.name)
            .bind(Timestamp::now().millis())
            .execute(&mut *tx)
            .await?;
    }
    query(FIRST_EPOCH).bind(Epoch::new().as_str()).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(schema)
}

/// The history that cursors belong to.
pub(crate) async fn epoch(conn: &mut Connection) -> Result<Epoch, sqlx::Error> {
    let (epoch,): (String,) = query_as(EPOCH).fetch_one(conn).await?;
    Ok(Epoch::from_text(epoch))
}

/// Begins another history.
pub(crate) async fn renew_epoch(conn: &mut Connection) -> Result<Epoch, sqlx::Error> {
    let epoch = Epoch::new();
    query(RENEW_EPOCH).bind(epoch.as_str()).execute(conn).await?;
    Ok(epoch)
}
