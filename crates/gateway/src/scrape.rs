//! What is counted only when somebody looks at the metrics.
//!
//! Owns the sums over all connections, and the limits beside which figures are looked at. Runs on a thread that serves
//! nobody, since with many connections it takes milliseconds. Must never wait for a socket.

use std::sync::Arc;

use dashmap::DashMap;

use crate::link::{ConnectionId, Link};
use crate::metrics::level;
use crate::node::Node;

/// What waits for slow sockets.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// Bytes for all of them.
    pub bytes: usize,
    /// Bytes for the slowest.
    pub largest_bytes: usize,
    /// For how many something waits.
    pub connections: usize,
}

impl Waiting {
    /// Looks at each connection for as long as its own lock takes.
    #[must_use]
    pub fn over(connections: &DashMap<ConnectionId, Arc<Link>>) -> Self {
        let mut waiting = Self::default();
        for link in connections {
            let bytes = link.outbox.waiting_bytes();
            waiting.bytes += bytes;
            waiting.largest_bytes = waiting.largest_bytes.max(bytes);
            waiting.connections += usize::from(bytes > 0);
        }
        waiting
    }
}

/// Brings the gauges up to date that nobody changes meanwhile.
pub(crate) fn count(node: &Node) {
    let metrics = &node.metrics;
    let waiting = Waiting::over(&node.connections);
    metrics.outbox_bytes.set(level(waiting.bytes));
    metrics.outbox_largest_bytes.set(level(waiting.largest_bytes));
    metrics.outbox_connections.set(level(waiting.connections));
    metrics.unauthenticated.set(level(node.admission.unauthenticated()));
    metrics.handshake_places_taken.set(level(node.places.taken()));
    // These may change while the node runs.
    metrics.handshake_places_max.set(level(node.config().admission.handshakes_max));
    metrics.connections_max.set(level(node.chat.limits().connections_per_node));
    metrics.memory_mark_bytes.set(level(node.admission.memory_mark()));
}
