//! Hubbub's durable truth: PostgreSQL and SQLite behind one [`Store`].
//!
//! Owns every table, every statement and every transaction. Must never decide who may do what: a caller states its
//! rule as a [`Guard`] and the store checks it where the write happens.

mod append;
mod directory;
mod error;
mod store;

pub use append::{Append, Appended, CommitHook, CreatedRoom, Guard, NewRoom, PageQuery};
pub use directory::{Login, NewLogin, NewUser, User, UserRole};
pub use error::{AppendError, StoreError, StoreErrorKind};
pub use store::{Store, StoreConfig};
