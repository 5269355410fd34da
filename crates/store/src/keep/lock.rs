//! Who has a SQLite file open: a lock on a file beside it, which the kernel frees however its holder ends.
//!
//! A file of its own, because SQLite would lose its own locks on the database when another descriptor of the same file
//! is closed. PostgreSQL needs none of this: it lists who is connected. Must never wait.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::engine::Address;
use crate::error::{StoreError, StoreErrorKind};

/// What the name of a lock file ends with.
pub(crate) const SUFFIX: &str = "-lock";

/// Why the lock of one among many is refused.
const MOVING: &str = "the database is being moved or restored: wait for its end";

/// A lock on a database, freed when dropped.
pub(crate) struct Lock {
    file: Option<File>,
}

impl Lock {
    /// Keeps the database from being moved away or replaced while it is used. Others may hold the same.
    pub(crate) fn shared(address: &Address) -> Result<Self, StoreError> {
        Self::take(address, File::try_lock_shared, MOVING)
    }

    /// The same for whoever only reads, which takes no right to write: where the lock file cannot be written, one that is
    /// there is locked as it is, and where there is none the database goes without.
    pub(crate) fn reading(address: &Address) -> Result<Self, StoreError> {
        let Address::Sqlite(options) = address else { return Ok(Self { file: None }) };
        let name = name_of(options.get_filename());
        match open(options.get_filename()) {
            Err(error) if is_unwritable(&error) => match File::open(&name) {
                Ok(file) => Self::hold(file, File::try_lock_shared, MOVING),
                Err(error) if is_unwritable(&error) || error.kind() == io::ErrorKind::NotFound => {
                    tracing::debug!(%error, "read without a lock: a move or a restore would not be noticed");
                    Ok(Self { file: None })
                }
                Err(error) => Err(unusable(error)),
            },
            opened => Self::hold(opened.map_err(unusable)?, File::try_lock_shared, MOVING),
        }
    }

    /// Keeps everybody else off a database that is moved away or filled.
    pub(crate) fn exclusive(address: &Address) -> Result<Self, StoreError> {
        Self::take(address, File::try_lock, "the database is in use: stop its node and whatever else has it open first")
    }

    fn take(
        address: &Address,
        lock: fn(&File) -> Result<(), TryLockError>,
        refusal: &'static str,
    ) -> Result<Self, StoreError> {
        let Address::Sqlite(options) = address else { return Ok(Self { file: None }) };
        Self::hold(open(options.get_filename()).map_err(unusable)?, lock, refusal)
    }

    fn hold(
        file: File,
        lock: fn(&File) -> Result<(), TryLockError>,
        refusal: &'static str,
    ) -> Result<Self, StoreError> {
        match lock(&file) {
            Ok(()) => Ok(Self { file: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(StoreError::new(StoreErrorKind::Unavailable, refusal)),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }
}

impl Drop for Lock {
    /// Closing alone would not do: a process that is being started elsewhere in this one has the same descriptors until
    /// it runs its program.
    fn drop(&mut self) {
        if let Some(Err(error)) = self.file.as_ref().map(File::unlock) {
            tracing::warn!(%error, "the lock beside the database stays until this process ends");
        }
    }
}

/// Opens the lock file of a database; its folder is made, as it is for the database.
fn open(database: &Path) -> io::Result<File> {
    if database.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let name = name_of(database);
    if let Some(folder) = name.parent().filter(|folder| *folder != Path::new("")) {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(name)
}

/// Two names of one file share one lock.
fn name_of(database: &Path) -> PathBuf {
    let mut name = database.canonicalize().unwrap_or_else(|_| database.to_owned()).into_os_string();
    name.push(SUFFIX);
    PathBuf::from(name)
}

fn is_unwritable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn unusable(error: io::Error) -> StoreError {
    StoreError::new(StoreErrorKind::Misconfigured, "the lock file beside the database cannot be used").caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pooler;

    #[test]
    fn a_lock_goes_with_its_holder_whoever_else_has_the_descriptor() {
        let folder = tempfile::TempDir::new().unwrap();
        let url = format!("sqlite://{}", folder.path().join("a.db").display());
        let address = Address::parse(&url, Pooler::None).unwrap();
        let (one, another) = (Lock::shared(&address).unwrap(), Lock::shared(&address).unwrap());
        assert!(Lock::exclusive(&address).is_err());
        drop((one, another));
        let alone = Lock::exclusive(&address).unwrap();
        assert!(Lock::shared(&address).is_err() && Lock::exclusive(&address).is_err());
        // As a process has it that is being started.
        let _twin = alone.file.as_ref().unwrap().try_clone().unwrap();
        drop(alone);
        assert!(Lock::exclusive(&address).is_ok());
    }
}
