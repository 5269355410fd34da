//! Sorts what the drivers report into what to do about it.
//!
//! Must never let a driver's text, which may quote a row, reach anything but the log.

use crate::engine::{postgres, sqlite};
use crate::error::{StoreError, StoreErrorKind};

/// What a failure asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    /// The database is not there: try again, and count it for the circuit breaker.
    Down,
    /// Every connection was in use, or the database could not be reached in time: as `Down`, until a probe tells.
    Starved,
    /// Another writer was in the way: try again.
    Contended,
    /// No space: tell the caller to try again later.
    Full,
    /// A row broke a constraint or held what the engine cannot store: it will every time.
    BadRow,
    /// The address, the credentials or the rights are wrong.
    Misconfigured,
    /// A fault of the program or of the stored rows.
    Broken,
}

impl Class {
    /// Whether the same statements may succeed in a moment.
    pub(crate) const fn passes(self) -> bool {
        matches!(self, Self::Down | Self::Starved | Self::Contended)
    }

    /// Whether the failure hints at a dead database.
    pub(crate) const fn is_suspect(self) -> bool {
        matches!(self, Self::Down | Self::Starved)
    }
}

/// A failed call: its class and what the driver said.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) class: Class,
    pub(crate) source: Option<sqlx::Error>,
}

impl Fault {
    /// Whether what failed shows that the connection is shared with others.
    fn is_pooled(&self) -> bool {
        let Some(sqlx::Error::Database(error)) = &self.source else { return false };
        error.code().is_some_and(|code| postgres::POOLED.contains(&&*code))
    }

    /// A call that took longer than its limit.
    pub(crate) const fn timed_out() -> Self {
        Self { class: Class::Down, source: None }
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self { class: class_of(&error), source: Some(error) }
    }
}

/// What a failure of the driver asks for.
pub(crate) fn class_of(error: &sqlx::Error) -> Class {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            if error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
                postgres::class_of(&code)
            } else {
                sqlite::class_of(&code)
            }
        }
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Class::Misconfigured,
        sqlx::Error::Io(error) if distrusts(error) => Class::Misconfigured,
        // A server that dies in the middle of an answer can leave a truncated message behind.
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_) | sqlx::Error::BeginFailed => {
            Class::Down
        }
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Class::Starved,
        sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => Class::Misconfigured,
        _ => Class::Broken,
    }
}

/// Whether the server's certificate was refused. The driver tells it as a fault of the link.
fn distrusts(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::InvalidData && error.to_string().contains("certificate")
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        let (kind, text) = match fault.class {
            Class::Down => (StoreErrorKind::Unavailable, "the database does not answer"),
            Class::Starved => (StoreErrorKind::Unavailable, "no database connection came free in time"),
            Class::Contended => (StoreErrorKind::Unavailable, "the database was held by other writers"),
            Class::Full => (StoreErrorKind::Unavailable, "the database's disk is full"),
            Class::BadRow => (StoreErrorKind::Conflict, "the database refused a row"),
            Class::Misconfigured if fault.is_pooled() => (
                StoreErrorKind::Misconfigured,
                "a pooler in transaction mode stands before the database: set `database.pooler = \"transaction\"`",
            ),
            Class::Misconfigured => (StoreErrorKind::Misconfigured, "the database cannot be used as configured"),
            Class::Broken => (StoreErrorKind::Internal, "the database reported a fault"),
        };
        let error = Self::new(kind, text);
        match fault.source {
            Some(source) => error.caused_by(source),
            None => error,
        }
    }
}
