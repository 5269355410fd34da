//! A backup: everything as it was at one moment, while nodes go on, in one file that restores into either engine.
//!
//! The file is a SQLite database of the same schema, made by the same copying as a move, and it says what is in it.
//! Must never leave a file under the name of a backup that is not whole and verified.

use std::path::Path;
use std::time::Instant;

use serde_json::{Map, json};

use super::copy::lines;
use super::end;
use super::moving::{open_source, refuse_unknown};
use super::partial::Partial;
use super::progress::Watcher;
use super::table::{TABLES, TableSum};
use super::target::{Claim, Emptying, Target};
use super::{Lock, Report};
use crate::error::StoreError;
use crate::migrations::MIGRATIONS;

/// Copies the database as it is now into a new file: everything that was acknowledged before the call is in it. A file
/// of this name is refused unless it may be replaced; it is until the new one is whole.
///
/// # Errors
/// `Conflict` when the file is there, is no regular file, belongs to the database or is being written by another backup,
/// or when the copy is not the same; `Misconfigured` when the file cannot be made; as [`crate::Store::open`] for the database.
pub async fn back_up(url: &str, file: &Path, replace: bool, watcher: Watcher<'_>) -> Result<Report, StoreError> {
    let began = Instant::now();
    let address = end::source(url)?;
    let _lock = Lock::reading(&address)?;
    let partial = Partial::create(file, &address, replace)?;
    let (mut source, epoch) = open_source(&address).await?;
    source.begin_snapshot().await?;
    // Nodes go on, and one of a newer version may have been the first of its kind since the source was opened.
    refuse_unknown(&address.schema(false).await?)?;
    let claim = Claim { origin: epoch.as_str(), emptied: Emptying::Never, flag: "--replace" };
    let mut target = Target::claim(&end::private_file(partial.path()), &claim).await?;
    let copied = target.fill(&mut source, watcher).await?;
    let sums = target.verify(&mut source, watcher).await?;
    source.end_snapshot().await?;
    source.close().await;
    target.finish(&epoch, Some(&contents(&sums))).await?;
    partial.publish(file)?;
    Ok(Report { epoch, resumed: false, tables: lines(copied, sums), took: began.elapsed() })
}

/// What a backup says is in it.
fn contents(sums: &[TableSum]) -> String {
    let tables = TABLES.iter().zip(sums);
    let tables: Map<_, _> = tables
        .map(|(table, sum)| (table.name.to_owned(), json!({ "rows": sum.rows, "checksum": sum.checksum })))
        .collect();
    json!({ "version": env!("CARGO_PKG_VERSION"), "schema": newest_migration(), "tables": tables }).to_string()
}

/// The last step of this build's schema.
pub(crate) fn newest_migration() -> &'static str {
    MIGRATIONS.last().map_or("", |migration| migration.name)
}
