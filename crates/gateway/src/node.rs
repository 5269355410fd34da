//! What all connections and requests of this process share.
//!
//! Must never hold state that another node could not take over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dashmap::DashMap;
use hubbub_chat::Chat;

use crate::config::GatewayConfig;
use crate::hub::Hub;
use crate::link::{ConnectionId, Link};
use crate::metrics::Metrics;
use crate::wheel::Wheel;

/// What is shared.
pub(crate) struct Node {
    /// What it was told at start.
    pub config: GatewayConfig,
    /// The rules.
    pub chat: Arc<Chat>,
    /// The rooms.
    pub hub: Arc<Hub>,
    /// The clock.
    pub wheel: Arc<Wheel>,
    /// The figures.
    pub metrics: Arc<Metrics>,
    /// Every open WebSocket, for the drain and the debug view.
    pub connections: DashMap<ConnectionId, Arc<Link>>,
    next_connection: AtomicU64,
    /// No new WebSockets are taken.
    closed: AtomicBool,
}

impl Node {
    /// A node that takes connections.
    #[must_use]
    pub(crate) fn new(
        config: GatewayConfig,
        chat: Arc<Chat>,
        hub: Arc<Hub>,
        wheel: Arc<Wheel>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let connections = DashMap::new();
        let next_connection = AtomicU64::new(1);
        Arc::new(Self {
            config,
            chat,
            hub,
            wheel,
            metrics,
            connections,
            next_connection,
            closed: AtomicBool::new(false),
        })
    }

    /// A name for a new connection.
    pub(crate) fn next_connection(&self) -> ConnectionId {
        self.next_connection.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes no new WebSockets from now on.
    pub(crate) fn close_door(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Whether new WebSockets are refused, because the node is about to stop or is full.
    #[must_use]
    pub(crate) fn refuses(&self) -> bool {
        let max = self.chat.limits().connections_per_node;
        self.closed.load(Ordering::Acquire) || (max != 0 && self.connections.len() as u64 >= max)
    }
}
