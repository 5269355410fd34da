//! What can go wrong below, sorted by what the caller can do about it.
//!
//! Must never carry a message body, a token or a password into its text.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// What kind of failure it is, and so what to do about it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StoreErrorKind {
    /// The database is not there, is restarting or its disk is full. Retry later (90002).
    Unavailable,
    /// The store has as much waiting as it may hold. Retry later (90003).
    Overloaded,
    /// What was to be made is there already, such as a user's name.
    Conflict,
    /// A newer version of the program took something away that this one needs. Nothing was changed.
    NewerSchema,
    /// The URL, the file, the credentials or the rights are wrong, or migrations are missing and may not be applied.
    Misconfigured,
    /// A fault of the program or of the stored rows.
    Internal,
}

impl StoreErrorKind {
    /// Whether the same call may succeed later without anybody changing anything in it.
    #[must_use]
    pub const fn retryable(self) -> bool {
        matches!(self, Self::Unavailable | Self::Overloaded)
    }
}

/// A failure of the store. Its text is for the log, never for a client (DESIGN §1, invariant 13).
#[derive(Clone)]
pub struct StoreError {
    kind: StoreErrorKind,
    text: Arc<str>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// A failure of this kind, told in one line.
    #[must_use]
    pub fn new(kind: StoreErrorKind, text: impl Into<Arc<str>>) -> Self {
        Self { kind, text: text.into(), source: None }
    }

    /// The same failure with what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn retryable(&self) -> bool {
        self.kind.retryable()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.text)?;
        self.source.as_ref().map_or(Ok(()), |source| write!(f, ": {source}"))
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn Error + 'static))
    }
}

/// Why a write to a room was refused. Nothing of it was stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// Whoever writes is no member of the room, and the guard asked for one.
    #[error("not a member of the room")]
    NotAMember,
    /// Whoever writes is a member with too low a role for the guard.
    #[error("the role in the room is too low")]
    Forbidden,
    /// There is no such room.
    #[error("no such room")]
    RoomNotFound,
    /// Something with this name or id is there already; says what.
    #[error("conflict: {0}")]
    Conflict(&'static str),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AppendError {
    /// Whether the same write may succeed later.
    #[must_use]
    pub const fn retryable(&self) -> bool {
        matches!(self, Self::Store(error) if error.retryable())
    }
}
