//! The public listener and the life of a gateway: start, serve, drain.
//!
//! Owns accepting. Must never decide when to stop: the binary does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hubbub_chat::Chat;
use prometheus::Registry;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admission::{Admission, Bounds};
use crate::config::GatewayConfig;
use crate::drain;
use crate::hub::Hub;
use crate::hub::pace::Tick;
use crate::memory::MemoryMark;
use crate::metrics::{Metrics, Queued};
use crate::node::Node;
use crate::ops::{Health, Stage};
use crate::rebalance;
use crate::tempo::Tempo;
use crate::tls::{Tls, TlsError};
use crate::wheel::Wheel;

/// The kernel's queue of sockets that wait to be accepted.
const BACKLOG: u32 = 4_096;

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
        let wheel = Wheel::start(background.clone());
        let bounds = Bounds::new(&config.admission, &chat.limits());
        let memory = MemoryMark::watch(config.admission.memory_max, background.clone());
        let admission = Admission::new(bounds, memory, Arc::clone(&metrics));
        let node = Node::new(config, chat, hub, wheel, metrics, admission);
        tokio::spawn(rebalance::run(Arc::clone(&node), background.clone()));
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

    /// Takes over another configuration at once, but for what cannot change while it runs: addresses, TLS, name and tick.
    /// The limits are those that its rules have by then.
    pub fn change(&self, config: GatewayConfig) {
        self.node.change(config);
    }

    /// Stops as CONTRACT §3 says: not ready at once, serve on for the grace, then refuse upgrades and close all
    /// sockets over the spread. Returns when every socket has gone; the caller bounds the whole.
    pub async fn drain(&self) {
        self.health.set(Stage::Draining);
        drain::run(&self.node, &self.accepting).await;
        self.stop();
    }

    /// Ends what runs in the background; open sockets are dropped with the runtime.
    pub fn stop(&self) {
        self.accepting.cancel();
        self.background.cancel();
    }
}

/// Over `admission.accepts_per_second`, or with `admission.handshakes_max` on their way, new sockets wait in the kernel's
/// queue: nobody is refused, and everybody who is in goes on.
async fn accept(node: Arc<Node>, listener: TcpListener, tls: Tls) {
    let mut tempo = Tempo::at_most(node.config().admission.accepts_per_second, Instant::now());
    loop {
        node.places.reserve(&node.metrics).await;
        tempo.change_to(node.config().admission.accepts_per_second);
        if tempo.turn().await {
            node.metrics.queued(Queued::Rate);
        }
        match listener.accept().await {
            Ok((tcp, peer)) => {
                prepare(&tcp);
                let place = node.places.take();
                let serve = crate::http::socket::serve(Arc::clone(&node), tcp, peer.ip(), tls.current());
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
