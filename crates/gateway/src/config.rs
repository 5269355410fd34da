//! What a gateway is told at start, and again when the configuration changes.
//!
//! Must never read files or the environment: the `hubbub` binary does.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::proxies::ProxyConfig;

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
    /// Never more closes than this over any second, however short the spread; 0: no limit.
    pub closes_per_second: u64,
    /// The process has ended by then, from the signal on.
    pub timeout: Duration,
}

impl Default for DrainConfig {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(5),
            spread: Duration::from_secs(25),
            // A node of 10,000 is closed within the spread, one of 17,000 within the timeout; and its neighbours take in
            // a quarter of what they may accept.
            closes_per_second: 500,
            timeout: Duration::from_secs(45),
        }
    }
}

/// Who is let in while many knock.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionConfig {
    /// Sockets accepted over any second; over it they wait in the kernel's queue. 0: no limit.
    pub accepts_per_second: u64,
    /// Sockets that are no WebSockets (yet), at a time; over it new ones wait in the kernel's queue; with a quarter
    /// left HTTP connections are not kept for a next request. 0: no limit.
    pub handshakes_max: u64,
    /// WebSockets that nobody has signed on over yet, at a time; over it upgrades without a token are refused. 0: no limit.
    pub unauthenticated_max: u64,
    /// Sockets of one address on this node over which no token was shown yet, and WebSockets that nobody has signed on
    /// over; never fewer than `limits.connections_per_address`. 0, here or there: not counted.
    pub unauthenticated_per_address: u64,
    /// In bytes of the process's resident set; over it upgrades are refused. 0: no mark. None: nine tenths of the
    /// container's limit, if there is one.
    pub memory_max: Option<u64>,
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self {
            // An accept costs 0.15 to 0.26 ms of a core with its TLS handshake, so that half of a core is left to chat.
            accepts_per_second: 2_000,
            handshakes_max: 8_192,
            unauthenticated_max: 4_096,
            unauthenticated_per_address: 100,
            memory_max: None,
        }
    }
}

/// How a node with more than its share gives some of its clients to the others.
#[derive(Clone, Copy, Debug)]
pub struct RebalanceConfig {
    /// Whether it does.
    pub enabled: bool,
    /// Never more closes than this over any second, by all nodes together; at least 1 each.
    pub closes_per_second: u64,
}

impl Default for RebalanceConfig {
    fn default() -> Self {
        // Two nodes of 5,000 that become four are even within 40 s, the waiting and the first trial included.
        Self { enabled: true, closes_per_second: 200 }
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
    /// Who is let in while many knock.
    pub admission: AdmissionConfig,
    /// Which proxies are believed about where clients come from. A socket keeps to what held when it came.
    pub proxy: Arc<ProxyConfig>,
    /// How to give clients to other nodes.
    pub rebalance: RebalanceConfig,
}
