//! The names of every key and channel.
//!
//! Braces mark what Redis Cluster hashes: the keys of one script always share one tag. Must never be written anywhere
//! else in the code; the table for operators stands in the crate's README.

use hubbub_protocol::{RoomId, UserId};

use crate::place::Scope;
use crate::rate::RateClass;

/// Keys and channels under one prefix.
pub(crate) struct Keys {
    prefix: String,
    /// Sorted set: instance → when its lease runs out, in milliseconds of Redis's clock.
    pub(crate) nodes: String,
    /// This node's own channel, for the watchdog.
    pub(crate) pulse: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str, instance: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            nodes: format!("{prefix}:{{nodes}}"),
            pulse: format!("{prefix}:pulse:{instance}"),
        }
    }

    /// Channel of a room's events.
    pub(crate) fn room(&self, room: RoomId) -> String {
        format!("{}:room:{{{room}}}", self.prefix)
    }

    /// String: the name of a node while it lives.
    pub(crate) fn lease(&self, instance: &str) -> String {
        format!("{}:{{nodes}}:lease:{instance}", self.prefix)
    }

    /// Hash: session → user, for one node.
    pub(crate) fn sessions(&self, instance: &str) -> String {
        format!("{}:{{nodes}}:sessions:{instance}", self.prefix)
    }

    /// String: a cell of a rate limit.
    pub(crate) fn rate(&self, class: RateClass, user: UserId) -> String {
        format!("{}:rate:{}:{{{user}}}", self.prefix, class.name())
    }

    /// Hash: instance → how many connections it holds.
    pub(crate) fn connections(&self, scope: Scope) -> String {
        format!("{}:connections:{{{scope}}}", self.prefix)
    }
}
