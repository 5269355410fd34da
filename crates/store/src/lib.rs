//! Hubbub's durable truth: PostgreSQL and SQLite behind one [`Store`].
//!
//! Owns every table, every statement and every transaction. Must never decide who may do what: a caller states its
//! rule as a [`Guard`] and the store checks it where the write happens.

// The files of `engine/shared` are compiled once for each engine, on purpose.
#![allow(clippy::duplicate_mod)]

mod append;
mod bulk;
mod circuit;
mod directory;
mod engine;
mod error;
mod fault;
mod job;
mod keep;
mod memberships;
mod metrics;
mod migrations;
mod plan;
mod pooler;
mod replica;
mod state;
mod store;
mod users;
mod writer;

pub use append::{Append, Appended, CommitHook, CreatedRoom, Guard, NewRoom, PageQuery};
pub use directory::{Login, NewLogin, NewUser, User, UserRole};
pub use error::{AppendError, StoreError, StoreErrorKind};
pub use keep::{
    Checked, Defect, DefectKind, Progress, Report, Stage, TableReport, back_up, check, move_between, restore,
};
pub use pooler::Pooler;
pub use state::{CircuitState, PoolState, QueueState, ReplicaState, StoreState};
pub use store::{Store, StoreConfig};
