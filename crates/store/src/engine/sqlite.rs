//! SQLite: how to open its file, and what of the statements differs from PostgreSQL.
//!
//! Must never have two connections of one process write at the same time.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::query::{Query, QueryAs};
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, Transaction};

use super::Pools;
use crate::bulk::{Cell, Column, Rows};
use crate::error::{StoreError, StoreErrorKind};
use crate::fault::{Class, Fault};

/// The engine that the files of `shared` are compiled for.
pub(crate) type Db = sqlx::Sqlite;
/// A connection of this engine.
pub(crate) type Connection = sqlx::SqliteConnection;

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

/// The rights of a file that holds messages and the hashes of passwords.
pub(crate) const OWNER_ONLY: u32 = 0o600;
/// How long a call waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a statement waits for the writer of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an opening may wait for others that open the same file.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between two tries to open a file that is being set up by another process.
const CONNECT_PAUSE: Duration = Duration::from_millis(20);
/// The write-ahead log is cut back to this many bytes when it was larger.
const WAL_BYTES_KEPT: &str = "67108864";
/// Page cache of a connection, in KiB (SQLite counts KiB as negative numbers).
const CACHE_KIB: &str = "-16384";

/// Whether statements are kept prepared on their connection.
pub(crate) const PREPARES: bool = true;
/// Whether one statement can write to several tables.
pub(crate) const WRITES_AT_ONCE: bool = false;
/// Ends a `SELECT` that holds its rows until the transaction ends. The transaction holds the whole file.
pub(crate) const LOCK_ROWS: &str = "";
/// Run first in the transaction of the migrations, which holds the file already.
pub(crate) const LOCK_SCHEMA: &str = "SELECT 1";
/// Whether the table of migrations is there.
pub(crate) const HAS_MIGRATIONS: &str =
    "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'hubbub_migrations'";

pub(crate) fn parse(url: &str) -> Result<SqliteConnectOptions, StoreError> {
    let wrong = |text: &'static str| StoreError::new(StoreErrorKind::Misconfigured, text);
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Err(wrong("a SQLite database lives in a file: `sqlite://path`"));
    }
    let options =
        SqliteConnectOptions::from_str(url).map_err(|error| wrong("the SQLite URL cannot be read").caused_by(error))?;
    if options.get_filename().as_os_str().is_empty() {
        return Err(wrong("the SQLite URL names no file: `sqlite://path`"));
    }
    // A commit is acknowledged, so it must survive a power cut: in WAL mode only FULL syncs at each commit.
    Ok(options
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .pragma("journal_size_limit", WAL_BYTES_KEPT)
        .pragma("cache_size", CACHE_KIB)
        .pragma("temp_store", "memory"))
}

/// Makes the file where it is missing, and its folder: for its owner alone, since it holds messages and the hashes of
/// passwords. SQLite gives its log the same rights.
pub(crate) fn create_private(options: &SqliteConnectOptions) -> Result<(), Fault> {
    let file = options.get_filename();
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    let made = folder
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(file).map(drop));
    match made {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(Fault { class: Class::Misconfigured, source: Some(sqlx::Error::Io(error)) })
        }
        _ => Ok(()),
    }
}

/// One connection outside the pools.
pub(crate) async fn connect(options: &SqliteConnectOptions) -> Result<Connection, Fault> {
    // Turning a new file to WAL asks for it alone and does not wait as other statements do.
    let deadline = tokio::time::Instant::now() + CONNECT_TIMEOUT;
    loop {
        match Connection::connect_with(options).await.map_err(Fault::from) {
            Err(fault) if fault.class == Class::Contended && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(CONNECT_PAUSE).await;
            }
            result => return result,
        }
    }
}

fn pool(options: &SqliteConnectOptions, connections: u32) -> sqlx::SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(options.clone())
}

pub(crate) fn pools(options: &SqliteConnectOptions, connections: u32) -> Pools<Db> {
    let writer = pool(options, 1);
    let reads = pool(&options.clone().pragma("query_only", "on"), connections.max(2) - 1);
    Pools { appends: writer.clone(), directory: writer, reads }
}

/// Begins a transaction that writes: with the write lock, since a reader that turns writer may be refused.
pub(crate) async fn begin_write(connection: &mut Connection) -> Result<Transaction<'_, Db>, sqlx::Error> {
    connection.begin_with("BEGIN IMMEDIATE").await
}

/// The migration as this engine reads it: a declared type decides how SQLite converts, and it must not convert;
/// texts are compared by their bytes without being told.
pub(crate) fn migration_text(text: &'static str) -> String {
    text.replace(" UUID", " BLOB").replace(" BYTEA", " BLOB").replace(" COLLATE \"C\"", "")
}

/// The rows of a bulk statement as a table named `input`: one JSON array of arrays.
pub(crate) fn input_table(columns: &[(&'static str, Column)]) -> String {
    let cells: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(at, (name, column))| match column {
            Column::Id => format!("unhex(value ->> {at}) AS {name}"),
            Column::Int | Column::Text => format!("value ->> {at} AS {name}"),
        })
        .collect();
    format!("(SELECT {} FROM json_each($1)) AS input", cells.join(", "))
}

fn json_rows(rows: &Rows<'_>) -> String {
    let mut json = String::with_capacity(rows.cells.len() * 40 + 2);
    for (at, row) in rows.cells.chunks(rows.columns.len()).enumerate() {
        json.push_str(if at == 0 { "[" } else { "," });
        for (at, cell) in row.iter().enumerate() {
            json.push(if at == 0 { '[' } else { ',' });
            // Writing to a text cannot fail.
            match cell {
                Cell::Id(id) => write!(json, "\"{}\"", id.as_simple()),
                Cell::Int(int) => write!(json, "{int}"),
                Cell::Text(Some(text)) => write!(json, "{}", serde_json::Value::from(*text)),
                Cell::Text(None) => write!(json, "null"),
            }
            .unwrap_or_default();
        }
        json.push(']');
    }
    json.push_str(if rows.cells.is_empty() { "[]" } else { "]" });
    json
}

/// Binds the rows of a bulk statement.
pub(crate) fn bind<'q>(query: Query<'q, Db, SqliteArguments>, rows: &Rows<'_>) -> Query<'q, Db, SqliteArguments> {
    query.bind(json_rows(rows))
}

/// Binds the rows of a bulk statement that answers with rows.
pub(crate) fn bind_as<'q, O>(
    query: QueryAs<'q, Db, O, SqliteArguments>,
    rows: &Rows<'_>,
) -> QueryAs<'q, Db, O, SqliteArguments> {
    query.bind(json_rows(rows))
}

/// Sorts an extended result code (sqlite.org/rescode.html); its low byte is the primary one.
pub(crate) fn class_of(code: &str) -> Class {
    match code.parse::<u32>().map_or(1, |code| code & 0xff) {
        // BUSY, LOCKED.
        5 | 6 => Class::Contended,
        // FULL, IOERR: after either the transaction is gone whole.
        13 | 10 => Class::Full,
        // TOOBIG, CONSTRAINT, MISMATCH.
        18..=20 => Class::BadRow,
        // PERM, READONLY, CANTOPEN, NOTADB.
        3 | 8 | 14 | 26 => Class::Misconfigured,
        _ => Class::Broken,
    }
}
