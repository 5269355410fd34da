//! Being seen by whoever asks PostgreSQL who is connected, also while nobody chats.
//!
//! A pool opens connections when they are needed and lets idle ones go, so an idle node would have none and a move would
//! take its database for unused. Must never count as a call: what fails here is no hint at a dead database.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Engine, Lease, Source};

/// How often a connection is made sure of. A move looks at its beginning and at its end.
const PACE: Duration = Duration::from_secs(5);

/// Connects, and stays connected until the engine is closed or gone. SQLite has a lock for this.
pub(crate) async fn stay_in_sight(engine: &Arc<Engine>) {
    let (Engine::Postgres(pools, _) | Engine::Pooled(pools)) = &**engine else { return };
    // Of the pools this one leads to the server that is written to.
    let (pool, engine) = (pools.directory.clone(), Arc::downgrade(engine));
    touch(&pool).await;
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(PACE).await;
            if pool.is_closed() || engine.strong_count() == 0 {
                return;
            }
            touch(&pool).await;
        }
    });
}

/// Takes a connection, which the pool tries when it lay idle, and gives it back.
async fn touch(pool: &Source<sqlx::Postgres>) {
    let touched = match Lease::acquire(pool).await {
        Ok(lease) => lease.settle(Ok(())),
        Err(error) => Err(error),
    };
    if let Err(error) = touched {
        tracing::debug!(%error, "no connection to be seen by");
    }
}
