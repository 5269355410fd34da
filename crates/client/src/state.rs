//! How the client stands, for status lines and tests.
//!
//! Must never drive anything: it only reports.

use tokio::time::Instant;

use crate::error::CloseReason;

/// How the client stands. Followed by [`crate::Client::state`]; short states may be missed between two looks.
#[derive(Clone, PartialEq, Debug)]
pub enum State {
    /// Trying to reach a node.
    Connecting {
        /// Attempts since the last time online, from 1.
        attempt: u32,
        /// The address that is tried.
        url: String,
    },
    /// Signed on; the followed rooms are being resumed.
    Resuming {
        /// The node's name.
        node: String,
    },
    /// Signed on, all followed rooms live.
    Online {
        /// The node's name.
        node: String,
    },
    /// Waiting before the next attempt.
    Waiting {
        /// When that comes.
        until: Instant,
        /// Why the last one failed or ended.
        cause: String,
    },
    /// Ended for good.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

impl State {
    /// Whether everything is live.
    #[must_use]
    pub const fn is_online(&self) -> bool {
        matches!(self, Self::Online { .. })
    }
}
