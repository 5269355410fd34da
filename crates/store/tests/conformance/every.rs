//! Both engines, and PostgreSQL by way of a pooler in transaction mode: whatever holds for one holds for all.
//!
//! Must never be used by what is about one way alone.

use std::sync::LazyLock;

use crate::fixture::{Database, SERVER};
use crate::pgbouncer::Pgbouncer;

/// One pooler before the server of all tests.
static POOLER: LazyLock<Pgbouncer> = LazyLock::new(|| Pgbouncer::start(SERVER.folder(), true));

/// Runs each case on both engines, and on PostgreSQL by way of a pooler.
macro_rules! on_every_engine {
    ($($case:ident),* $(,)?) => {
        $crate::fixture::on_both_engines! { $($case),* }
        mod on_pgbouncer {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case($crate::fixture::Database::pooled()).await;
            })*
        }
    };
}
pub(crate) use on_every_engine;

impl Database {
    pub(crate) fn pooled() -> Self {
        let database = Self::postgres();
        let name = database.url.split_once('?').unwrap().0.rsplit_once('/').unwrap().1;
        Self { by: Some(POOLER.url(name)), ..database }
    }
}
