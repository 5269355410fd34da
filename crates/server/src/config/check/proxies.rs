//! Proxies before the node: what cannot be, and what is likely not meant.
//!
//! Must never refuse what only may be a mistake: that is warned about.

use super::{Check, Problem};
use crate::config::{Purpose, TlsMode};

impl Check<'_> {
    pub(super) fn proxies(&mut self, purpose: Purpose) {
        let config = self.config;
        let proxy = &config.proxy;
        if let Some(reason) = proxy.refused_trust() {
            self.refuse("proxy.trusted", &reason);
        }
        let believed = [("proxy.protocol", proxy.protocol), ("proxy.forwarded_for", proxy.forwarded_for)];
        for (path, _) in believed.into_iter().filter(|(_, believed)| *believed && proxy.trusted.is_empty()) {
            self.refuse(path, "is on, but `proxy.trusted` names nobody who would be believed");
        }
        if purpose != Purpose::Serve {
            return;
        }
        if !proxy.trusted.is_empty() && !proxy.is_used() {
            self.warn(
                "proxy.trusted",
                "does nothing unless `proxy.protocol` or `proxy.forwarded_for` is on: nobody is asked who the client is",
            );
        }
        if let Some(all) = proxy.trusts_all() {
            let message =
                format!("has `{all}`: whoever reaches the node may then pass for any address, and is not counted");
            self.warn("proxy.trusted", &message);
        }
        let limit = config.limits.connections_per_address;
        if config.tls.mode == TlsMode::Off && limit != 0 && !proxy.is_used() {
            let message = format!(
                "`limits.connections_per_address` is {limit} for all clients together when a proxy stands before the node, as \
                 `tls.mode = \"off\"` lets expect: set `proxy.trusted` with `proxy.forwarded_for` or `proxy.protocol`, or the limit to 0"
            );
            self.found.warnings.push(Problem::new(self.loaded.source("tls.mode"), message));
        }
    }
}
