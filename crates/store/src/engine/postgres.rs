//! PostgreSQL: how to connect to it, and what of the statements differs from SQLite.
//!
//! Must never use what PostgreSQL 13 does not know.

use std::str::FromStr;
use std::time::Duration;

use hubbub_protocol::mutation::{self, Mutation};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions};
use sqlx::query::{Query, QueryAs};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Transaction};

use super::{Pools, Source};
use crate::bulk::{Cell, Column, Rows};
use crate::error::{StoreError, StoreErrorKind};
use crate::fault::{Class, Fault};
use crate::metrics::{Metrics, PoolName};

/// The engine that the files of `shared` are compiled for.
pub(crate) type Db = sqlx::Postgres;
/// A connection of this engine.
pub(crate) type Connection = sqlx::PgConnection;

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

/// How long a call waits for a connection, making one included.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one attempt to connect may take where no pool is asked.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection that lay idle for longer is tried before it is used.
const IDLE_TRUST: Duration = Duration::from_secs(1);

/// What every connection is set to. Behind a pooler a connection belongs to nobody, and the pooler sets it.
///
/// - The server ends a statement, a wait for a lock and an idle transaction by itself, so that a node that was frozen
///   in a transaction does not hold its rooms from the others.
/// - Every statement here goes by an index. A plan made while the tables were still small may prefer to read them
///   whole, and a prepared statement keeps its plan; so the planner is not offered that.
/// - For the same reason a statement is planned once and not for its parameters.
/// - Without a table to compare, costs look huge and would wake the compiler for nothing.
const SESSION: &str = "SET statement_timeout = '10s'; SET lock_timeout = '5s'; \
     SET idle_in_transaction_session_timeout = '2s'; SET enable_seqscan = off; SET enable_hashjoin = off; \
     SET enable_mergejoin = off; SET plan_cache_mode = force_generic_plan; SET jit = off; SET client_min_messages = warning;";

/// A server that only follows another one is not the database: after a failover the old address may lead to one, or the
/// new one may not be promoted yet.
const REFUSE_STANDBY: &str = "DO $$ BEGIN IF pg_is_in_recovery() THEN \
     RAISE EXCEPTION USING ERRCODE = '25006', MESSAGE = 'this server is a standby'; END IF; END $$;";

/// A server that follows nobody has a history of its own, however like the database's it once was: an old primary that
/// came back is one.
const REFUSE_PRIMARY: &str = "DO $$ BEGIN IF NOT pg_is_in_recovery() THEN \
     RAISE EXCEPTION USING ERRCODE = 'F0000', MESSAGE = 'this server follows nobody'; END IF; END $$;";

/// A connection of a pooler that was not set to what [`SESSION`] sets would wait without a limit.
const REFUSE_UNSET: &str = "DO $$ BEGIN IF current_setting('statement_timeout') = '0' \
     OR current_setting('idle_in_transaction_session_timeout') = '0' OR current_setting('enable_seqscan') = 'on' THEN \
     RAISE EXCEPTION USING ERRCODE = 'F0000', MESSAGE = 'the pooler does not set its connections: give it the \
     connect_query of docs/postgresql.md'; END IF; END $$;";

/// What a connection is used for, and so what is done with a new one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Use {
    /// Everything, directly.
    Direct,
    /// Everything, by way of a pooler in transaction mode.
    Pooled,
    /// Reads from a server that follows the database.
    Replica,
}

impl Use {
    /// Run first on every connection, in one exchange.
    fn greeting(self) -> &'static [&'static str] {
        match self {
            Self::Direct => &[SESSION, REFUSE_STANDBY],
            Self::Pooled => &[REFUSE_STANDBY, REFUSE_UNSET],
            Self::Replica => &[SESSION, REFUSE_PRIMARY],
        }
    }
}

/// Whether statements are kept prepared on their connection.
pub(crate) const PREPARES: bool = true;
/// Whether one statement can write to several tables.
pub(crate) const WRITES_AT_ONCE: bool = true;
/// Ends a `SELECT` that holds its rows until the transaction ends.
pub(crate) const LOCK_ROWS: &str = "FOR NO KEY UPDATE";
/// Run first in the transaction of the migrations: one node at a time, however many start. No limit but the
/// migration's own holds for it.
pub(crate) const LOCK_SCHEMA: &str =
    "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock(4849750174)";
/// Whether the table of migrations is there.
pub(crate) const HAS_MIGRATIONS: &str =
    "SELECT COUNT(*) FROM pg_catalog.pg_class WHERE oid = to_regclass('hubbub_migrations')";

