//! The ops listener: health and metrics; the debug pages stand in files of their own. Plain HTTP, never on the public port.
//!
//! It answers before the database is there, after the last client has gone, and while every worker of the process stands
//! still: its thread and its runtime are its own. Must never change anything, but for the one route that asks the process to stop.

mod asked;
pub mod complaints;
mod connections;
mod debug;
mod dependencies;
mod figures;
mod node;
mod rooms;
pub mod spread;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{CONTENT_TYPE, ORIGIN};
use http::{HeaderMap, StatusCode};
use hubbub_protocol::ErrorCode;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use prometheus::proto::LabelPair;
use prometheus::{Encoder, Registry, TextEncoder};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::admission::Reason;
use crate::http::{Patient, respond};
use crate::node::Node;
use crate::openmetrics;
use crate::pulse::Pulse;
use crate::scrape;

/// Connections at a time: probes and scrapers are few.
const CONNECTIONS_MAX: usize = 64;

/// How long whoever connects may take to ask: who says nothing must not keep probes from their answers.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an answer may wait for somebody who does not read it: a place that is held for ever would be missed by probes.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the process stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Not serving yet, and what it waits for.
    Starting(String),
    /// Serving.
    Serving,
    /// About to stop.
    Draining,
}

/// What the ops listener shows.
pub struct Health {
    stage: Mutex<Stage>,
    node: OnceLock<Arc<Node>>,
    /// Of the runtime that serves clients; none before the listener has started.
    pulse: OnceLock<Arc<Pulse>>,
    /// Somebody asked for the end of the process by `POST /drain`.
    drain_asked: CancellationToken,
    registry: Registry,
    /// One scrape at a time: two would only wait for the same locks.
    scrapes: Arc<Semaphore>,
    /// The effective configuration with its secrets masked.
    config: ArcSwap<Value>,
    started: Instant,
}

impl Health {
    /// A process that starts. `config` is shown by `/debug/config` and must hold no secret.
    #[must_use]
    pub fn new(registry: Registry, config: Value) -> Arc<Self> {
        let stage = Mutex::new(Stage::Starting("starting".to_owned()));
        let (pulse, drain_asked) = (OnceLock::new(), CancellationToken::new());
        let (config, scrapes) = (ArcSwap::from_pointee(config), Arc::new(Semaphore::new(1)));
        let started = Instant::now();
        Arc::new(Self { stage, node: OnceLock::new(), pulse, drain_asked, registry, scrapes, config, started })
    }

    /// Shows another configuration from now on; it must hold no secret.
    pub fn show_config(&self, config: Value) {
        self.config.store(Arc::new(config));
    }

    /// Resolves when somebody has asked over the ops port that the process stops.
    pub async fn drain_asked(&self) {
        self.drain_asked.cancelled().await;
    }

    /// Not ready from now on. Whoever waits for [`Health::drain_asked`] does the rest, once.
    fn ask_for_drain(&self) {
        let mut stage = self.stage.lock();
        if *stage == Stage::Serving {
            *stage = Stage::Draining;
        }
        drop(stage);
        if !self.drain_asked.is_cancelled() {
            tracing::info!("a drain was asked for over the ops port");
        }
        self.drain_asked.cancel();
    }

    /// Notes where the process stands.
    pub fn set(&self, stage: Stage) {
        *self.stage.lock() = stage;
    }

    pub(crate) fn show_node(&self, node: Arc<Node>) {
        // Set once, by the one gateway of a process.
        self.node.set(node).ok();
    }

    fn ready(&self) -> (bool, Value) {
        let stage = self.stage.lock().clone();
        let Some(node) = self.node.get() else {
            let waiting = if let Stage::Starting(reason) = stage { reason } else { String::new() };
            return (false, json!({ "status": "starting", "waiting_for": waiting }));
        };
        let (store, bus) = (node.chat.store_is_up(), node.chat.bus().is_up());
        let mut degraded = Vec::new();
        if !bus {
            degraded.push("redis");
        }
        // With every place taken nobody is refused, but nobody is answered either.
        let is_mute = || node.places.are_taken().then_some("handshakes");
        let refuses = node.admission.refuses().map(Reason::name).or_else(is_mute);
        let status = match (&stage, store) {
            (Stage::Starting(_), _) => "starting",
            (Stage::Draining, _) => "draining",
            (Stage::Serving, false) => "unavailable",
            (Stage::Serving, true) if refuses.is_some() => "overloaded",
            (Stage::Serving, true) => "ready",
        };
        let up = |up: bool| if up { "up" } else { "down" };
        let redis = if node.chat.bus().is_shared() { up(bus) } else { "none" };
        let mut body = json!({
            "status": status,
            "node": node.config().node,
            "degraded": degraded,
            "dependencies": { "database": up(store), "redis": redis },
        });
        if let Some(reason) = refuses {
            body["refuses"] = reason.into();
        }
        (status == "ready", body)
    }
}

