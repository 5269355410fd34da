//! A pool of connections at which somebody counts who waits.
//!
//! Must never take a connection itself.

use std::ops::Deref;

use prometheus::IntGauge;
use sqlx::Database;
use sqlx::pool::{Pool, PoolConnection};

use crate::metrics::Waits;

/// Connections for one purpose. Clones share them.
pub(crate) struct Source<D: Database> {
    pool: Pool<D>,
    waits: Waits,
}

/// Counts one who waits until they do not, also where the call is given up.
struct Waiting<'a>(&'a IntGauge);

impl<'a> Waiting<'a> {
    fn begin(gauge: &'a IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl<D: Database> Source<D> {
    pub(crate) fn new(pool: Pool<D>, waits: Waits) -> Self {
        Self { pool, waits }
    }

    /// Waits for a connection. The pool bounds how long.
    pub(crate) async fn acquire(&self) -> Result<PoolConnection<D>, sqlx::Error> {
        let _waiting = Waiting::begin(&self.waits.waiting);
        let _timer = self.waits.seconds.start_timer();
        self.pool.acquire().await
    }
}

impl<D: Database> Clone for Source<D> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), waits: self.waits.clone() }
    }
}

impl<D: Database> Deref for Source<D> {
    type Target = Pool<D>;

    fn deref(&self) -> &Pool<D> {
        &self.pool
    }
}
