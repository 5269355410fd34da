//! Hubbub's gateway: sockets and HTTP in, events out.
//!
//! Owns connections, the hub and the HTTP API. Must never name `redis` or `sqlx`, nor decide who may do what.

pub mod admission;
mod budget;
pub mod config;
pub mod connection;
pub mod context;
mod dispatch;
mod drain;
pub mod exemplar;
mod following;
mod gateway;
mod http;
pub mod hub;
pub mod link;
pub mod memory;
pub mod metrics;
mod node;
mod openmetrics;
pub mod ops;
pub mod outbox;
mod places;
pub mod proxies;
mod pulse;
mod rebalance;
pub mod scrape;
mod session;
mod signing;
pub mod tally;
mod tempo;
pub mod tls;
mod traced;
pub mod transport;
mod wheel;

pub use config::{AdmissionConfig, DrainConfig, GatewayConfig, RebalanceConfig, TlsMode};
pub use gateway::{Gateway, Listening, StartError};
pub use metrics::METRICS;
pub use ops::{Health, Ops, Stage};
pub use proxies::ProxyConfig;
