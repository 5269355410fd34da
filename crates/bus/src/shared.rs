//! What every part of one bus sees: its settings, its own counts, where notices go.
//!
//! Must never hold a lock of one part while it takes one of another.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use uuid::Uuid;

use crate::config::BusConfig;
use crate::link::Link;
use crate::loopback::Loopback;
use crate::metrics::Metrics;
use crate::notice::{Handler, Notice};
use crate::place::Places;
use crate::rate::LocalRates;
use crate::rooms::Rooms;
use crate::sessions::Sessions;

/// The state behind a bus and its tasks.
pub(crate) struct Shared {
    pub(crate) config: BusConfig,
    /// Random for each run, so that two nodes of one name are two.
    pub(crate) instance: String,
    pub(crate) metrics: Metrics,
    pub(crate) rooms: Rooms,
    pub(crate) rates: LocalRates,
    pub(crate) places: Places,
    pub(crate) sessions: Sessions,
    pub(crate) loopback: Loopback,
    pub(crate) link: Link,
    up: AtomicBool,
    closed: AtomicBool,
    draining: AtomicBool,
    nodes_seen: AtomicUsize,
    handler: OnceLock<Handler>,
}

impl Shared {
    pub(crate) fn new(config: BusConfig, metrics: Metrics) -> Self {
        let in_process = !config.is_shared();
        metrics.up.set(i64::from(in_process));
        metrics.nodes.set(1);
        let instance = Uuid::new_v4().simple().to_string();
        Self {
            link: Link::new(&config.prefix, &instance),
            instance,
            rooms: Rooms::new(in_process, config.unsubscribe_delay),
            rates: LocalRates::new(),
            places: Places::new(!in_process),
            sessions: Sessions::new(!in_process),
            loopback: Loopback::default(),
            up: AtomicBool::new(in_process),
            closed: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            nodes_seen: AtomicUsize::new(1),
            handler: OnceLock::new(),
            metrics,
            config,
        }
    }

    pub(crate) fn attach(&self, handler: Handler) {
        if self.handler.set(handler).is_err() {
            tracing::error!("a second handler was attached to the bus and is not used");
        }
    }

    pub(crate) fn notify(&self, notice: Notice) {
        if let Some(handler) = self.handler.get() {
            handler(notice);
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    pub(crate) fn set_up(&self, up: bool) {
        self.up.store(up, Ordering::Release);
        self.metrics.up.set(i64::from(up));
    }

    /// Shows how many rooms are wanted.
    pub(crate) fn count_rooms(&self) {
        self.metrics.rooms.set(i64::try_from(self.rooms.len()).unwrap_or(i64::MAX));
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub(crate) fn begin_drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.link.lease_changed.notify_waiters();
    }

    pub(crate) fn nodes_seen(&self) -> usize {
        self.nodes_seen.load(Ordering::Relaxed)
    }

    pub(crate) fn saw_nodes(&self, count: usize) {
        self.nodes_seen.store(count.max(1), Ordering::Relaxed);
        self.metrics.nodes.set(i64::try_from(count.max(1)).unwrap_or(i64::MAX));
    }

    /// This node's share of a limit of the whole cluster, by the nodes last seen; at least 1.
    pub(crate) fn share(&self, limit: u64) -> u64 {
        (limit / self.nodes_seen().max(1) as u64).max(1)
    }
}
