//! Restoring a backup into either engine, as another history: clients learn that their cursors mean nothing any more.
//!
//! Must never touch the target before the backup is known to be whole.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use hubbub_protocol::Epoch;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::backup::newest_migration;
use super::copy::{lines, sums};
use super::end::{self, End};
use super::moving::open_source;
use super::progress::Watcher;
use super::table::{TABLES, TableSum, hex};
use super::target::{Claim, Emptying, Target, refused};
use super::{Lock, Report};
use crate::engine::sqlite::OWNER_ONLY;
use crate::error::{StoreError, StoreErrorKind};
use crate::migrations::MIGRATIONS;

/// What follows the name of an older backup in that of its migrated copy, before a random part: two runs may restore
/// one backup at once.
const MIGRATED: &str = ".migrated-";

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
    let Whole { mut source, origin, current: _current } =
        Whole::open(file, watcher).await.map_err(|error| blamed_on(file, error))?;
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

/// A backup that is what it says it is.
struct Whole {
    /// All of it as it was read.
    source: End,
    /// Names this backup: another of the same history is another origin.
    origin: String,
    /// Kept for as long as it is read.
    current: Current,
}

impl Whole {
    async fn open(file: &Path, watcher: Watcher<'_>) -> Result<Self, StoreError> {
        let record = record(file).await?;
        let said: Value = serde_json::from_str(&record)
            .map_err(|error| refused("what the backup says of itself cannot be read").caused_by(error))?;
        refuse_newer_record(file, &said)?;
        let current = Current::of(file).await?;
        let (mut source, _) = open_source(&end::still_file(&current.path)).await?;
        source.begin_snapshot().await?;
        refuse_damaged(&said, &sums(&mut source, watcher).await?)?;
        Ok(Self { source, origin: hex(&Sha256::digest(&record)), current })
    }
}

/// What fails while a backup is read is no fault of the database that is filled, nor of its address.
fn blamed_on(file: &Path, error: StoreError) -> StoreError {
    match error.kind() {
        StoreErrorKind::Conflict => error,
        _ => refused(format!("the backup {} cannot be restored", file.display())).caused_by(error),
    }
}

/// Refuses what a build made that knows more: this one would leave behind what it does not know.
fn refuse_newer_record(file: &Path, said: &Value) -> Result<(), StoreError> {
    let is_known = MIGRATIONS.iter().any(|migration| said["schema"] == migration.name);
    if is_known {
        return Ok(());
    }
    let text = format!("{} is of a newer version of hubbub: use that version for this", file.display());
    Err(refused(text))
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
        path.push(format!("{MIGRATED}{}", Uuid::new_v4().simple()));
        let path = PathBuf::from(path);
        let made = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&path).map_err(uncopied)?;
        let copy = Self { path, is_copy: true };
        File::open(file).and_then(|mut file| io::copy(&mut file, &mut &made)).map_err(uncopied)?;
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

fn uncopied(error: io::Error) -> StoreError {
    refused("an older backup is migrated in a copy beside it, which cannot be made").caused_by(error)
}

fn refuse_damaged(record: &Value, found: &[TableSum]) -> Result<(), StoreError> {
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
