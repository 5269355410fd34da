//! The published keys of whoever issues the tokens (`auth.jwks_url`): when they are fetched, and which are in use.
//!
//! Must never give up keys that work for an answer that does not.

use std::time::Duration;

use hubbub_chat::KeySet;
use hubbub_gateway::Health;
use hubbub_metrics::{Metric, few, metrics};
use hubbub_request::{Endpoint, RequestError};
use prometheus::{IntCounterVec, IntGauge, Registry};
use rand::RngExt as _;
use tokio::time::{Instant, sleep_until, timeout};

use super::waiting::Waiting;
use crate::config::Config;
use crate::failure::Failure;

/// The keys are fetched again after this time at the latest, and after half of it at the earliest, so that the nodes of a
/// cluster do not all ask at once.
const REFRESH_EVERY: Duration = Duration::from_secs(300);

/// The same after a fetch in vain.
const RETRY_EVERY: Duration = Duration::from_secs(30);

/// Between two fetches for tokens with unknown keys: anybody can make such a token.
const ASKED_EVERY: Duration = Duration::from_secs(5);

/// One fetch takes no longer, connecting included.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Of a set no more is read. Keys with chains of certificates have some kilobytes each.
const SET_BYTES_MAX: usize = 256 << 10;

/// The keys in use and where they are from.
pub(super) struct Jwks {
    source: Option<Source>,
    figures: Figures,
    next: Instant,
    /// When a token was the reason for a fetch last.
    asked: Option<Instant>,
    /// The last fetch was in vain.
    is_failing: bool,
}

struct Source {
    url: String,
    endpoint: Endpoint,
    keys: KeySet,
}

impl Jwks {
    /// Fetches the keys, if the configuration names any; waits until they are there.
    pub(super) async fn open(config: &Config, registry: &Registry, health: &Health) -> Result<Self, Failure> {
        let figures = Figures::register(registry).map_err(|error| Failure::Refused(error.to_string()))?;
        let mut jwks = Self { source: None, figures, next: Instant::now(), asked: None, is_failing: false };
        let Some(url) = &config.auth.jwks_url else { return Ok(jwks) };
        let endpoint = endpoint(url).map_err(Failure::Misconfigured)?;
        let mut waiting = Waiting::of("key set at `auth.jwks_url`");
        let keys = loop {
            match jwks.fetch(&endpoint).await {
                Ok(keys) => break keys,
                Err(reason) => waiting.wait(&reason, health).await,
            }
        };
        waiting.over();
        tracing::info!(keys = keys.len(), "tokens are checked with the keys of `auth.jwks_url`");
        jwks.hold(Source { url: url.clone(), endpoint, keys });
        Ok(jwks)
    }

    /// The keys in use.
    pub(super) fn keys(&self) -> Option<&KeySet> {
        self.source.as_ref().map(|source| &source.keys)
    }

    /// Resolves when it is time to fetch the keys again.
    pub(super) async fn due(&self) {
        match self.source {
            Some(_) => sleep_until(self.next).await,
            None => std::future::pending().await,
        }
    }

    /// Fetches the keys again for a token with an unknown one, unless that was done just now. True when they are others.
    pub(super) async fn asked(&mut self) -> bool {
        if self.asked.is_some_and(|at| at.elapsed() < ASKED_EVERY) {
            return false;
        }
        self.asked = Some(Instant::now());
        self.refresh().await
    }

    /// Fetches the keys again; the old ones stay when that fails. True when they are others.
    pub(super) async fn refresh(&mut self) -> bool {
        let Some(source) = &self.source else { return false };
        let fetched = self.fetch(&source.endpoint).await;
        let was_failing = std::mem::replace(&mut self.is_failing, fetched.is_err());
        let newer = match fetched {
            Ok(keys) => {
                if was_failing {
                    tracing::info!("the keys of `auth.jwks_url` can be had again");
                }
                Some(keys).filter(|keys| Some(keys) != self.keys())
            }
            Err(reason) => {
                if !was_failing {
                    tracing::warn!(reason, "the keys of `auth.jwks_url` cannot be had: the old ones stay in use");
                }
                None
            }
        };
        let is_changed = newer.is_some();
        if let (Some(keys), Some(source)) = (newer, &mut self.source) {
            tracing::info!(keys = keys.len(), "the keys of `auth.jwks_url` have changed");
            source.keys = keys;
        }
        self.plan();
        is_changed
    }

