//! What of moving and keeping differs on SQLite.
//!
//! Must never leave a transaction open that the other side of a transfer waits for.

pub(crate) use crate::engine::sqlite::{Connection, Db, begin_write, bind, input_table, statement};

#[path = "shared/lookup.rs"]
pub(crate) mod lookup;
#[path = "shared/marker.rs"]
pub(crate) mod marker;
#[path = "shared/rows.rs"]
pub(crate) mod rows;

/// Begins reading everything as it is now: the first read fixes the moment.
pub(crate) const BEGIN_SNAPSHOT: &str = "BEGIN; SELECT COUNT(*) FROM identity";
/// Run first in a transaction that may take long. There is no limit to lift.
pub(crate) const LONG: &str = "SELECT 1";
/// Run first in a transaction of many that only the last has to outlive a power cut. How a file is opened says that.
pub(crate) const QUICK: &str = "SELECT 1";
/// Run before the transaction that has to outlive a power cut: its commit syncs what those before it wrote.
pub(crate) const DURABLE: &str = "PRAGMA synchronous = FULL";
/// Whether a table of this name is there.
pub(crate) const HAS_TABLE: &str = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = $1";
/// SQLite does not know who else has the file open; the lock beside it does.
pub(crate) const USERS_OF_DATABASE: &str = "SELECT 0";

/// The bytes that a column holds as hexadecimal text.
pub(crate) fn from_hex(column: &str) -> String {
    format!("unhex({column})")
}

/// Takes everything out of these tables, of which later ones refer to earlier ones.
pub(crate) fn emptying(tables: &[&str]) -> String {
    tables.iter().rev().map(|table| format!("DELETE FROM {table};")).collect()
}
