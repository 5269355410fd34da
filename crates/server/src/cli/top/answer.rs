//! What the debug pages of a node answer, as far as it is shown here.
//!
//! Must never fail over a page of an older or newer version: what is missing is empty, what is unknown is passed over.

use std::collections::BTreeMap;

use hubbub_gateway::ops::spread::Spread;
use serde::Deserialize;

/// `/debug/node`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodePage {
    pub(super) node: String,
    pub(super) instance: String,
    pub(super) version: String,
    /// As `/readyz` tells it.
    pub(super) status: String,
    pub(super) degraded: Vec<String>,
    pub(super) refuses: Option<String>,
    pub(super) waiting_for: Option<String>,
    pub(super) uptime_ms: u64,
    pub(super) connections: u64,
    pub(super) rooms: u64,
    pub(super) outbox_bytes: u64,
    pub(super) rss_bytes: Option<u64>,
    pub(super) open_files: Option<f64>,
    pub(super) counters: BTreeMap<String, Option<f64>>,
    pub(super) delivery: Spread,
    pub(super) bus: Option<BusPart>,
    pub(super) store: Option<StorePart>,
}

impl NodePage {
    /// A counter; 0 where the node has none.
    pub(super) fn count(&self, name: &str) -> f64 {
        self.counters.get(name).copied().flatten().unwrap_or(0.0)
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct BusPart {
    pub(super) shared: bool,
    pub(super) up: bool,
    pub(super) lag_ms: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StorePart {
    pub(super) up: bool,
}

/// `/debug/connections`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ConnectionsPage {
    pub(super) matching: u64,
    pub(super) connections: Vec<Connection>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Connection {
    pub(super) id: u64,
    pub(super) user: Option<User>,
    pub(super) address: String,
    pub(super) codec: String,
    pub(super) tls: bool,
    pub(super) age_ms: u64,
    pub(super) subscriptions: u64,
    pub(super) outbox_bytes: u64,
    pub(super) closing: bool,
    pub(super) last_command: Option<LastCommand>,
    pub(super) bytes_out: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct User {
    pub(super) id: String,
    pub(super) name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LastCommand {
    pub(super) name: String,
    pub(super) ago_ms: u64,
}

/// `/debug/rooms`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RoomsPage {
    pub(super) rooms: Vec<Room>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Room {
    pub(super) room: String,
    pub(super) name: Option<String>,
    pub(super) head: Option<u64>,
    pub(super) subscribers: u64,
    pub(super) replaying: u64,
    pub(super) waiting_behind_hole: u64,
}

/// `/debug/leases`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LeasesPage {
    pub(super) nodes: Vec<Lease>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Lease {
    pub(super) name: String,
    pub(super) instance: String,
    pub(super) sessions: u64,
    pub(super) draining: bool,
}

/// `/debug/errors`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ErrorsPage {
    pub(super) errors: Vec<Complaint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Complaint {
    pub(super) at: String,
    pub(super) level: String,
    pub(super) message: String,
    pub(super) fields: String,
    pub(super) times: u64,
}

/// Everything that one look at a node has brought.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    pub(super) node: NodePage,
    pub(super) connections: ConnectionsPage,
    pub(super) rooms: Vec<Room>,
    /// None when they were not asked for this time, or the node could not tell.
    pub(super) leases: Option<Vec<Lease>>,
    /// None when they were not asked for this time.
    pub(super) errors: Option<Vec<Complaint>>,
}
