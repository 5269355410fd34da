//! What a client is told before it starts, and every number that it keeps to.
//!
//! Must never read files or the environment: that is the caller's.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hubbub_protocol::Codec;

/// From a TCP connect to `session.ready`, for one attempt.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long [`crate::Client::connect`] tries before it gives up.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long a request may take, reconnects included. Sends have no such bound.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The first wait after a lost connection is a random time up to this.
pub(crate) const BACKOFF_BASE: Duration = Duration::from_millis(250);
/// No wait is longer than this, unless the server names a longer one.
pub(crate) const BACKOFF_CAP: Duration = Duration::from_secs(30);
/// Sends and requests that may be unanswered at once.
pub(crate) const IN_FLIGHT_MAX: usize = 64;
/// Deliveries that wait for the caller, per room.
pub(crate) const ROOM_BUFFER: usize = 1024;
/// The largest message taken from the server: a full page of the longest bodies has room many times over.
pub(crate) const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// How to connect, as whom, and within which bounds. All bounds have sensible defaults: see [`ClientConfig::new`].
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Nodes or balancers: `wss://host:8443` (also `ws`, `https`, `http`); `/v1/ws` is added when the path is
    /// absent, and a bare `host:port` means `wss`.
    pub urls: Vec<String>,
    /// Which of several `urls` comes next.
    pub order: UrlOrder,
    /// Proof of identity.
    pub credentials: Credentials,
    /// JSON or MessagePack.
    pub codec: Codec,
    /// Whom to trust; without effect on `ws` and `http`.
    pub tls: Tls,
    /// One attempt, from the TCP connect to `session.ready`.
    pub connect_timeout: Duration,
    /// How long [`crate::Client::connect`] tries before it gives up.
    pub ready_within: Duration,
    /// How long a request may take, reconnects included. Sends are not bounded by it.
    pub request_timeout: Duration,
    /// Waits between attempts.
    pub backoff: Backoff,
    /// Sends and requests that may be unanswered at once; further ones wait for a place.
    pub in_flight_max: usize,
    /// Deliveries that wait for the caller, per room. Above that the room is left and resumed later.
    pub room_buffer: usize,
    /// The largest message taken from the server, in bytes; above that the connection is dropped.
    pub message_bytes_max: usize,
}

impl ClientConfig {
    /// The defaults for one address: JSON, the system's certificates, the bounds named in this module.
    #[must_use]
    pub fn new(url: impl Into<String>, credentials: Credentials) -> Self {
        Self {
            urls: vec![url.into()],
            order: UrlOrder::Random,
            credentials,
            codec: Codec::Json,
            tls: Tls::System,
            connect_timeout: CONNECT_TIMEOUT,
            ready_within: READY_WITHIN,
            request_timeout: REQUEST_TIMEOUT,
            backoff: Backoff::default(),
            in_flight_max: IN_FLIGHT_MAX,
            room_buffer: ROOM_BUFFER,
            message_bytes_max: MESSAGE_BYTES_MAX,
        }
    }
}

/// Which of several addresses is tried next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UrlOrder {
    /// Any, so that the clients of a lost node spread over the others. After a failure another one than before.
    Random,
    /// The first one first, and after each lost connection the next.
    InTurn,
}

/// Proof of identity.
#[derive(Clone)]
pub enum Credentials {
    /// An access token. When it ends, so does the client.
    Token(String),
    /// Name and password, turned into tokens with `POST /v1/auth/login`, and again when they end.
    Password {
        /// The user's name.
        name: String,
        /// The password. Kept in memory, since tokens end.
        password: String,
    },
    /// Asks the caller for a token whenever one is needed: at the start, before one ends, after one was refused.
    Source(Arc<dyn TokenSource>),
}

impl Credentials {
    /// Whether a new token can be had when the old one ends.
    pub(crate) const fn are_renewable(&self) -> bool {
        !matches!(self, Self::Token(_))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Tokens and passwords are never logged.
        match self {
            Self::Token(_) => f.write_str("Token(…)"),
            Self::Password { name, .. } => write!(f, "Password({name})"),
            Self::Source(_) => f.write_str("Source(…)"),
        }
    }
}

/// A token, or why there is none for the moment; it is asked for again after a backoff.
pub type TokenFuture = Pin<Box<dyn Future<Output = Result<String, String>> + Send>>;

/// Where tokens come from. Implemented by closures: `Arc::new(|| Box::pin(async { Ok(token) }) as TokenFuture)`.
pub trait TokenSource: Send + Sync {
    /// A token that is valid for some time yet.
    fn token(&self) -> TokenFuture;
}

impl<F: Fn() -> TokenFuture + Send + Sync> TokenSource for F {
    fn token(&self) -> TokenFuture {
        self()
    }
}

/// Which certificates are trusted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Tls {
    /// Those of the system.
    #[default]
    System,
    /// Those of the system and those in this PEM file.
    WithPem(PathBuf),
    /// Any: for a self-signed certificate in development only. Whoever sits between reads and changes everything.
    Insecure,
}

/// Full jitter: the wait before attempt `n` is uniform in `[0, min(cap, base · 2^n)]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// Bound of the first wait.
    pub base: Duration,
    /// Bound of every wait.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: BACKOFF_BASE, cap: BACKOFF_CAP }
    }
}
