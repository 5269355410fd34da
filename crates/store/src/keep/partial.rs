//! The file of a backup while it is being written, and the name that it gets.
//!
//! Must never write to a file that is anybody else's, least of all to one of the database that is read.

use std::fs::{File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::lock;
use super::target::refused;
use crate::engine::Address;
use crate::engine::sqlite::OWNER_ONLY;
use crate::error::{StoreError, StoreErrorKind};

/// What the name of a backup ends with until it is whole.
const SUFFIX: &str = ".partial";

/// What the names of a SQLite database and of the files that belong to it end with: its logs, the memory that its users
/// share, and the lock.
const OF_DATABASE: [&str; 5] = ["", "-wal", "-shm", "-journal", lock::SUFFIX];

/// The file while it is being written; removed unless it is published.
pub(crate) struct Partial {
    path: PathBuf,
    /// Locked, so that two backups never write one file, and open to the end, so that it can be synced.
    file: File,
    is_published: bool,
}

impl Partial {
    /// Makes the file for a backup of this name, or takes over what a backup that was killed has left.
    pub(crate) fn create(name: &Path, source: &Address, replace: bool) -> Result<Self, StoreError> {
        let path = with_suffix(name, SUFFIX);
        refuse_database(source, &[name, &path])?;
        if is_regular(name)? && !replace {
            return Err(refused(format!("{} is there already: --replace replaces it", name.display())));
        }
        is_regular(&path)?;
        let (file, is_new) = open(&path).map_err(unwritable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy()),
            Err(TryLockError::Error(error)) => return Err(unwritable(error)),
        }
        if !is_new {
            refuse_others(&path, &file)?;
            file.set_permissions(Permissions::from_mode(OWNER_ONLY)).map_err(unwritable)?;
            file.set_len(0).map_err(unwritable)?;
        }
        Ok(Self { path, file, is_published: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that it is on the disk and gives it its name.
    pub(crate) fn publish(mut self, name: &Path) -> Result<(), StoreError> {
        self.file.sync_all().map_err(unwritable)?;
        std::fs::rename(&self.path, name).map_err(unwritable)?;
        self.is_published = true;
        File::open(folder_of(name)).and_then(|folder| folder.sync_all()).map_err(unwritable)
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

/// Refuses a file that belongs to the database, by its place or by another name of it.
fn refuse_database(source: &Address, files: &[&Path]) -> Result<(), StoreError> {
    let Address::Sqlite(options) = source else { return Ok(()) };
    // SQLite and the lock keep their files beside the database itself, whatever link leads to it.
    let Ok(database) = options.get_filename().canonicalize() else { return Ok(()) };
    for theirs in OF_DATABASE.map(|suffix| with_suffix(&database, suffix)) {
        let is_theirs = |file: &&&Path| place_of(file).is_some_and(|place| place == theirs) || is_same(file, &theirs);
        if let Some(file) = files.iter().find(is_theirs) {
            let text =
                format!("a backup cannot replace the database itself, nor what belongs to it: {}", file.display());
            return Err(refused(text));
        }
    }
    Ok(())
}

/// Whether there is such a file. Anything else of this name, a link as well, is refused.
fn is_regular(file: &Path) -> Result<bool, StoreError> {
    match file.symlink_metadata() {
        Ok(is) if is.is_file() => Ok(true),
        Ok(_) => Err(refused(format!("{} is no regular file: a backup does not replace it", file.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(unwritable(error)),
    }
}

/// Opens the file, for its owner alone: it holds what the database holds. Says whether it was made.
fn open(path: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(OWNER_ONLY).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok((options.open(path)?, false)),
        made => Ok((made?, true)),
    }
}

/// Refuses what was opened unless it is a file that only this user and only this name leads to.
fn refuse_others(path: &Path, file: &File) -> Result<(), StoreError> {
    let opened = file.metadata().map_err(unwritable)?;
    // Between opening and locking the backup that held it may have given it its name, or thrown it away.
    if !path.symlink_metadata().is_ok_and(|named| inode(&named) == inode(&opened)) {
        return Err(busy());
    }
    if opened.is_file() && opened.nlink() == 1 && opened.uid() == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(refused(format!("{} is somebody else's: remove it, or choose another name", path.display())))
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.to_owned().into_os_string();
    name.push(suffix);
    PathBuf::from(name)
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// Where a file is or would be, whatever links lead to its folder.
fn place_of(file: &Path) -> Option<PathBuf> {
    Some(folder_of(file).canonicalize().ok()?.join(file.file_name()?))
}

fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.metadata(), other.metadata()), (Ok(one), Ok(other)) if inode(&one) == inode(&other))
}

fn inode(is: &Metadata) -> (u64, u64) {
    (is.dev(), is.ino())
}

fn busy() -> StoreError {
    refused("another backup is writing to this file")
}

fn unwritable(error: io::Error) -> StoreError {
    StoreError::new(StoreErrorKind::Misconfigured, "the backup cannot be written").caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pooler;

    /// The other run gave it its name between the opening and the locking: it is a whole backup by now.
    #[test]
    fn a_partial_that_has_become_a_backup_is_not_taken_over() {
        let folder = tempfile::TempDir::new().unwrap();
        let name = folder.path().join("backup");
        let source = Address::parse("sqlite://none.db", Pooler::None).unwrap();
        let first = Partial::create(&name, &source, false).unwrap();
        assert!(Partial::create(&name, &source, false).is_err(), "it is held");
        let path = first.path().to_owned();
        let (late, is_new) = open(&path).unwrap();
        assert!(!is_new);
        refuse_others(&path, &late).unwrap();
        first.publish(&name).unwrap();
        assert!(refuse_others(&path, &late).is_err());
    }
}
