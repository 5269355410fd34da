//! Running a node: what is opened in which order, and how it ends.
//!
//! Must never decide anything that a part of the house decides.

pub(crate) mod jwks;
mod parts;
mod reload;
mod signals;
pub(crate) mod traces;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use hubbub_bus::{Bus, BusError};
use hubbub_chat::{Chat, ChatConfig, TokenConfig, TokenKey};
use hubbub_gateway::{Gateway, Health, Listening, Ops, StartError};
use hubbub_store::Store;
use prometheus::Registry;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

pub(crate) use parts::{bus_config, make_data_folder, open_store, store_config};
pub(crate) use reload::METRICS as RELOAD_METRICS;

use crate::config::{Config, Given, Loaded, TlsMode};
use crate::failure::{Failure, one_line};
use crate::log::Log;
use crate::{metrics, signing};
use jwks::Jwks;
use reload::Reload;
use signals::Signals;
use traces::Traces;

/// What is kept of `drain.timeout` for the store and the bus to close.
const CLOSING: Duration = Duration::from_secs(2);

/// How long the last spans have to reach their receiver.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// Makes `aws_lc_rs` the one provider of cryptography in this process. Called once, before anything speaks TLS.
pub(crate) fn install_tls() {
    // Only a second call fails, and then the first one's provider stays.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
}

/// Runs a node until it is told to end. `given` is what it was started with, to be read again.
pub(crate) fn run(given: Given, loaded: Loaded) -> Result<(), Failure> {
    let name = parts::node_name(&loaded.config);
    let log = Log::start(&loaded.config.log, &name)?;
    for warning in &loaded.warnings {
        tracing::warn!(place = %warning.place, "{warning}");
    }
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("hubbub").enable_all().build()?;
    let outcome = runtime.block_on(live(name, given, loaded, log));
    // Nobody waits for a thread that hashes a password for a client who has gone.
    runtime.shutdown_background();
    outcome
}

/// From the first signal handler to the last closed connection.
async fn live(name: String, given: Given, loaded: Loaded, log: Log) -> Result<(), Failure> {
    let mut signals = Signals::install()?;
    let hang_up = signals::hang_up()?;
    let registry = metrics::registry(parts::database_file(&loaded.config));
    let registry = registry.map_err(|error| Failure::Refused(error.to_string()))?;
    log.register(&registry).map_err(|error| Failure::Refused(error.to_string()))?;
    let health = Health::new(registry.clone(), loaded.show_json());
    let stop_ops = CancellationToken::new();
    let started = tokio::select! {
        node = start(name, &loaded, &registry, &health, stop_ops.clone()) => Some(node?),
        asked = asked_to_stop(&mut signals, &health) => {
            tracing::info!(by = asked, "stopped before the start was complete");
            None
        }
    };
    let Some((node, jwks)) = started else { return Ok(()) };
    let mut reload = Reload::new(given, loaded, &node, jwks, log, hang_up, &registry)
        .map_err(|error| Failure::Refused(error.to_string()))?;
    let asked = tokio::select! {
        asked = asked_to_stop(&mut signals, &health) => asked,
        never = reload.run(&node, &health) => match never {},
    };
    let deadline = Instant::now() + reload.current().config.drain.timeout;
    tracing::info!(by = asked, "stopping");
    let mut stopping = std::pin::pin!(node.stop(deadline));
    // Whoever asks over HTTP before the signal (a hook of an orchestrator) has sent no first signal yet.
    let mut may_signal = asked == OPS_PORT;
    loop {
        tokio::select! {
            () = &mut stopping => {
                stop_ops.cancel();
                tracing::info!("stopped");
                return Ok(());
            }
            signal = signals.stop() => {
                if !std::mem::take(&mut may_signal) {
                    return Err(Failure::Refused(format!("a second signal ({signal}): stopped at once")));
                }
                tracing::info!(signal, "draining already; one more signal stops at once");
            }
        }
    }
}

/// Who asked, when it was over HTTP.
const OPS_PORT: &str = "POST /drain";

