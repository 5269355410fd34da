//! What all connections and requests of this process share.
//!
//! Must never hold state that another node could not take over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use dashmap::DashMap;
use hubbub_chat::Chat;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::{Admission, Bounds};
use crate::config::GatewayConfig;
use crate::hub::Hub;
use crate::link::{ConnectionId, Link};
use crate::metrics::Metrics;
use crate::places::Places;
use crate::wheel::Wheel;

/// What is shared.
pub(crate) struct Node {
    /// What it was told last.
    config: ArcSwap<GatewayConfig>,
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
    /// Every open socket, for the end of the drain: each has written its last word when its task is over.
    pub sockets: TaskTracker,
    /// The door.
    pub admission: Arc<Admission>,
    /// What is behind the door before a WebSocket.
    pub places: Arc<Places>,
    /// What serves the clients: whoever asks the store from elsewhere asks from here.
    pub runtime: Handle,
    /// The node is about to stop.
    pub draining: CancellationToken,
    next_connection: AtomicU64,
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
        admission: Arc<Admission>,
    ) -> Arc<Self> {
        let connections = DashMap::new();
        let places = Places::new(config.admission.handshakes_max);
        let next_connection = AtomicU64::new(1);
        Arc::new(Self {
            config: ArcSwap::from_pointee(config),
            chat,
            hub,
            wheel,
            metrics,
            connections,
            sockets: TaskTracker::new(),
            admission,
            places,
            runtime: Handle::current(),
            draining: CancellationToken::new(),
            next_connection,
        })
    }

    /// What it is told at the moment. Not to be kept over an `await`: it may change.
    pub(crate) fn config(&self) -> Guard<Arc<GatewayConfig>> {
        self.config.load()
    }

    /// Takes over another configuration, but for what cannot change while it runs: addresses, TLS, name and tick.
    pub(crate) fn change(&self, config: GatewayConfig) {
        let limits = self.chat.limits();
        self.admission.change(Bounds::new(&config.admission, &limits));
        self.places.change(config.admission.handshakes_max);
        self.config.store(Arc::new(config));
    }

    /// A name for a new connection.
    pub(crate) fn next_connection(&self) -> ConnectionId {
        self.next_connection.fetch_add(1, Ordering::Relaxed)
    }

    /// Every WebSocket that has not been told to end.
    pub(crate) fn open_links(&self) -> Vec<Arc<Link>> {
        let open = self.connections.iter().filter(|link| !link.outbox.is_ending());
        open.map(|link| Arc::clone(&link)).collect()
    }
}
