//! Redis stopped for a while under load: everything is acked and delivered, and the bus carries again soon after.
//!
//! Must never count a delivery that came by reconciliation as one by the bus.

use std::time::Duration;

use anyhow::Result;
use hubbub_protocol::Timestamp;
use tokio::time::Instant;

use super::director::Director;
use super::gauges::{Repairs, bus_is_up};
use super::latency::{self, Latency};
use super::{ProveConfig, SETTLE_LIMIT, settle};
use crate::checker::{self, Verdict};
use crate::cluster::Cluster;
use crate::swarm::Swarm;

/// Load before the outage, and again behind it.
const CALM: Duration = Duration::from_secs(10);
/// How often the bus is asked for when Redis is back.
const POLL: Duration = Duration::from_millis(20);
/// When it is back later than this, it is not coming.
const RETURN_LIMIT: Duration = Duration::from_secs(30);

/// What the outage came to.
#[derive(Clone, Debug)]
pub struct OutageReport {
    /// The checker's word.
    pub verdict: Verdict,
    /// Deliveries before.
    pub before: Latency,
    /// Deliveries of what was committed while Redis was gone.
    pub during: Latency,
    /// Deliveries of what was committed once all nodes said that their bus is up.
    pub after: Latency,
    /// From Redis answering to all nodes saying that their bus is up.
    pub returned: Duration,
    /// Events that the bus did not bring: during the outage, and in the calm behind it.
    pub repairs: (u64, u64),
    /// What did not come to an end.
    pub complaints: Vec<String>,
}

impl OutageReport {
    /// Whether all was acked and delivered, once and in order.
    #[must_use]
    pub fn proves(&self) -> bool {
        self.verdict.proves() && self.complaints.is_empty()
    }
}

/// Runs on a cluster that stands.
///
/// # Errors
/// When the cluster cannot be kept up.
pub async fn run(cluster: &mut Cluster, config: &ProveConfig, mut say: impl FnMut(&str)) -> Result<OutageReport> {
    let swarm = Swarm::start(cluster, &config.swarm()).await?;
    let mut repairs = Repairs::default();
    repairs.look(cluster).await;
    let at_start = repairs.total();
    swarm.talk();
    let began = Timestamp::now();
    tokio::time::sleep(CALM).await;
    say("Redis is stopped");
    let stopped = Timestamp::now();
    cluster.redis.kill();
    tokio::time::sleep(config.length).await;
    cluster.redis.start().await?;
    let back = Timestamp::now();
    say("Redis is back");
    let answered = Instant::now();
    while !bus_is_up(cluster).await && answered.elapsed() < RETURN_LIMIT {
        tokio::time::sleep(POLL).await;
    }
    let returned = answered.elapsed();
    let up = Timestamp::now();
    // What was committed before the bus was up may still be repaired.
    tokio::time::sleep(Duration::from_secs(1)).await;
    repairs.look(cluster).await;
    let at_return = repairs.total();
    tokio::time::sleep(CALM).await;
    repairs.look(cluster).await;
    let at_end = repairs.total();
    let end = Timestamp::now();
    swarm.finish();
    let mut complaints = Director::default().complaints;
    complaints.extend(settle::acks(&swarm, SETTLE_LIMIT).await.map(|who| format!("no ack: {who}")));
    let logs = settle::logs(cluster, &swarm.rooms).await?;
    let behind = settle::deliveries(&swarm, &logs.heads, SETTLE_LIMIT).await;
    complaints.extend(behind.map(|who| format!("not all delivered: {who}")));
    let records = swarm.stop().await;
    let verdict = checker::check(&records, &logs.records, &logs.heads);
    let before = latency::between(&records, began, stopped);
    let during = latency::between(&records, stopped, back);
    let after = latency::between(&records, up, end);
    Ok(OutageReport {
        verdict,
        before,
        during,
        after,
        returned,
        repairs: (at_return - at_start, at_end - at_return),
        complaints,
    })
}
