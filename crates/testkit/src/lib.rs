//! Proof for Hubbub: clusters of real processes, faults between any two parts, clients that record everything, and a
//! checker that reads the records.
//!
//! Owns what tests of several processes need. Must never depend on a server crate: all it knows of a node is its
//! binary, its configuration and its wire.

pub mod checker;
pub mod cluster;
pub mod http;
pub mod load;
pub mod origin;
pub mod ports;
pub mod process;
pub mod prove;
pub mod proxy;
pub mod record;
pub mod servers;
pub mod swarm;
pub mod tokens;
pub mod wire;

pub use cluster::{Cluster, ClusterConfig};
