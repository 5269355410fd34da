//! Waiting at start for what others have, such as the database: not ready, said once, tried again at a growing, jittered distance.
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
    let mut waiting = Waiting::of("database");
    loop {
        let publisher = bus.clone();
        let on_commit: CommitHook = Arc::new(move |events| publisher.publish(events));
        let error = match Store::open(&store_config, registry, on_commit).await {
            Ok(store) => {
                waiting.over();
                return Ok(store);
            }
            Err(error) => error,
        };
        if !(may_wait && error.retryable()) {
            return Err(error.into());
        }
        waiting.wait(&one_line(&error), health).await;
    }
}

/// The tries of one start to have one thing.
pub(super) struct Waiting {
    what: &'static str,
    distance: Duration,
    waited: bool,
}

impl Waiting {
    pub(super) fn of(what: &'static str) -> Self {
        Self { what, distance: DISTANCE_MIN, waited: false }
    }

    /// Returns when it is time to try again.
    pub(super) async fn wait(&mut self, reason: &str, health: &Health) {
        if !self.waited {
            tracing::warn!(reason, "waiting for the {}; not ready until it is there", self.what);
            self.waited = true;
        }
        health.set(Stage::Starting(format!("{}: {reason}", self.what)));
        tokio::time::sleep(rand::rng().random_range(self.distance / 2..=self.distance)).await;
        self.distance = (self.distance * 2).min(DISTANCE_MAX);
    }

    /// Says that it is there, if that had been in doubt.
    pub(super) fn over(self) {
        if self.waited {
            tracing::info!("the {} is there", self.what);
        }
    }
}
