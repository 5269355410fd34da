//! Restoring a backup into either engine, as another history: clients learn that their cursors mean nothing any more.
//!
//! Must never touch the target before the backup is known to be whole.

use std::path::{Path, PathBuf};
use std::time::Instant;

use hubbub_protocol::Epoch;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::backup::newest_migration;
use super::copy::{lines, sums};
use super::end::{self, End};
use super::moving::open_source;
use super::progress::Watcher;
use super::table::{TABLES, TableSum, hex};
use super::target::{Claim, Emptying, Target, refused};
use super::{Lock, Report};
use crate::error::StoreError;

/// What the name of the migrated copy of an older backup ends with.
const MIGRATED: &str = ".migrated";

/// Copies a backup into a database, verifies it and gives it a new epoch. The database has to be empty, or `replace`
/// empties it: everything in it is gone then. A run that was broken off is gone on with by the next without `replace`.
///
/// # Errors
/// `Conflict` when there is no such file or it is no backup, is damaged or of a newer version, or when the target is not
/// empty; `Unavailable` while the target is in use or does not answer; `Misconfigured` when the address is wrong. Until
/// it has succeeded nobody can open the target as a store.
pub async fn restore(file: &Path, url: &str, replace: bool, watcher: Watcher<'_>) -> Result<Report, StoreError> {
    let began = Instant::now();
    if !file.is_file() {
        return Err(refused(format!("there is no backup at {}", file.display())));
    }
    let target = end::target(url)?;
    let _lock = Lock::exclusive(&target)?;
    let record = record(file).await?;
    let current = Current::of(file).await?;
    let (mut source, _) = open_source(&end::still_file(&current.path)).await?;
    source.begin_snapshot().await?;
    refuse_damaged(&record, &sums(&mut source, watcher).await?)?;
    // Another backup of the same history is another origin.
    let origin = hex(&Sha256::digest(&record));
    let claim =
        Claim { origin: &origin, emptied: if replace { Emptying::Always } else { Emptying::Never }, flag: "--replace" };
    let mut target = Target::claim(&target, &claim).await?;
    let copied = target.fill(&mut source, watcher).await?;
    let sums = target.verify(&mut source, watcher).await?;
    source.end_snapshot().await?;
    source.close().await;
    let (epoch, resumed) = (Epoch::new(), target.resumed);
    target.finish(&epoch, None).await?;
    Ok(Report { epoch, resumed, tables: lines(copied, sums), took: began.elapsed() })
}

/// What the backup says is in it.
async fn record(file: &Path) -> Result<String, StoreError> {
    let mut end = End::connect(&end::still_file(file)).await?;
    let record = end.record().await;
    end.close().await;
    record?.ok_or_else(|| refused(format!("{} is no backup, or one that was not finished", file.display())))
}

/// A backup in the schema of this build: itself, or a migrated copy of one that an older build made.
struct Current {
    path: PathBuf,
    is_copy: bool,
}

impl Current {
    async fn of(file: &Path) -> Result<Self, StoreError> {
        if !end::still_file(file).schema(false).await?.is_behind() {
            return Ok(Self { path: file.to_owned(), is_copy: false });
        }
        let mut path = file.to_owned().into_os_string();
        path.push(MIGRATED);
        let copy = Self { path: PathBuf::from(path), is_copy: true };
        std::fs::copy(file, &copy.path).map_err(|error| {
            refused("an older backup is migrated in a copy beside it, which cannot be made").caused_by(error)
        })?;
        end::private_file(&copy.path).schema(true).await?;
        Ok(copy)
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        if self.is_copy
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(%error, file = %self.path.display(), "the migrated copy of a backup stays behind");
        }
    }
}

fn refuse_damaged(record: &str, found: &[TableSum]) -> Result<(), StoreError> {
    let record: Value = serde_json::from_str(record)
        .map_err(|error| refused("what the backup says of itself cannot be read").caused_by(error))?;
    // A migration may have added columns, which sum up to something else, and whole tables.
    let is_migrated = record["schema"] != newest_migration();
    for (table, found) in TABLES.iter().zip(found) {
        let said = &record["tables"][table.name];
        let is_newer = is_migrated && said.is_null();
        let is_same = said["rows"] == found.rows && (is_migrated || said["checksum"] == *found.checksum);
        if !(is_newer || is_same) {
            return Err(refused(format!("the backup is damaged: `{}` is not what was written", table.name)));
        }
    }
    Ok(())
}
