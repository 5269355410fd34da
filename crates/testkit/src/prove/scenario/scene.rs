//! What a scenario has in its hands while it runs.
//!
//! Must never judge: it keeps what happened for those who do.

use std::time::Duration;

use hubbub_protocol::Timestamp;

use crate::cluster::Cluster;
use crate::prove::outcome::Figure;
use crate::swarm::Swarm;

/// Tells people what happens.
pub type Say = Box<dyn FnMut(&str)>;

/// A cluster under load, and what is noted about it.
pub struct Scene {
    /// The cluster.
    pub cluster: Cluster,
    /// Its clients.
    pub swarm: Swarm,
    /// Every choice follows from it.
    pub seed: u64,
    /// How long the fault is to last.
    pub lasts: Duration,
    /// What has to be known to read the figures.
    pub notes: Vec<String>,
    /// What only this scenario measures.
    pub figures: Vec<Figure>,
    /// What was not as promised.
    pub complaints: Vec<String>,
    /// When the fault was undone, unless it is when the scenario returns.
    pub over: Option<Timestamp>,
    say: Say,
}

impl Scene {
    pub(super) fn new(cluster: Cluster, swarm: Swarm, seed: u64, lasts: Duration, say: Say) -> Self {
        let (notes, figures, complaints) = Default::default();
        Self { cluster, swarm, seed, lasts, notes, figures, complaints, over: None, say }
    }

    /// Tells people what happens.
    pub fn say(&mut self, what: &str) {
        (self.say)(what);
    }

    /// Lets the fault last.
    pub async fn hold(&self) {
        tokio::time::sleep(self.lasts).await;
    }

    /// The fault is undone now, though the scenario goes on to look at something.
    pub fn is_over(&mut self) {
        self.over = Some(Timestamp::now());
    }

    /// A node that nobody ended has no business to end.
    pub(super) fn notice_ends(&mut self) {
        for member in &mut self.cluster.members {
            if let Some(status) = member.node.ended() {
                self.complaints.push(format!("{} ended by itself ({status})", member.node.name));
            }
        }
    }
}
