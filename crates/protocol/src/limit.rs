//! Limits as the client is told of them in `session.ready`.
//!
//! Must never enforce one: that is the business of whoever holds the resource.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The limits that a client can keep to by itself (CONTRACT §6). 0 means none.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ClientLimits {
    /// Longest body, in Unicode scalar values.
    pub body_chars_max: u64,
    /// Largest WebSocket frame, in bytes.
    pub frame_bytes_max: u64,
    /// Largest WebSocket message, in bytes after inflating.
    pub message_bytes_max: u64,
    /// Commands in ten seconds on one connection.
    pub connection_commands_per_10s: u64,
    /// Sends in a minute by one user.
    pub user_sends_per_minute: u64,
    /// Fetches in a minute by one user.
    pub user_fetches_per_minute: u64,
    /// Rooms that one connection may follow.
    pub subscriptions_per_connection: u64,
    /// Longest page of a list.
    pub page_max: u64,
    /// Most events replayed on a subscription before a `gap`.
    pub replay_events_max: u64,
}

/// The page length when a list names none.
pub const PAGE_DEFAULT: u64 = 50;
