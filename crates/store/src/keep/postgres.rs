//! What of moving and keeping differs on PostgreSQL.
//!
//! Must never rely on the settings of a session: a pooler in transaction mode hands out another one for each
//! transaction.

pub(crate) use crate::engine::postgres::{Connection, Db, begin_write, bind, input_table, statement};

#[path = "shared/lookup.rs"]
pub(crate) mod lookup;
#[path = "shared/marker.rs"]
pub(crate) mod marker;
#[path = "shared/rows.rs"]
pub(crate) mod rows;

/// Begins reading everything as it is now, for as long as it takes.
pub(crate) const BEGIN_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; \
     SET LOCAL idle_in_transaction_session_timeout = 0; SELECT COUNT(*) FROM identity";
/// Run first in a transaction that may take long.
pub(crate) const LONG: &str = "SET LOCAL statement_timeout = 0";
/// Run first in a transaction of many that only the last has to outlive a power cut: its commit writes all of them.
pub(crate) const QUICK: &str = "SET LOCAL statement_timeout = 0; SET LOCAL synchronous_commit = off";
/// Run before the transaction that has to outlive a power cut.
pub(crate) const DURABLE: &str = "SELECT 1";
/// Whether a table of this name is there.
pub(crate) const HAS_TABLE: &str = "SELECT COUNT(*) FROM pg_catalog.pg_class WHERE oid = to_regclass($1)";
/// How many connections nodes and commands have to this database, those for moving and keeping left out.
pub(crate) const USERS_OF_DATABASE: &str = "SELECT COUNT(*) FROM pg_catalog.pg_stat_activity \
     WHERE datname = current_database() AND application_name LIKE 'hubbub%' AND application_name <> 'hubbub-keep'";

/// The bytes that a column holds as hexadecimal text.
pub(crate) fn from_hex(column: &str) -> String {
    format!("decode({column}, 'hex')")
}

/// Takes everything out of these tables.
pub(crate) fn emptying(tables: &[&str]) -> String {
    format!("TRUNCATE {}", tables.join(", "))
}
