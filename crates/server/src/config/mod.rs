//! The configuration: one [`Config`] (CONTRACT §2), read at start and again when it may have changed.
//!
//! Owns every setting, where it may come from, whether it is possible and whether it can change while a node runs. Must
//! never be asked by a part of the house: what that needs, it is told.

mod change;
mod check;
mod environment;
pub(crate) mod field;
pub(crate) mod file;
pub(crate) mod keys;
mod load;
mod nearest;
pub(crate) mod problem;
mod proxy;
mod reference;
mod schema;
pub(crate) mod secret;
mod show;
pub(crate) mod value;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use hubbub_chat::Limits;
use hubbub_gateway::{AdmissionConfig, DrainConfig, RebalanceConfig};

pub(crate) use change::Changes;
pub(crate) use check::Purpose;
pub(crate) use load::{Given, Loaded, load};
pub(crate) use problem::Problems;
pub(crate) use reference::{reference, reference_json};

pub(crate) use proxy::Proxy;

use field::choice;
use secret::Secret;

/// Every setting of a node. The defaults stand here, the names and bounds in [`keys`].
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) ops_listen: SocketAddr,
    pub(crate) public_url: Option<String>,
    /// The secrets and certificates that a node makes by itself, and the default database.
    pub(crate) data_folder: PathBuf,
    pub(crate) tls: Tls,
    pub(crate) database: Database,
    pub(crate) redis: Redis,
    pub(crate) auth: Auth,
    pub(crate) node: Node,
    pub(crate) websocket: WebSocket,
    pub(crate) drain: DrainConfig,
    pub(crate) admission: AdmissionConfig,
    pub(crate) proxy: Proxy,
    pub(crate) rebalance: RebalanceConfig,
    pub(crate) limits: Limits,
    pub(crate) log: Log,
    pub(crate) trace: Trace,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Tls {
    pub(crate) mode: TlsMode,
    pub(crate) cert_file: Option<PathBuf>,
    pub(crate) key_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TlsMode {
    #[default]
    SelfSigned,
    Files,
    Off,
}

choice!(TlsMode { SelfSigned = "self-signed", Files = "files", Off = "off" });

#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(crate) url: Secret,
    pub(crate) migrate: bool,
    pub(crate) pool_max: u64,
    pub(crate) pooler: Pooler,
    pub(crate) replica_url: Option<Secret>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Pooler {
    #[default]
    None,
    Transaction,
}

choice!(Pooler { None = "none", Transaction = "transaction" });

#[derive(Clone, Debug)]
pub(crate) struct Redis {
    pub(crate) url: Option<Secret>,
    /// Several servers in place of one.
    pub(crate) publish_urls: Vec<Secret>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) sentinel_user: Option<String>,
    pub(crate) sentinel_password: Option<Secret>,
    pub(crate) prefix: String,
}

impl Redis {
    /// Every address, whichever key gave it.
    pub(crate) fn urls(&self) -> impl Iterator<Item = &Secret> {
        self.url.iter().chain(&self.publish_urls)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Auth {
    pub(crate) token_secret: Option<Secret>,
    /// Accepted beside `token_secret`.
    pub(crate) token_secret_other: Option<Secret>,
    pub(crate) token_public_key_file: Option<PathBuf>,
    /// Where the issuer of tokens publishes its keys.
    pub(crate) jwks_url: Option<String>,
    pub(crate) token_issuer: String,
    pub(crate) token_audience: String,
    /// Of tokens that a login hands out.
    pub(crate) token_lifetime: Duration,
    pub(crate) allowed_origins: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Node {
    /// None: made at start.
    pub(crate) name: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct WebSocket {
    pub(crate) deflate: bool,
    /// Over which the frames of the busiest rooms are joined.
    pub(crate) tick: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) level: String,
    /// Of one place of the program in a while; 0: no limit.
    pub(crate) repeats_max: u64,
    pub(crate) format: LogFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere.
    #[default]
    Auto,
    Pretty,
    Json,
}

choice!(LogFormat { Auto = "auto", Pretty = "pretty", Json = "json" });

#[derive(Clone, Debug)]
pub(crate) struct Trace {
    /// None: nothing is traced.
    pub(crate) otlp_url: Option<String>,
    /// `name=value` each.
    pub(crate) otlp_headers: Vec<Secret>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) sample_one_in: u64,
    pub(crate) per_second_max: u64,
    pub(crate) slow: Duration,
}

/// The folder of the default database and of everything that a node makes by itself.
const DATA_FOLDER: &str = "data";

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8443)),
            ops_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9443)),
            public_url: None,
            data_folder: PathBuf::from(DATA_FOLDER),
            tls: Tls::default(),
            database: Database {
                url: sqlite_url(DATA_FOLDER),
                migrate: true,
                pool_max: 16,
                pooler: Pooler::None,
                replica_url: None,
            },
            redis: Redis {
                url: None,
                publish_urls: Vec::new(),
                ca_file: None,
                sentinel_user: None,
                sentinel_password: None,
                prefix: "hubbub".to_owned(),
            },
            auth: Auth {
                token_secret: None,
                token_secret_other: None,
                token_public_key_file: None,
                jwks_url: None,
                token_issuer: "hubbub".to_owned(),
                token_audience: "hubbub".to_owned(),
                token_lifetime: Duration::from_secs(3_600),
                allowed_origins: Vec::new(),
            },
            node: Node::default(),
            websocket: WebSocket { deflate: true, tick: Duration::from_millis(25) },
            drain: DrainConfig::default(),
            admission: AdmissionConfig::default(),
            proxy: Proxy::default(),
            rebalance: RebalanceConfig::default(),
            limits: Limits::default(),
            log: Log { level: "info".to_owned(), repeats_max: 100, format: LogFormat::Auto },
            trace: Trace {
                otlp_url: None,
                otlp_headers: Vec::new(),
                ca_file: None,
                sample_one_in: 1_000,
                per_second_max: 100,
                slow: Duration::from_secs(1),
            },
        }
    }
}

impl Config {
    /// Whether other nodes may share what this one works with.
    pub(crate) fn is_cluster(&self) -> bool {
        self.redis.urls().next().is_some() || self.database.url.expose().starts_with("postgres")
    }
}

/// The default database in this data folder.
fn sqlite_url(folder: &str) -> Secret {
    Secret::new(format!("sqlite://{}/hubbub.db", folder.trim_end_matches('/')))
}