    /// The keys for a configuration that was read again: fetched anew when it names another address or when that is asked for.
    ///
    /// # Errors
    /// When another address has none.
    pub(super) async fn follow(&mut self, url: Option<&str>, refresh: bool) -> Result<Option<KeySet>, String> {
        let current = self.source.as_ref().map(|source| source.url.as_str());
        match url {
            None => {
                self.source = None;
                self.plan();
            }
            Some(url) if current == Some(url) => {
                if refresh {
                    self.refresh().await;
                }
            }
            Some(url) => {
                let endpoint = endpoint(url)?;
                let keys = self.fetch(&endpoint).await;
                let keys = keys.map_err(|reason| format!("`auth.jwks_url`: {reason}"))?;
                self.is_failing = false;
                self.hold(Source { url: url.to_owned(), endpoint, keys });
            }
        }
        Ok(self.keys().cloned())
    }

    fn hold(&mut self, source: Source) {
        self.source = Some(source);
        self.plan();
    }

    /// Tells how many keys there are, and chooses when to fetch them next.
    fn plan(&mut self) {
        self.figures.keys.set(i64::try_from(self.keys().map_or(0, KeySet::len)).unwrap_or(i64::MAX));
        let most = if self.is_failing { RETRY_EVERY } else { REFRESH_EVERY };
        self.next = Instant::now() + rand::rng().random_range(most / 2..=most);
    }

    async fn fetch(&self, endpoint: &Endpoint) -> Result<KeySet, String> {
        let fetched = match timeout(FETCH_TIMEOUT, fetch(endpoint)).await {
            Ok(fetched) => fetched.map_err(|error| error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        };
        let outcome = match &fetched {
            Ok(keys) if Some(keys) == self.keys() => "unchanged",
            Ok(_) => "changed",
            Err(_) => "failed",
        };
        self.figures.refreshes.with_label_values(&[outcome]).inc();
        fetched
    }
}

/// Whoever publishes the keys.
///
/// # Errors
/// When the address can never work. It is not repeated.
fn endpoint(url: &str) -> Result<Endpoint, String> {
    Endpoint::new(url, "/", None).map_err(|error| error.to_string())
}

/// Refuses an address that can never work. True when the keys could be exchanged on their way.
pub(crate) fn check(url: &str) -> Result<bool, String> {
    endpoint(url).map(|endpoint| endpoint.is_exposed())
}

async fn fetch(endpoint: &Endpoint) -> Result<KeySet, RequestError> {
    Ok(KeySet::read(&endpoint.get(SET_BYTES_MAX).await?)?)
}

metrics! {
    /// What is told of the published keys.
    pub(crate) METRICS:
    static REFRESHES = Metric::counter(
        "hubbub_jwks_refreshes_total", "Fetches of the keys at `auth.jwks_url`.",
        "`failed` left the old keys in use (at the start: made the node wait), and the log says why; with it for hours, the \
         issuer's new keys are unknown here.")
        .by(&[few("outcome", || vec!["changed", "unchanged", "failed"])]);
    static KEYS = Metric::gauge(
        "hubbub_jwks_keys", "Keys of `auth.jwks_url` in use; 0 where that is not configured.",
        "Whether all nodes have the same keys; while the issuer changes its key, there is one more.");
}

/// What the metrics tell of them.
struct Figures {
    refreshes: IntCounterVec,
    keys: IntGauge,
}

impl Figures {
    fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self { refreshes: REFRESHES.counts(registry)?, keys: KEYS.level(registry)? })
    }
}
