//! The proxies before this node: which of them are believed, and whose connection theirs is.
//!
//! Owns the one rule of trust: an address counts as a client's only when nobody but trusted proxies has named it. Must
//! never believe a word of anybody else, and never take an address from a header that is not asked for.

mod forwarded;
mod header;
mod metrics;

use std::net::IpAddr;

pub use ipnet::IpNet;

pub(crate) use header::{Named, Unreadable, read};
pub use metrics::ProxyMetrics;

/// What stands before this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyConfig {
    /// Networks of proxies that are believed.
    pub trusted: Vec<IpNet>,
    /// Every socket from them begins with a header of the PROXY protocol, version 1 or 2. From others never.
    pub protocol: bool,
    /// `X-Forwarded-For` of their requests is read.
    pub forwarded_for: bool,
}

/// Where somebody comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Client {
    /// IPv4 addresses that are written as IPv6 are IPv4 here.
    pub address: IpAddr,
    /// This is a trusted proxy which has not told whose connection it is: any number of people, so it is not counted as one.
    pub is_proxy: bool,
}

impl ProxyConfig {
    /// Whoever has this address.
    #[must_use]
    pub fn client(&self, address: IpAddr) -> Client {
        let address = address.to_canonical();
        Client { address, is_proxy: self.trusted.iter().any(|network| network.contains(&address)) }
    }
}
