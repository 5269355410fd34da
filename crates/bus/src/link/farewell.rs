//! The last words of a node: its lease, sessions and counts go at once, so that nobody waits for them to run out.
//!
//! Must never hold up the end of the process for longer than its caller allows.

use std::collections::HashMap;

use redis::RedisResult;
use redis::aio::MultiplexedConnection;

use crate::rooms::ShardId;
use crate::shared::Shared;

/// How many counts one pipeline takes back.
const SCOPES_MAX: usize = 500;

/// Takes back everything that is listed under this node, as far as its shards were up. What fails runs out with the
/// lease.
pub(crate) async fn say_farewell(
    shared: &Shared,
    connections: Vec<(ShardId, MultiplexedConnection)>,
) -> RedisResult<()> {
    let (keys, layout) = (&shared.link.keys, shared.link.layout.load_full());
    let mut connections: HashMap<_, _> = connections.into_iter().collect();
    if let Some(home) = layout.home(&keys.nodes).and_then(|home| connections.get_mut(&home.id)) {
        let mut pipeline = redis::pipe();
        pipeline.cmd("ZREM").arg(&keys.nodes).arg(&shared.instance).ignore();
        pipeline.cmd("DEL").arg(keys.lease(&shared.instance)).arg(keys.sessions(&shared.instance)).ignore();
        pipeline.exec_async(home).await?;
    }
    let mut held: HashMap<ShardId, Vec<String>> = HashMap::new();
    for scope in shared.places.held() {
        let key = keys.connections(scope);
        if let Some(shard) = layout.owner(&key) {
            held.entry(shard.id).or_default().push(key);
        }
    }
    for (shard, keys) in held {
        let Some(connection) = connections.get_mut(&shard) else { continue };
        for keys in keys.chunks(SCOPES_MAX) {
            let mut pipeline = redis::pipe();
            for key in keys {
                pipeline.cmd("HDEL").arg(key).arg(&shared.instance).ignore();
            }
            pipeline.exec_async(connection).await?;
        }
    }
    Ok(())
}
