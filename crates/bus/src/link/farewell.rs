//! The last words of a node: its lease, sessions and counts go at once, so that nobody waits for them to run out.
//!
//! Must never hold up the end of the process for longer than its caller allows.

use std::collections::HashMap;

use futures_util::future::join_all;
use redis::RedisResult;
use redis::aio::MultiplexedConnection;

use crate::rooms::ShardId;
use crate::shared::Shared;

/// How many counts one pipeline takes back.
const SCOPES_MAX: usize = 500;

/// Takes back everything that is listed under this node, as far as its shards were up. What fails runs out with the
/// lease; the first error is told.
pub(crate) async fn say_farewell(
    shared: &Shared,
    connections: Vec<(ShardId, MultiplexedConnection)>,
) -> RedisResult<()> {
    let (keys, layout) = (&shared.link.keys, shared.link.layout.load_full());
    let home = layout.home(&keys.nodes).map(|home| home.id);
    let mut held: HashMap<ShardId, Vec<String>> = HashMap::new();
    for scope in shared.places.held().into_iter().chain(shared.link.parked.lock().drain()) {
        let key = keys.connections(scope);
        if let Some(shard) = layout.owner(&key) {
            held.entry(shard.id).or_default().push(key);
        }
    }
    let parts = connections.into_iter().map(|(shard, connection)| {
        let counts = held.remove(&shard).unwrap_or_default();
        take_back(shared, connection, home == Some(shard), counts)
    });
    join_all(parts).await.into_iter().collect()
}

async fn take_back(
    shared: &Shared,
    mut connection: MultiplexedConnection,
    is_home: bool,
    counts: Vec<String>,
) -> RedisResult<()> {
    let keys = &shared.link.keys;
    if is_home {
        let mut pipeline = redis::pipe();
        pipeline.cmd("ZREM").arg(&keys.nodes).arg(&shared.instance).ignore();
        pipeline.cmd("DEL").arg(keys.lease(&shared.instance)).arg(keys.sessions(&shared.instance)).ignore();
        pipeline.exec_async(&mut connection).await?;
    }
    for keys in counts.chunks(SCOPES_MAX) {
        let mut pipeline = redis::pipe();
        for key in keys {
            pipeline.cmd("HDEL").arg(key).arg(&shared.instance).ignore();
        }
        pipeline.exec_async(&mut connection).await?;
    }
    Ok(())
}
