//! Waiting for a newer set of keys, when a token names a key that nobody knows.
//!
//! Owns who waits and for how long. Must never fetch anything: whoever has the keys does, and decides how often.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::Chat;

/// A token waits no longer for newer keys; it is refused then. A little more than a fetch may take.
const WAIT: Duration = Duration::from_secs(6);

/// Between tokens that need newer keys and whoever fetches those.
#[derive(Default)]
pub(crate) struct NewerKeys {
    wanted: Notify,
    tried: Notify,
}

impl NewerKeys {
    /// Asks for newer keys; returns when there was a try, or when there is none in time.
    pub(crate) async fn wait(&self) {
        let tried = self.tried.notified();
        self.wanted.notify_one();
        // Nobody may be there to try: then the token stays refused.
        timeout(WAIT, tried).await.ok();
    }
}

impl Chat {
    /// Resolves when a token has named a key that is in no set yet.
    pub async fn newer_keys_wanted(&self) {
        self.newer_keys.wanted.notified().await;
    }

    /// Newer keys were asked for, with whatever success, or not since they just were: whoever waits goes on.
    pub fn newer_keys_tried(&self) {
        self.newer_keys.tried.notify_waiters();
    }
}
