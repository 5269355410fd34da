//! One side of a transfer: a connection of its own to either engine.
//!
//! Must never let a caller see which engine it is.

use std::time::Duration;

use hubbub_protocol::Epoch;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use uuid::Uuid;

use super::check::Repeated;
use super::reader::{PAGE_BYTES, PAGE_ROWS, Page};
use super::table::{Row, Table, Value};
use super::target::{Claimed, Emptying};
use super::{postgres, sqlite};
use crate::engine::postgres::Use;
use crate::engine::{self, Address, goodbye};
use crate::error::{StoreError, StoreErrorKind};
use crate::fault::Fault;
use crate::pooler::Pooler;

/// How long one statement may take: far longer than any does unless the database hangs.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(600);

/// What the connections of moving and keeping are named, so that a server tells them from those of nodes.
const APPLICATION_NAME: &str = "hubbub-keep";

/// How often and how long is looked whether connections that were closed just now are gone from the server's list.
const USERS_PAUSE: Duration = Duration::from_millis(50);
const USERS_TRIES: u32 = 40;

/// A connection to one database.
pub(crate) enum End {
    Postgres(postgres::Connection),
    Sqlite(sqlite::Connection),
}

/// Runs a function of the shared statements on whichever engine it is.
macro_rules! on {
    ($end:expr, $module:ident :: $function:ident ( $($arg:expr),* $(,)? )) => {{
        let work = async {
            match $end {
                End::Postgres(connection) => postgres::$module::$function(connection, $($arg),*).await,
                End::Sqlite(connection) => sqlite::$module::$function(connection, $($arg),*).await,
            }
        };
        match tokio::time::timeout(STATEMENT_TIMEOUT, work).await {
            Ok(result) => result.map_err(|error| StoreError::from(Fault::from(error))),
            Err(_) => Err(Fault::timed_out().into()),
        }
    }};
}

/// A database that is read and must be there: nothing is made or set up.
pub(crate) fn source(url: &str) -> Result<Address, StoreError> {
    match Address::parse(url, Pooler::None)? {
        Address::Sqlite(options) => {
            let file = options.get_filename();
            if !file.is_file() {
                let text = format!("there is no database at {}", file.display());
                return Err(StoreError::new(StoreErrorKind::Misconfigured, text));
            }
            let options = SqliteConnectOptions::new().filename(file).pragma("query_only", "on");
            Ok(Address::Sqlite(Box::new(options)))
        }
        Address::Postgres(options) | Address::Pooled(options) => {
            Ok(Address::Postgres(Box::new(options.application_name(APPLICATION_NAME))))
        }
    }
}

/// A database that is filled. Until the last commit a file of SQLite is not synced at each.
pub(crate) fn target(url: &str) -> Result<Address, StoreError> {
    Ok(match Address::parse(url, Pooler::None)? {
        Address::Sqlite(options) => Address::Sqlite(Box::new(options.synchronous(SqliteSynchronous::Normal))),
        Address::Postgres(options) | Address::Pooled(options) => {
            Address::Postgres(Box::new(options.application_name(APPLICATION_NAME)))
        }
    })
}

/// A new file that nobody else knows of, and that is thrown away unless it is filled to the end: no locks, no log
/// beside it, no sync.
pub(crate) fn private_file(file: &std::path::Path) -> Address {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true).vfs("unix-none");
    let options = options.journal_mode(SqliteJournalMode::Memory).synchronous(SqliteSynchronous::Off);
    Address::Sqlite(Box::new(options))
}

/// A file that nobody changes.
pub(crate) fn still_file(file: &std::path::Path) -> Address {
    Address::Sqlite(Box::new(SqliteConnectOptions::new().filename(file).read_only(true)))
}

impl End {
    pub(crate) async fn connect(address: &Address) -> Result<Self, StoreError> {
        Ok(match address {
            Address::Postgres(options) | Address::Pooled(options) => {
                Self::Postgres(engine::postgres::connect(options, Use::Direct).await?)
            }
            Address::Sqlite(options) => Self::Sqlite(engine::sqlite::connect(options).await?),
        })
    }

    pub(crate) async fn close(self) {
        match self {
            Self::Postgres(connection) => goodbye(connection).await,
            Self::Sqlite(connection) => goodbye(connection).await,
        }
    }

    /// From now on everything is read as it is now.
    pub(crate) async fn begin_snapshot(&mut self) -> Result<(), StoreError> {
        on!(self, rows::begin_snapshot())
    }

    pub(crate) async fn end_snapshot(&mut self) -> Result<(), StoreError> {
        on!(self, rows::end_snapshot())
    }

    /// Refuses while nodes or commands are connected, as far as the database knows. `side` names it for people.
    pub(crate) async fn refuse_users(&mut self, side: &str) -> Result<(), StoreError> {
        let mut users = 0;
        for _ in 0..USERS_TRIES {
            users = on!(&mut *self, rows::users_of_database())?;
            if users == 0 {
                return Ok(());
            }
            tokio::time::sleep(USERS_PAUSE).await;
        }
        let text = format!("the {side} is in use: hubbub has {users} connections to it; stop its nodes first");
        Err(StoreError::new(StoreErrorKind::Unavailable, text))
    }

    pub(crate) async fn count(&mut self, table: &Table) -> Result<u64, StoreError> {
        on!(self, rows::count(table))
    }

    pub(crate) async fn last_key(&mut self, table: &Table) -> Result<Option<Row>, StoreError> {
        on!(self, rows::last_key(table))
    }

    pub(crate) async fn page(&mut self, table: &Table, after: Option<&[Value]>) -> Result<Page, StoreError> {
        on!(self, rows::page(table, after, PAGE_ROWS, PAGE_BYTES))
    }

    pub(crate) async fn insert(
        &mut self,
        table: &'static Table,
        rows: &[Row],
        holder: &str,
    ) -> Result<bool, StoreError> {
        on!(self, rows::insert(table, rows, holder))
    }

    pub(crate) async fn origin(&mut self) -> Result<Option<String>, StoreError> {
        on!(self, marker::origin())
    }

    pub(crate) async fn claim(&mut self, from: &str, holder: &str, emptied: Emptying) -> Result<Claimed, StoreError> {
        on!(self, marker::claim(from, holder, emptied))
    }

    pub(crate) async fn finish(
        &mut self,
        holder: &str,
        epoch: &Epoch,
        record: Option<&str>,
    ) -> Result<bool, StoreError> {
        on!(self, marker::finish(holder, epoch, record))
    }

    pub(crate) async fn record(&mut self) -> Result<Option<String>, StoreError> {
        on!(self, marker::record())
    }

    pub(crate) async fn epochs(&mut self) -> Result<Vec<Epoch>, StoreError> {
        on!(self, lookup::epochs())
    }

    pub(crate) async fn users(&mut self, users: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
        on!(self, lookup::users(users))
    }

    pub(crate) async fn indexed(&mut self, pairs: &[(Uuid, Uuid)]) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
        on!(self, lookup::indexed(pairs))
    }

    pub(crate) async fn members(&mut self, pairs: &[(Uuid, Uuid)]) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
        on!(self, lookup::members(pairs))
    }

    pub(crate) async fn repeated_client_ids(&mut self, limit: u32) -> Result<(Vec<Repeated>, u64), StoreError> {
        on!(self, lookup::repeated_client_ids(limit))
    }

    pub(crate) async fn repeated_message_ids(&mut self, limit: u32) -> Result<(Vec<Repeated>, u64), StoreError> {
        on!(self, lookup::repeated_message_ids(limit))
    }
}
