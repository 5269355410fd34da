//! Hubbub's gateway: sockets and HTTP in, events out.
//!
//! Owns connections, the hub and the HTTP API. Must never name `redis` or `sqlx`, nor decide who may do what.

pub mod config;

pub use config::{DrainConfig, GatewayConfig, TlsMode};