/// Resolves when a signal or `POST /drain` asks for the end, with its name.
async fn asked_to_stop(signals: &mut Signals, health: &Health) -> &'static str {
    tokio::select! {
        signal = signals.stop() => signal,
        () = health.drain_asked() => OPS_PORT,
    }
}

/// Everything that a running node holds.
struct Running {
    name: String,
    gateway: Gateway,
    chat: Arc<Chat>,
    /// What its tokens were made and checked with at first.
    tokens: TokenConfig,
    store: Store,
    bus: Bus,
    traces: Traces,
}

/// Opens everything in order. What can be refused without the database is refused before it is asked.
async fn start(
    name: String,
    loaded: &Loaded,
    registry: &Registry,
    health: &Arc<Health>,
    stop_ops: CancellationToken,
) -> Result<(Running, Jwks), Failure> {
    let config = &loaded.config;
    let gateway_config = parts::gateway_config(config, &name);
    parts::make_data_folder(config)?;
    let mut tokens = signing::token_config(config)?;
    let traces = Traces::start(config, &name, registry)?;
    let ops = Ops::bind(config.ops_listen);
    let ops = ops.map_err(|error| Failure::Refused(format!("cannot listen on {}: {error}", config.ops_listen)))?;
    let listening = Listening::bind(&gateway_config).map_err(|error| not_started(config, &error))?;
    let ops_address = ops.address;
    ops.start(Arc::clone(health), stop_ops)?;
    tracing::info!(node = name, ops = %ops_address, version = env!("CARGO_PKG_VERSION"), "starting");

    let bus = Bus::open(parts::bus_config(config, &name), registry).await.map_err(bus_refused)?;
    let store = waiting::open(config, registry, &bus, health).await?;
    let jwks = Jwks::open(config, registry, health).await?;
    if let Some(keys) = jwks.keys() {
        tokens.key = TokenKey::KeySet(keys.clone());
    }
    let chat_config = ChatConfig { limits: config.limits.clone(), tokens: tokens.clone() };
    let chat = Chat::new(store.clone(), bus.clone(), chat_config)
        .map_err(|error| Failure::Misconfigured(error.to_string()))?;
    let gateway = Gateway::start(gateway_config, listening, Arc::clone(&chat), registry, Arc::clone(health))
        .map_err(|error| not_started(config, &error))?;
    tracing::info!(node = name, listen = %gateway.address(), ops = %ops_address, "serving");
    Ok((Running { name, gateway, chat, tokens, store, bus, traces }, jwks))
}

impl Running {
    /// Drains, then closes what is below. Returns before `deadline`, whatever still hangs then.
    async fn stop(self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        let drained = timeout_at(deadline - CLOSING.min(left / 4), self.gateway.drain()).await;
        if drained.is_err() {
            tracing::warn!("connections are left over and dropped: `drain.timeout` has passed");
            self.gateway.stop();
        }
        // What was accepted is committed and answered before the store closes, and published before the bus does.
        let closed = timeout_at(deadline, async {
            self.store.close().await;
            self.bus.close().await;
        });
        if closed.await.is_err() {
            tracing::warn!("the store or the bus did not close within `drain.timeout`");
        }
        self.traces.finish(deadline.min(Instant::now() + LAST_SPANS)).await;
    }
}

fn not_started(config: &Config, error: &StartError) -> Failure {
    let reason = one_line(error);
    // A certificate that was made by the node itself fails for the folder's sake, which no key describes.
    let configured = matches!(error, StartError::Tls(_)) && config.tls.mode == TlsMode::Files;
    if configured { Failure::Misconfigured(reason) } else { Failure::Refused(reason) }
}

fn bus_refused(error: BusError) -> Failure {
    let reason = one_line(&error);
    match error {
        BusError::Metrics(_) => Failure::Refused(reason),
        BusError::Address { .. } | BusError::Scheme { .. } | BusError::Setting(_) => Failure::Misconfigured(reason),
    }
}

/// Every connection is a descriptor: take as many as the system allows, as the soft limit is far lower for
/// programs that use `select`.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, soft_limit = limit.current, "the limit of open files stays");
    }
}
