//! A backup: everything as it was at one moment, while nodes go on, in one file that restores into either engine.
//!
//! The file is a SQLite database of the same schema, made by the same copying as a move, and it says what is in it.
//! Must never leave a file under the name of a backup that is not whole and verified.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Map, json};

use super::copy::lines;
use super::end;
use super::moving::open_source;
use super::progress::Watcher;
use super::table::{TABLES, TableSum};
use super::target::{Claim, Emptying, Target, refused};
use super::{Lock, Report};
use crate::engine::Address;
use crate::error::{StoreError, StoreErrorKind};
use crate::migrations::MIGRATIONS;

/// What the name of a backup ends with until it is whole.
const PARTIAL: &str = ".partial";

/// The rights of a backup.
const OWNER_ONLY: u32 = 0o600;

/// Copies the database as it is now into a new file: everything that was acknowledged before the call is in it. A file
/// of this name is refused unless it may be replaced; it is until the new one is whole.
///
/// # Errors
/// `Conflict` when the file is there, is the database itself or is being written by another backup, or when the copy
/// is not the same; `Misconfigured` when the file cannot be made; as [`crate::Store::open`] for the database.
pub async fn back_up(url: &str, file: &Path, replace: bool, watcher: Watcher<'_>) -> Result<Report, StoreError> {
    let began = Instant::now();
    let source = end::source(url)?;
    let _lock = Lock::shared(&source)?;
    refuse_existing(&source, file, replace)?;
    let partial = Partial::create(file)?;
    let (mut source, epoch) = open_source(&source).await?;
    source.begin_snapshot().await?;
    let claim = Claim { origin: epoch.as_str(), emptied: Emptying::Never, flag: "--replace" };
    let mut target = Target::claim(&end::private_file(&partial.path), &claim).await?;
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

fn refuse_existing(source: &Address, file: &Path, replace: bool) -> Result<(), StoreError> {
    let Ok(existing) = file.canonicalize() else { return Ok(()) };
    if !replace {
        return Err(refused(format!("{} is there already: --replace replaces it", file.display())));
    }
    if let Address::Sqlite(options) = source
        && options.get_filename().canonicalize().is_ok_and(|database| database == existing)
    {
        return Err(refused("a backup cannot replace the database itself"));
    }
    Ok(())
}

/// The file while it is being written; removed unless it is published.
struct Partial {
    path: PathBuf,
    /// Locked, so that two backups never write one file, and open to the end, so that it can be synced.
    file: File,
    is_published: bool,
}

impl Partial {
    fn create(file: &Path) -> Result<Self, StoreError> {
        let mut path = file.to_owned().into_os_string();
        path.push(PARTIAL);
        let path = PathBuf::from(path);
        let mut options = OpenOptions::new();
        // It holds what the database holds: for its owner alone.
        options.read(true).write(true).create(true).truncate(false).mode(OWNER_ONLY);
        let partial = options.open(&path).map_err(unwritable)?;
        match partial.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(refused("another backup is writing to this file")),
            Err(TryLockError::Error(error)) => return Err(unwritable(error)),
        }
        // What a backup that was killed has left.
        partial.set_len(0).map_err(unwritable)?;
        Ok(Self { path, file: partial, is_published: false })
    }

    /// Makes sure that it is on the disk and gives it its name.
    fn publish(mut self, name: &Path) -> Result<(), StoreError> {
        self.file.sync_all().map_err(unwritable)?;
        std::fs::rename(&self.path, name).map_err(unwritable)?;
        self.is_published = true;
        let folder = name.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(unwritable)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_published
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(%error, file = %self.path.display(), "an unfinished backup stays behind");
        }
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, file = %self.path.display(), "the lock of a backup stays until this process ends");
        }
    }
}

fn unwritable(error: io::Error) -> StoreError {
    StoreError::new(StoreErrorKind::Misconfigured, "the backup cannot be written").caused_by(error)
}
