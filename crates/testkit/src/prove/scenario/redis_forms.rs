//! Failovers of Redis: by Sentinel, and in a cluster while slots move.
//!
//! Must never tell the nodes where the new master is: they have to find it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::FutureExt as _;
use hubbub_protocol::mutation::Mutation;
use tempfile::TempDir;

use super::{Limits, Play, Scenario, Scene, Step};
use crate::cluster::{Cluster, ClusterConfig};
use crate::prove::watch::{BUS_UP, Metric, Shows, Sign, bus_is_up};
use crate::servers::redis_forms::{RedisCluster, Sentinel};

const SIGN: Sign = Sign { metric: Metric::of(BUS_UP), shows: Shows::Below(0.0) };
const LIMITS: Limits = Limits { during_p99: Some(Duration::from_secs(2)), healed: Duration::from_secs(10) };
/// How long a failover may take the servers.
const FAILOVER_LIMIT: Duration = Duration::from_secs(60);
/// Slots that move, of 16,384.
const SLOTS: u32 = 500;

/// The master is killed and the sentinels choose the replica.
pub(super) const SENTINEL: Scenario = Scenario {
    name: "sentinel-failover",
    what: "The master behind Sentinel is killed; the replica becomes the master, and the old one comes back as a replica",
    lasts: Duration::from_secs(10),
    nodes: 3,
    limits: LIMITS,
    sign: SIGN,
    mutations: &[Mutation::NoRepair],
    play: || Box::new(SentinelFailover(None)),
};

struct SentinelFailover(Option<(Sentinel, TempDir)>);

impl Play for SentinelFailover {
    fn start(&mut self, config: ClusterConfig) -> Step<'_, Cluster> {
        async move {
            let folder = tempfile::tempdir()?;
            let sentinel = Sentinel::start(folder.path()).await?;
            let config = config.with("HUBBUB_REDIS_URL", &sentinel.url());
            self.0 = Some((sentinel, folder));
            start(config).await
        }
        .boxed_local()
    }

    fn strike<'a>(&'a mut self, scene: &'a mut Scene) -> Step<'a, ()> {
        async move {
            let (sentinel, _) = self.0.as_mut().context("the cluster was started with it")?;
            scene.say("the master is killed");
            sentinel.servers[0].kill();
            sentinel.failed_over(FAILOVER_LIMIT).await?;
            scene.is_over();
            scene.say("the replica is the master");
            scene.hold().await;
            sentinel.servers[0].start().await
        }
        .boxed_local()
    }
}

/// Slots move, then a master is killed.
pub(super) const CLUSTER: Scenario = Scenario {
    name: "cluster-failover",
    what: "In a Redis Cluster 500 slots move to another master, then a master is killed and its replica takes over",
    lasts: Duration::from_secs(10),
    nodes: 3,
    limits: LIMITS,
    sign: SIGN,
    mutations: &[Mutation::NoRepair],
    play: || Box::new(ClusterFailover(None)),
};

struct ClusterFailover(Option<(RedisCluster, TempDir)>);

impl Play for ClusterFailover {
    fn start(&mut self, config: ClusterConfig) -> Step<'_, Cluster> {
        async move {
            let folder = tempfile::tempdir()?;
            let redis = RedisCluster::start(folder.path()).await?;
            let config = config.with("HUBBUB_REDIS_URL", &redis.url());
            self.0 = Some((redis, folder));
            start(config).await
        }
        .boxed_local()
    }

    fn strike<'a>(&'a mut self, scene: &'a mut Scene) -> Step<'a, ()> {
        async move {
            let (redis, _) = self.0.as_mut().context("the cluster was started with it")?;
            scene.say("slots move");
            redis.move_slots(SLOTS)?;
            scene.say("a master is killed");
            redis.servers[0].kill();
            redis.failed_over(FAILOVER_LIMIT).await?;
            scene.is_over();
            scene.say("its replica is a master");
            scene.hold().await;
            redis.servers[0].start().await
        }
        .boxed_local()
    }
}

/// Starts it and waits until every node has found its Redis: before that a failover shows nothing.
async fn start(config: ClusterConfig) -> Result<Cluster> {
    const TRIES: u32 = 200;
    const POLL: Duration = Duration::from_millis(50);
    let cluster = Cluster::start(config).await?;
    for _ in 0..TRIES {
        if bus_is_up(&cluster).await {
            return Ok(cluster);
        }
        tokio::time::sleep(POLL).await;
    }
    anyhow::bail!("the nodes do not find their Redis")
}
