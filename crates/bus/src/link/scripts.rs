//! The Lua scripts that Redis runs, each atomic and bounded.
//!
//! Each names every key it touches, and all keys of one call share a hash tag, as Redis Cluster wants it.
//!
//! Nodes of two versions run side by side during an upgrade, each with its own text of a script over the same keys.
//! Therefore: arguments and answers are only ever extended at their end, a script does without what an older node does
//! not pass, and a node does without what an older script does not answer. What a key holds keeps its form, or gets a new
//! name.

use redis::Script;
use redis::aio::MultiplexedConnection;

/// The scripts of the bus.
pub(crate) struct Scripts {
    /// One unit of a rate limit: [`crate::gcra::SCRIPT`].
    pub(crate) take: Script,
    /// Sets what this node holds of a scope and lets arrivals in.
    pub(crate) count: Script,
    /// Renews the lease and lists the nodes.
    pub(crate) renew: Script,
    /// Takes away what a dead node left.
    pub(crate) reap: Script,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        Self {
            take: Script::new(crate::gcra::SCRIPT),
            count: Script::new(include_str!("count.lua")),
            renew: Script::new(include_str!("renew.lua")),
            reap: Script::new(include_str!("reap.lua")),
        }
    }

    /// Loads all of them, so that pipelines may name them by their hash.
    pub(super) async fn load(&self, commands: &mut MultiplexedConnection) -> redis::RedisResult<()> {
        for script in [&self.take, &self.count, &self.renew, &self.reap] {
            script.load_async(commands).await?;
        }
        Ok(())
    }
}
