//! The lease: this node is alive, and whatever a dead one left is taken away.
//!
//! All times are Redis's own, so the nodes' clocks do not matter. Must never reap a node whose lease still stands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use super::server_kind;
use super::shard::{Loss, Shard};
use crate::config::BusDown;
use crate::metrics::BusOp;
use crate::node::{self, NodeLease};
use crate::shared::Shared;

/// Renewals per lease: two may be lost.
const RENEWALS: u32 = 3;
/// How long the sessions of a node stay for the others to reap after its last renewal.
const REMAINS: Duration = Duration::from_hours(1);
/// How many dead nodes are looked at in one renewal.
const DEAD_MAX: usize = 4;
/// How many sessions of a dead node are taken in one call.
const REAP_MAX: usize = 500;
/// How many calls are spent on one dead node per renewal; the rest is left to the next one, here or elsewhere.
const REAP_CALLS_MAX: usize = 20;
/// How many nodes are listed.
const NODES_MAX: isize = 10_000;

/// What a renewal tells.
struct Renewal {
    held: bool,
    living: usize,
    dead: Vec<String>,
}

/// Takes the lease out before the link counts as up: whoever has no lease counts as dead.
pub(super) async fn register(shared: &Shared, commands: &mut MultiplexedConnection) -> RedisResult<()> {
    match renew(shared, commands).await {
        Ok(renewal) => {
            // A server that has forgotten everything knows only who has come back already; the next renewal tells.
            shared.saw_nodes(renewal.living.max(shared.nodes_seen()));
            Ok(())
        }
        // Pub/sub works without memory or disk, so the link is worth having; the lease is tried again later.
        Err(error) if matches!(error.code(), Some("OOM" | "MISCONF")) => {
            tracing::warn!(%error, "Redis takes no writes: nodes and connections are not counted for now");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Renews the lease while it belongs to this shard, until the server turns out to be no place to write to.
pub(super) async fn run(
    shared: Arc<Shared>,
    shard: Arc<Shard>,
    read_only: Arc<Notify>,
    mut commands: MultiplexedConnection,
) -> Loss {
    let mut ticks = tokio::time::interval(shared.config.lease / RENEWALS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            // The others must know before they decide again whom to give away.
            () = shared.link.lease_changed.notified() => {}
        }
        if !shared.link.is_home(&shard) {
            continue;
        }
        match renew(&shared, &mut commands).await {
            Ok(renewal) => {
                shared.saw_nodes(renewal.living);
                if !renewal.held {
                    tracing::warn!("the lease of this node had run out: everything is listed anew");
                    shared.places.all_stale();
                    shared.sessions.all_stale();
                }
                for instance in renewal.dead {
                    if let Err(error) = reap(&shared, &mut commands, &instance).await {
                        tracing::debug!(%error, instance, "a dead node could not be reaped");
                    }
                }
            }
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly) => return Loss::ReadOnly,
            // The watchdog decides about a server that does not answer.
            Err(error) => {
                shared.link.heed(&read_only, server_kind(&error));
                tracing::debug!(%error, "the lease could not be renewed");
            }
        }
    }
}

async fn renew(shared: &Shared, commands: &mut MultiplexedConnection) -> RedisResult<Renewal> {
    let keys = &shared.link.keys;
    let began = Instant::now();
    let answer: RedisResult<(bool, usize, Vec<String>)> = shared
        .link
        .scripts
        .renew
        .key(&keys.nodes)
        .key(keys.lease(&shared.instance))
        .key(keys.sessions(&shared.instance))
        .arg(&shared.instance)
        .arg(node::write_lease(&shared.config.node, shared.is_draining()))
        .arg(millis(shared.config.lease))
        .arg(millis(shared.config.lease + REMAINS))
        .arg(DEAD_MAX)
        .invoke_async(commands)
        .await;
    shared.metrics.asked(BusOp::Lease, began, answer.is_ok());
    let (held, living, dead) = answer?;
    Ok(Renewal { held, living, dead })
}

async fn reap(shared: &Shared, commands: &mut MultiplexedConnection, instance: &str) -> RedisResult<()> {
    let keys = &shared.link.keys;
    let mut sessions = 0;
    for _ in 0..REAP_CALLS_MAX {
        let (taken, left): (Vec<String>, bool) = shared
            .link
            .scripts
            .reap
            .key(&keys.nodes)
            .key(keys.lease(instance))
            .key(keys.sessions(instance))
            .arg(instance)
            .arg(REAP_MAX)
            .invoke_async(commands)
            .await?;
        sessions += taken.len() / 2;
        if !left {
            tracing::info!(instance, sessions, "a dead node was reaped");
            break;
        }
    }
    Ok(())
}

/// The nodes whose lease stands.
pub(crate) async fn nodes(shared: &Shared) -> Result<Vec<NodeLease>, BusDown> {
    let mut commands = shared.link.home().ok_or(BusDown)?;
    list(shared, &mut commands).await.map_err(|error| {
        tracing::debug!(%error, "the nodes could not be listed");
        BusDown
    })
}

async fn list(shared: &Shared, commands: &mut MultiplexedConnection) -> Result<Vec<NodeLease>, RedisError> {
    let keys = &shared.link.keys;
    let instances: Vec<String> =
        redis::cmd("ZRANGE").arg(&keys.nodes).arg(0).arg(NODES_MAX - 1).query_async(commands).await?;
    if instances.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipeline = redis::pipe();
    for instance in &instances {
        pipeline.cmd("GET").arg(keys.lease(instance)).cmd("HLEN").arg(keys.sessions(instance));
    }
    let found: Vec<(Option<String>, u64)> = pipeline.query_async(commands).await?;
    let leases = instances.into_iter().zip(found);
    let nodes = leases.filter_map(|(instance, (lease, sessions))| {
        let lease = lease?;
        let (name, draining) = node::read_lease(&lease);
        Some(NodeLease { instance, name: name.to_owned(), sessions, draining })
    });
    Ok(nodes.collect())
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
