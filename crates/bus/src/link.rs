//! The link to Redis: made, served, lost, made again, for ever.
//!
//! One subscriber connection for everything that comes in, one multiplexed connection for everything that goes out;
//! both are made together and given up together, so that there is one state, up or down. The retry loop stands here
//! and not in the client library: it never ends, whatever the outage lasts. Must never decide what a notice means.

mod channels;
mod endpoint;
mod farewell;
mod inbound;
mod keys;
mod lease;
mod ledger;
mod outbound;
mod pulse;
mod scripts;

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

pub(crate) use endpoint::Endpoint;
pub(crate) use farewell::say_farewell;
pub(crate) use keys::Keys;
pub(crate) use lease::nodes;
pub(crate) use outbound::Outbound;
pub(crate) use pulse::Pulse;
pub(crate) use scripts::Scripts;

use crate::notice::Notice;
use crate::shared::Shared;

/// How long making both connections may take, the greetings included. A frozen server is given up after this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the multiplexed connection waits for an answer.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the subscriber connection waits for the confirmation of up to 500 channels.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(3);
/// The first pause between two attempts, before jitter; doubled each time.
const RETRY_MIN: Duration = Duration::from_millis(50);
/// The longest pause between two attempts: a server that is back is found within a second.
const RETRY_MAX: Duration = Duration::from_secs(1);
/// A link that held for less than this was no success: the pauses go on growing.
const STEADY: Duration = Duration::from_secs(5);

/// Both connections of one link.
pub(crate) struct Wire {
    commands: MultiplexedConnection,
    subscriber: MultiplexedConnection,
    /// Rung when either connection ends.
    lost: Arc<Notify>,
}

/// Why a link could not be made, or ended.
#[derive(Debug, thiserror::Error)]
enum Loss {
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
}

/// Keeps the link for as long as the bus is open. `first` is answered after the first attempt, whatever came of it.
pub(crate) async fn run(shared: Arc<Shared>, endpoint: Endpoint, first: oneshot::Sender<()>) {
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
        let loss = match make(&shared, &endpoint).await {
            Ok(wire) => {
                let up_since = Instant::now();
                up(&shared, &wire, outage.take());
                answer_first();
                let loss = serve(&shared, wire).await;
                down(&shared);
                if up_since.elapsed() >= STEADY {
                    pause = RETRY_MIN;
                }
                loss
            }
            Err(loss) => {
                shared.rooms.link_down();
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
        tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        pause = (pause * 2).min(RETRY_MAX);
    }
}

/// Connects, takes out the lease and subscribes every wanted room in batches.
async fn make(shared: &Arc<Shared>, endpoint: &Endpoint) -> Result<Wire, Loss> {
    let wire =
        tokio::time::timeout(CONNECT_TIMEOUT, endpoint.connect(shared)).await.map_err(|_| Loss::ConnectTimeout)??;
    shared.link.scripts.load(&mut wire.commands.clone()).await?;
    lease::register(shared, &mut wire.commands.clone()).await?;
    channels::subscribe_all(shared, &mut wire.subscriber.clone()).await?;
    Ok(wire)
}

fn up(shared: &Shared, wire: &Wire, outage: Option<Instant>) {
    shared.link.pulse.restart();
    shared.link.set_commands(Some(wire.commands.clone()));
    shared.set_up(true);
    match outage {
        Some(since) => tracing::info!(seconds = since.elapsed().as_secs_f64(), "Redis is back"),
        None => tracing::info!("Redis is reached"),
    }
    shared.notify(Notice::Up);
}

fn down(shared: &Shared) {
    shared.set_up(false);
    shared.metrics.losses.inc();
    shared.link.set_commands(None);
    shared.rooms.link_down();
    shared.link.outbound.clear(&shared.metrics);
    shared.places.refuse_arrivals();
    shared.notify(Notice::Down);
}

/// Runs every part of a link until one of them ends, and tells why.
async fn serve(shared: &Arc<Shared>, wire: Wire) -> Loss {
    let Wire { commands, subscriber, lost } = wire;
    let mut parts = JoinSet::new();
    parts.spawn(outbound::run(Arc::clone(shared), commands.clone()));
    parts.spawn(channels::run(Arc::clone(shared), subscriber));
    parts.spawn(ledger::run(Arc::clone(shared), commands.clone()));
    parts.spawn(lease::run(Arc::clone(shared), commands.clone()));
    parts.spawn(pulse::run(Arc::clone(shared), commands));
    tokio::select! {
        () = lost.notified() => Loss::Closed,
        ended = parts.join_next() => match ended {
            Some(Ok(loss)) => loss,
            Some(Err(error)) => Loss::Stopped(error.to_string()),
            None => Loss::Closed,
        },
    }
}

/// What the rest of the bus sees of the link. Present, and without use, in process.
pub(crate) struct Link {
    pub(crate) outbound: Outbound,
    pub(crate) pulse: Pulse,
    pub(crate) keys: Keys,
    pub(crate) scripts: Scripts,
    commands: parking_lot::RwLock<Option<MultiplexedConnection>>,
}

impl Link {
    pub(crate) fn new(prefix: &str, instance: &str) -> Self {
        Self {
            outbound: Outbound::default(),
            pulse: Pulse::default(),
            keys: Keys::new(prefix, instance),
            scripts: Scripts::new(),
            commands: parking_lot::RwLock::new(None),
        }
    }

    /// The multiplexed connection, if the link is up and the last watchdog message came back in time.
    pub(crate) fn commands(&self) -> Option<MultiplexedConnection> {
        if self.pulse.is_late() {
            return None;
        }
        self.commands.read().clone()
    }

    pub(crate) fn set_commands(&self, commands: Option<MultiplexedConnection>) {
        *self.commands.write() = commands;
    }
}
