//! The public listener and the life of a gateway: start, serve, drain.
//!
//! Owns accepting and the pace of closing. Must never decide when to stop: the binary does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hubbub_chat::Chat;
use hubbub_protocol::CloseCode;
use prometheus::Registry;
use rand::RngExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::config::GatewayConfig;
use crate::hub::Hub;
use crate::hub::pace::Tick;
use crate::link::Link;
use crate::metrics::Metrics;
use crate::node::Node;
use crate::ops::{Health, Stage};
use crate::tls::{Tls, TlsError};
use crate::wheel::Wheel;

/// Sockets that have not become WebSockets yet, at a time. Over it new ones wait in the kernel's queue.
const HANDSHAKES_MAX: usize = 8_192;

/// The kernel's queue of sockets that wait to be accepted.
const BACKLOG: u32 = 4_096;

/// Between two closes of a drain; as many sockets as fit the spread are closed each time.
const DRAIN_STEP: Duration = Duration::from_millis(50);

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// There is no usable certificate.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// A metric is registered already.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// A gateway that serves.
pub struct Gateway {
    node: Arc<Node>,
    health: Arc<Health>,
    address: SocketAddr,
    accepting: CancellationToken,
    background: CancellationToken,
}

/// A public listener that is bound, so that a port that is taken is known before the database is opened.
pub struct Listening {
    listener: TcpListener,
    tls: Tls,
    background: CancellationToken,
}

impl Listening {
    /// Binds the public port and loads the certificate.
    ///
    /// # Errors
    /// When the address cannot be bound or there is no usable certificate.
    pub fn bind(config: &GatewayConfig) -> Result<Self, StartError> {
        let background = CancellationToken::new();
        let tls = Tls::start(&config.tls, background.clone())?;
        let address = config.listen;
        let listener = listen(address).map_err(|source| StartError::Listen { address, source })?;
        Ok(Self { listener, tls, background })
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Gateway {
    /// Begins to serve.
    ///
    /// # Errors
    /// When a metric is registered already.
    pub fn start(
        config: GatewayConfig,
        listening: Listening,
        chat: Arc<Chat>,
        registry: &Registry,
        health: Arc<Health>,
    ) -> Result<Self, StartError> {
        let Listening { listener, tls, background } = listening;
        let address = listener.local_addr().map_err(|source| StartError::Listen { address: config.listen, source })?;
        let metrics = Metrics::register(registry)?;
        let hub = Hub::start(Arc::clone(&chat), Tick::up_to(config.tick), Arc::clone(&metrics), background.clone());
        let wheel = Wheel::start(chat.limits().heartbeat_interval, background.clone());
        let node = Node::new(config, chat, hub, wheel, metrics);
        health.show_node(Arc::clone(&node));
        health.set(Stage::Serving);
        let accepting = CancellationToken::new();
        let accept = accept(Arc::clone(&node), listener, tls);
        let until = accepting.clone();
        tokio::spawn(async move { until.run_until_cancelled(accept).await });
        Ok(Self { node, health, address, accepting, background })
    }

    /// Where clients connect, with the port that the kernel chose for port 0.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops as CONTRACT §3 says: not ready at once, serve on for the grace, then refuse upgrades and close all
    /// sockets over the spread. Returns when every socket has gone; the caller bounds the whole.
    pub async fn drain(&self) {
        let drain = self.node.config.drain;
        self.health.set(Stage::Draining);
        self.node.metrics.node_draining.set(1);
        tracing::info!(connections = self.node.connections.len(), "draining");
        tokio::time::sleep(drain.grace).await;
        self.node.close_door();
        self.close_all(drain.spread).await;
        self.wait_for_sockets().await;
        self.stop();
    }

    /// Ends what runs in the background; open sockets are dropped with the runtime.
    pub fn stop(&self) {
        self.accepting.cancel();
        self.background.cancel();
    }

    /// Closes all WebSockets, evenly over `spread`.
    async fn close_all(&self, spread: Duration) {
        let links: Vec<Arc<Link>> = self.node.connections.iter().map(|link| Arc::clone(&link)).collect();
        let steps = usize::try_from(spread.as_millis() / DRAIN_STEP.as_millis()).unwrap_or(usize::MAX).max(1);
        let each = links.len().div_ceil(steps).max(1);
        for some in links.chunks(each) {
            for link in some {
                link.close_told(CloseCode::Restart, spread_retry(spread));
            }
            tokio::time::sleep(DRAIN_STEP).await;
        }
        // Who upgraded in the last moment.
        for link in self.node.connections.iter() {
            link.close_told(CloseCode::Restart, spread_retry(spread));
        }
    }

    async fn wait_for_sockets(&self) {
        self.accepting.cancel();
        self.node.sockets.close();
        self.node.sockets.wait().await;
    }
}

/// When a closed client comes back: spread, so that the nodes that go on are not all asked at once.
pub(crate) fn spread_retry(spread: Duration) -> u64 {
    /// Enough for a crowd to spread, and short for one who waits.
    const SPREAD_MAX_MS: u64 = 5_000;
    let most = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX).clamp(100, SPREAD_MAX_MS);
    rand::rng().random_range(0..most)
}

async fn accept(node: Arc<Node>, listener: TcpListener, tls: Tls) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let Ok(place) = Arc::clone(&handshakes).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((tcp, peer)) => {
                prepare(&tcp);
                let serve = crate::http::socket::serve(Arc::clone(&node), tcp, peer.ip().to_canonical(), tls.current());
                node.sockets.spawn(async move {
                    serve.await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of descriptors or memory: those who are in go on, those who knock wait in the kernel.
                tracing::warn!(%error, "a socket could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Small frames go out at once.
fn prepare(tcp: &TcpStream) {
    // A socket that is gone already fails at its first read.
    tcp.set_nodelay(true).ok();
}
