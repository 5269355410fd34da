//! The names of every key and channel.
//!
//! Braces mark what Redis Cluster hashes: the keys of one script always share one tag. Must never be written anywhere
//! else in the code; the table for operators stands in the crate's README.

use hubbub_protocol::{RoomId, UserId};

use crate::place::Scope;
use crate::rate::RateClass;
use crate::rooms::ShardId;

/// Keys and channels under one prefix.
pub(crate) struct Keys {
    prefix: String,
    /// Sorted set: instance → when its lease runs out, in milliseconds of Redis's clock.
    pub(crate) nodes: String,
    instance: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str, instance: &str) -> Self {
        Self { prefix: prefix.to_owned(), nodes: format!("{prefix}:{{nodes}}"), instance: instance.to_owned() }
    }

    /// This node's own channel on one shard, for the watchdog. Never sharded, so that it works on whichever server.
    pub(crate) fn pulse(&self, shard: ShardId) -> String {
        format!("{}:pulse:{}:{shard}", self.prefix, self.instance)
    }

    /// Channel of a room's events.
    pub(crate) fn room(&self, room: RoomId) -> String {
        format!("{}:room:{{{room}}}", self.prefix)
    }

    /// The room of such a channel.
    pub(crate) fn room_of(&self, channel: &[u8]) -> Option<RoomId> {
        let rest = std::str::from_utf8(channel).ok()?.strip_prefix(&self.prefix)?.strip_prefix(":room:{")?;
        rest.strip_suffix('}')?.parse().ok()
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
