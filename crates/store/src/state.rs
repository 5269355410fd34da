//! The store as operators see it: which engine, whether it answers, what waits.
//!
//! Must never hold an address, a name or anything else that is stored.

use serde::Serialize;
use sqlx::{Database, Pool};

/// What the store is doing at this moment.
#[derive(Clone, Debug, Serialize)]
pub struct StoreState {
    /// `sqlite`, `postgres`, or `postgres_pooled` behind a pooler in transaction mode.
    pub engine: &'static str,
    /// Which history the database held when last asked.
    pub epoch: String,
    /// The circuit breaker.
    pub circuit: CircuitState,
    /// Writes that wait for the next batch.
    pub queue: QueueState,
    /// The connections.
    pub pools: Vec<PoolState>,
    /// The server that history is read from, where one is configured.
    pub replica: Option<ReplicaState>,
}

/// The circuit breaker.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CircuitState {
    /// Calls are refused at once.
    pub open: bool,
    /// Calls in a row that failed in a way that may mean a dead database.
    pub suspect_failures: u32,
    /// A probe is under way that decides whether it is.
    pub probing: bool,
}

/// What waits to be written.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct QueueState {
    /// Writes that nobody has begun.
    pub writes: usize,
    /// Most of them; one more is refused.
    pub writes_max: usize,
    /// Their bytes, with those of the batch under way.
    pub bytes: usize,
    /// Most of them.
    pub bytes_max: usize,
}

/// A pool of connections.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PoolState {
    /// `appends`, `reads`, `directory` or `replica`.
    pub name: &'static str,
    /// Connections that are open.
    pub open: u32,
    /// Those of them that nobody uses.
    pub idle: usize,
    /// Most of them.
    pub max: u32,
}

/// The replica.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ReplicaState {
    /// It has failed and is left alone for a while.
    pub resting: bool,
    /// Reads in a row that failed.
    pub failures: u32,
    /// Its connections.
    pub pool: PoolState,
}

/// A pool under this name.
pub(crate) fn pool<D: Database>(name: &'static str, pool: &Pool<D>) -> PoolState {
    PoolState { name, open: pool.size(), idle: pool.num_idle(), max: pool.options().get_max_connections() }
}
