//! PostgreSQL behind a pooler in transaction mode (PgBouncer): the same server, but no session of one's own.
//!
//! Every call is one transaction of unnamed statements, since the next transaction may meet another connection of the
//! server, on which nothing is prepared. Must never set or keep anything on a session.

pub(crate) use super::postgres::{
    Connection, Db, HAS_MIGRATIONS, LOCK_ROWS, LOCK_SCHEMA, WRITES_AT_ONCE, begin_write, bind, bind_as, input_table,
    migration_text,
};

#[path = "shared/batch.rs"]
pub(crate) mod batch;
#[path = "shared/log.rs"]
pub(crate) mod log;
#[path = "shared/migration.rs"]
pub(crate) mod migration;
#[path = "shared/rooms.rs"]
pub(crate) mod rooms;
#[path = "shared/statement.rs"]
pub(crate) mod statement;
#[path = "shared/users.rs"]
pub(crate) mod users;

/// Whether statements are kept prepared on their connection.
pub(crate) const PREPARES: bool = false;

/// Runs a piece of work as one transaction, inside of which it may have transactions of its own.
macro_rules! whole {
    ($connection:expr, $within:ident => $work:expr) => {{
        let mut transaction = sqlx::Connection::begin($connection).await?;
        let $within = &mut *transaction;
        match $work.await {
            Ok(value) => transaction.commit().await.map(|()| value),
            Err(error) => {
                // Whoever called wants to know what failed first; a connection that cannot roll back is given up.
                transaction.rollback().await.ok();
                Err(error)
            }
        }
    }};
}
pub(crate) use whole;
