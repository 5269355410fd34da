//! Every limit of the product in one place (CONTRACT §6).
//!
//! Owns the defaults. Must never enforce: whoever holds the resource does.

use std::time::Duration;

use hubbub_protocol::limit::ClientLimits;

/// The keys under `limits.` with their defaults. 0 means none; byte limits include the limit itself.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest body, in Unicode scalar values.
    pub body_chars_max: u64,
    /// Largest WebSocket frame, in bytes.
    pub frame_bytes_max: u64,
    /// Largest WebSocket message after reassembly and inflating, and largest HTTP body, in bytes.
    pub message_bytes_max: u64,
    /// Time for the TLS handshake and the HTTP request head together.
    pub handshake_timeout: Duration,
    /// Largest request line and headers, in bytes.
    pub handshake_bytes_max: u64,
    /// Commands in ten seconds on one connection, refused ones too.
    pub connection_commands_per_10s: u64,
    /// WebSocket frames in ten seconds on one connection, fragments and control frames too.
    pub connection_frames_per_10s: u64,
    /// Sends in a minute by one user, over all nodes.
    pub user_sends_per_minute: u64,
    /// Fetches in a minute by one user, over all nodes.
    pub user_fetches_per_minute: u64,
    /// Typing signals in a minute by one user, over all nodes.
    pub user_typing_per_minute: u64,
    /// Connections of one user, over all nodes.
    pub connections_per_user: u64,
    /// Connections from one address, over all nodes.
    pub connections_per_address: u64,
    /// Connections on this node.
    pub connections_per_node: u64,
    /// Rooms that one connection may follow.
    pub subscriptions_per_connection: u64,
    /// Time from the upgrade to a valid token.
    pub authentication_timeout: Duration,
    /// How often the server pings; two without a sign of life close the connection.
    pub heartbeat_interval: Duration,
    /// What may wait for one slow socket, in bytes.
    pub outbox_bytes_max: u64,
    /// Longest page of a list.
    pub page_max: u64,
    /// Most events replayed on a subscription before a `gap`.
    pub replay_events_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_chars_max: 2_000,
            frame_bytes_max: 64 << 10,
            message_bytes_max: 64 << 10,
            handshake_timeout: Duration::from_secs(10),
            handshake_bytes_max: 16 << 10,
            connection_commands_per_10s: 50,
            connection_frames_per_10s: 1_000,
            user_sends_per_minute: 30,
            user_fetches_per_minute: 100,
            user_typing_per_minute: 10,
            connections_per_user: 10,
            connections_per_address: 50,
            connections_per_node: 0,
            subscriptions_per_connection: 1_000,
            authentication_timeout: Duration::from_secs(10),
            heartbeat_interval: Duration::from_secs(25),
            outbox_bytes_max: 256 << 10,
            page_max: 100,
            replay_events_max: 1_000,
        }
    }
}

impl Limits {
    /// What a client is told in `session.ready`.
    #[must_use]
    pub fn for_client(&self) -> ClientLimits {
        ClientLimits {
            body_chars_max: self.body_chars_max,
            frame_bytes_max: self.frame_bytes_max,
            message_bytes_max: self.message_bytes_max,
            connection_commands_per_10s: self.connection_commands_per_10s,
            user_sends_per_minute: self.user_sends_per_minute,
            user_fetches_per_minute: self.user_fetches_per_minute,
            subscriptions_per_connection: self.subscriptions_per_connection,
            page_max: self.page_max,
            replay_events_max: self.replay_events_max,
        }
    }

    /// The length of a page: `asked` or the default, cut at the maximum.
    #[must_use]
    pub fn page(&self, asked: Option<u64>) -> u64 {
        let asked = asked.unwrap_or(hubbub_protocol::limit::PAGE_DEFAULT);
        /// A page without a configured maximum still ends somewhere.
        const PAGE_CEILING: u64 = 10_000;
        asked.min(if self.page_max == 0 { PAGE_CEILING } else { self.page_max })
    }
}
