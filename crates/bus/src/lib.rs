//! What Hubbub's nodes share: room events, the node lease, connection counts and rate limits.
//!
//! Two engines stand behind one [`Bus`]: Redis, and the process itself for a node alone. The bus is a hint and never
//! the truth (DESIGN §1, invariant 1): whatever it loses, the store repairs. Must never speak SQL, decide who may do
//! what, or block whoever publishes.
//!
//! Keys, channels, their life and the smallest ACL stand in this crate's `README.md`.

mod bus;
mod config;
pub mod envelope;
pub mod gcra;
mod link;
mod loopback;
mod metrics;
mod node;
mod notice;
mod place;
mod rate;
mod rooms;
mod sessions;
mod shared;
mod state;

pub use bus::Bus;
pub use config::{BusConfig, BusDown, BusError};
pub use node::NodeLease;
pub use notice::{Handler, Notice};
pub use place::{Full, Place, Scope};
pub use rate::{RateClass, RateVerdict};
pub use state::{BusState, ShardState};
