//! What a gateway is told at start.
//!
//! Must never read files or the environment: the `hubbub` binary does, once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How the public listener speaks TLS.
#[derive(Clone, Debug)]
pub enum TlsMode {
    /// A certificate made at start, kept in `folder` so that clients may pin it.
    SelfSigned {
        /// Where `cert.pem` and `key.pem` are kept; none: in memory.
        folder: Option<PathBuf>,
    },
    /// Certificates from files, reloaded when they change.
    Files {
        /// PEM, leaf first.
        cert_file: PathBuf,
        /// PEM.
        key_file: PathBuf,
    },
    /// Plain: behind a terminating proxy.
    Off,
}

/// How a node stops (CONTRACT §3).
#[derive(Clone, Copy, Debug)]
pub struct DrainConfig {
    /// Not ready, but serving on.
    pub grace: Duration,
    /// Sockets are closed spread over this time.
    pub spread: Duration,
    /// The process has ended by then, from the signal on.
    pub timeout: Duration,
}

impl Default for DrainConfig {
    fn default() -> Self {
        Self { grace: Duration::from_secs(5), spread: Duration::from_secs(25), timeout: Duration::from_secs(45) }
    }
}

/// Everything that the gateway is told.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Clients: WebSocket, HTTP API, the page at `/`.
    pub listen: SocketAddr,
    /// Health, metrics, debug; plain HTTP.
    pub ops_listen: SocketAddr,
    /// For links and cookies; from the request's Host where none is given.
    pub public_url: Option<String>,
    /// TLS of `listen`.
    pub tls: TlsMode,
    /// Origins beside the node's own, as `scheme://host[:port]`.
    pub allowed_origins: Vec<String>,
    /// Whether `permessage-deflate` is agreed to when offered.
    pub deflate: bool,
    /// Over how long the frames of the busiest room are joined; zero: never.
    pub tick: Duration,
    /// The node's name.
    pub node: String,
    /// How to stop.
    pub drain: DrainConfig,
}
