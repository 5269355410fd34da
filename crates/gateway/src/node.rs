//! What all connections and requests of this process share.
//!
//! Must never hold state that another node could not take over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use hubbub_chat::Chat;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tokio_util::task::TaskTracker;

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
    /// Every open socket, for the end of the drain: each has written its last word when its task is over.
    pub sockets: TaskTracker,
    next_connection: AtomicU64,
    /// Seats taken by WebSockets and by handshakes that are about to become one.
    seated: AtomicU64,
    /// No new WebSockets are taken.
    closed: CancellationToken,
}

/// A place among `limits.connections_per_node`, until dropped.
pub(crate) struct Seat(Arc<Node>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.seated.fetch_sub(1, Ordering::AcqRel);
    }
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
            sockets: TaskTracker::new(),
            next_connection,
            seated: AtomicU64::new(0),
            closed: CancellationToken::new(),
        })
    }

    /// A name for a new connection.
    pub(crate) fn next_connection(&self) -> ConnectionId {
        self.next_connection.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes no new WebSockets from now on.
    pub(crate) fn close_door(&self) {
        self.closed.cancel();
    }

    /// Resolves when no new WebSockets are taken any more.
    pub(crate) fn door_closed(&self) -> WaitForCancellationFuture<'_> {
        self.closed.cancelled()
    }

    /// Whether the door is closed for good.
    #[must_use]
    pub(crate) fn is_ending(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Takes a seat; none when the node is about to stop or is full. Counted before it is compared, so that a rush
    /// does not get past the limit.
    pub(crate) fn take_seat(self: &Arc<Self>) -> Option<Seat> {
        let before = self.seated.fetch_add(1, Ordering::AcqRel);
        let seat = Seat(Arc::clone(self));
        (!self.closed.is_cancelled() && !self.is_full(before)).then_some(seat)
    }

    fn is_full(&self, seated: u64) -> bool {
        let max = self.chat.limits().connections_per_node;
        max != 0 && seated >= max
    }

    /// Whether new WebSockets are refused, because the node is about to stop or is full.
    #[must_use]
    pub(crate) fn refuses(&self) -> bool {
        self.closed.is_cancelled() || self.is_full(self.seated.load(Ordering::Acquire))
    }
}
