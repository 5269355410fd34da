//! Counters of the nodes over their restarts.
//!
//! Must never take a missing node for a zero.

use std::collections::HashMap;

use crate::cluster::Cluster;
use crate::http;

/// What is watched.
const METRIC: &str = "hubbub_delivery_repairs_total";

/// Adds counters up, though they begin anew with each process.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    total: f64,
    last: HashMap<(usize, String), f64>,
}

impl Repairs {
    /// Looks at every node that answers.
    pub(super) async fn look(&mut self, cluster: &Cluster) {
        for (index, member) in cluster.members.iter().enumerate() {
            let Ok(text) = member.node.metrics().await else { continue };
            for (name, value) in http::samples(&text) {
                if name.split('{').next() == Some(METRIC) {
                    let last = self.last.insert((index, name), value).unwrap_or(0.0);
                    self.total += if value >= last { value - last } else { value };
                }
            }
        }
    }

    /// Events that the bus did not bring, so far.
    #[must_use]
    pub(super) fn total(&self) -> u64 {
        self.total as u64
    }
}

/// Whether all nodes say that their bus is up.
pub(super) async fn bus_is_up(cluster: &Cluster) -> bool {
    for member in &cluster.members {
        let up = member.node.metrics().await.is_ok_and(|text| http::sum(&http::samples(&text), "hubbub_bus_up") >= 1.0);
        if !up {
            return false;
        }
    }
    true
}