/// A listener that is bound, so that a port that is taken is known at start.
pub struct Ops {
    listener: std::net::TcpListener,
    /// Where it listens, with the port that the kernel chose for port 0.
    pub address: SocketAddr,
}

impl Ops {
    /// Binds the ops port.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(address: SocketAddr) -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Serves until `stop`, on a thread of its own, and watches the runtime from which it is called.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(self, health: Arc<Health>, stop: CancellationToken) -> std::io::Result<()> {
        let pulse = Pulse::of(Handle::current());
        // Set once, by the one listener of a process.
        health.pulse.set(Arc::clone(&pulse)).ok();
        let router = Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .route("/drain", post(drain))
            .merge(debug::routes())
            .with_state(health);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serving = async move {
            match TcpListener::from_std(self.listener) {
                Ok(listener) => tokio::select! {
                    () = accept(listener, router) => {}
                    () = pulse.watch() => {}
                    () = stop.cancelled() => {}
                },
                Err(error) => tracing::error!(%error, "the ops listener cannot be used"),
            }
        };
        let thread = std::thread::Builder::new().name("hubbub-ops".to_owned());
        thread.spawn(move || runtime.block_on(serving)).map(drop)
    }
}

async fn accept(listener: TcpListener, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((tcp, _)) = listener.accept().await else {
            // Out of descriptors: probes come again.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                // A place for each question and not for each asker.
                .keep_alive(false)
                .serve_connection(TokioIo::new(Patient::new(tcp, WRITE_TIMEOUT)), service);
            // A probe that goes away early is not worth a word.
            served.await.ok();
            drop(place);
        });
    }
}

/// Whether the process turns.
async fn livez(State(health): State<Arc<Health>>) -> Response {
    match health.pulse.get().and_then(|pulse| pulse.stuck()) {
        None => "ok\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason + "\n").into_response(),
    }
}

async fn readyz(State(health): State<Arc<Health>>) -> Response {
    let (ready, body) = health.ready();
    respond::json(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &body)
}

/// Asks the process to stop as a first SIGTERM does; asked again it changes nothing. A page in an operator's browser may
/// not: browsers name it in every POST.
async fn drain(State(health): State<Arc<Health>>, headers: HeaderMap) -> Response {
    if headers.contains_key(ORIGIN) {
        return respond::refused(&ErrorCode::OriginRefused.into());
    }
    health.ask_for_drain();
    respond::json(StatusCode::ACCEPTED, &json!({ "status": "draining" }))
}

async fn metrics(State(health): State<Arc<Health>>, headers: HeaderMap) -> Response {
    let Ok(turn) = Arc::clone(&health.scrapes).acquire_owned().await else { return shown_not() };
    // Summing over all connections takes milliseconds when they are many, so probes are not kept waiting by it.
    let shown = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        if let Some(node) = health.node.get() {
            node.metrics.node_ready.set(i64::from(health.ready().0));
            scrape::count(node);
        }
        let families = health.registry.gather();
        if openmetrics::is_accepted(&headers) {
            let exemplars = |name: &str, labels: &[LabelPair]| {
                health.node.get().map(|node| node.metrics.exemplars(name, labels)).unwrap_or_default()
            };
            return Ok((openmetrics::CONTENT_TYPE, openmetrics::encode(&families, exemplars).into()));
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text).map(|()| (PLAIN_TEXT, text))
    });
    match shown.await {
        Ok(Ok((form, text))) => ([(CONTENT_TYPE, form)], text).into_response(),
        Ok(Err(error)) => {
            tracing::error!(%error, "metrics could not be written");
            shown_not()
        }
        // The process ends.
        Err(_) => shown_not(),
    }
}

/// The form of metrics for whoever asks for no other.
const PLAIN_TEXT: &str = "text/plain; version=0.0.4";

fn shown_not() -> Response {
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
