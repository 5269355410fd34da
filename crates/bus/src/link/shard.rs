//! One server of the bus and the link to it: made, served, lost, made again, for as long as the server is wanted.
//!
//! One subscriber connection for everything that comes in, one multiplexed connection for everything that goes out;
//! both are made together and given up together, so that there is one state, up or down. The retry loop stands here
//! and not in the client library: it never ends, whatever the outage lasts. Must never decide what a notice means.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use super::endpoint::{Endpoint, Wire};
use super::outbound::{self, Outbound};
use super::pulse::{self, Pulse};
use super::{CONNECT_TIMEOUT, channels, lease};
use crate::rooms::ShardId;
use crate::shared::Shared;
use crate::state::ShardState;

/// The first pause between two attempts, before jitter; doubled each time.
const RETRY_MIN: Duration = Duration::from_millis(50);
/// The longest pause between two attempts: a server that is back is found within a second.
const RETRY_MAX: Duration = Duration::from_secs(1);
/// A link that held for less than this was no success: the pauses go on growing.
const STEADY: Duration = Duration::from_secs(5);

/// Why a link could not be made, or ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Loss {
    #[error("{0}")]
    Redis(#[from] redis::RedisError),
    #[error("it did not answer within {} s", CONNECT_TIMEOUT.as_secs())]
    ConnectTimeout,
    #[error("the connection was closed")]
    Closed,
    #[error("{} watchdog messages in a row did not come back", pulse::MISSES_MAX)]
    Silent,
    #[error("a part of the link stopped: {0}")]
    Stopped(String),
    #[error("the Sentinels name no master for {0}")]
    NoMaster(String),
    #[error("{0} is the master now")]
    Switched(String),
    #[error("it takes no writes")]
    ReadOnly,
}

/// What the rest of the bus sees of one server.
pub(crate) struct Shard {
    pub(super) id: ShardId,
    /// Its address without credentials.
    pub(super) name: String,
    /// Whether rooms travel on sharded channels: a node of a cluster.
    pub(super) sharded: bool,
    pub(super) outbound: Outbound,
    pub(super) pulse: Pulse,
    commands: parking_lot::RwLock<Option<MultiplexedConnection>>,
    up: AtomicBool,
    /// Rung by whoever finds out that the server is no place to write to. One for each link, so that a late answer on
    /// the last one does not end the next.
    read_only: parking_lot::RwLock<Arc<Notify>>,
}

