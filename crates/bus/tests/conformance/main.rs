//! What the bus promises: one suite for both engines, and what only Redis can do wrong.
//!
//! Each test has its own Redis. Must never sleep to let something happen: it waits for the thing itself.

/// Every case runs on both engines.
macro_rules! on_both_engines {
    ($($case:ident)*) => {
        mod in_process {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { super::$case($crate::harness::World::in_process().await).await; })*
        }
        mod over_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { super::$case($crate::harness::World::redis().await).await; })*
        }
    };
}

mod acl;
mod harness;
mod limits;
mod nodes;
mod outage;
mod places;
mod pubsub;
mod rates;
mod redis_server;
mod rooms;
mod tls;
