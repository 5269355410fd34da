//! Waiting for the database at start: not ready, said once, tried again at a growing, jittered distance.
//!
//! Must never wait for what waiting does not change.

use std::sync::Arc;
use std::time::Duration;

use hubbub_bus::Bus;
use hubbub_gateway::{Health, Stage};
use hubbub_store::{CommitHook, Store};
use prometheus::Registry;
use rand::RngExt as _;

use super::parts::store_config;
use crate::config::Config;
use crate::failure::{Failure, one_line};

/// The first distance between two tries; it doubles each time.
const DISTANCE_MIN: Duration = Duration::from_millis(200);

/// A database that is back is found after this time at the latest.
const DISTANCE_MAX: Duration = Duration::from_secs(3);

/// Opens the store; returns when it is open, or when it never will be.
pub(super) async fn open(config: &Config, registry: &Registry, bus: &Bus, health: &Health) -> Result<Store, Failure> {
    let store_config = store_config(config);
    // A file is there or not: what is wrong with it does not pass by waiting.
    let may_wait = !config.database.url.expose().starts_with("sqlite:");
    let mut distance = DISTANCE_MIN;
    let mut waited = false;
    loop {
        let publisher = bus.clone();
        let on_commit: CommitHook = Arc::new(move |events| publisher.publish(events));
        let error = match Store::open(&store_config, registry, on_commit).await {
            Ok(store) => {
                if waited {
                    tracing::info!("the database is there");
                }
                return Ok(store);
            }
            Err(error) => error,
        };
        if !(may_wait && error.retryable()) {
            return Err(error.into());
        }
        if !waited {
            tracing::warn!(reason = one_line(&error), "waiting for the database; not ready until it is there");
            waited = true;
        }
        health.set(Stage::Starting(format!("database: {error}")));
        tokio::time::sleep(rand::rng().random_range(distance / 2..=distance)).await;
        distance = (distance * 2).min(DISTANCE_MAX);
    }
}