impl Shard {
    pub(super) fn new(name: String, id: ShardId, sharded: bool) -> Self {
        Self {
            id,
            name,
            sharded,
            outbound: Outbound::default(),
            pulse: Pulse::default(),
            commands: parking_lot::RwLock::new(None),
            up: AtomicBool::new(false),
            read_only: parking_lot::RwLock::default(),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// As operators see it.
    pub(super) fn state(&self) -> ShardState {
        let (queue_messages, queue_bytes, pipelines) = self.outbound.load();
        let (up, late) = (self.is_up(), self.pulse.is_late());
        ShardState { name: self.name.clone(), up, late, queue_messages, queue_bytes, pipelines }
    }

    pub(super) fn set_up(&self, up: bool) {
        self.up.store(up, Ordering::Release);
    }

    /// The multiplexed connection while the link is up.
    pub(super) fn connection(&self) -> Option<MultiplexedConnection> {
        self.commands.read().clone()
    }

    /// The same, if the last watchdog message came back in time: for whoever waits for an answer.
    pub(super) fn commands(&self) -> Option<MultiplexedConnection> {
        if self.pulse.is_late() { None } else { self.connection() }
    }

    pub(super) fn set_commands(&self, commands: Option<MultiplexedConnection>) {
        *self.commands.write() = commands;
    }

    /// What to ring when the server of this link says that it takes no writes. Taken before the connection is.
    pub(super) fn read_only(&self) -> Arc<Notify> {
        Arc::clone(&self.read_only.read())
    }

    /// The link is gone, or the shard is: what waited for it is dropped and told.
    pub(super) fn drop_link(&self, shared: &Shared) {
        self.set_up(false);
        self.set_commands(None);
        *self.read_only.write() = Arc::default();
        shared.rooms.link_down(self.id);
        self.outbound.clear(&shared.metrics);
    }
}

/// Keeps the link until it is aborted. `first` is answered after the first attempt, whatever came of it.
pub(super) async fn run(shared: Arc<Shared>, shard: Arc<Shard>, endpoint: Endpoint, first: oneshot::Sender<()>) {
    let mut first = Some(first);
    let mut answer_first = || {
        if let Some(first) = first.take() {
            // Whoever opened the bus may have gone away.
            first.send(()).ok();
        }
    };
    let mut pause = RETRY_MIN;
    let mut outage: Option<Instant> = None;
    loop {
        let loss = match make(&shared, &shard, &endpoint).await {
            Ok(wire) => {
                let up_since = Instant::now();
                up(&shared, &shard, &wire, outage.take());
                answer_first();
                let loss = serve(&shared, &shard, wire).await;
                down(&shared, &shard);
                if up_since.elapsed() >= STEADY {
                    pause = RETRY_MIN;
                }
                loss
            }
            Err(loss) => {
                shared.rooms.link_down(shard.id);
                answer_first();
                loss
            }
        };
        if outage.is_none() {
            outage = Some(Instant::now());
            tracing::warn!(redis = %endpoint, reason = %loss, "Redis is gone: chat goes on from the store, degraded");
        } else {
            tracing::debug!(redis = %endpoint, reason = %loss, "Redis is still gone");
        }
        shared.link.look_again();
        tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        pause = (pause * 2).min(RETRY_MAX);
    }
}

/// Connects, takes out the lease where it belongs here, and subscribes every wanted room in batches.
async fn make(shared: &Arc<Shared>, shard: &Arc<Shard>, endpoint: &Endpoint) -> Result<Wire, Loss> {
    let connect = endpoint.connect(shared, shard);
    let wire = tokio::time::timeout(CONNECT_TIMEOUT, connect).await.map_err(|_| Loss::ConnectTimeout)??;
    shared.link.scripts.load(&mut wire.commands.clone()).await?;
    if shared.link.is_home(shard) {
        lease::register(shared, &mut wire.commands.clone()).await?;
    }
    channels::subscribe_all(shared, shard, &mut wire.subscriber.clone()).await?;
    Ok(wire)
}

fn up(shared: &Shared, shard: &Shard, wire: &Wire, outage: Option<Instant>) {
    shard.pulse.restart();
    shard.set_commands(Some(wire.commands.clone()));
    shard.set_up(true);
    match outage {
        Some(since) => tracing::info!(redis = shard.name, seconds = since.elapsed().as_secs_f64(), "Redis is back"),
        None => tracing::info!(redis = shard.name, "Redis is reached"),
    }
    shared.link.everything_is_stale(shared);
    shared.link.settle(shared);
}

fn down(shared: &Shared, shard: &Shard) {
    shared.metrics.losses.inc();
    shard.drop_link(shared);
    shared.link.settle(shared);
}

/// Runs every part of a link until one of them ends, and tells why.
async fn serve(shared: &Arc<Shared>, shard: &Arc<Shard>, wire: Wire) -> Loss {
    let Wire { commands, subscriber, lost, watch } = wire;
    let mut parts = JoinSet::new();
    let (link, read_only) = (shard.outbound.link(), shard.read_only());
    let outbound = outbound::run(Arc::clone(shared), Arc::clone(shard), link, Arc::clone(&read_only), commands.clone());
    parts.spawn(outbound);
    parts.spawn(channels::run(Arc::clone(shared), Arc::clone(shard), subscriber));
    parts.spawn(lease::run(Arc::clone(shared), Arc::clone(shard), Arc::clone(&read_only), commands.clone()));
    parts.spawn(pulse::run(Arc::clone(shared), Arc::clone(shard), commands));
    if let Some(watch) = watch {
        parts.spawn(watch.run());
    }
    tokio::select! {
        () = lost.notified() => Loss::Closed,
        () = read_only.notified() => Loss::ReadOnly,
        ended = parts.join_next() => match ended {
            Some(Ok(loss)) => loss,
            Some(Err(error)) => Loss::Stopped(error.to_string()),
            None => Loss::Closed,
        },
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::BusConfig;
    use crate::metrics::Metrics;

    #[test]
    fn a_late_answer_of_a_lost_link_does_not_end_the_next() {
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        let shared = Shared::new(BusConfig::in_process("n"), metrics);
        let shard = Shard::new("s".to_owned(), 1, false);
        let before = shard.read_only();
        shard.drop_link(&shared);
        shared.link.heed(&before, Some(redis::ServerErrorKind::ReadOnly));
        let link = shard.read_only();
        assert_eq!(link.notified().now_or_never(), None, "the next link would be left at once");
        shared.link.heed(&shard.read_only(), Some(redis::ServerErrorKind::ReadOnly));
        assert_eq!(link.notified().now_or_never(), Some(()));
    }
}
