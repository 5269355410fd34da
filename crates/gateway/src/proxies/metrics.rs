//! What proxies say about clients, in figures and in the log.
//!
//! Must never log each of many bad headers: a proxy that is set wrongly sends one with every socket.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::{IntCounter, Registry};

use super::Unreadable;
use crate::metrics::declared;

/// One line of the log in so long a time.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// The figures.
pub struct ProxyMetrics {
    refusals: [IntCounter; Unreadable::ALL.len()],
    /// WebSockets whose client a trusted proxy did not name.
    pub unnamed_clients: IntCounter,
    logged: Mutex<Option<Instant>>,
}

impl ProxyMetrics {
    /// Registers everything.
    ///
    /// # Errors
    /// When a name is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let refusals = declared::PROXY_REFUSALS.counts(registry)?;
        let unnamed_clients = declared::PROXY_UNNAMED.count(registry)?;
        let refusals = Unreadable::ALL.map(|reason| refusals.with_label_values(&[reason.name()]));
        Ok(Self { refusals, unnamed_clients, logged: Mutex::default() })
    }

    /// Counts a socket whose PROXY header could not be used.
    pub fn refused(&self, reason: Unreadable, proxy: IpAddr) {
        self.refusals[reason as usize].inc();
        let now = Instant::now();
        let mut logged = self.logged.lock();
        if logged.is_some_and(|last| now.duration_since(last) < LOG_EVERY) {
            return;
        }
        *logged = Some(now);
        drop(logged);
        tracing::warn!(
            %proxy,
            reason = reason.name(),
            "closed: `proxy.protocol` is on, and a trusted proxy's socket does not begin with a PROXY header that can be \
             read (said once in a while; `hubbub_proxy_refusals_total` counts all)"
        );
    }
}