pub(crate) fn parse(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(|error| {
        StoreError::new(StoreErrorKind::Misconfigured, "the PostgreSQL URL cannot be read").caused_by(error)
    })?;
    if options.get_host().contains(',') {
        let text = "the PostgreSQL URL names several hosts: name one, or one address that always leads to the writer";
        return Err(StoreError::new(StoreErrorKind::Misconfigured, text));
    }
    // Poolers do not know the setting, and no number here has a fraction.
    let options = options.application_name("hubbub").extra_float_digits(None);
    Ok(if mutation::is(Mutation::AckEarly) { options.options([("synchronous_commit", "off")]) } else { options })
}

/// One connection outside the pools, with one try.
pub(crate) async fn connect(options: &PgConnectOptions, usage: Use) -> Result<Connection, Fault> {
    let attempt = async {
        let mut connection = Connection::connect_with(options).await?;
        greet(&mut connection, usage).await?;
        Ok::<_, sqlx::Error>(connection)
    };
    tokio::time::timeout(CONNECT_TIMEOUT, attempt).await.map_err(|_| Fault::timed_out())?.map_err(Fault::from)
}

async fn greet(connection: &mut Connection, usage: Use) -> Result<(), sqlx::Error> {
    connection.execute(AssertSqlSafe(usage.greeting().concat())).await.map(drop)
}

pub(crate) fn pool(options: &PgConnectOptions, connections: u32, usage: Use) -> sqlx::PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > IDLE_TRUST {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .after_connect(move |connection, _| Box::pin(greet(connection, usage)))
        .connect_lazy_with(options.clone())
}

pub(crate) fn pools(options: &PgConnectOptions, connections: u32, usage: Use, metrics: &Metrics) -> Pools<Db> {
    let reads = Source::new(pool(options, connections.max(2) - 1, usage), metrics.waits(PoolName::Reads));
    let appends = Source::new(pool(options, 1, usage), metrics.waits(PoolName::Writes));
    Pools { appends, directory: reads.clone(), reads }
}

/// Begins a transaction that writes.
pub(crate) async fn begin_write(connection: &mut Connection) -> Result<Transaction<'_, Db>, sqlx::Error> {
    connection.begin().await
}

/// The migration as this engine reads it.
pub(crate) fn migration_text(text: &'static str) -> String {
    text.to_owned()
}

/// The rows of a bulk statement as a table named `input`.
pub(crate) fn input_table(columns: &[(&'static str, Column)]) -> String {
    let arrays: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(at, (_, column))| {
            let array = match column {
                Column::Id => "uuid[]",
                Column::Int => "bigint[]",
                Column::Text => "text[]",
            };
            format!("${}::{array}", at + 1)
        })
        .collect();
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    format!("UNNEST({}) AS input ({})", arrays.join(", "), names.join(", "))
}

macro_rules! bind_columns {
    ($query:ident, $rows:ident) => {{
        for (at, (_, column)) in $rows.columns.iter().enumerate() {
            let cells = $rows.cells.iter().skip(at).step_by($rows.columns.len());
            $query = match column {
                Column::Id => $query.bind(cells.map(Cell::id).collect::<Vec<_>>()),
                Column::Int => $query.bind(cells.map(Cell::int).collect::<Vec<_>>()),
                Column::Text => $query.bind(cells.map(Cell::text).collect::<Vec<_>>()),
            };
        }
        $query
    }};
}

/// Binds the rows of a bulk statement.
pub(crate) fn bind<'q>(mut query: Query<'q, Db, PgArguments>, rows: &'q Rows<'_>) -> Query<'q, Db, PgArguments> {
    bind_columns!(query, rows)
}

/// Binds the rows of a bulk statement that answers with rows.
pub(crate) fn bind_as<'q, O>(
    mut query: QueryAs<'q, Db, O, PgArguments>,
    rows: &'q Rows<'q>,
) -> QueryAs<'q, Db, O, PgArguments> {
    bind_columns!(query, rows)
}

/// A prepared statement that is there although nobody made it, or is not although somebody did: the connection is shared.
pub(crate) const POOLED: [&str; 2] = ["42P05", "26000"];

/// Sorts an SQLSTATE (PostgreSQL manual, appendix A).
pub(crate) fn class_of(code: &str) -> Class {
    match code {
        // Serialisation, deadlock, a lock that did not come, a statement that took too long.
        "40001" | "40P01" | "55P03" | "57014" => Class::Contended,
        // Shutting down, crashed, starting up, too many connections, a transaction ended for idling.
        "57P01" | "57P02" | "57P03" | "57P05" | "53300" | "25P03" | "25P02" => Class::Down,
        // A standby after a failover takes no writes until it is promoted.
        "25006" => Class::Down,
        "53100" | "53200" => Class::Full,
        _ => match &code[..code.len().min(2)] {
            "08" | "58" => Class::Down,
            "22" | "23" => Class::BadRow,
            "28" | "3D" | "3F" | "F0" => Class::Misconfigured,
            _ if POOLED.contains(&code) => Class::Misconfigured,
            _ if code == "42501" => Class::Misconfigured,
            _ => Class::Broken,
        },
    }
}
