//! The bus as operators see it: what is up, what waits.
//!
//! Must never hold a password: servers are named by their address alone.

use serde::Serialize;

use crate::shared::Shared;

/// What the bus is doing at this moment.
#[derive(Clone, Debug, Serialize)]
pub struct BusState {
    /// Whether there can be other nodes at all.
    pub shared: bool,
    /// Whether the other nodes can be reached over every server.
    pub up: bool,
    /// The random id of this run of the node.
    pub instance: String,
    /// The node has begun to stop, and its lease says so.
    pub draining: bool,
    /// Nodes last seen alive, this one too.
    pub nodes_seen: usize,
    /// Rooms that this node wants.
    pub rooms: usize,
    /// Sessions listed under the lease.
    pub sessions: usize,
    /// Events that wait on their way to this node's own rooms.
    pub loopback_messages: usize,
    /// Most messages that may wait in the queue of a shard, and on that way.
    pub queue_messages_max: usize,
    /// Most bytes that may wait in the queue of a shard.
    pub queue_bytes_max: usize,
    /// The servers; none where the bus is inside the process.
    pub shards: Vec<ShardState>,
}

/// One server of the bus.
#[derive(Clone, Debug, Serialize)]
pub struct ShardState {
    /// Its address without credentials.
    pub name: String,
    /// Whether the link to it stands.
    pub up: bool,
    /// The last watchdog message did not come back within its second.
    pub late: bool,
    /// Messages that wait to be sent.
    pub queue_messages: usize,
    /// Their bytes.
    pub queue_bytes: usize,
    /// Pipelines that are not answered yet.
    pub pipelines: usize,
}

impl BusState {
    pub(crate) fn of(shared: &Shared) -> Self {
        Self {
            shared: shared.config.is_shared(),
            up: shared.is_up(),
            instance: shared.instance.clone(),
            draining: shared.is_draining(),
            nodes_seen: shared.nodes_seen(),
            rooms: shared.rooms.len(),
            sessions: shared.sessions.len(),
            loopback_messages: shared.loopback.len(),
            queue_messages_max: shared.config.queue_messages_max,
            queue_bytes_max: shared.config.queue_bytes_max,
            shards: shared.link.shard_states(),
        }
    }
}
